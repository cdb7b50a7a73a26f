"""`python -m` runs the same command as the installed script."""

from .cli import main

if __name__ == "__main__":
    main()
