"""One of everything that the console shows, and its routes, for tests that go through all of them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert
from werkzeug.routing import Rule

from services.console.roles import Role
from services.embedded import EmbeddedPipeline
from services.fetcher.mailbox_files import Found
from services.ledger.archive_sql import SqlArchive
from services.ledger.dead_letters_sql import SqlDeadLetters
from services.ledger.ports import ArchivedMail, DeadLetter
from shared.identity import raw_id
from shared.tables import connect, upgrade
from shared.tables.contacts import contact
from shared.tables.fetcher import bounce_account, contact_list, found, run
from shared.tables.ledger import audit, hold, mark, raw, report
from tests.e2e.mails import FULL, UNKNOWN, Send, bounce_of
from tests.servers.console import PASSWORD

NOW = datetime.now(UTC).replace(microsecond=0)
RUN = "0123456789abcdef0123456789abcdef"
LETTER = "ab" * 32
CONTACTS = ("gone@example.net", "joe@example.org")


def unrecognised(words: str, number: int) -> bytes:
    return bounce_of(Send(f"nobody{number}@example.net", number, "5.0.0", words))


def fill(database_url: str, words: str = "something that no rule knows", name: str = "weekly") -> str:
    """One of everything, with these words wherever a mail, a publisher or a person can put some; an unidentified mail's id."""
    engine = connect(database_url)
    upgrade(engine)
    unknown = unrecognised(words, 7)
    mails = [bounce_of(Send("gone@example.net", 1, *UNKNOWN)), bounce_of(Send("full@example.net", 2, *FULL)), unknown]
    with EmbeddedPipeline(engine) as pipeline:
        pipeline.process([Found(f"{number}.eml", one, NOW) for number, one in enumerate(mails)], list_id="weekly")
    ids = [raw_id(one) for one in mails]
    with engine.begin() as connection:
        account = {
            "name": name, "protocol": "pop3", "host": "pop.example.com", "port": 995, "tls": "implicit", "user_name": words[:300],
            "login": "password", "secret": None, "created_at": NOW, "updated_at": NOW, "folder": "", "empty": "bounces",
            "interval_s": 900, "is_active": True,
        }  # fmt: skip
        connection.execute(insert(bounce_account).values(account))
        one = {"list_id": "weekly", "title": words[:250], "bounce_email": "bounce@example.com", "account": name}
        connection.execute(insert(contact_list).values(one))
        on_it = [{"list_id": "weekly", "recipient": address, "added_at": NOW} for address in CONTACTS]
        connection.execute(insert(contact), on_it)
        connection.execute(contact_list.update().values(contacts=len(on_it)))
        texts = {"campaign": words[:250], "reporting_mta": words[:250], "publisher_id": words[:250]}
        connection.execute(raw.update().values(run_id=RUN, account=name, **texts))
        connection.execute(hold.insert().values(run_id=RUN, state="held", held_at=NOW))
        begun = {
            "run_id": RUN,
            "account": name,
            "started_at": NOW,
            "fetched_at": NOW,
            "finished_at": None,
            "last_error": words,
        }
        connection.execute(run.insert().values(begun))
        for number, one_id in enumerate(ids):
            row = {"account": name, "folder": "", "uidvalidity": 0, "uid": str(number), "run_id": RUN, "raw_id": one_id}
            connection.execute(found.insert().values(**row, found_at=NOW, size_bytes=9, truncated=False, attempts=0))
    body = words.encode()
    short = words[:250]
    letter = DeadLetter(
        LETTER, "classifier.raw", words, NOW, None, None, "text/plain", short, short, '{"x": "y"}', None, body
    )
    SqlDeadLetters(engine).file([letter])
    engine.dispose()
    return ids[2]


def spread(database_url: str, texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """For each text a mail, a dead letter and a change by hand that have it in every field; raw ids and letter ids.

    The mails are of RUN, and a hundred each of victim0@example.net, victim1@example.net and so on.
    """
    engine = connect(database_url)
    upgrade(engine)
    raws: list[dict[str, object]] = []
    reports: list[dict[str, object]] = []
    mails: list[ArchivedMail] = []
    audits: list[dict[str, object]] = []
    marks: list[dict[str, object]] = []
    letters: list[DeadLetter] = []
    for number, text in enumerate(texts):
        at = NOW - timedelta(minutes=number)
        mail = f"Subject: {text}\r\nFrom: {text}\r\n\r\n{text}\r\n".encode()
        identity = f"{number:064x}"
        victim = f"victim{number // 100}@example.net"
        named = ("kind", "list_id", "account", "publisher_id", "campaign", "reporting_mta")
        raws.append(
            dict.fromkeys(named, text)
            | {"raw_id": identity, "run_id": RUN, "received_at": at, "judged_at": at, "verdict": "unidentified"}
            | {"classifier_version": 1, "truncated": False}
        )
        named = ("verdict", "reason", "fault", "action", "status", "reply_code", "diagnostic_code")
        named = (*named, "final_recipient", "remote_mta", "rule", "evidence")
        for recipient in (victim, text):
            said = {"raw_id": identity, "recipient": recipient, "event_id": identity, "tier": 1, "severity": number % 4}
            reports.append(dict.fromkeys(named, text) | said)
        mails.append(ArchivedMail(identity, mail, False))
        audits.append({"made_at": at, "who": text, "what": text, "subject": text, "why": text})
        audits.append({"made_at": at, "who": text, "what": text, "subject": victim, "why": text})
        marks.append({"recipient": victim, "made_at": at, "state": "released", "who": text, "why": text})
        headers = json.dumps({text: text, "x": text})
        letters.append(
            DeadLetter(identity, text, text, at, identity, RUN, text, text, text, headers, None, text.encode())
        )
    with engine.begin() as connection:
        for table, rows in ((raw, raws), (report, reports), (audit, audits), (mark, marks)):
            connection.execute(table.insert(), rows)
        connection.execute(hold.insert().values(run_id=RUN, state="held", held_at=NOW))
        begun = {"run_id": RUN, "account": texts[0], "started_at": NOW, "fetched_at": NOW, "last_error": texts[0]}
        connection.execute(run.insert().values(begun))
    SqlArchive(engine).keep(mails)
    SqlDeadLetters(engine).file(letters)
    engine.dispose()
    identities = [f"{number:064x}" for number in range(len(texts))]
    return identities, identities


def arguments(rule: Rule, mail: str) -> dict[str, str]:
    """Something that is there for each part of a route."""
    known = {
        "list_id": "weekly",
        "run_id": RUN,
        "raw_id": mail,
        "letter_id": LETTER,
        "name": "viewer",
        "filename": "console.css",
        "link": "of-nobody",
    }
    return {name: known[name] for name in rule.arguments}


def own_routes(app: Flask) -> list[Rule]:
    """All but the packaged files, and the API, which has tokens of its own."""
    return [
        rule
        for rule in app.url_map.iter_rules()
        if not rule.endpoint.endswith("static") and not rule.rule.startswith("/api")
    ]


def client_of(app: Flask, role: Role) -> FlaskClient:
    """Logged in as somebody of that role."""
    client = app.test_client()
    if role != Role.ANYBODY:
        form = client.get("/login").text
        token = form.split('name="csrf_token" value="')[1].split('"')[0]
        sent = {"name": role.value, "password": PASSWORD, "csrf_token": token}
        assert client.post("/login", data=sent).status_code == 302
    return client


def address_of(app: Flask, rule: Rule, mail: str) -> str:
    with app.test_request_context():
        return app.url_for(rule.endpoint, **arguments(rule, mail))
