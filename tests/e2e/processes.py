"""The services as processes of their own, as a deployment runs them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


class Services:
    """Starts services, and ends them all at the end."""

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        self._environment = {**os.environ, **environment}
        self._logs = logs
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, service: str, **settings: str) -> subprocess.Popen[bytes]:
        """`fetcher`, `classifier` or `ledger`, with settings of its own; its log is appended to a file of that name."""
        with (self._logs / f"{service}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"services.{service}"],
                env=self._environment | settings,
                stdout=log,
                stderr=log,
            )
        self._running.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL: no word to anybody."""
        process.kill()
        process.wait()
        self._running.remove(process)

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        """SIGTERM; the exit status."""
        process.send_signal(signal.SIGTERM)
        self._running.remove(process)
        return process.wait(timeout=30)

    def stop_all(self) -> list[int]:
        """SIGTERM to every service; their exit statuses."""
        running, self._running = self._running, []
        for process in running:
            process.send_signal(signal.SIGTERM)
        return [process.wait(timeout=30) for process in running]

    def end(self) -> None:
        """Whatever still runs."""
        for process in self._running:
            process.kill()
            process.wait()


@contextmanager
def services(environment: Mapping[str, str], logs: Path) -> Iterator[Services]:
    """Services that are gone afterwards, whatever the test did."""
    started = Services(environment, logs)
    try:
        yield started
    finally:
        started.end()
