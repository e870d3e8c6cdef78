"""A private Redis that keeps its data over a restart and never evicts a key."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import redis

from tests.servers import choosing, finding
from tests.servers.containers import ContainerServer
from tests.servers.server import Program, Running, Server

VARIABLE = "MAILROOM_TEST_REDIS_URL"
PACKAGES = ["redis-server"]
DATABASES = 64


OPTIONS = {
    "databases": DATABASES,
    "maxmemory-policy": "noeviction",
    "save": "",
    # Written before the answer is sent; so SIGKILL loses nothing that a client was told. ("everysec" puts the
    # write off for up to 2 s while the disk is busy with the last fsync, and answers all the same.)
    "appendonly": "yes",
    "appendfsync": "no",
}


def _arguments(options: Mapping[str, object]) -> list[str]:
    return [text for option, value in options.items() for text in (f"--{option}", str(value))]


class RedisServer(Server):
    name = "redis"

    def __init__(self, directory: Path | None = None) -> None:
        super().__init__(directory)
        self.port = finding.free_port()
        self._next_database = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def fresh_url(self) -> str:
        """An empty logical database (1 to 63, over and over)."""
        self._next_database = self._next_database % (DATABASES - 1) + 1
        url = f"redis://127.0.0.1:{self.port}/{self._next_database}"
        empty(url)
        return url

    def launch(self) -> Running:
        binary = _binary()
        assert binary is not None
        place = {"bind": "127.0.0.1", "port": self.port, "dir": self.directory}
        return Program([binary, *_arguments(place | OPTIONS)], self.log)

    def answers(self) -> bool:
        client = redis.Redis(port=self.port, socket_timeout=5)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()


class RedisContainer(ContainerServer, RedisServer):
    image = "redis:7"
    inside_port = 6379
    # The official image has it so: who may reach it is for Docker to say, and that is this machine.
    command = ("redis-server", *_arguments(OPTIONS | {"protected-mode": "no"}))

    def folders(self) -> Mapping[Path, str]:
        return {self.directory: "/data"}


CONTAINED = RedisContainer


class GivenRedis:
    """The Redis in MAILROOM_TEST_REDIS_URL; the logical database it names is emptied before every test."""

    def __init__(self, url: str) -> None:
        self.url = url

    def fresh_url(self) -> str:
        empty(self.url)
        return self.url


def empty(url: str) -> None:
    client = redis.Redis.from_url(url)
    try:
        client.flushdb()
    finally:
        client.close()


def _binary() -> Path | None:
    return finding.program("redis-server", "/usr/bin/redis-server")


def installed() -> bool:
    return _binary() is not None


def given_or_started() -> AbstractContextManager[RedisServer | GivenRedis]:
    url = choosing.given(VARIABLE)
    return nullcontext(GivenRedis(url)) if url else start()


def start(directory: Path | None = None) -> AbstractContextManager[RedisServer]:
    return choosing.running(RedisServer, installed, PACKAGES, directory, CONTAINED)
