"""A table of servers that misbehave: what can be read is published whole, the run ends, and the next account has its turn.

A row says which of the mails (numbered from 0) are published, and what the run leaves for people to read ("" = no error). Where a
connection breaks at a mail, that is left to the next run, three times in all; so a row without an error is three runs.
"""

import re
from collections.abc import Callable
from time import monotonic

import pytest
from sqlalchemy import select

from services.fetcher.accounts import Account, Accounts
from services.fetcher.emptying import read_emptying
from services.fetcher.endpoint import Deadlines, Endpoint, Protocol, Tls
from services.fetcher.handler import FetchHandler
from services.fetcher.login import PasswordLogin
from services.fetcher.sources import open_source
from services.fetcher.store_sql import SqlCheckpoint
from shared.bus import BatchLimits
from shared.identity import READ_LIMIT_BYTES, raw_id
from shared.tables.fetcher import found, run
from shared.topology import FETCHER_REQUESTS
from shared.wire import fetch_request_message
from tests.integration.fetcher.imap_folder import ImapFolder
from tests.integration.fetcher.ledger import LONG_AGO, Clock, Ledger
from tests.integration.fetcher.maildrop import Maildrop
from tests.integration.fetcher.scripted import serving

SOON = Deadlines(connect_s=5, idle_s=0.6, step_s=1.2)
"""What takes minutes in earnest."""
ENDS_WITHIN_S = 30.0

M = [b"Subject: bounce %d\r\n\r\nbody\r\n" % number for number in range(60)]
FEW = M[:3]
MANY = [b"Subject: bounce %d\r\n\r\nbody\r\n" % number for number in range(2_500)]
LONG_LINE = b"Subject: bounce\r\n\r\n" + b"y" * 2_048 + b"\r\nend\r\n"
LONGER_LINE = b"Subject: bounce\r\n\r\n" + b"z" * 1_000_000 + b"\r\nend\r\n"


def names(mails: list[bytes]) -> list[bytes]:
    return [b"uidl-%d" % number for number in range(len(mails))]


def pop3(mails: list[bytes] = FEW, **faults: object) -> Callable[[], Maildrop]:
    return lambda: Maildrop(list(mails), **({"uidls": names(mails)} | faults))  # type: ignore[arg-type]


def imap(mails: list[bytes] = FEW, **faults: object) -> Callable[[], ImapFolder]:
    return lambda: ImapFolder(list(mails), **faults)  # type: ignore[arg-type]


POP3_SERVERS = {
    "an honest one": (pop3(), [0, 1, 2], ""),
    "an honest one that pipelines": (pop3(M, pipelines=True), range(60), ""),
    "no UIDL": (pop3(uidls=None), [0, 1, 2], ""),
    "no UIDL, pipelining": (pop3(uidls=None, pipelines=True), [0, 1, 2], ""),
    "double UIDLs": (pop3(uidls=[b"same", b"same", b"other"]), [0, 1, 2], ""),
    "drop in mid-mail": (pop3(breaks_at={M[1]}), [0, 2], ""),
    "drop in mid-mail, pipelining": (pop3(M, breaks_at={M[1]}, pipelines=True), [0, *range(2, 60)], ""),
    "missing final dot": (pop3(M, ends=b""), [], "no answer in time"),
    "missing final dot, pipelining": (pop3(M, ends=b"", pipelines=True), [], "no answer in time"),
    "sizes too small": (pop3(sizes=dict.fromkeys(FEW, 1)), [0, 1, 2], ""),
    "sizes too large": (pop3(sizes=dict.fromkeys(FEW, 10**12)), [0, 1, 2], ""),
    "sizes too large, pipelining": (pop3(sizes={M[1]: 10**12}, pipelines=True), [0, 1, 2], ""),
    "a number without an end in the listing": (pop3(listed=(b"9" * 5_000 + b" 1", b"x 1", b"5")), [0, 1, 2], ""),
    "endless line": (pop3(endless={M[1]}), [0, 1, 2], ""),
    "endless line, pipelining": (pop3(endless={M[1]}, pipelines=True), [0, 1, 2], ""),
    "long lines": (pop3([LONG_LINE, LONGER_LINE, M[2]]), [0, 1, 2], ""),
    "long lines, pipelining": (pop3([LONG_LINE, LONGER_LINE, M[2]], pipelines=True), [0, 1, 2], ""),
    "1 byte at a time: greeting": (pop3(trickles_at=b"greeting"), [], "took too long|in time"),
    "1 byte at a time: login": (pop3(trickles_at=b"PASS"), [], "took too long|in time"),
    "1 byte at a time: listing": (pop3(trickles_at=b"LIST"), [], "took too long|in time"),
    "1 byte at a time: mails": (pop3(M, trickles_at=b"RETR"), [], "took too long|in time"),
    "every 25th command drops": (pop3(M, drops_every=25), range(60), ""),
    "every 25th command drops, pipelining": (pop3(M, drops_every=25, pipelines=True), range(60), ""),
    "every 1,000th command drops": (pop3(MANY, drops_every=1_000), range(2_500), ""),
    "every 1,000th command drops, pipelining": (pop3(MANY, drops_every=1_000, pipelines=True), range(2_500), ""),
    "every 25th answer is missing, pipelining": (pop3(M, ignores_every=25, pipelines=True), range(60), ""),
    "pipelining promised, the first of a burst heard": (pop3(is_deaf=True, pipelines=True), [0, 1, 2], ""),
    "pipelining promised, a mail answered twice": (pop3(answers_twice={M[1]}, pipelines=True), [0, 1, 2], ""),
    "pipelining promised, one mail refused": (pop3(refuses={M[1]}, pipelines=True), [0, 2], ""),
}

IMAP_SERVERS = {
    "an honest one": (imap(M), range(60), ""),
    "drop in mid-mail": (imap(breaks_at={M[1]}), [0, 2], ""),
    "a literal that is too long": (imap(more={M[1]: 50}), [0, 2], ""),
    "a literal of 10 GB": (imap(more={M[1]: 10**10}), [0, 2], ""),
    "a literal that is too short": (imap(more={M[1]: -10}), [0, 2], ""),
    "sizes too small": (imap(sizes=dict.fromkeys(FEW, 0)), [0, 1, 2], ""),
    "sizes too large": (imap(sizes=dict.fromkeys(FEW, 10**12)), [0, 1, 2], ""),
    "UIDVALIDITY flips at every login": (imap(flips=True), [0, 1, 2], ""),
    "UIDVALIDITY flips, and a mail breaks": (imap(flips=True, breaks_at={M[1]}), [0, 2], ""),
    "no UIDVALIDITY": (imap(uidvalidity_said=b""), [0, 1, 2], ""),
    "a UIDVALIDITY that is no number": (imap(uidvalidity_said=b"soon"), [], "broke"),
    "a UIDVALIDITY that fits nowhere": (imap(uidvalidity_said=b"9" * 30), [0, 1, 2], ""),
    "a UIDVALIDITY without an end": (imap(uidvalidity_said=b"9" * 5_000), [], "broke"),
    "a date that no calendar has": (imap(dates={M[1]: b"31-Foo-2026 25:00:00 +0000"}), [0, 1, 2], ""),
    "a date after the last": (imap(dates={M[1]: b"31-Dec-9999 23:59:59 -1200"}), [0, 1, 2], ""),
    "a date before the first": (imap(dates={M[1]: b"01-Jan-0001 00:00:00 +1200"}), [0, 1, 2], ""),
    "4,294,967,295 mails that are not there": (imap(exists=2**32 - 1), [], "lists"),
    "BYE in the middle": (imap(byes_at={M[1]}), [0, 2], ""),
    "BYE as greeting": (imap(greeting=b"* BYE busy"), [], "does not serve now"),
    "PREAUTH": (imap(greeting=b"* PREAUTH welcome"), [], "refused the login"),
    "one mail refused": (imap(refuses={M[1]}), [0, 2], ""),
    "a line without an end": (imap(long_line={M[1]}), [0, 2], ""),
    "long lines": (imap([LONG_LINE, LONGER_LINE, M[2]]), [0, 1, 2], ""),
    "a listing without an end": (imap(endless_listing=True), [], "broke|no end"),
    "1 byte at a time: greeting": (imap(trickles_at=b"greeting"), [], "did not answer in time"),
    "1 byte at a time: login": (imap(trickles_at=b"LOGIN"), [], "did not answer in time"),
    "1 byte at a time: folder": (imap(trickles_at=b"EXAMINE"), [], "did not answer in time"),
    "1 byte at a time: listing": (imap(trickles_at=b"FETCH"), [], "broke"),
    "every 25th command drops": (imap(M, drops_every=25), range(60), ""),
    "every 6th command drops": (imap(M, drops_every=6), range(60), ""),
}

ROWS = [
    pytest.param(protocol, *row, id=f"{protocol.value}: {name}")
    for protocol, servers in ((Protocol.POP3, POP3_SERVERS), (Protocol.IMAP, IMAP_SERVERS))
    for name, row in servers.items()
]


def account_at(name: str, protocol: Protocol, port: int) -> Account:
    endpoint = Endpoint(protocol, "127.0.0.1", port, Tls.NONE, deadlines=SOON)
    folder = "" if protocol == Protocol.POP3 else "INBOX"
    return Account(name, endpoint, PasswordLogin("joe", "canary"), folder, read_emptying("nothing"), "list")


@pytest.mark.parametrize(("protocol", "make", "published", "error"), ROWS)
def test_it_ends_as_documented(
    ledger: Ledger,
    protocol: Protocol,
    make: Callable[[], Maildrop | ImapFolder],
    published: list[int],
    error: str,
) -> None:
    server = make()
    mails = list(server.mails)
    other = b"Subject: another account's\r\n\r\nbody\r\n"
    began = monotonic()
    with serving(server) as bad, serving(Maildrop([other], [b"a"])) as good:
        accounts = [account_at("bad", protocol, bad.port), account_at("good", Protocol.POP3, good.port)]
        clock = Clock()
        handler = FetchHandler(
            Accounts({account.name: account for account in accounts}),
            SqlCheckpoint(ledger.engine),
            ledger.bus,
            holder="fetcher",
            wait=clock.wait,
            clock=clock,
        )
        ledger.bus.subscribe(FETCHER_REQUESTS.name, handler, BatchLimits(messages=1))
        runs = ["bad"] if error else ["bad", "bad-2", "bad-3"]
        for run_id in [*runs, "good"]:
            name = run_id.partition("-")[0]
            request = {"schema_version": 1, "account": name, "run_id": run_id, "requested_at": LONG_AGO}
            ledger.bus.publish([fetch_request_message(request)])  # type: ignore[arg-type]
    assert monotonic() - began < ENDS_WITHIN_S
    assert ledger.raws[-1] == other
    came = ledger.raws[:-1]
    endless = getattr(server, "endless", set())
    given = [mail.rstrip() + b"x" * READ_LIMIT_BYTES if mail in endless else mail for mail in mails]
    whole = {mail[:READ_LIMIT_BYTES]: number for number, mail in enumerate(given)}
    assert set(came) <= set(whole), "never a part of a mail"
    assert sorted(whole[mail] for mail in set(came)) == list(published)
    with ledger.engine.begin() as connection:
        last_error = connection.execute(select(run.c.last_error).where(run.c.run_id == "bad")).scalar_one()
        rows = connection.execute(select(found.c.uid, found.c.raw_id).where(found.c.account == "bad")).all()
    assert re.search(error, last_error) if error else not last_error
    for row in rows:
        if row.raw_id is not None and row.uid[0] != "=":
            assert row.raw_id == raw_id(given[place_of(row.uid, protocol)][:READ_LIMIT_BYTES]), "under its own uid"


def place_of(uid: str, protocol: Protocol) -> int:
    if protocol == Protocol.IMAP:
        return int(uid) - 11
    name = uid.partition("/")[0]
    return 2 if name == "other" else int(name.removeprefix("uidl-"))


@pytest.mark.parametrize(("protocol", "broken_s"), [(Protocol.POP3, 6.0), (Protocol.IMAP, 6.0)])
def test_a_server_that_comes_back_is_served_in_the_same_run(
    ledger: Ledger, protocol: Protocol, broken_s: float
) -> None:
    """Two logins break; the third is the server again."""
    server = Maildrop(FEW, names(FEW)) if protocol == Protocol.POP3 else ImapFolder(FEW)
    clock = Clock()
    logins = 0

    def comes_back(session: object) -> None:
        nonlocal logins
        logins += 1
        if logins > 2:
            server(session)  # type: ignore[arg-type]

    with serving(comes_back) as bad:  # type: ignore[arg-type]
        account = account_at("bad", protocol, bad.port)
        handler = FetchHandler(
            Accounts({"bad": account}),
            SqlCheckpoint(ledger.engine),
            ledger.bus,
            holder="f",
            wait=clock.wait,
            clock=clock,
        )
        ledger.bus.subscribe(FETCHER_REQUESTS.name, handler, BatchLimits(messages=1))
        request = {"schema_version": 1, "account": "bad", "run_id": "bad", "requested_at": LONG_AGO}
        ledger.bus.publish([fetch_request_message(request)])  # type: ignore[arg-type]
    assert ledger.raws == FEW
    assert clock.waited_s == broken_s


@pytest.mark.parametrize("protocol", list(Protocol))
def test_a_refused_login_is_never_tried_again(ledger: Ledger, protocol: Protocol) -> None:
    def refuse(session: object) -> None:
        is_pop3 = protocol == Protocol.POP3
        session.say(b"+OK" if is_pop3 else b"* OK hello")  # type: ignore[attr-defined]
        while line := session.hear():  # type: ignore[attr-defined]
            if is_pop3:
                session.say(b"+OK" if line.startswith(b"USER") else b"-ERR [AUTH] no")  # type: ignore[attr-defined]
            elif b"LOGIN" in line:
                session.say(line.split()[0] + b" NO [AUTHENTICATIONFAILED] no")  # type: ignore[attr-defined]
            else:
                session.say(b"* CAPABILITY IMAP4rev1", line.split()[0] + b" OK done")  # type: ignore[attr-defined]

    clock = Clock()
    with serving(refuse) as bad:  # type: ignore[arg-type]
        account = account_at("bad", protocol, bad.port)
        handler = FetchHandler(
            Accounts({"bad": account}),
            SqlCheckpoint(ledger.engine),
            ledger.bus,
            holder="f",
            wait=clock.wait,
            clock=clock,
        )
        ledger.bus.subscribe(FETCHER_REQUESTS.name, handler, BatchLimits(messages=1))
        request = {"schema_version": 1, "account": "bad", "run_id": "bad", "requested_at": LONG_AGO}
        ledger.bus.publish([fetch_request_message(request)])  # type: ignore[arg-type]
        assert sum(b"canary" in line for line in bad.heard) == 1
    assert clock.waited_s == 0


@pytest.mark.parametrize("pipelines", [False, True])
def test_a_source_of_the_command_line_passes_over_a_mail_that_breaks_the_connection(pipelines: bool) -> None:
    maildrop = Maildrop(FEW, names(FEW), breaks_at={M[1]}, pipelines=pipelines)
    with serving(maildrop) as server:
        mails = list(open_source(f"pop3://joe@127.0.0.1:{server.port}?tls=none", "canary"))
    assert sorted(mail.raw for mail in mails if mail.raw) == [M[0], M[2]]
    [error] = [mail.error for mail in mails if mail.error]
    assert "cannot be read" in error
