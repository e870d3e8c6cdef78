"""The throw-away servers themselves: real clients are served, and what was confirmed outlives SIGKILL."""

import contextlib
import imaplib
import poplib
import ssl

import kombu
import pika
import psycopg
import pytest
import redis

from shared import topology
from tests.servers.dovecot import DovecotServer, Mailbox
from tests.servers.postgresql import PostgreSQLServer, driver_url
from tests.servers.rabbitmq import RabbitMQServer
from tests.servers.redis import RedisServer
from tests.servers.waiting import eventually

MAIL = b"From: mailer-daemon@example.org\r\nSubject: Undelivered Mail\r\n\r\nNo such user here.\r\n"
# One that a given broker is cleaned of.
QUEUE = topology.QUEUES[0].name
QUORUM = {"x-queue-type": "quorum"}


class TestRabbitMQ:
    def test_two_clients_meet_in_a_virtual_host(self, amqp_url: str) -> None:
        publish(amqp_url, b"from kombu")
        assert get(amqp_url) == b"from kombu"

    def test_every_test_has_its_own(self, amqp_url: str) -> None:
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="NOT_FOUND"):
            get(amqp_url)

    @pytest.mark.stops_server
    def test_a_confirmed_message_outlives_the_server(self, rabbitmq: RabbitMQServer, amqp_url: str) -> None:
        publish(amqp_url, b"kept")
        port = rabbitmq.port
        rabbitmq.kill()
        with pytest.raises(ConnectionRefusedError):
            kombu.Connection(amqp_url).connect()
        rabbitmq.restart()
        assert rabbitmq.port == port
        assert get(amqp_url) == b"kept"


def publish(url: str, body: bytes) -> None:
    """Published durably to a quorum queue, and confirmed."""
    with kombu.Connection(url, transport_options={"confirm_publish": True}) as connection:
        queue = connection.SimpleQueue(QUEUE, queue_args=QUORUM, no_ack=True)
        queue.put(body)
        queue.close()


def get(url: str) -> bytes:
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE, passive=True)
        return eventually(lambda: channel.basic_get(QUEUE, auto_ack=True)[2], "the message")


class TestPostgreSQL:
    def test_a_fresh_database_is_empty(self, database_url: str) -> None:
        with contextlib.closing(psycopg.connect(driver_url(database_url))) as connection:
            row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert row == (0,)

    def test_a_database_can_be_made_from_another(self, postgresql: PostgreSQLServer, database_url: str) -> None:
        add_row(database_url)
        template = database_url.rpartition("/")[2]
        copy = postgresql.create_database(template=template)
        assert rows(copy) == [(1,)]
        postgresql.drop_database(copy)

    @pytest.mark.stops_server
    def test_a_committed_row_outlives_the_server(self, postgresql: PostgreSQLServer, database_url: str) -> None:
        add_row(database_url)
        postgresql.kill()
        with pytest.raises(psycopg.OperationalError):
            rows(database_url)
        postgresql.restart()
        assert rows(database_url) == [(1,)]


def add_row(url: str) -> None:
    with contextlib.closing(psycopg.connect(driver_url(url), autocommit=True)) as connection:
        connection.execute("CREATE TABLE probe (number integer)")
        connection.execute("INSERT INTO probe VALUES (1)")


def rows(url: str) -> list[tuple[int]]:
    with contextlib.closing(psycopg.connect(driver_url(url))) as connection:
        return connection.execute("SELECT number FROM probe").fetchall()


class TestRedis:
    def test_a_fresh_database_is_empty_and_never_evicts(self, redis_url: str) -> None:
        with redis.Redis.from_url(redis_url) as client:
            assert client.dbsize() == 0
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}

    @pytest.mark.stops_server
    def test_what_was_written_outlives_the_server(self, redis_server: RedisServer, redis_url: str) -> None:
        with redis.Redis.from_url(redis_url) as client:
            client.sadd("probe", "kept")
        redis_server.kill()
        with redis.Redis.from_url(redis_url, retry=None) as client, pytest.raises(redis.ConnectionError):
            client.ping()
        redis_server.restart()
        with redis.Redis.from_url(redis_url) as client:
            assert client.smembers("probe") == {b"kept"}


class TestDovecot:
    def test_pop3_in_the_clear(self, mailbox: Mailbox) -> None:
        mailbox.deliver(MAIL)
        client = poplib.POP3(mailbox.host, mailbox.server.pop3_port, timeout=30)
        assert read_and_delete(client, mailbox) == MAIL
        eventually(lambda: mailbox.mails() == [], "an empty mailbox")

    def test_pop3_over_tls(self, mailbox: Mailbox, trust: ssl.SSLContext) -> None:
        mailbox.deliver(MAIL)
        client = poplib.POP3_SSL(mailbox.host, mailbox.server.pop3s_port, context=trust, timeout=30)
        assert read_and_delete(client, mailbox) == MAIL

    def test_pop3_with_starttls(self, mailbox: Mailbox, trust: ssl.SSLContext) -> None:
        mailbox.deliver(MAIL)
        client = poplib.POP3("127.0.0.1", mailbox.server.pop3_port, timeout=30)
        client.stls(trust)
        assert read_and_delete(client, mailbox) == MAIL

    def test_imap_over_tls(self, mailbox: Mailbox, trust: ssl.SSLContext) -> None:
        mailbox.deliver(MAIL, received_at=1_000_000_000)
        with imaplib.IMAP4_SSL(mailbox.host, mailbox.server.imaps_port, ssl_context=trust, timeout=30) as client:
            client.login(mailbox.user, mailbox.password)
            client.select("INBOX")
            _, answer = client.fetch("1", "(INTERNALDATE BODY.PEEK[])")
            client.create("Done")
            client.copy("1", "Done")
        assert isinstance(answer[0], tuple)
        assert b"09-Sep-2001 01:46:40 +0000" in answer[0][0]
        assert answer[0][1] == MAIL
        assert mailbox.mails() == mailbox.mails("Done") == [MAIL]
        assert mailbox.folders() == ["INBOX", "Done"]

    def test_imap_with_starttls(self, mailbox: Mailbox, trust: ssl.SSLContext) -> None:
        with imaplib.IMAP4(mailbox.host, mailbox.server.imap_port, timeout=30) as client:
            client.starttls(trust)
            assert client.login(mailbox.user, mailbox.password)[0] == "OK"

    def test_a_stranger_does_not_trust_the_certificate(self, mailbox: Mailbox) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            poplib.POP3_SSL(mailbox.host, mailbox.server.pop3s_port, context=ssl.create_default_context(), timeout=30)

    def test_a_wrong_password_is_refused(self, mailbox: Mailbox) -> None:
        client = poplib.POP3(mailbox.host, mailbox.server.pop3_port, timeout=30)
        client.user(mailbox.user)
        with pytest.raises(poplib.error_proto, match="AUTH"):
            client.pass_("something else")
        client.close()

    @pytest.mark.stops_server
    def test_a_mail_outlives_the_server(self, dovecot: DovecotServer, mailbox: Mailbox) -> None:
        mailbox.deliver(MAIL)
        dovecot.kill()
        with pytest.raises(ConnectionRefusedError):
            poplib.POP3(mailbox.host, dovecot.pop3_port, timeout=30)
        dovecot.restart()
        assert mailbox.mails() == [MAIL]
        assert read_and_delete(poplib.POP3(mailbox.host, dovecot.pop3_port, timeout=30), mailbox) == MAIL

    @pytest.fixture
    def trust(self, dovecot: DovecotServer) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(dovecot.ca_file))


def read_and_delete(client: poplib.POP3, mailbox: Mailbox) -> bytes:
    client.user(mailbox.user)
    client.pass_(mailbox.password)
    _, lines, _ = client.retr(1)
    client.dele(1)
    client.quit()
    return b"\r\n".join([*lines, b""])
