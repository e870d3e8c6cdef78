"""A deployment by docker-compose.yml, used as its operator would: by `docker compose` and nothing else."""

import base64
import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers import finding
from tests.servers.waiting import eventually

SERVICES = ("fetcher", "classifier", "ledger", "scheduler", "console")
PROJECT = "mailroomtrial"


class Deployment:
    """One project of compose with passwords of its own."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._env_file = folder / "env"
        self.console_port = finding.free_port()
        (folder / "accounts").mkdir()
        values = {name: secrets.token_hex(24) for name in ("RABBITMQ_PASSWORD", "POSTGRES_PASSWORD", "REDIS_PASSWORD")}
        values |= {
            "SECRET_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "CONSOLE_PORT": str(self.console_port),
            "ACCOUNTS_FOLDER": str(folder / "accounts"),
        }
        self._env_file.write_text("".join(f"MAILROOM_{name}={value}\n" for name, value in values.items()))

    def compose(self, *arguments: str, standard_input: bytes = b"", is_checked: bool = True) -> str:
        """What `docker compose` printed."""
        has_plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
        command = ["docker", "compose"] if has_plugin else ["docker-compose"]
        done = subprocess.run(
            [*command, "--project-name", PROJECT, "--env-file", str(self._env_file), *arguments],
            cwd=self._root,
            input=standard_input,
            capture_output=True,
            check=False,
        )
        if is_checked and done.returncode:
            raise AssertionError(f"docker compose {' '.join(arguments)}: {done.stdout!r} {done.stderr.decode()}")
        return done.stdout.decode()

    def up(self, *arguments: str) -> None:
        """Start it, and return when every container is healthy."""
        self.compose("up", "--detach", "--no-build", *arguments)
        eventually(self.is_healthy, "every service healthy", timeout_s=180, poll_s=1.0)

    def is_healthy(self) -> bool:
        """Whether all of SERVICES are there and healthy."""
        states = self.states()
        return set(SERVICES) <= set(states) and all(health == {"healthy"} for health in states.values())

    def states(self) -> dict[str, set[str]]:
        """The health of the containers of each service that has a health check and runs."""
        states: dict[str, set[str]] = {}
        for container in self._containers():
            health = container["State"].get("Health")
            if health is not None:
                name = container["Config"]["Labels"]["com.docker.compose.service"]
                states.setdefault(name, set()).add(health["Status"])
        return states

    def count(self, service: str) -> int:
        """How many containers of a service run."""
        label = "com.docker.compose.service"
        return sum(one["State"]["Running"] for one in self._containers() if one["Config"]["Labels"][label] == service)

    def _containers(self) -> list[dict[str, Any]]:
        listed = self.compose("ps", "--quiet").split()
        if not listed:
            return []
        inspected = subprocess.run(["docker", "inspect", *listed], capture_output=True, check=True)
        containers: list[dict[str, Any]] = json.loads(inspected.stdout)
        return containers

    def mailroom(self, service: str, *arguments: str, standard_input: bytes = b"", **variables: str) -> tuple[int, str]:
        """Exit status and output of a command in a running container."""
        given = [text for name, value in variables.items() for text in ("-e", f"{name}={value}")]
        container = self.compose("ps", "--quiet", service).split()[0]
        done = subprocess.run(
            ["docker", "exec", "--interactive", *given, container, "mailroom", *arguments],
            input=standard_input,
            capture_output=True,
            check=False,
        )
        return done.returncode, done.stdout.decode() + done.stderr.decode()

    @contextmanager
    def mail_server(self) -> Iterator[str]:
        """A Dovecot in the same network, called `mailserver`; its container."""
        started = subprocess.run(
            [
                *("docker", "run", "--detach", "--rm", "--network", f"{PROJECT}_default"),
                *("--network-alias", "mailserver", "--name", f"{PROJECT}-mailserver", "mailroom-standin/mailserver"),
            ],
            capture_output=True,
            check=True,
        )
        try:
            yield started.stdout.decode().strip()
        finally:
            subprocess.run(["docker", "rm", "--force", f"{PROJECT}-mailserver"], capture_output=True, check=False)

    def remove(self) -> None:
        """Nothing of it is left."""
        self.compose("down", "--volumes", "--timeout", "10", is_checked=False)
        shutil.rmtree(self._env_file.parent, ignore_errors=True)
