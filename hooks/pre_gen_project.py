"""Refuse what would lose a file of the user's, or leave half a project."""

# Before the first file, for answers that nobody was asked (--replay): {{ cookiecutter | checked }}
import os
import sys

# As in the hook that comes last.
sys.path = [folder for folder in sys.path if folder != os.path.dirname(__file__)]

import shutil

NEEDED = 4  # MiB, twice what lies there before the other variants go

if os.path.lexists("variants"):
    sys.exit("Error: this project has a folder variants/, which would be mixed with the template's; move it, try again")
if shutil.disk_usage(".").free < NEEDED * 2**20:
    sys.exit(
        f"Error: a project needs {NEEDED} MiB free on the disk of this folder; free some, or --output-dir elsewhere"
    )
