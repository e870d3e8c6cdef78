"""Killed on the way, given everything twice and out of order: the result is the one of a single clean run."""

import random
from pathlib import Path

import pika
import pytest
import redis

from services.embedded import EmbeddedPipeline
from shared.broker import BrokerBus
from shared.tables import connect, upgrade
from shared.topology import QUEUES
from tests.e2e.mails import make_sends, published, suppressed_by
from tests.e2e.processes import services
from tests.e2e.state import folded_state, projected_from, projected_in
from tests.servers.waiting import eventually


@pytest.mark.timeout(240)
def test_a_thousand_mails_twice_with_a_kill_of_each_service_equal_one_clean_run(
    tmp_path: Path, amqp_url: str, database_url: str, redis_url: str
) -> None:
    sends = make_sends(1000)
    messages = published(sends)

    clean = connect(f"sqlite:///{tmp_path}/clean.db")
    upgrade(clean)
    with EmbeddedPipeline(clean) as pipeline:
        pipeline.bus.publish(messages)
    expected = folded_state(clean)
    assert pipeline.newly_suppressed == suppressed_by(sends)

    engine = connect(database_url)
    upgrade(engine)
    environment = {
        "MAILROOM_AMQP_URL": amqp_url,
        "MAILROOM_DATABASE_URL": database_url,
        "MAILROOM_REDIS_URL": redis_url,
        "MAILROOM_CLASSIFIER_BATCH": "50",
        "MAILROOM_LEDGER_BATCH": "50",
    }
    twice = messages * 2
    random.Random(11).shuffle(twice)
    bus = BrokerBus(amqp_url)
    with services(environment, tmp_path) as running:
        classifiers = [running.start("classifier") for _ in range(2)]
        ledgers = [running.start("ledger") for _ in range(2)]
        bus.publish(twice[:1000])
        eventually(lambda: len(folded_state(engine)["mails"]) > 100, "the first mails", timeout_s=60)
        running.kill(classifiers[0])
        bus.publish(twice[1000:])
        eventually(lambda: len(folded_state(engine)["mails"]) > 300, "more mails", timeout_s=60)
        running.kill(ledgers[0])
        eventually(lambda: folded_state(engine) == expected, "the state of a clean run", timeout_s=120)
        eventually(lambda: _waiting_in(amqp_url) == 0, "empty queues", timeout_s=60)
        client = redis.Redis.from_url(redis_url, decode_responses=True)
        eventually(lambda: projected_in(client) == projected_from(engine), "Redis equal to the database", timeout_s=60)
        assert running.stop_all() == [0, 0]
    assert folded_state(engine) == expected
    assert projected_in(client)[1] == suppressed_by(sends)
    bus.close()
    client.close()
    engine.dispose()
    clean.dispose()


def _waiting_in(amqp_url: str) -> int:
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    try:
        channel = connection.channel()
        declared = [channel.queue_declare(queue.name, passive=True) for queue in QUEUES]
        return sum(answer.method.message_count for answer in declared)
    finally:
        connection.close()
