"""Docker for these tests: a daemon that is there, or one of their own; and the images, pulled or stood in for."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose import standing_in
from tests.compose.deployment import Deployment
from tests.servers.installing import install
from tests.servers.server import Program
from tests.servers.waiting import eventually

ROOT = Path(__file__).parents[2]
PACKAGES = ["docker.io", "docker-compose", "debootstrap"]

collect_ignore_glob = [] if os.environ.get("MAILROOM_TEST_COMPOSE") else ["test_*.py"]
"""`make compose` sets it: they take minutes, and may start a daemon."""


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """`docker` answers, with every image."""
    if not standing_in.is_installed():
        install(PACKAGES)
    if standing_in.answers():
        standing_in.provide()
        yield
        return
    folder = tmp_path_factory.mktemp("docker")
    os.environ["DOCKER_HOST"] = f"unix://{folder}/docker.sock"
    daemon = Program(
        [
            *("dockerd", "--data-root", folder / "data", "--exec-root", folder / "run", "--pidfile", folder / "pid"),
            *("--host", os.environ["DOCKER_HOST"]),
        ],
        folder / "dockerd.log",
    )
    try:
        eventually(standing_in.answers, "a Docker daemon of our own", timeout_s=60)
        standing_in.provide()
        yield
    finally:
        daemon.end()
        del os.environ["DOCKER_HOST"]


@pytest.fixture(scope="session")
def deployment(docker: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """What `docker compose up` starts, from the image that the Dockerfile gives."""
    subprocess.run(
        ["docker", "build", "--network=host", "--tag", "mailroom-bounces", "."],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    deployed = Deployment(ROOT, tmp_path_factory.mktemp("deployment"))
    try:
        deployed.up()
        yield deployed
    finally:
        deployed.remove()
