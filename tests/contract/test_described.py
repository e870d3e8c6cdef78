"""The contract as other languages read it says what our own schemas say."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from click.testing import CliRunner
from marshmallow import ValidationError

from services.cli import main
from shared.contract.messages import BODY_LIMIT_BYTES
from shared.described import SCHEMAS, json_schema
from shared.topology import QUEUES

DOCS = Path(__file__).parents[2] / "docs/contract"
GOLDEN = Path(__file__).parents[2] / "shared/contract/golden"
EXAMPLES = {
    "raw-bounce-headers.v1": "raw-bounce.v1.headers.json",
    "raw-bounce.v1": "raw-bounce.v1.json",
    "verdict.v1": "verdict.v1.json",
    "fetch-request.v1": "fetch-request.v1.json",
    "address-event.v1": "address-event.v1.json",
}


def golden(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((GOLDEN / EXAMPLES[name]).read_text())
    return read


@pytest.mark.parametrize(
    ("arguments", "file"), [((), "asyncapi.json"), *(((name,), f"{name}.schema.json") for name in SCHEMAS)]
)
def test_what_is_published_is_what_the_schemas_say(arguments: tuple[str, ...], file: str) -> None:
    made = CliRunner().invoke(main, ["contract", *arguments], catch_exceptions=False).stdout
    hint = f"mailroom contract {' '.join(arguments)} > docs/contract/{file}"
    assert made == (DOCS / file).read_text(), f"the contract has changed: {hint}"


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_golden_example_is_valid(name: str) -> None:
    assert jsonschema_rs.validator_for(json_schema(name)).is_valid(golden(name))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("raw-bounce-headers.v1", {"list_id": "no slug"}),
        ("raw-bounce-headers.v1", {"list_id": "slug\n"}),
        ("raw-bounce-headers.v1", {"schema_version": 2}),
        ("raw-bounce-headers.v1", {"account": "a" * 256}),
        ("raw-bounce.v1", {"raw": None}),
        ("verdict.v1", {"kind": "newsletter"}),
        ("verdict.v1", {"verdict": "complaint"}),
        ("verdict.v1", {"raw_id": "abc"}),
        ("verdict.v1", {"classifier_version": 0}),
        ("verdict.v1", {"received_at": None}),
        ("verdict.v1", {"outcomes": [{"event_id": "abc"}]}),
        ("fetch-request.v1", {"account": ""}),
        ("address-event.v1", {"epoch": "two"}),
    ],
)
def test_both_refuse_the_same(name: str, change: dict[str, Any]) -> None:
    changed = golden(name) | change
    assert not jsonschema_rs.validator_for(json_schema(name)).is_valid(changed)
    with pytest.raises(ValidationError):
        SCHEMAS[name]().load(changed)


@pytest.mark.parametrize("name", SCHEMAS)
def test_both_leave_out_what_may_be_left_out(name: str) -> None:
    validator = jsonschema_rs.validator_for(json_schema(name))
    example = golden(name)
    for field in example:
        changed = {one: value for one, value in example.items() if one != field}
        assert validator.is_valid(changed) == (not SCHEMAS[name]().validate(changed)), field


@pytest.mark.parametrize("name", SCHEMAS)
def test_both_take_what_a_newer_publisher_adds(name: str) -> None:
    newer = golden(name) | {"a_field_of_tomorrow": [1]}
    assert jsonschema_rs.validator_for(json_schema(name)).is_valid(newer)
    assert not SCHEMAS[name]().validate(newer)


class TestAsyncApi:
    document = json.loads((DOCS / "asyncapi.json").read_text())

    def test_every_reference_leads_somewhere(self) -> None:
        def references(value: Any) -> list[str]:
            if isinstance(value, dict):
                own = [value["$ref"]] if "$ref" in value else []
                return own + [one for each in value.values() for one in references(each)]
            return [one for each in value for one in references(each)] if isinstance(value, list) else []

        found = references(self.document)
        assert len(found) >= 10
        for reference in found:
            place: Any = self.document
            for step in reference.removeprefix("#/").split("/"):
                place = place[step]

    def test_it_names_every_queue_and_the_limit_of_a_mail(self) -> None:
        assert set(self.document["x-queues"]) == {queue.name for queue in QUEUES}
        described = self.document["components"]["messages"]["rawBounce"]["payload"]["description"]
        assert str(BODY_LIMIT_BYTES) in described
