"""Server processes that may outlive whoever started them: known again by their command line, ended by their id."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

STOP_SECONDS = 10.0
"""How long a process may take to end by itself before it is forced."""

_children: set[int] = set()


def spawn(program: Path, argument: Path, *, log: Path) -> int:
    """The process id of a new server whose output goes to the end of `log`."""
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    # In a session of its own: Ctrl-C in the terminal must not end it before the draws in flight have ended.
    # Not a `Popen`, which complains when its process is left behind; leaving it behind is the point.
    pid = os.posix_spawn(
        program,
        [os.fspath(program), os.fspath(argument)],
        os.environ,
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.fspath(log), append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )
    _children.add(pid)
    return pid


def exited(pid: int) -> bool:
    """Whether a process that we started has ended; False for a process of somebody else."""
    if pid in _children and os.waitpid(pid, os.WNOHANG)[0] == pid:
        _children.discard(pid)
        return True
    return False


def runs(pid: int, argument: Path) -> bool:
    """Whether that process was started with this argument; an id may long have been given to another program."""
    return _command(pid).endswith(f" {argument}")


def end(pid: int, argument: Path) -> None:
    """Ask the process to end, then force it. One that was not started with this argument is left alone."""
    for request in (signal.SIGTERM, signal.SIGKILL):
        if not runs(pid, argument):
            break
        with suppress(ProcessLookupError):
            os.kill(pid, request)
        deadline = time.monotonic() + STOP_SECONDS
        while runs(pid, argument) and time.monotonic() < deadline:
            time.sleep(0.01)
    exited(pid)


def _command(pid: int) -> str:
    """The command line of a process; empty where it is gone, or dead and only not yet taken note of."""
    if Path("/proc/self/cmdline").exists():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return ""
        return line.replace(b"\0", b" ").decode(errors="surrogateescape").rstrip()
    listed = subprocess.run(
        ["/bin/ps", "-o", "command=", "-ww", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.rstrip()
