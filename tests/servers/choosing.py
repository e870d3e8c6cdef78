"""Which server a test gets: one that was given, one of this machine, or one that is installed first."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

from tests.servers import containers
from tests.servers.installing import install
from tests.servers.server import Server

S = TypeVar("S", bound=Server)


def given(variable: str) -> str | None:
    """The address in that variable: a server that somebody else runs and that the tests may empty."""
    return os.environ.get(variable) or None


@contextmanager
def running(
    make: Callable[[Path | None], S],
    installed: Callable[[], bool],
    packages: list[str],
    directory: Path | None,
    contained: type[containers.ContainerServer] | None = None,
) -> Iterator[S]:
    """A started server, closed at the end: in a container where Docker is, else a program of this machine."""
    if contained is not None and containers.can_run(contained.image):
        server: Server = contained(directory)
    else:
        if not installed():
            install(packages)
        server = make(directory)
    try:
        server.start()
        yield cast(S, server)
    finally:
        server.close()


def install_missing() -> None:
    """Install what no variable gives and this machine lacks, all in one go."""
    from tests.servers import chromium, dovecot, mpop, postgresql, rabbitmq, redis

    packages: list[str] = []
    for module in (rabbitmq, postgresql, redis, dovecot, mpop, chromium):
        variable = getattr(module, "VARIABLE", None)
        contained = getattr(module, "CONTAINED", None)
        if contained is not None and containers.can_run(contained.image):
            continue
        if not (variable and given(variable)) and not module.installed():
            packages += module.PACKAGES
    if packages:
        install(packages)
