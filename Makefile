# Thin: each recipe is a command of README.md.
.PHONY: demo docs docs-serve examples recording test test-cluster test-browser

UV = python3 tools/uv.py
export NO_MKDOCS_2_WARNING = 1 # its note about its successor, at each build

demo:
	$(UV) run cookiecutter . --no-input --overwrite-if-exists --output-dir build
	$(UV) run --directory build/lit-project lit-project fit
	$(UV) run --directory build/lit-project lit-project test

docs:
	$(UV) run mkdocs build

docs-serve:
	$(UV) run mkdocs serve

test:
	$(UV) run pytest

test-cluster:
	$(UV) run pytest -m cluster --numprocesses 0

test-browser:
	$(UV) run pytest -m browser --numprocesses 0

recording:
	$(UV) run python tools/record.py

examples:
	$(UV) run python tools/examples.py build/examples
