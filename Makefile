# Thin: each recipe is a command of README.md.
.PHONY: demo test test-cluster test-browser recording examples

UV = python3 tools/uv.py

demo:
	$(UV) run cookiecutter . --no-input --overwrite-if-exists --output-dir build
	$(UV) run --directory build/lit-project lit-project fit
	$(UV) run --directory build/lit-project lit-project test

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
