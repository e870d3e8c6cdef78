"""A mail in a real mailbox becomes an address that may not be mailed, and the mailbox is left as it should be."""

import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from shared.broker import BrokerBus
from shared.suppressions import SUPPRESSED_KEY, Suppressions
from shared.tables import connect, upgrade
from shared.wire import fetch_request_message
from tests.e2e.mails import FULL, HUMAN_MAIL, UNKNOWN, Send, bounce_of
from tests.e2e.processes import services
from tests.servers.dovecot import DovecotServer, Mailbox
from tests.servers.waiting import eventually

SENDS = [
    Send("gone@example.net", 1, *UNKNOWN),
    *(Send("full@example.net", number, *FULL) for number in range(2, 7)),
    *(Send("nearly@example.net", number, *FULL) for number in range(7, 11)),
]


@pytest.mark.parametrize(("protocol", "tls"), [("pop3", "implicit"), ("imap", "starttls")])
@pytest.mark.timeout(240)
def test_bounces_in_marks_out(
    protocol: str,
    tls: str,
    tmp_path: Path,
    amqp_url: str,
    database_url: str,
    redis_url: str,
    dovecot: DovecotServer,
    mailbox: Mailbox,
) -> None:
    for send in SENDS:
        mailbox.deliver(bounce_of(send))
    mailbox.deliver(HUMAN_MAIL)
    ports = {
        ("pop3", "implicit"): dovecot.pop3s_port,
        ("imap", "starttls"): dovecot.imap_port,
    }
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(
        f"""
        [accounts.weekly]
        protocol = "{protocol}"
        host = "{dovecot.host}"
        port = {ports[protocol, tls]}
        user = "{mailbox.user}"
        password_env = "TEST_PASSWORD"
        tls = "{tls}"
        ca_file = "{dovecot.ca_file}"
        list_id = "weekly"
        """
    )
    engine = connect(database_url)
    upgrade(engine)
    environment = {
        "MAILROOM_AMQP_URL": amqp_url,
        "MAILROOM_DATABASE_URL": database_url,
        "MAILROOM_REDIS_URL": redis_url,
        "MAILROOM_ACCOUNTS_FILE": str(accounts),
        "TEST_PASSWORD": mailbox.password,
    }
    bus = BrokerBus(amqp_url)
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    asks_redis = Suppressions(None, client)
    asks_database = Suppressions(engine)
    with services(environment, tmp_path) as running:
        for service in ("fetcher", "classifier", "ledger"):
            running.start(service)
        bus.publish(
            [
                fetch_request_message(
                    {
                        "schema_version": 1,
                        "account": "weekly",
                        "run_id": uuid.uuid4().hex,
                        "requested_at": datetime.now(UTC),
                    }
                )
            ]
        )
        eventually(
            lambda: client.smembers(SUPPRESSED_KEY) == {"gone@example.net", "full@example.net"},
            "both addresses in Redis",
            timeout_s=90,
        )
        eventually(lambda: len(mailbox.mails()) == 1, "the mailbox to be emptied of its bounces", timeout_s=90)
        addresses = ["Gone@Example.NET", "full@example.net", "nearly@example.net", "jane@example.org"]
        assert asks_redis.are_suppressed(addresses) == [True, True, False, False]
        assert asks_database.are_suppressed(addresses) == [True, True, False, False]
        assert running.stop_all() == [0, 0, 0]
    (left,) = mailbox.mails()
    assert b"jane-1@example.org" in left
    bus.close()
    client.close()
    engine.dispose()
