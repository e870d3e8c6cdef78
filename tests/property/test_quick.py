"""The quick way in and out of a schema says what the schema says, or nothing."""

import json
from copy import deepcopy
from datetime import UTC, timedelta, timezone
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError, fields

import shared.contract
from shared.contract import AddressEventSchema, FetchRequestSchema, VerdictSchema
from shared.contract.quick import Quick

GOLDEN = Path(shared.contract.__file__).parent / "golden"
FORMS: list[tuple[Schema, str]] = [
    (VerdictSchema(), "verdict.v1.json"),
    (FetchRequestSchema(), "fetch-request.v1.json"),
    (AddressEventSchema(), "address-event.v1.json"),
]
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=80),
    st.sampled_from(["", "a" * 64, "0" * 64, "0" * 64 + "\n", "x" * 3000, "user-unknown", "soft", "5", "1", "true"]),
    st.sampled_from(
        ["2026-03-03T09:14:08+00:00", "2026-03-03T09:14:08Z", "2026-03-03T09:14:08", "2026-03-03 09:14+02:00"]
    ),
    st.sampled_from(
        ["2026-03-03+00:00", "20260303+00:00", "2026-W01+00:00", "2026-W01-1+00:00", "2026-03-03T09+00:00"]
    ),
    st.datetimes(
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=2)), timezone(timedelta(0), "Z")]) | st.none()
    ),
    st.just([]),
    st.just({}),
)


def golden(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((GOLDEN / name).read_text(encoding="utf-8"))
    return loaded


@st.composite
def messages(draw: st.DrawFn) -> tuple[Schema, dict[str, Any]]:
    """A golden message, some of whose fields are changed, removed or added, also in its outcomes."""
    schema, name = draw(st.sampled_from(FORMS))
    message = deepcopy(golden(name))
    places = [message, *message.get("outcomes", [])]
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(places))
        key = draw(st.sampled_from([*sorted(place), "a field of tomorrow"]))
        if draw(st.booleans()):
            place[key] = draw(ODD)
        else:
            place.pop(key, None)
    return schema, message


@given(messages())
@settings(max_examples=2000, deadline=None)
def test_what_is_read_quickly_is_what_the_schema_reads(case: tuple[Schema, dict[str, Any]]) -> None:
    schema, message = case
    quick = Quick(schema).load(message)
    if quick is not None:
        assert quick == schema.load(message)
        assert [type(value) for value in quick.values()] == [type(schema.load(message)[name]) for name in quick]


@given(messages())
@settings(max_examples=2000, deadline=None)
def test_what_is_written_quickly_is_what_the_schema_writes(case: tuple[Schema, dict[str, Any]]) -> None:
    schema, message = case
    try:
        value = schema.load(message)
    except ValidationError:
        value = message
    quick = Quick(schema).dump(value)
    if quick is not None:
        assert json.loads(orjson.dumps(quick)) == schema.dump(value)
        assert schema.validate(schema.dump(value)) == {}


@pytest.mark.parametrize(("schema", "name"), FORMS)
def test_golden_messages_go_the_quick_way(schema: Schema, name: str) -> None:
    loaded = Quick(schema).load(golden(name))
    assert loaded == schema.load(golden(name))
    assert Quick(schema).dump(schema.load(golden(name))) is not None


@pytest.mark.parametrize("text", ["2026-03-03+00:00", "20260303+00:00", "2026-W01+00:00", "2026-W01-1+00:00"])
def test_what_looks_like_an_offset_and_is_none(text: str) -> None:
    assert Quick(VerdictSchema()).load({**golden("verdict.v1.json"), "received_at": text}) is None


def test_a_field_that_is_not_known_has_no_quick_way() -> None:
    with pytest.raises(TypeError, match="no quick way"):
        Quick(Schema.from_dict({"price": fields.Decimal()})())
