"""A process of its own that ends the servers of a test run when the run is over, however it ended.

Run as a program it reads lines: `program PID SIGNAL`, `gone PID`, `folder PATH`. When its input closes, because the test
process closed it, crashed or was killed, it ends every program that is not gone and removes the folders.
Only the standard library: it runs without the project's packages.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

PATIENCE_S = 8.0


class Process(NamedTuple):
    """A process for good: a PID that is used again has another start time."""

    pid: int
    started: str


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on (state, parent, …, start time at 19); None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def process(pid: int) -> Process | None:
    """The process that runs under this PID; None if it ended, also if its parent has not noticed yet."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else Process(pid, fields[19])


def is_running(one: Process) -> bool:
    return process(one.pid) == one


def family(pid: int) -> list[Process]:
    """The process and all that descend from it, parents first."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(folder.name))
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    pids = [pid]
    for parent in pids:
        pids += children.get(parent, [])
    return [one for one in map(process, pids) if one is not None]


def send(processes: list[Process], number: int) -> None:
    for one in processes:
        if is_running(one):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.pid, number)


def end(pid: int, polite: int, patience_s: float = PATIENCE_S) -> None:
    """Ask the process with the signal `polite`; what is left of its family after `patience_s` is killed."""
    processes = family(pid)
    send(processes[:1], polite)
    deadline = time.monotonic() + patience_s
    while any(map(is_running, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)
    send(processes + family(pid), signal.SIGKILL)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    programs: dict[int, int] = {}
    folders: list[str] = []
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "program":
            pid, polite = map(int, rest.split())
            programs[pid] = polite
        elif word == "gone":
            programs.pop(int(rest), None)
        elif word == "folder":
            folders.append(rest)
    for pid, polite in reversed(programs.items()):
        end(pid, polite)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
