"""The machinery behind the files in front; README.md names each file. Nothing in here imports the package above it."""
