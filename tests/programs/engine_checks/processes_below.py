"""Which processes a process has started, for tests that kill some of them."""

import subprocess


def children(process):
    """The processes below this one, each before its own children."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    below = {}
    for line in listed.splitlines():
        child, parent = map(int, line.split())
        below.setdefault(parent, []).append(child)
    found = [process]
    for one in found:
        found += below.get(one, [])
    return found[1:]
