"""A private RabbitMQ with a fresh virtual host for whoever asks.

Debian's `rabbitmq-server` command insists on a system user; the server's own script of the same name, further down in
/usr/lib, runs as anybody. The node's name server (epmd) is private too, so several test runs never meet.
"""

import contextlib
import os
import subprocess
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import amqp
import kombu

from shared import topology
from tests.servers import choosing, finding
from tests.servers.containers import ContainerServer
from tests.servers.server import Program, Running, Server, ServerFailed
from tests.servers.waiting import eventually

VARIABLE = "MAILROOM_TEST_AMQP_URL"
PACKAGES = ["rabbitmq-server"]

# rabbitmqctl takes a second to start, a virtual host some milliseconds: they are made by the dozen.
VHOSTS_AT_ONCE = 12

LATE_S = 1.5

SCRIPTS = "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin"

CONFIGURATION = """\
listeners.tcp.default = 127.0.0.1:{port}
log.console = true
log.console.level = warning
log.file = false
disk_free_limit.absolute = 50MB
raft.wal_max_size_bytes = 33554432
"""


class RabbitMQServer(Server):
    name = "rabbitmq"

    def __init__(self, directory: Path | None = None) -> None:
        super().__init__(directory)
        self.port = finding.free_port()
        self._distribution_port = finding.free_port()
        self._epmd_port = finding.free_port()
        self._epmd: Program | None = None
        self._vhosts_made = 0
        self._vhosts_free: list[str] = []
        self._vhosts_used: list[str] = []
        (self.directory / "enabled_plugins").write_text("[].\n")
        (self.directory / "rabbitmq.conf").write_text(CONFIGURATION.format(port=self.port))

    @property
    def url(self) -> str:
        return self.vhost_url("/")

    def vhost_url(self, vhost: str) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{quote(vhost, safe='')}"

    def fresh_url(self) -> str:
        """The address of an empty virtual host that nobody had before."""
        if not self._vhosts_free:
            self._make_vhosts()
        return self.vhost_url(self._vhosts_free.pop(0))

    def give_back(self, url: str) -> None:
        """The virtual host is not needed any more; it is deleted when the next ones are made."""
        self._vhosts_used.append(url.rpartition("/")[2])

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl` on this server (takes a second) and give what it printed."""
        command = [str(_script("rabbitmqctl")), "--quiet", *arguments]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServerFailed(f"rabbitmqctl {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def launch(self) -> Running:
        if self._epmd is None or not self._epmd.is_running():
            arguments: list[str | Path] = [_epmd(), "-port", str(self._epmd_port), "-address", "127.0.0.1"]
            self._epmd = Program(arguments, self.directory / "epmd.log")
        return Program([_script("rabbitmq-server")], self.log, self._environment())

    def answers(self) -> bool:
        if not finding.is_listening(self.port):
            return False
        connection = amqp.Connection(f"127.0.0.1:{self.port}", connect_timeout=5, read_timeout=5, write_timeout=5)
        try:
            connection.connect()
        except amqp.AMQPError:
            return False
        finally:
            connection.close()
        return True

    def kill(self) -> None:
        """SIGKILL, a moment after the last quorum queue was declared.

        RabbitMQ writes the list of them up to a second late. One that is declared and lost within that second never
        elects a leader again; that is the broker's fault, and no test of ours is about it.
        """
        with contextlib.suppress(AssertionError):
            eventually(self._list_of_queues_is_written, timeout_s=LATE_S)
        super().kill()

    def _list_of_queues_is_written(self) -> bool:
        for written in self.directory.glob("mnesia/*/quorum/*/names.dets"):
            content = written.read_bytes()
            if any(entry.name.encode() not in content for entry in written.parent.iterdir() if entry.is_dir()):
                return False
        return True

    def close(self) -> None:
        try:
            super().close()
        finally:
            if self._epmd is not None:
                self._epmd.end()

    def _environment(self) -> dict[str, str]:
        home = str(self.directory)
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": home,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP": f"{home}/erl_crash.dump",
            "RABBITMQ_NODENAME": f"mailroom{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": f"{home}/mnesia",
            "RABBITMQ_LOG_BASE": f"{home}/log",
            "RABBITMQ_PID_FILE": f"{home}/rabbitmq.pid",
            # Two schedulers that sleep when idle: the tests need the processors more.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
            ),
            # Makes the script become the server instead of waiting for it, so that a signal reaches the server itself.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _make_vhosts(self) -> None:
        first, self._vhosts_made = self._vhosts_made + 1, self._vhosts_made + VHOSTS_AT_ONCE
        names = [f"test-{number}" for number in range(first, self._vhosts_made + 1)]
        delete = "".join(f'catch rabbit_vhost:delete(<<"{name}">>, <<"tests">>), ' for name in self._vhosts_used)
        all_names = ", ".join(f'<<"{name}">>' for name in names)
        self.control(
            "eval",
            f'{delete} lists:foreach(fun(Name) -> rabbit_vhost:add(Name, <<"tests">>), '
            'rabbit_auth_backend_internal:set_permissions(<<"guest">>, Name, <<".*">>, <<".*">>, <<".*">>, <<"tests">>) '
            f"end, [{all_names}]).",
        )
        self._vhosts_used.clear()
        self._vhosts_free += names


class RabbitMQContainer(ContainerServer, RabbitMQServer):
    image = "rabbitmq:4"
    inside_port = 5672
    variables: ClassVar = {"RABBITMQ_DEFAULT_USER": "guest", "RABBITMQ_DEFAULT_PASS": "guest"}

    def control(self, *arguments: str) -> str:
        return self.run_inside("rabbitmqctl", "--quiet", *arguments)

    def folders(self) -> Mapping[Path, str]:
        # To see when the list of queues is written; without root these are files of a stranger.
        return {self.directory / "mnesia": "/var/lib/rabbitmq/mnesia"} if os.geteuid() == 0 else {}


CONTAINED = RabbitMQContainer


class GivenRabbitMQ:
    """The broker in MAILROOM_TEST_AMQP_URL; our queues and exchanges in its virtual host are deleted for every test."""

    def __init__(self, url: str) -> None:
        self.url = url

    def fresh_url(self) -> str:
        with kombu.Connection(self.url, heartbeat=0) as connection, connection.channel() as channel:
            for queue in topology.QUEUES:
                channel.queue_delete(queue.name)
            for exchange, _ in topology.EXCHANGES:
                channel.exchange_delete(exchange)
        return self.url

    def give_back(self, url: str) -> None:
        """It stays as the test left it, for whoever wants to look."""


def _script(name: str) -> Path:
    found = finding.program(f"{name}-that-is-no-wrapper", f"{SCRIPTS}/{name}")
    assert found is not None
    return found


def _epmd() -> Path:
    found = finding.program("epmd", "/usr/lib/erlang/erts-*/bin/epmd", "/usr/local/lib/erlang/erts-*/bin/epmd")
    assert found is not None
    return found


def installed() -> bool:
    return finding.program("no-wrapper", f"{SCRIPTS}/rabbitmq-server") is not None


def given_or_started() -> AbstractContextManager[RabbitMQServer | GivenRabbitMQ]:
    url = choosing.given(VARIABLE)
    return nullcontext(GivenRabbitMQ(url)) if url else start()


def start(directory: Path | None = None) -> AbstractContextManager[RabbitMQServer]:
    return choosing.running(RabbitMQServer, installed, PACKAGES, directory, CONTAINED)
