"""The whole: from mails in a mailbox of Dovecot to Redis, archive included, every server and service on this machine.

The floor is the same mailbox, fetcher and broker with a classifier and a ledger that do the least (pipeline_floors). What each
message costs is the time on a core of all processes together, servers too.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis
from sqlalchemy import Engine, func, select

from benchmarks.pipeline_floors import FLOOR_KEY
from benchmarks.results import Bound, Row
from services.fetcher.asking import ask
from shared.publisher import ConfirmingPublisher
from shared.suppressions import SUPPRESSED_KEY
from shared.tables import connect, upgrade
from shared.tables.ledger import archive, outbox, raw
from shared.topology import CLASSIFIER_RAW, LEDGER_ARCHIVE, LEDGER_VERDICTS
from tests.e2e.mails import bounce_of, make_sends, suppressed_by
from tests.servers import dovecot, guard, postgresql, rabbitmq
from tests.servers import redis as redis_server
from tests.servers.server import Program, Server

MAILS: Final = 20_000
GOAL: Final = 1_500
LEAST_RATIO: Final = 0.5
CPU_GOAL: Final = 1.15
GROWTH_GOAL_MIB: Final = 20
SIZE_BYTES: Final = 3_000
_LOOK_EVERY_S: Final = 0.2
_PATIENCE_S: Final = 900
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Took:
    """What so many mails took."""

    seconds: float
    core_seconds: float
    """Of all processes."""
    by_service: Mapping[str, float]
    growth_mib: Mapping[str, float]
    """Of each service, from a fifth of the mails on to the end."""


@dataclass(frozen=True, slots=True)
class Place:
    """The servers, and the mailbox that is read."""

    servers: Mapping[str, Server]
    account: Path
    mails: int
    suppressed: int


def measure(mails: int = MAILS) -> list[Row]:
    """With one, two and four classifiers; and the floor."""
    with ExitStack() as stack:
        servers: dict[str, Server] = {
            "dovecot": stack.enter_context(dovecot.start()),
            "postgresql": stack.enter_context(postgresql.start()),
            "rabbitmq": stack.enter_context(rabbitmq.start()),
            "redis": stack.enter_context(redis_server.start()),
        }
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sends = make_sends(mails)
        account = _account(servers["dovecot"], folder, [bounce_of(send) for send in sends])
        place = Place(servers, account, mails, len(suppressed_by(sends)))
        _run(place, folder, 1, _floor_services)  # Dovecot makes its index: not counted
        floor = _told("floor", mails, _run(place, folder, 1, _floor_services))
        ours = {
            count: _told(f"{count} classifiers", mails, _run(place, folder, count, _services)) for count in (1, 2, 4)
        }
    one = ours[1]
    rows = [
        Row("mailbox → Redis", round(mails / one.seconds), "mails/s", goal=GOAL, bound=Bound.LEAST_VALUE),
        Row("the same", round(mails / one.seconds), "mails/s", round(mails / floor.seconds), LEAST_RATIO),
        Row("time on a core, all processes", round(one.core_seconds / mails * 1e6), "µs/mail"),
    ]
    rows += [Row(f"of this {name}", round(spent / mails * 1e6), "µs/mail") for name, spent in one.by_service.items()]
    for count in (2, 4):
        times = round(ours[count].core_seconds / one.core_seconds, 2)
        rows.append(Row(f"{count} classifiers: mailbox → Redis", round(mails / ours[count].seconds), "mails/s"))
        rows.append(
            Row(
                f"{count} classifiers: time on a core, in times of one's",
                times,
                "×",
                goal=CPU_GOAL,
                bound=Bound.MOST_VALUE,
            )
        )
    rows += [
        Row(f"growth of the {name}", grown, "MiB", goal=GROWTH_GOAL_MIB, bound=Bound.MOST_VALUE)
        for name, grown in one.growth_mib.items()
    ]
    return rows


def _account(server: Server, folder: Path, mails: list[bytes]) -> Path:
    """An accounts file for a mailbox with these mails."""
    assert isinstance(server, dovecot.DovecotServer)
    mailbox = server.mailbox("pipeline", "benchmark")
    for mail in mails:
        mailbox.deliver(
            mail.replace(
                b"\nSubject: The news", b"\nX-Text: " + b"x" * (SIZE_BYTES - len(mail)) + b"\nSubject: The news"
            )
        )
    account = folder / "accounts.toml"
    account.write_text(
        f'[accounts.bench]\nprotocol = "pop3"\nhost = "{server.host}"\nport = {server.pop3s_port}\nuser = "{mailbox.user}"\n'
        f'password = "benchmark"\nca_file = "{server.ca_file}"\nlist_id = "weekly"\nempty = "nothing"\n'
    )
    return account


Services = Callable[[int, Mapping[str, str], Path], dict[str, list[Program]]]


def _services(classifiers: int, variables: Mapping[str, str], folder: Path) -> dict[str, list[Program]]:
    return {
        "fetcher": [_start("services.fetcher", variables, folder)],
        "classifier": [_start("services.classifier", variables, folder) for _ in range(classifiers)],
        "ledger": [_start("services.ledger", variables, folder)],
    }


def _floor_services(classifiers: int, variables: Mapping[str, str], folder: Path) -> dict[str, list[Program]]:
    return {
        "fetcher": [_start("services.fetcher", variables, folder)],
        "classifier": [_start("benchmarks.pipeline_floors", variables, folder, "classifier")],
        "ledger": [_start("benchmarks.pipeline_floors", variables, folder, "ledger")],
    }


def _start(module: str, variables: Mapping[str, str], folder: Path, *arguments: str) -> Program:
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, **variables}
    return Program([sys.executable, "-m", module, *arguments], folder / "services.log", environment)


def _run(place: Place, folder: Path, classifiers: int, start: Services) -> Took:
    """Start the services, ask for the mailbox, and stop the clock when everything has arrived."""
    broker, databases, keys = place.servers["rabbitmq"], place.servers["postgresql"], place.servers["redis"]
    assert isinstance(broker, rabbitmq.RabbitMQServer)
    assert isinstance(databases, postgresql.PostgreSQLServer)
    assert isinstance(keys, redis_server.RedisServer)
    database_url, redis_url = databases.create_database(), keys.fresh_url()
    engine = connect(database_url)
    upgrade(engine)
    variables = {
        "MAILROOM_AMQP_URL": broker.fresh_url(),
        "MAILROOM_DATABASE_URL": database_url,
        "MAILROOM_REDIS_URL": redis_url,
        "MAILROOM_ACCOUNTS_FILE": str(place.account),
        "MAILROOM_LOG_LEVEL": "warning",
    }
    client: redis.Redis = redis.Redis.from_url(redis_url)
    arrived = _arrived_at_floor if start is _floor_services else _arrived
    running = start(classifiers, variables, folder)
    publisher = ConfirmingPublisher(variables["MAILROOM_AMQP_URL"])
    try:
        time.sleep(3)  # they import and connect: not counted
        before = {name: sum(map(_core_seconds, programs)) for name, programs in running.items()}
        servers_before = _core_seconds_of(place.servers)
        began = time.perf_counter()
        ask(publisher, "bench")
        sizes: dict[str, float] = {}
        while (done := arrived(engine, client)) < place.mails:
            if not sizes and done >= place.mails / 5:
                sizes = {name: sum(map(_resident_mib, programs)) for name, programs in running.items()}
            if time.perf_counter() - began > _PATIENCE_S:
                raise SystemExit(f"only {done} of {place.mails} mails had arrived after {_PATIENCE_S} s: no figure")
            time.sleep(_LOOK_EVERY_S)
        seconds = time.perf_counter() - began
        if start is not _floor_services and client.scard(SUPPRESSED_KEY) != place.suppressed:
            raise SystemExit(f"{client.scard(SUPPRESSED_KEY)} are suppressed, not {place.suppressed}: no figure")
        spent = {name: round(sum(map(_core_seconds, programs)) - before[name], 2) for name, programs in running.items()}
        spent["servers"] = _core_seconds_of(place.servers) - servers_before
        now = {name: sum(map(_resident_mib, programs)) for name, programs in running.items()}
        grown = {name: round(size - sizes.get(name, size), 1) for name, size in now.items()}
        return Took(seconds, sum(spent.values()), spent, grown)
    finally:
        publisher.close()
        for programs in running.values():
            for program in programs:
                program.end()
        engine.dispose()
        client.close()
        databases.drop_database(database_url)


def _arrived(engine: Engine, client: redis.Redis) -> int:
    """Mails that are recorded, archived and told to Redis."""
    with engine.connect() as connection:
        recorded = connection.execute(select(func.count()).select_from(raw)).scalar_one()
        kept = connection.execute(select(func.count()).select_from(archive)).scalar_one()
        untold = connection.execute(select(func.count()).select_from(outbox)).scalar_one()
    return int(min(recorded, kept) - untold)


def _arrived_at_floor(engine: Engine, client: redis.Redis) -> int:
    queues = (CLASSIFIER_RAW, LEDGER_VERDICTS, LEDGER_ARCHIVE)
    return min(int(client.get(FLOOR_KEY + queue.name) or 0) for queue in queues)


def _core_seconds_of(servers: Mapping[str, Server]) -> float:
    return sum(_core_seconds(server.program) for server in servers.values() if isinstance(server.program, Program))


def _core_seconds(program: Program) -> float:
    """Of a process and its family, those that have ended since, too."""
    ticks = 0
    for one in guard.family(program.pid):
        fields = Path(f"/proc/{one.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(int(fields[number]) for number in ((11, 12, 13, 14) if one.pid == program.pid else (11, 12)))
    return ticks / _TICKS


def _resident_mib(program: Program) -> float:
    pages = [int(Path(f"/proc/{one.pid}/statm").read_text().split()[1]) for one in guard.family(program.pid)]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _told(name: str, mails: int, took: Took) -> Took:
    print(
        f"{name}: {mails / took.seconds:,.0f} mails/s, {took.core_seconds / mails * 1e6:,.0f} µs on a core a mail",
        file=sys.stderr,
    )
    return took
