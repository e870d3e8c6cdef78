"""What every throw-away server has in common: a folder, a process, starting, stopping, dying and coming back."""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.servers import guard

# A laptop starts all of them in 7 s; a loaded machine with two cores takes its time.
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0


class ServerFailed(Exception):
    """A server did not start, or does not answer; the text ends with the last lines of its log."""


class _Guard:
    """This end of the guard's pipe. It closes with this process, whatever ends that; see guard.py."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0

    def tell(self, line: str) -> None:
        if self._process is None or self._owner != os.getpid():
            self._owner = os.getpid()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__],
                stdin=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            atexit.register(self._finish, self._owner)
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _finish(self, owner: int) -> None:
        if self._process is not None and owner == os.getpid():
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()
            self._process = None


_guard = _Guard()


class Running(Protocol):
    """What was launched: a process, or a container in its place."""

    @property
    def pid(self) -> int: ...

    @property
    def pids(self) -> list[int]: ...

    def is_running(self) -> bool: ...

    def send(self, number: signal.Signals) -> None: ...

    def end(self) -> None: ...

    def kill(self) -> None: ...


class Program:
    """A process that was started here. Its output goes to a file; Ctrl-C on the terminal does not reach it."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        log: Path,
        environment: Mapping[str, str] | None = None,
        polite: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.polite = polite
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [str(argument) for argument in arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=log.parent,
                start_new_session=True,
            )
        _guard.tell(f"program {self._popen.pid} {int(polite)}")

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def pids(self) -> list[int]:
        """The process and all that descend from it."""
        return [one.pid for one in guard.family(self.pid)] if self.is_running() else []

    def is_running(self) -> bool:
        return self._popen.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole family."""
        if self.is_running():
            guard.send(guard.family(self.pid), number)

    def end(self) -> None:
        """Ask it to end; kill what is left of it after the patience of a test."""
        self._end(self.polite, STOP_TIMEOUT_S)

    def kill(self) -> None:
        """SIGKILL for the whole family: nothing is flushed, nobody is told."""
        self._end(signal.SIGKILL, 0)

    def _end(self, polite: signal.Signals, patience_s: float) -> None:
        if self.is_running():
            relatives = guard.family(self.pid)
            if polite == signal.SIGKILL:
                guard.send(relatives, signal.SIGKILL)
            else:
                guard.send(relatives[:1], polite)
            try:
                self._popen.wait(patience_s or STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                guard.send(relatives, signal.SIGKILL)
                self._popen.wait()
            _wait_for_the_end(relatives)
        _guard.tell(f"gone {self.pid}")


def _wait_for_the_end(relatives: list[guard.Process]) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while any(map(guard.is_running, relatives)):
        if time.monotonic() >= deadline:
            guard.send(relatives, signal.SIGKILL)
        time.sleep(0.01)


class Server:
    """One private server. Subclasses say how it is launched and when it answers."""

    name = "server"

    def __init__(self, directory: Path | None = None) -> None:
        self._own_directory = directory is None
        # Short, because the path of a Unix socket in it may have 107 bytes.
        self.directory = directory or Path(tempfile.mkdtemp(prefix="mailroom-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        # The servers that give up root must be able to enter it.
        self.directory.chmod(0o711)
        if self._own_directory:
            _guard.tell(f"folder {self.directory}")
        self.log = self.directory / f"{self.name}.log"
        self.program: Running | None = None

    def launch(self) -> Running:
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether a client would be served now. May raise OSError for "no"."""
        raise NotImplementedError

    @property
    def pids(self) -> list[int]:
        return self.program.pids if self.program else []

    def is_running(self) -> bool:
        return self.program is not None and self.program.is_running()

    def start(self) -> None:
        """Start it, and return when it answers."""
        deadline = time.monotonic() + START_TIMEOUT_S
        self.program = self.launch()
        while not self._answers():
            if not self.program.is_running():
                self.program.end()
                raise ServerFailed(f"{self.name} ended while it was started:\n{self._last_lines()}")
            if time.monotonic() >= deadline:
                raise ServerFailed(f"{self.name} did not answer within {START_TIMEOUT_S:g} s:\n{self._last_lines()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it as an administrator would. Its port and its data are kept."""
        if self.program is not None:
            self.program.end()

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL). Its port and its data are kept."""
        if self.program is not None:
            self.program.kill()

    def restart(self) -> None:
        """Start it again, on the same port and with the same data; stop it first if it still runs."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let it hang: connections stay open, nothing is answered, until `thaw`."""
        if self.program is not None:
            self.program.send(signal.SIGSTOP)

    def thaw(self) -> None:
        if self.program is not None:
            self.program.send(signal.SIGCONT)

    def close(self) -> None:
        """End it for good, and remove its folder if it was made here."""
        self.thaw()
        self.stop()
        if self._own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            return self.answers()
        except OSError:
            return False

    def _last_lines(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-30:]) or "(its log is empty)"
