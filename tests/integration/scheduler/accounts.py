"""Bounce accounts as rows, and time that passes for them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, bindparam, insert, select, update

from shared.tables.fetcher import bounce_account, run, schedule

HOUR = timedelta(hours=1)


def add_accounts(engine: Engine, names: Sequence[str], interval: timedelta = HOUR) -> None:
    """Active ones."""
    now = datetime.now(UTC)
    rows = [
        {
            "name": name,
            "protocol": "pop3",
            "host": "mail.example.org",
            "port": 995,
            "tls": "implicit",
            "user_name": name,
            "interval_s": int(interval.total_seconds()),
            "created_at": now,
            "updated_at": now,
        }
        for name in names
    ]
    with engine.begin() as connection:
        connection.execute(insert(bounce_account), rows)


def change_account(engine: Engine, name: str, **values: Any) -> None:
    """As a person does it."""
    with engine.begin() as connection:
        connection.execute(update(bounce_account).where(bounce_account.c.name == name).values(**values))


def let_pass(engine: Engine, time: timedelta) -> None:
    """Everything that was planned, asked for or fetched is so much longer ago."""
    with engine.begin() as connection:
        for table, columns in (
            (bounce_account, ("created_at",)),
            (schedule, ("since", "planned_at", "next_at", "requested_at")),
            (run, ("started_at", "fetched_at", "finished_at")),
        ):
            (key,) = table.primary_key
            rows = connection.execute(select(table)).mappings().all()
            moved = [
                {"key": row[key.name], **{name: row[name] and row[name] - time for name in columns}} for row in rows
            ]
            if moved:
                values = {name: bindparam(name) for name in columns}
                connection.execute(update(table).where(key == bindparam("key")).values(values), moved)


def plan_of(engine: Engine, name: str = "news") -> Any:
    """The row of the table schedule; None when there is none."""
    with engine.connect() as connection:
        return connection.execute(select(schedule).where(schedule.c.account == name)).one_or_none()


def add_run(engine: Engine, run_id: str, account: str = "news", **values: Any) -> None:
    """What a fetcher writes of a pass; it begins now."""
    row = {"run_id": run_id, "account": account, "started_at": datetime.now(UTC), **values}
    with engine.begin() as connection:
        connection.execute(insert(run), row)
