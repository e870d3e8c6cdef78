"""Servers in containers (testcontainers), where a Docker daemon answers and has their image or can pull it.

They are the same to a test as the programs of this machine: the same port after a stop, a kill or a freeze.
"""

import logging
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final

from tests.servers.server import Server, ServerFailed

DAEMON_TIMEOUT_S: Final = 2
PULL_TIMEOUT_S: Final = 600
_PATIENCE_S: Final = 30


def can_run(image: str) -> bool:
    """Whether a daemon answers within 2 s, and the image is there or can be had."""
    return _daemon_answers() and (_has(image) or _can_pull(image))


@lru_cache(maxsize=1)
def _daemon_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        asked = subprocess.run(["docker", "version"], capture_output=True, check=False, timeout=DAEMON_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0


def _has(image: str) -> bool:
    return subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0


@lru_cache
def _can_pull(image: str) -> bool:
    print(f"pulling {image} for the tests …")
    try:
        pulled = subprocess.run(
            ["docker", "pull", "--quiet", image], capture_output=True, check=False, timeout=PULL_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return False
    return pulled.returncode == 0


class ContainerServer(Server):
    """Goes before the class of a server that runs as a program of this machine, and launches a container in its place."""

    image: str
    port: int
    inside_port: int
    variables: ClassVar[Mapping[str, str]] = {}
    command: Sequence[str] = ()

    def __init__(self, directory: Path | None = None) -> None:
        super().__init__(directory)
        self._container: Any = None

    def folders(self) -> Mapping[Path, str]:
        """Folders of this machine, and where they stand in the container."""
        return {}

    def launch(self) -> "ContainerProgram":
        if self._container is None:
            self._container = self._make()
            self._container.start()
        else:
            self._container.get_wrapped_container().start()
        return ContainerProgram(self._container.get_wrapped_container())

    def _make(self) -> Any:
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.container import DockerContainer

        logging.getLogger("testcontainers").setLevel(logging.WARNING)
        # It removes what a run that was killed left behind; without its image that is left to people.
        testcontainers_config.ryuk_disabled = not can_run(testcontainers_config.ryuk_image)
        container = DockerContainer(self.image)
        container.ports[self.inside_port] = ("127.0.0.1", self.port)  # `with_bind_ports` would listen everywhere
        for name, value in self.variables.items():
            container = container.with_env(name, value)
        for folder, inside in self.folders().items():
            folder.mkdir(exist_ok=True)
            container = container.with_volume_mapping(str(folder), inside, "rw")
        return container.with_command(list(self.command)) if self.command else container

    def run_inside(self, *command: str) -> str:
        """What a command in the container printed. Raises ServerFailed."""
        status, output = self._container.exec(list(command))
        if status:
            raise ServerFailed(f"{' '.join(command)}: {output.decode()}")
        return str(output.decode())

    def _last_lines(self) -> str:
        out, err = self._container.get_logs()
        return "\n".join((out + err).decode(errors="replace").splitlines()[-30:])

    def close(self) -> None:
        super().close()
        if self._container is not None:
            self._container.stop()


class ContainerProgram:
    """A container, in the place of a process."""

    def __init__(self, container: Any) -> None:
        self._container = container

    @property
    def pid(self) -> int:
        return int(self._state()["Pid"])

    @property
    def pids(self) -> list[int]:
        return [self.pid] if self.is_running() else []

    def is_running(self) -> bool:
        return bool(self._state()["Running"])

    def send(self, number: signal.Signals) -> None:
        """SIGSTOP and SIGCONT freeze and thaw all of it."""
        is_frozen = self._state()["Paused"]
        if number == signal.SIGSTOP and not is_frozen:
            self._container.pause()
        elif number == signal.SIGCONT and is_frozen:
            self._container.unpause()
        elif number not in (signal.SIGSTOP, signal.SIGCONT):
            self._container.kill(signal=number.name)

    def end(self) -> None:
        """Ask it to end; kill what is left of it after the patience of a test."""
        if self.is_running():
            self._container.stop(timeout=_PATIENCE_S)

    def kill(self) -> None:
        """Nothing is flushed, nobody is told."""
        if self.is_running():
            self._container.kill()
            self._container.wait()

    def _state(self) -> Mapping[str, Any]:
        self._container.reload()
        state: Mapping[str, Any] = self._container.attrs["State"]
        return state
