"""The console: a thousand addresses checked over HTTP, and its pages over a million contacts, addresses and events.

The million are contacts of one list, too. The floor of the check is a WSGI application on the same server that reads the
JSON and answers a constant; that of the pages is the same page over a database with one of everything.
"""

import http.client
import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from statistics import median
from time import perf_counter
from typing import Any

import orjson
import structlog
from flask import Flask
from sqlalchemy import text

from benchmarks.results import Bound, Row, race
from services.console.app import Settings, make_backing, serving
from services.console.application import create_application
from services.console.pace import Pace
from services.console.roles import GIVEN, Role
from services.console.tokens import Scope
from services.ledger.tallies_sql import SqlTallies
from shared.publisher import ConfirmingPublisher
from shared.suppressions import READY_KEY, SUPPRESSED_KEY, connect_redis
from shared.tables import connect
from tests.browser.content import RUN, address_of, client_of, fill, own_routes
from tests.servers import postgresql, redis
from tests.servers.console import NOBODY, PASSWORD, SECRET_KEY

ASKED = 1000
EVENTS = 1_000_000
OF_ONE_RUN = 100_000
DAYS = 30
LOOKS = 15
WHOLE = {"contacts.export"}
"""As long as the list is: it streams all of it."""


def measure(events: int = EVENTS) -> list[Row]:
    """Addresses a second, and milliseconds of the slowest page with its name, over many rows and over few."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with redis.start() as cache, postgresql.start() as database:
        checked = _checks(database.create_database(), cache.fresh_url())
        return [checked, *_pages(database.create_database(), database.create_database(), events)]


def _checks(database_url: str, redis_url: str) -> Row:
    asked = [f"user{number}@example.com" for number in range(ASKED)]
    with connect_redis(redis_url) as client:
        client.sadd(SUPPRESSED_KEY, *asked[::2])
        client.set(READY_KEY, str(client.info("server")["run_id"]))
    body = json.dumps({"addresses": asked})
    with _process(_serve_console, database_url, redis_url) as (port, token), _process(_serve_floor) as (floor, _):
        works = {
            "ours": _Asking(port, "/api/v1/check", body, token, len(asked)),
            "floor": _Asking(floor, "/", body, "", len(asked)),
        }
        rates = race(works, clock=perf_counter)  # type: ignore[arg-type]
    return Row(
        "check of 1,000 addresses over HTTP", rates["ours"], "addresses/s", rates["floor"], 50_000, Bound.LEAST_VALUE
    )


class _Asking:
    """A client that asks again and again over one connection."""

    def __init__(self, port: int, path: str, body: str, token: str, count: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._path, self._body, self._count = path, body, count
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}

    def __call__(self) -> int:
        for _ in range(50):
            self._connection.request("POST", self._path, self._body, self._headers)
            answer = self._connection.getresponse()
            said = answer.read()
            assert answer.status == 200, said[:500]
        return 50 * self._count


@contextmanager
def _process(serve: Any, *arguments: str) -> Iterator[tuple[int, str]]:
    """A server in a process of its own: its port, and a token for it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, *arguments))
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("stop")
        process.join()


def _serve_console(pipe: Connection, database_url: str, redis_url: str) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    fill(database_url)
    app, token = _application(database_url, redis_url)
    with serving(app, "127.0.0.1", 0) as port:
        pipe.send((port, token))
        pipe.recv()


def _serve_floor(pipe: Connection) -> None:
    constant = orjson.dumps({"answers": [{"address": "user@example.com", "suppressed": False}] * ASKED, "invalid": []})

    def answer(environ: Any, start_response: Any) -> list[bytes]:
        orjson.loads(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(constant)))])
        return [constant]

    with serving(answer, "127.0.0.1", 0) as port:  # type: ignore[arg-type]
        pipe.send((port, ""))
        pipe.recv()


def _application(database_url: str, redis_url: str = "") -> tuple[Flask, str]:
    variables = {
        "MAILROOM_DATABASE_URL": database_url,
        "MAILROOM_AMQP_URL": NOBODY,
        "MAILROOM_REDIS_URL": redis_url,
        "MAILROOM_SECRET_KEY": SECRET_KEY,
    }
    backing = make_backing(
        Settings.from_env(variables), connect(database_url), ConfirmingPublisher(NOBODY, 0.1), queue_depths=dict
    )
    object.__setattr__(backing, "pace", Pace(10**9))
    for role in GIVEN:
        backing.people.add(role, role, PASSWORD, "benchmark")
    token = backing.tokens.make("benchmark", list(Scope), "benchmark")
    return create_application(backing, secret_key=SECRET_KEY), token


def _pages(few_url: str, many_url: str, events: int) -> list[Row]:
    mail = fill(few_url)
    fill(many_url)
    print(f"filling a database with {events:,} addresses and events …", flush=True)
    began = perf_counter()
    _fill(many_url, events)
    recounted = perf_counter()
    tallies = SqlTallies(connect(many_url))
    while tallies.recount():
        pass
    print(f"filled in {recounted - began:.0f} s, days counted in {perf_counter() - recounted:.0f} s", flush=True)
    few, _ = _application(few_url)
    many, _ = _application(many_url)
    rows = []
    for rule in own_routes(many):
        if "GET" not in (rule.methods or ()) or rule.endpoint.startswith("login.") or rule.endpoint in WHOLE:
            continue
        query = {"address": "user1@example.com"} if "addresses" in rule.endpoint else {}
        client, floor = client_of(many, Role.ADMINISTRATOR), client_of(few, Role.ADMINISTRATOR)
        took = _milliseconds(client, address_of(many, rule, mail), query)
        usual = _milliseconds(floor, address_of(few, rule, mail), query)
        rows.append(Row(f"page {rule.rule}", took, "ms", usual, 100, Bound.MOST_VALUE))
    return sorted(rows, key=lambda row: -row.value)


def _milliseconds(client: Any, address: str, query: dict[str, str]) -> float:
    looks = []
    for _ in range(LOOKS):
        began = perf_counter()
        answer = client.get(address, query_string=query)
        answer.get_data()
        looks.append(perf_counter() - began)
        assert answer.status_code in (200, 302), (address, answer.status)
    return round(1000 * median(looks), 1)


def _fill(database_url: str, events: int) -> None:
    """As many addresses, mails and reports; a part of the mails is of one run, and they are spread over a month."""
    of_event = f"""
        lpad(to_hex(n), 64, '0') AS id, 'user' || n || '@example' || n % 997 || '.com' AS address,
        now() - ({events} - n) * interval '{DAYS} days' / {events} AS at, n
        FROM generate_series(1, {events}) AS n
    """
    statements = [
        f"""INSERT INTO raw (raw_id, run_id, received_at, kind, verdict, classifier_version, judged_at, list_id, account,
              campaign, truncated)
            SELECT id, CASE WHEN n > {events - min(OF_ONE_RUN, events)} THEN '{RUN}' ELSE '' END, at, 'delivery-report',
              (ARRAY['hard', 'soft', 'unidentified', 'ignore'])[1 + n % 4], 1, at, 'weekly', 'weekly', 'spring', false
            FROM (SELECT {of_event}) AS one""",
        f"""INSERT INTO report (raw_id, recipient, event_id, tier, severity, verdict, reason, diagnostic_code, rule, evidence)
            SELECT id, address, id, 1, 3, 'hard', 'user-unknown', '550 5.1.1 no such user', 'x', 'no such user'
            FROM (SELECT {of_event}) AS one""",
        f"""INSERT INTO address (recipient, state, soft, hard, reason, since, version, changed_at)
            SELECT address, 'bounced', 0, true, 'user-unknown', at, n, at FROM (SELECT {of_event}) AS one""",
        f"""INSERT INTO audit (made_at, who, what, subject, why)
            SELECT at, 'somebody', 'suppress', address, 'because' FROM (SELECT {of_event}) AS one""",
        f"""INSERT INTO dead_letter (letter_id, queue, reason, state, attempts, first_failed_at, last_failed_at, content_type,
              type, headers, body)
            SELECT id, 'classifier.raw', 'no rule', 'dead', 1, at, at, 'text/plain', '', '{{}}', ''
            FROM (SELECT {of_event}) AS one""",
        f"""INSERT INTO run (run_id, account, started_at, fetched_at, finished_at)
            SELECT id, 'weekly', at, at, at FROM (SELECT {of_event}) AS one""",
        f"""INSERT INTO contact (list_id, recipient, added_at)
            SELECT 'weekly', address, at FROM (SELECT {of_event}) AS one""",
        f"UPDATE contact_list SET contacts = contacts + {events}",
        f"INSERT INTO changed_day (day) SELECT current_date - n FROM generate_series(0, {DAYS}) AS n",
    ]
    engine = connect(database_url).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("SET statement_timeout = 0"))
        for statement in statements:
            connection.execute(text(statement))
        connection.execute(text("VACUUM ANALYZE"))
