"""A private PostgreSQL with a fresh database for whoever asks. Nobody needs a password: it listens on 127.0.0.1 only."""

import contextlib
import itertools
import os
import pwd
import signal
import subprocess
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import ClassVar

import psycopg
from psycopg import sql

from tests.servers import choosing, finding
from tests.servers.containers import ContainerServer
from tests.servers.server import Program, Running, Server, ServerFailed

VARIABLE = "MAILROOM_TEST_DATABASE_URL"
PACKAGES = ["postgresql"]
USER = "mailroom"

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "dynamic_shared_memory_type": "mmap",
    # A killed process leaves its writes with the kernel; only a power cut would need these.
    "fsync": "off",
    "full_page_writes": "off",
    "log_min_messages": "warning",
}


class Databases:
    """Fresh databases on one server; `url` names a database that exists, of a user who may create others."""

    def __init__(self) -> None:
        self._names = (f"test_{os.getpid()}_{number}" for number in itertools.count(1))

    @property
    def url(self) -> str:
        raise NotImplementedError

    def create_database(self, name: str = "", template: str = "") -> str:
        """Create a database and give its address. Without a name it gets one; a template must have no connections."""
        name = name or next(self._names)
        # template1 is what PostgreSQL itself takes.
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self._execute(statement.format(sql.Identifier(name), sql.Identifier(template or "template1")))
        return self._address(name)

    def drop_database(self, url: str) -> None:
        """Drop a database that `create_database` made, whoever is still connected to it."""
        name = url.rpartition("/")[2].partition("?")[0]
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _address(self, name: str) -> str:
        before, _, last = self.url.rpartition("/")
        options = last.partition("?")[2]
        return f"{before}/{name}" + (f"?{options}" if options else "")

    def _execute(self, statement: sql.Composed) -> None:
        with contextlib.closing(psycopg.connect(driver_url(self.url), autocommit=True)) as connection:
            connection.execute(statement)


class PostgreSQLServer(Server, Databases):
    name = "postgresql"

    def __init__(self, directory: Path | None = None) -> None:
        super().__init__(directory)
        Databases.__init__(self)
        self.port = finding.free_port()
        self.data = self.directory / "data"

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/postgres"

    def launch(self) -> Running:
        if not (self.data / "PG_VERSION").exists():
            self._make_cluster()
        options = [text for name, value in SETTINGS.items() for text in ("-c", f"{name}={value}")]
        arguments: list[str | Path] = [
            *_without_root(),
            _binary("postgres"),
            "-D",
            self.data,
            "-p",
            str(self.port),
            *options,
        ]
        return Program(arguments, self.log, polite=signal.SIGINT)

    def answers(self) -> bool:
        if not finding.is_listening(self.port):
            return False
        try:
            psycopg.connect(driver_url(self.url), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        super().kill()
        self._remove_shared_memory()

    def _make_cluster(self) -> None:
        prefix = _without_root()
        if prefix and prefix[0] == "setpriv":
            user = _unprivileged()
            self.data.mkdir(mode=0o700)
            os.chown(self.data, user.pw_uid, user.pw_gid)
        arguments = [*prefix, _binary("initdb"), "-D", self.data, "-U", USER, "--auth=trust", "--no-sync"]
        arguments += ["--encoding=UTF8", "--locale=C"]
        made = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, check=False)
        if made.returncode:
            raise ServerFailed(f"initdb failed:\n{made.stdout}{made.stderr}")

    def _remove_shared_memory(self) -> None:
        """A killed server leaves a tiny System V segment, named in line 7 of its PID file as "key id"."""
        with contextlib.suppress(OSError, IndexError):
            segment = (self.data / "postmaster.pid").read_text().splitlines()[6].split()[1]
            subprocess.run(["ipcrm", "-m", segment], capture_output=True, check=False)


class PostgreSQLContainer(ContainerServer, PostgreSQLServer):
    image = "postgres:17"
    inside_port = 5432
    variables: ClassVar = {"POSTGRES_USER": USER, "POSTGRES_PASSWORD": USER, "POSTGRES_DB": USER}
    command = ("postgres", "-c", "max_connections=200", "-c", "fsync=off", "-c", "full_page_writes=off")

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{USER}:{USER}@127.0.0.1:{self.port}/{USER}"

    def kill(self) -> None:
        Server.kill(self)


CONTAINED = PostgreSQLContainer


class GivenPostgreSQL(Databases):
    """The server in MAILROOM_TEST_DATABASE_URL, whose user may create databases."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    @property
    def url(self) -> str:
        return self._url


def driver_url(url: str) -> str:
    """The address without SQLAlchemy's driver, as psycopg itself reads it."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def _without_root() -> list[str]:
    """What to put before a command, because PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    unshare = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    with contextlib.suppress(OSError):
        if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode == 0:
            return unshare
    user = _unprivileged()
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _unprivileged() -> pwd.struct_passwd:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


def _find(name: str) -> Path | None:
    return finding.program(name, f"/usr/lib/postgresql/*/bin/{name}", f"/usr/pgsql-*/bin/{name}")


def _binary(name: str) -> Path:
    found = _find(name)
    assert found is not None
    return found


def installed() -> bool:
    return all(map(_find, ("postgres", "initdb")))


def given_or_started() -> AbstractContextManager[Databases]:
    url = choosing.given(VARIABLE)
    return nullcontext(GivenPostgreSQL(url)) if url else start()


def start(directory: Path | None = None) -> AbstractContextManager[PostgreSQLServer]:
    return choosing.running(PostgreSQLServer, installed, PACKAGES, directory, CONTAINED)
