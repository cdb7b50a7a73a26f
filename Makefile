# Thin: each recipe is a command of README.md.
.PHONY: demo test test-cluster test-browser

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
