"""The fetcher: mails a second out of a mailbox of Dovecot, beside the bare library; then with broker and cleaning."""

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import count
from statistics import median
from typing import Final

from benchmarks.fetcher_floors import read_bare
from benchmarks.fetcher_work import TOGETHER, Figures, Place, fetch, fetch_and_clean, timed
from benchmarks.results import Bound, Row
from services.fetcher.endpoint import Protocol, Tls
from shared.tables import connect, upgrade
from tests.servers import dovecot, postgresql, rabbitmq

MAILS: Final = 20_000
ROUNDS: Final = 3
"""Of more mails than that, one."""
LEAST_RATIO: Final = 0.7
MEMORY_MIB: Final = 300.0
SIZE_BYTES: Final = 3_000
_PASSWORD: Final = "benchmark"


def measure(mails: int = MAILS, tls: Tls = Tls.IMPLICIT) -> list[Row]:
    """Everything in fresh processes, with the checkpoint in PostgreSQL."""
    rows = []
    with ExitStack() as stack:
        server = stack.enter_context(dovecot.start())
        databases = stack.enter_context(postgresql.start())
        broker = stack.enter_context(rabbitmq.start())
        ports = {
            Tls.IMPLICIT: ((Protocol.POP3, server.pop3s_port), (Protocol.IMAP, server.imaps_port)),
            Tls.STARTTLS: ((Protocol.POP3, server.pop3_port), (Protocol.IMAP, server.imap_port)),
        }
        for protocol, port in ports[tls]:
            mailbox = server.mailbox(protocol.value, _PASSWORD)
            for number in range(mails):
                mailbox.deliver(_bounce(number))
            place = Place(protocol, server.host, port, server.ca_file, mailbox.user, _PASSWORD, tls)
            rows += _measure_reading(place, mails, partial(_fresh, databases))
            whole = _alone(partial(fetch_and_clean, place, _fresh(databases), broker.fresh_url()), mails)
            if left := len(mailbox.mails()):
                raise SystemExit(f"{left} mails were left in the mailbox: no figure")
            name = protocol.value.upper()
            rows.append(Row(f"{name}: published to RabbitMQ, remembered, and cleaned", whole.rate, "mails/s"))
            rows += _describe(f"{name}: the same", whole)
    return rows


def _measure_reading(place: Place, mails: int, fresh: Callable[[], str]) -> list[Row]:
    name = place.protocol.value.upper()
    floors = {"poplib" if place.protocol == Protocol.POP3 else "imaplib": partial(_bare, place, 1)}
    if place.protocol == Protocol.IMAP:
        floors[f"imaplib, {TOGETHER} mails a command"] = partial(_bare, place, TOGETHER)
    _alone(floors[next(iter(floors))], mails)  # the server makes its index: not counted
    ours: list[Figures] = []
    bare: dict[str, list[float]] = {floor: [] for floor in floors}
    for _ in range(ROUNDS if mails <= MAILS else 1):
        for floor, work in floors.items():
            bare[floor].append(_alone(work, mails).rate)
        ours.append(_alone(partial(fetch, place, fresh()), mails))
    rate = median(one.rate for one in ours)
    rows = [
        Row(f"{name}: read (floor: {floor})", rate, "mails/s", median(rates), None if number else LEAST_RATIO)
        for number, (floor, rates) in zip(count(), bare.items(), strict=False)
    ]
    return [*rows, *_describe(f"{name}: reading", ours[-1])]


def _describe(what: str, figures: Figures) -> list[Row]:
    return [
        Row(f"{what}, logins", figures.logins, ""),
        Row(f"{what}, peak memory of the process", figures.peak_mib, "MiB", goal=MEMORY_MIB, bound=Bound.MOST_VALUE),
    ]


def _bare(place: Place, together: int) -> Figures:
    return timed(
        lambda: read_bare(
            place.protocol, place.host, place.port, place.ca_file, (place.user, place.password), together, place.tls
        )
    )


def _alone(work: Callable[[], Figures], mails: int) -> Figures:
    """In a process of its own, so that its memory is what this work took."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        figures = pool.submit(work).result()
    if figures.mails != mails:
        raise SystemExit(f"{figures.mails} of {mails} mails were read: no figure")
    print(f"{figures.rate:,} mails/s, {figures.logins} logins, {figures.peak_mib} MiB", file=sys.stderr, flush=True)
    return figures


def _fresh(databases: postgresql.Databases) -> str:
    url = databases.create_database()
    engine = connect(url)
    upgrade(engine)
    engine.dispose()
    return url


def _bounce(number: int) -> bytes:
    """As long as most bounces are, and like no other."""
    head = (
        f"From: Mail Delivery System <MAILER-DAEMON@mx.example.net>\r\nTo: bounces@example.org\r\n"
        f"Subject: Undelivered Mail Returned to Sender\r\nMessage-ID: <{number}@mx.example.net>\r\n\r\n"
        f"<reader{number}@example.net>: host mx.example.net said: 550 5.1.1 User unknown\r\n\r\n"
    )
    line = "X-Returned: what the mail said, in lines of such a length as headers and text have it\r\n"
    return (head + line * ((SIZE_BYTES - len(head)) // len(line))).encode()
