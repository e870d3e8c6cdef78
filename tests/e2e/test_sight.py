"""Each service as somebody on call sees it: alive, ready, and its figures."""

import http.client
import json
import re
from pathlib import Path

import pytest

from shared.broker import BrokerBus
from shared.tables import connect, upgrade
from tests.e2e.mails import make_sends, published
from tests.e2e.processes import services
from tests.servers import finding
from tests.servers.postgresql import PostgreSQLServer
from tests.servers.waiting import eventually

SERVICES = ("fetcher", "classifier", "ledger", "scheduler", "console")
ALERTS = Path(__file__).parents[2] / "docs/alerts.yml"
MAILS = 40


def ask(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def is_ready(port: int) -> bool:
    status, body = ask(port, "/ready")
    assert (status == 200) == json.loads(body)["ready"]
    return status == 200


def total(metrics: str, name: str, **labels: str) -> float:
    """The sum of the samples of that name with these labels."""
    samples = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", metrics, re.MULTILINE)
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(float(value) for given, value in samples if all(one in given for one in wanted))


@pytest.mark.stops_server
@pytest.mark.timeout(240)
def test_every_service_shows_whether_it_is_ready_and_what_it_has_done(
    tmp_path: Path, amqp_url: str, database_url: str, redis_url: str, postgresql: PostgreSQLServer
) -> None:
    engine = connect(database_url)
    upgrade(engine)
    engine.dispose()
    environment = {
        "MAILROOM_AMQP_URL": amqp_url,
        "MAILROOM_DATABASE_URL": database_url,
        "MAILROOM_REDIS_URL": redis_url,
        "MAILROOM_SECRET_KEY": "bWFpbHJvb20tbWFpbHJvb20tbWFpbHJvb20tbWFpbHI=",
        "MAILROOM_CONSOLE_PORT": "0",
    }
    ports = {service: finding.free_port() for service in SERVICES}
    with services(environment, tmp_path) as running:
        for service, port in ports.items():
            running.start(service, MAILROOM_METRICS_PORT=str(port))
        for service, port in ports.items():
            eventually(lambda port=port: is_ready(port), f"{service} ready", timeout_s=60, ignoring=(OSError,))
            assert ask(port, "/health") == (200, '{"alive":true,"hangs":null}\n')
            assert ask(port, "/elsewhere")[0] == 404

        bus = BrokerBus(amqp_url)
        sends = make_sends(MAILS)
        bus.publish(published(sends))
        bus.close()
        eventually(
            lambda: (
                total(ask(ports["ledger"], "/metrics")[1], "mailroom_messages_total", queue="ledger.verdicts") >= MAILS
            ),
            "the verdicts",
            timeout_s=60,
        )
        shown = {service: ask(port, "/metrics")[1] for service, port in ports.items()}
        judged = shown["classifier"]
        assert total(judged, "mailroom_judged_total") == len(published(sends))
        assert total(judged, "mailroom_outcomes_total", verdict="hard") > 0
        assert total(judged, "mailroom_published_total", routing_key="bounce.verdict") == len(published(sends))
        assert total(judged, "mailroom_stage_seconds_count", stage="judge") >= 1
        counted = shown["ledger"]
        assert total(counted, "mailroom_address_changes_total", state="bounced") > 0
        assert "mailroom_projection_lag_seconds 0.0" in counted
        assert 'mailroom_oldest_message_seconds{queue="ledger.verdicts"}' in counted
        assert total(shown["scheduler"], "mailroom_accounts") == 0

        # every series that an alert asks for is shown by one of them, at least by its name
        named = set(re.findall(r"^# TYPE (\S+)", "\n".join(shown.values()), re.MULTILINE))
        asked = set(re.findall(r"\bmailroom_[a-z_]+", ALERTS.read_text()))
        assert asked <= named

        postgresql.stop()
        for service in ("fetcher", "ledger", "scheduler", "console"):
            _, body = eventually(
                lambda port=ports[service]: (answer := ask(port, "/ready"))[0] == 503 and answer,
                "not ready",
                timeout_s=60,
            )
            assert "the database" in json.loads(body)["waiting_for"]
            assert ask(ports[service], "/health")[0] == 200
        assert is_ready(ports["classifier"])
        postgresql.restart()
        for service, port in ports.items():
            eventually(lambda port=port: is_ready(port), f"{service} ready again", timeout_s=90)
        assert set(running.stop_all()) == {0}
