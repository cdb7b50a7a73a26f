"""Refuse what would lose a file of the user's."""

# Before the first file, for answers that nobody was asked (--replay): {{ cookiecutter | checked }}
import os
import sys

if os.path.lexists("variants"):
    sys.exit("Error: this project has a folder variants/, which would be mixed with the template's; move it, try again")
