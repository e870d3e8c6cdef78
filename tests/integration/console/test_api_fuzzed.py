"""Requests to the API that nobody thought of: none ends with an error of ours, and every answer is as it is described."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.console.app import Settings, make_backing
from services.console.application import create_application
from services.console.pace import Pace
from services.console.tokens import Scope
from shared.publisher import ConfirmingPublisher
from shared.tables import connect
from tests.browser.content import fill
from tests.servers.console import SECRET_KEY

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture
def described(tmp_path: Path, amqp_url: str) -> Iterator[tuple[object, str]]:
    url = f"sqlite:///{tmp_path / 'mailroom.db'}"
    fill(url)
    variables = {"MAILROOM_DATABASE_URL": url, "MAILROOM_AMQP_URL": amqp_url, "MAILROOM_SECRET_KEY": SECRET_KEY}
    engine = connect(url)
    publisher = ConfirmingPublisher(amqp_url, 5.0)
    backing = make_backing(Settings.from_env(variables), engine, publisher)
    object.__setattr__(backing, "pace", Pace(1_000_000))
    token = backing.tokens.make("fuzz", list(Scope), "tests")
    app = create_application(backing, secret_key=SECRET_KEY)
    yield schemathesis.openapi.from_wsgi("/api/openapi.json", app), token
    publisher.close()
    engine.dispose()


@pytest.mark.timeout(300)
def test_every_answer_is_as_described(described: tuple[object, str]) -> None:
    schema, token = described
    tried = 0
    for result in schema.get_all_operations():  # type: ignore[attr-defined]
        operation = result.ok()

        @settings(
            max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy())
        def ask(case: object) -> None:
            case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=CHECKS)  # type: ignore[attr-defined]

        ask()
        tried += 1
    assert tried >= 20
