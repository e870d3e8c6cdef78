"""What a database can do with the same rows when nobody asks for more.

PostgreSQL: one statement a batch that inserts the rows and recomputes the addresses; among several ledgers it would lose
counts. SQLite: the rows inserted, nothing recomputed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import Engine, insert, text

from shared.contract import Outcome, VerdictMessage
from shared.tables.ledger import address, raw, report

_SEVERITIES: Final = {"soft": 2, "hard": 3}
_GIVEN: Final = """
    raw_id text, run_id text, received_at timestamptz, kind text, message_verdict text, classifier_version integer,
    judged_at timestamptz, list_id text, account text, publisher_id text, campaign text, reporting_mta text, truncated boolean,
    recipient text, event_id text, tier smallint, severity smallint, verdict text, reason text, fault text, action text,
    status text, reply_code text, diagnostic_code text, final_recipient text, remote_mta text, rule text, evidence text
"""
_ONE_STATEMENT: Final = text(f"""
WITH given AS MATERIALIZED (SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS one({_GIVEN})),
mails AS (
    INSERT INTO raw (raw_id, run_id, received_at, kind, verdict, classifier_version, judged_at, list_id, account,
                     publisher_id, campaign, reporting_mta, truncated)
    SELECT DISTINCT ON (raw_id) raw_id, run_id, received_at, kind, message_verdict, classifier_version, judged_at, list_id,
           account, publisher_id, campaign, reporting_mta, truncated
    FROM given ON CONFLICT DO NOTHING RETURNING raw_id, received_at
),
said AS (
    INSERT INTO report (raw_id, recipient, event_id, tier, severity, verdict, reason, fault, action, status, reply_code,
                        diagnostic_code, final_recipient, remote_mta, rule, evidence)
    SELECT DISTINCT ON (raw_id, recipient) raw_id, recipient, event_id, tier, severity, verdict, reason, fault, action,
           status, reply_code, diagnostic_code, final_recipient, remote_mta, rule, evidence
    FROM given JOIN mails USING (raw_id) RETURNING raw_id, recipient, event_id, severity, reason
),
every AS (
    SELECT recipient, event_id, severity, reason, received_at FROM said JOIN mails USING (raw_id)
    UNION ALL
    SELECT report.recipient, report.event_id, report.severity, report.reason, raw.received_at
    FROM report JOIN raw USING (raw_id) WHERE report.recipient IN (SELECT recipient FROM given)
),
events AS (
    SELECT DISTINCT ON (recipient, event_id) recipient, event_id, severity, reason, received_at
    FROM every ORDER BY recipient, event_id, severity DESC, received_at
),
folded AS (
    SELECT recipient, count(*) FILTER (WHERE severity = 2) AS soft, bool_or(severity = 3) AS hard,
           min(received_at) FILTER (WHERE severity = 3) AS since
    FROM events GROUP BY recipient ORDER BY recipient
),
changed AS (
    INSERT INTO address (recipient, state, soft, hard, since, version, changed_at)
    SELECT recipient, CASE WHEN hard OR soft >= 5 THEN 'bounced' ELSE 'ok' END, soft, hard, since, nextval('address_version'),
           now() FROM folded
    ON CONFLICT (recipient) DO UPDATE SET state = excluded.state, soft = excluded.soft, hard = excluded.hard,
        since = excluded.since, version = excluded.version, changed_at = excluded.changed_at
    RETURNING recipient, version
)
INSERT INTO outbox (recipient, version, made_at) SELECT recipient, version, now() FROM changed
""")


def as_rows(verdicts: Sequence[VerdictMessage]) -> str:
    """One row an outcome, in JSON."""
    return orjson.dumps([{**_mail(one), **_said(outcome)} for one in verdicts for outcome in one["outcomes"]]).decode()


def in_one_statement(engine: Engine, rows: str) -> None:
    """Insert and recompute, in a transaction of its own."""
    with engine.begin() as connection:
        connection.execute(_ONE_STATEMENT, {"rows": rows})


def as_plain_rows(verdicts: Sequence[VerdictMessage]) -> tuple[list[dict[str, Any]], ...]:
    """Rows of raw, report and address."""
    mails = [{**_mail(one), "verdict": one["verdict"]} for one in verdicts]
    for mail in mails:
        del mail["message_verdict"]
    said = [{**_said(outcome), "raw_id": one["raw_id"]} for one in verdicts for outcome in one["outcomes"]]
    blank = {"state": "ok", "soft": 1, "hard": False, "version": 1}
    addresses = [
        {"recipient": one["recipient"], "changed_at": mail["received_at"], **blank}
        for one, mail in zip(said, mails, strict=True)
    ]
    return mails, said, addresses


def insert_plainly(engine: Engine, rows: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    """The three tables' rows in one transaction; those that are there stay."""
    with engine.begin() as connection:
        for table, its_rows in zip((raw, report, address), rows, strict=True):
            connection.execute(insert(table).prefix_with("OR IGNORE"), list(its_rows))


def _mail(verdict: VerdictMessage) -> dict[str, Any]:
    names = ("raw_id", "received_at", "kind", "classifier_version", "judged_at", "list_id", "account", "publisher_id")
    row: dict[str, Any] = {name: verdict[name] for name in (*names, "campaign", "reporting_mta", "truncated")}  # type: ignore[literal-required]
    return {**row, "run_id": verdict["run_id"] or "", "message_verdict": verdict["verdict"]}


def _said(outcome: Outcome) -> dict[str, Any]:
    return {**outcome, "severity": _SEVERITIES[outcome["verdict"]]}
