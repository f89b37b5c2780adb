"""`python -m tests.scenario.warm FD`: has the service imported, and forks into one whenever it is asked.

Hundreds of tests start the service in a process of its own; most of what that costs is importing. What is
asked for comes over the socket FD, a JSON object a line: `{"start": {...}}` or `{"code_of": pid}`; each is
answered by a line. When the socket closes, what still runs is killed.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
from typing import Any

import bridge.cli


class Warm:
    """The process that stays; `serve` returns what is to be run in each one that it becomes."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._living: set[int] = set()
        self._codes: dict[int, int] = {}

    def serve(self) -> dict[str, Any] | None:
        """Answer until nobody asks any more (then return None), or, in a new process, return what to be."""
        read, write = os.pipe2(os.O_NONBLOCK)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as waiting, self._link.makefile("rw") as lines:
            waiting.register(self._link, selectors.EVENT_READ)
            waiting.register(read, selectors.EVENT_READ)
            while True:
                for key, _ in waiting.select():
                    if key.fd == read:
                        os.read(read, 4096)
                        self._bury()
                        continue
                    line = lines.readline()
                    if not line:
                        self._kill_all()
                        return None
                    asked = json.loads(line)
                    if "code_of" in asked:
                        lines.write(f"{json.dumps(self._code_of(asked['code_of']))}\n")
                        lines.flush()
                        continue
                    pid = os.fork()
                    if pid == 0:
                        signal.set_wakeup_fd(-1)
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        wanted: dict[str, Any] = asked["start"]
                        return wanted
                    self._living.add(pid)
                    lines.write(f"{pid}\n")
                    lines.flush()

    def _bury(self) -> None:
        for pid in list(self._living):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._living.discard(pid)
                self._codes[pid] = os.waitstatus_to_exitcode(status)

    def _code_of(self, pid: int) -> int:
        """Return how a process ended that has ended."""
        if pid in self._living:
            _, status = os.waitpid(pid, 0)
            self._living.discard(pid)
            self._codes[pid] = os.waitstatus_to_exitcode(status)
        return self._codes.pop(pid)

    def _kill_all(self) -> None:
        for pid in self._living:
            os.kill(pid, signal.SIGKILL)


def become(wanted: dict[str, Any]) -> None:
    """Be the command line, as if just started."""
    os.environ.clear()
    os.environ.update(wanted["environment"])
    os.chdir(wanted["folder"])
    os.dup2(os.open(wanted["stdin"], os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(wanted[name], os.O_WRONLY | os.O_APPEND | os.O_CREAT), number)
    sys.argv = ["jollor-slack", *wanted["arguments"]]
    bridge.cli.main()


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as link:
        wanted = Warm(link).serve()
    if wanted is not None:
        become(wanted)
