"""The schema's history on a database that holds data, there and back and there again."""

from datetime import UTC, datetime
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from shared.tables import fetcher, upgrade
from shared.tables.schema import _config

SEEN_TWICE, SEEN_ONCE = "a" * 64, "b" * 64
_MAIL = """
INSERT INTO raw (raw_id, received_at, kind, verdict, classifier_version, judged_at, truncated)
VALUES (:name, '2026-01-01 00:00:00+00:00', 'bounce', 'hard', 1, '2026-01-01 00:00:00+00:00', false)
"""
_REPORT = """
INSERT INTO report (raw_id, recipient, event_id, tier, severity, verdict, rule, evidence)
VALUES (:name, 'ann@example.com', 'e', 2, 3, 'hard', 'r', '')
"""


def move(engine: Engine, step: Any, revision: str) -> None:
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        step(config, revision)


def pairs(engine: Engine, *tables: str) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        return sorted(
            (row.raw_id, row.run_id)
            for table in tables
            for row in connection.execute(text(f"SELECT raw_id, run_id FROM {table}"))
        )


def test_runs_move_to_their_mails_and_back(empty_engine: Engine) -> None:
    move(empty_engine, command.upgrade, "0001")
    delivered = [(SEEN_TWICE, "first"), (SEEN_TWICE, "second"), (SEEN_ONCE, "")]
    with empty_engine.begin() as connection:
        for name in (SEEN_TWICE, SEEN_ONCE):
            connection.execute(text(_MAIL), {"name": name})
            connection.execute(text(_REPORT), {"name": name})
        for name, run_id in delivered:
            values = {"name": name, "run_id": run_id}
            connection.execute(text("INSERT INTO raw_run VALUES (:name, :run_id, '2026-01-01 00:00:00+00:00')"), values)
    upgrade(empty_engine)
    assert pairs(empty_engine, "raw", "raw_run") == delivered
    assert pairs(empty_engine, "raw_run") == [(SEEN_TWICE, "second")]
    move(empty_engine, command.downgrade, "0001")
    assert pairs(empty_engine, "raw_run") == delivered
    upgrade(empty_engine)
    assert pairs(empty_engine, "raw", "raw_run") == delivered


def test_lists_come_and_go_and_what_was_fetched_stays(empty_engine: Engine) -> None:
    move(empty_engine, command.upgrade, "0003")
    run = "INSERT INTO run (run_id, account, started_at) VALUES ('r', 'news', '2026-01-01 00:00:00+00:00')"
    with empty_engine.begin() as connection:
        connection.execute(text(run))
    upgrade(empty_engine)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    account = {"name": "news", "protocol": "pop3", "host": "h", "port": 995, "tls": "implicit", "user_name": "u"}
    with empty_engine.begin() as connection:
        connection.execute(fetcher.bounce_account.insert().values(**account, created_at=now, updated_at=now))
        connection.execute(
            fetcher.contact_list.insert().values(list_id="news", bounce_email="b@example.org", account="news")
        )
    again = {**account, "name": "other", "created_at": now, "updated_at": now}
    with pytest.raises(IntegrityError), empty_engine.begin() as connection:  # the same mailbox under another name
        connection.execute(fetcher.bounce_account.insert().values(again))
    with pytest.raises(IntegrityError), empty_engine.begin() as connection:  # a list's account cannot vanish
        connection.execute(fetcher.bounce_account.delete())
    move(empty_engine, command.downgrade, "0003")
    with empty_engine.begin() as connection:
        assert connection.execute(text("SELECT account FROM run")).scalar_one() == "news"
    upgrade(empty_engine)
    with empty_engine.begin() as connection:
        assert connection.execute(fetcher.contact_list.select()).all() == []
