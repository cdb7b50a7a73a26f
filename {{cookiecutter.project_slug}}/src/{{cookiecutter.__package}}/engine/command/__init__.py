"""From the words of a command to a run: dispatch, settings, one-line mistakes, reports."""
