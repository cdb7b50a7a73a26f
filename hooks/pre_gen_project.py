"""Refuse what would lose a file of the user's."""

# Before the first file, for answers that nobody was asked (--replay): {{ cookiecutter | checked }}
import os
import sys

# Python looks first into the folder of its script: here that for temporary files, where anybody may put a json.py.
sys.path = [folder for folder in sys.path if folder != os.path.dirname(__file__)]

if os.path.lexists("variants"):
    sys.exit("Error: this project has a folder variants/, which would be mixed with the template's; move it, try again")
