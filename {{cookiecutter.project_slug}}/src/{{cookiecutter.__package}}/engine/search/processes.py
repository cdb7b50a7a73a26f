"""Starts processes for the runs of `sweep` and `repeat`, and says when they have ended."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import RunError

# The whole program of the fork server: what it runs is the package's own main.
PROGRAM = (
    "import socket, sys; from {0}.__main__ import main, project; from {0}.engine.search import fork_server;"
    " from {0}.engine.command.assigned import preload; preload(project(), sys.argv[2:]);"
    " fork_server.serve(socket.socket(fileno=int(sys.argv[1])), main)"
)
SECONDS_BETWEEN_LOOKS = 0.02
TRIES = 3
HAS_FORK = hasattr(os, "fork") and sys.platform != "darwin"  # on macOS, system libraries do not survive a fork


class Processes:
    """Starts a command in a process of its own, as a copy of the fork server if that is possible.

    Args:
        package: the name of the package.
        environment: that of all processes.
        parent: the variable in which a process finds the number of the one that started it, with which it ends.
        imported: modules that the fork server imports beside those of the project.
    """

    def __init__(self, package: str, environment: dict[str, str], parent: str, imported: Sequence[str] = ()) -> None:
        self.package = package
        self.environment = environment
        self.parent = parent
        self.imported = imported
        self.can_fork = HAS_FORK
        self.channel: socket.socket | None = None
        self.server: subprocess.Popen[bytes] | None = None
        self.unread = b""
        self.copies: dict[int, int | None] = {}  # by their numbers: their exit codes, once they have ended
        self.commands: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, args: list[str], log: Path, environment: dict[str, str], as_copy: bool) -> int:
        """Start a command whose output goes to the end of a file; the number of its process.

        Args:
            args: the command and its flags.
            log: the file.
            environment: variables of its own.
            as_copy: whether it may be a copy of the fork server. A command of several processes may not: Lightning
                starts the others from the words of this one.
        """
        if as_copy and (process := self._fork(args, log, environment)):
            return process
        with log.open("ab") as output:
            command = subprocess.Popen(
                [sys.executable, "-m", self.package, *args],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**self.environment, **environment, self.parent: str(os.getpid())},
                start_new_session=True,
            )
        self.commands[command.pid] = command
        return command.pid

    def ended(self, process: int) -> int | None:
        """The exit code of a process, negative if a signal has ended it; None while it runs."""
        if process in self.commands:
            code = self.commands[process].poll()
        else:
            while self.channel and self._receive(0):
                pass
            # Copies end with their server.
            code = self.copies.get(process, None if self.channel else -signal.SIGKILL)
        if code is not None:
            self.commands.pop(process, None)
            self.copies.pop(process, None)
            kill_group(process)  # workers of its loaders, and its other processes
        return code

    def wait(self, process: int) -> int:
        """Wait for the end of a process; its exit code."""
        while (code := self.ended(process)) is None:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return code

    def close(self) -> None:
        """End the fork server, and with it whatever still runs."""
        for process in list(self.commands):
            kill_group(process)
        if self.channel:
            self.channel.close()
            self.channel = None
        if self.server:
            self.server.wait()

    def _fork(self, args: list[str], log: Path, environment: dict[str, str]) -> int | None:
        """The number of a new copy of the fork server; None if there can be none."""
        for _ in range(TRIES):
            if not (self.can_fork and self._has_server()):
                return None
            assert self.server
            environment = {**environment, self.parent: str(self.server.pid)}
            self._send({"args": args, "log": str(log), "environment": environment})
            while answer := self._receive(None):
                if "code" not in answer:
                    return int(str(answer["process"]))
        raise RunError("the process from which runs are forked is killed again and again")

    def _has_server(self) -> bool:
        """Whether there is a fork server, which is started if need be."""
        if self.channel:
            return True
        self.channel, its = socket.socketpair()
        self.unread = b""
        self.server = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(self.package), str(its.fileno()), *self.imported],
            stdin=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
            env=self.environment,
            start_new_session=True,
        )
        its.close()
        answer = self._receive(None)
        if answer is None and self.server.wait() < 0:
            return True  # killed, which is found when it is asked for a process
        if answer is None:
            raise RunError("the package cannot be imported, as is said above")
        if answer["reason"]:
            print(f"Each run is a new process, which takes seconds to start: {answer['reason']}", file=sys.stderr)
            self.close()
            self.can_fork = False
        return self.can_fork

    def _send(self, request: dict[str, object]) -> None:
        if self.channel:
            with suppress(OSError):  # then there is no answer
                self.channel.sendall(json.dumps(request).encode() + b"\n")

    def _receive(self, seconds: float | None) -> dict[str, object] | None:
        """The server's next answer; None if there is none within the time, or if it has ended."""
        while b"\n" not in self.unread:
            if not self.channel:
                return None
            if not select.select([self.channel], [], [], seconds)[0]:
                return None
            try:
                received = self.channel.recv(65536)
            except ConnectionResetError:  # it was killed before it had read all
                received = b""
            if not received:
                self.channel.close()
                self.channel = None
                return None
            self.unread += received
        line, _, self.unread = self.unread.partition(b"\n")
        answer: dict[str, object] = json.loads(line)
        if "code" in answer:
            self.copies[int(str(answer["process"]))] = int(str(answer["code"]))
        return answer


def kill_group(process: int) -> None:
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process, signal.SIGKILL)


def terminate(process: int) -> None:
    """Ask a training to save and to stop."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(process, signal.SIGTERM)
