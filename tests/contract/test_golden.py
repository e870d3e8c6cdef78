"""The golden examples: what each version of each message looks like, for as long as anybody sends it. Never edited.

A golden file loads to what it says, dumps back to itself, and whatever differs from the contract is refused with a reason
that a person can read on one line.
"""

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import shared.contract
from shared import wire
from shared.bus import Message
from shared.contract import BODY_LIMIT_BYTES, JSON, RFC822, RawBounceHeadersSchema
from shared.errors import Permanent
from shared.identity import raw_id
from shared.topology import EXCHANGE, FETCH, RAW, RELEASED, SUPPRESSED, VERDICT

GOLDEN = Path(shared.contract.__file__).parent / "golden"
MAIL = (GOLDEN / "raw-bounce.v1.eml").read_bytes()


def golden(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((GOLDEN / name).read_text(encoding="utf-8"))
    return loaded


RECEIVED_AT = datetime(2026, 3, 3, 9, 14, 8, tzinfo=UTC)
RAW_BOUNCE = {
    "schema_version": 1,
    "list_id": "example-news",
    "run_id": "01JNDRE3Q5V9T8W2M4K6H7B0CX",
    "account": "bounces@lists.example.com",
    "received_at": RECEIVED_AT,
    "truncated": False,
    "source": "imap",
    "raw": MAIL,
}


def as_json(value: object, *, type_: str = "", content_type: str = JSON) -> Message:
    return Message(EXCHANGE, RAW, json.dumps(value).encode(), content_type, type_)


def as_mail(headers: dict[str, Any], body: bytes = MAIL, *, type_: str = "", content_type: str = RFC822) -> Message:
    return Message(EXCHANGE, RAW, body, content_type, type_, headers)


# The message's name, how it is read, and its type on the wire.
Reader = Callable[[Message], Any]
JSON_FORMS: list[tuple[str, Reader, str]] = [
    ("raw-bounce.v1.json", wire.read_raw_bounce, "mailroom.raw-bounce"),
    ("verdict.v1.json", wire.read_verdict, "mailroom.verdict"),
    ("fetch-request.v1.json", wire.read_fetch_request, "mailroom.fetch-request"),
    ("address-event.v1.json", wire.read_address_event, "mailroom.address-event"),
]
every_json_form = pytest.mark.parametrize(
    ("name", "read", "type_"), JSON_FORMS, ids=[name for name, _, _ in JSON_FORMS]
)


def test_every_golden_file_is_tested() -> None:
    named = {name for name, _, _ in JSON_FORMS} | {"raw-bounce.v1.eml", "raw-bounce.v1.headers.json"}
    assert {path.name for path in GOLDEN.iterdir()} == named


class TestRawBounce:
    def test_the_mail_with_headers_loads(self) -> None:
        message = as_mail(golden("raw-bounce.v1.headers.json"), type_="mailroom.raw-bounce")
        assert wire.read_raw_bounce(message) == RAW_BOUNCE

    def test_the_json_form_loads_to_the_same(self) -> None:
        assert wire.read_raw_bounce(as_json(golden("raw-bounce.v1.json"))) == RAW_BOUNCE

    def test_what_we_publish_is_the_golden_one(self) -> None:
        given = {name: value for name, value in RAW_BOUNCE.items() if name not in ("schema_version", "raw")}
        message = wire.raw_bounce_message(MAIL, **given)  # type: ignore[arg-type]
        assert message == Message(
            EXCHANGE, RAW, MAIL, "message/rfc822", "mailroom.raw-bounce", golden("raw-bounce.v1.headers.json")
        )

    def test_the_schema_dumps_the_golden_json(self) -> None:
        assert shared.contract.RawBounceJsonSchema().dump(RAW_BOUNCE) == golden("raw-bounce.v1.json")

    def test_a_bare_mail_is_enough(self) -> None:
        nothing = dict.fromkeys(RAW_BOUNCE) | {"schema_version": 1, "truncated": False, "raw": MAIL}
        assert wire.read_raw_bounce(as_mail({})) == nothing
        assert wire.read_raw_bounce(as_json({"raw": golden("raw-bounce.v1.json")["raw"]})) == nothing

    def test_foreign_headers_do_not_matter(self) -> None:
        foreign = {"x-trace": "00-4bf9", "raw": "not the mail", "CC": 7, "outcomes": True}
        assert wire.read_raw_bounce(as_mail(golden("raw-bounce.v1.headers.json") | foreign)) == RAW_BOUNCE

    def test_content_types_carry_parameters(self) -> None:
        assert wire.read_raw_bounce(as_mail({}, content_type="Message/RFC822; charset=binary"))["raw"] == MAIL
        assert wire.read_raw_bounce(as_json({"raw": "eA=="}, content_type="application/json; charset=utf-8"))

    @pytest.mark.parametrize(
        ("message", "reason"),
        [
            (as_mail({"schema_version": 2}), "schema_version: Must be equal to 1"),
            (as_mail({"schema_version": "one"}), "schema_version: Not a valid integer"),
            (as_mail({"list_id": "no slug"}), "list_id: must be a slug of at most 64 characters"),
            (as_mail({"list_id": "x" * 65}), "list_id: must be a slug"),
            (as_mail({"list_id": "news\n"}), "list_id: must be a slug"),
            (
                as_mail({"received_at": "yesterday"}),
                "raw bounce breaks the contract: received_at: Not a valid datetime",
            ),
            (as_mail({"received_at": "2026-03-03T09:14:08"}), "received_at: Not a valid aware datetime"),
            (as_mail({"received_at": 1772529248}), "received_at: Not a valid datetime"),
            (as_mail({"truncated": "perhaps"}), "truncated: Not a valid boolean"),
            (as_mail({"account": 7}), "account: Not a valid string"),
            (as_mail({"run_id": "r" * 65}), "run_id: Longer than maximum length 64"),
            (as_mail({}, b""), "the body is empty; a raw bounce is the mail itself"),
            (as_mail({}, type_="mailroom.verdict"), "type is 'mailroom.verdict'; a raw bounce has type"),
            (as_mail({}, content_type="text/plain"), "content type is 'text/plain'; a raw bounce is message/rfc822 or"),
            (as_mail({}, content_type=""), "content type is ''"),
            (as_mail({}, b"x" * (BODY_LIMIT_BYTES + 1)), "1048577 bytes; on the wire at most 1048576: cut it"),
            (as_json({}), "raw: Missing data for required field"),
            (as_json({"raw": ""}), "the mail is empty"),
            (as_json({"raw": "no base64!"}), "raw: is not base64"),
            (as_json({"raw": None}), "raw: Field may not be null"),
            (as_json({"raw": "ü"}), "raw: is not base64"),
            (as_json({"raw": "x" * 2 * BODY_LIMIT_BYTES}), "the JSON has 2097163 bytes"),
            (as_json({"raw": "eHh4" * (BODY_LIMIT_BYTES // 3 + 1)}), "on the wire at most 1048576"),
            (as_json([]), "not a JSON object"),
            (as_json("raw"), "not a JSON object"),
            (as_json(None), "not a JSON object"),
        ],
    )
    def test_what_is_not_in_the_contract_is_refused(self, message: Message, reason: str) -> None:
        assert reason in refusal(wire.read_raw_bounce, message)

    def test_the_largest_mail_is_accepted_in_both_forms(self) -> None:
        largest = b"x" * BODY_LIMIT_BYTES
        assert wire.read_raw_bounce(as_mail({}, largest))["raw"] == largest
        fields = shared.contract.RawBounceJsonSchema().dump({**RAW_BOUNCE, "raw": largest})
        assert wire.read_raw_bounce(as_json(fields))["raw"] == largest

    @pytest.mark.parametrize(
        "given",
        [{"list_id": "no slug"}, {"source": "s" * 256}, {"received_at": datetime(2026, 3, 3)}],
        ids=["list_id", "source", "naive time"],
    )
    def test_we_do_not_publish_what_nobody_would_read(self, given: dict[str, Any]) -> None:
        with pytest.raises(Permanent, match=next(iter(given))):
            wire.raw_bounce_message(MAIL, **given)


class TestVerdict:
    def test_it_loads(self) -> None:
        verdict = wire.read_verdict(as_json(golden("verdict.v1.json")))
        assert verdict["raw_id"] == raw_id(MAIL)
        assert verdict["received_at"] == RECEIVED_AT
        assert verdict["judged_at"] == RECEIVED_AT + timedelta(seconds=1.25)
        assert [outcome["recipient"] for outcome in verdict["outcomes"]] == ["gone@example.net", None]
        assert set(verdict) == set(golden("verdict.v1.json"))

    def test_unknown_fields_of_an_outcome_are_dropped(self) -> None:
        newer = golden("verdict.v1.json")
        newer["outcomes"][0]["confidence"] = 0.9
        assert wire.read_verdict(as_json(newer)) == wire.read_verdict(as_json(golden("verdict.v1.json")))

    @pytest.mark.parametrize(
        ("field", "value", "reason"),
        [
            ("raw_id", "ab", "raw_id: must be 64 hexadecimal digits"),
            ("raw_id", "A" * 64, "raw_id: must be 64 hexadecimal digits"),
            ("kind", "spam", "kind: Must be one of: bounce, delay-notice"),
            ("verdict", "complaint", "verdict: Must be one of: hard, soft, unidentified, ignore"),
            ("received_at", None, "received_at: Field may not be null"),
            ("judged_at", "2026-03-03", "judged_at: Not a valid aware datetime"),
            ("classifier_version", 0, "classifier_version: Must be greater than or equal to 1"),
            ("outcomes", {}, "outcomes: Not a valid list"),
            ("outcomes", [3], "outcomes.0._schema: Invalid input type"),
            ("outcomes", None, "outcomes: Field may not be null"),
        ],
    )
    def test_a_wrong_field_is_refused(self, field: str, value: object, reason: str) -> None:
        assert reason in refusal(wire.read_verdict, as_json(golden("verdict.v1.json") | {field: value}))

    @pytest.mark.parametrize(
        ("field", "value", "reason"),
        [
            ("event_id", "f" * 63, "outcomes.1.event_id: must be 64 hexadecimal digits"),
            ("tier", 5, "outcomes.1.tier: Must be greater than or equal to 1 and less than or equal to 4"),
            ("verdict", "ignore", "outcomes.1.verdict: Must be one of: hard, soft, unidentified, complaint"),
            ("reason", "User Unknown", "outcomes.1.reason: must be kebab case"),
            ("fault", "nobody", "outcomes.1.fault: Must be one of: recipient, sender, content, network, policy"),
            ("recipient", "a" * 321, "outcomes.1.recipient: Longer than maximum length 320"),
            ("diagnostic_code", "d" * 2049, "outcomes.1.diagnostic_code: Longer than maximum length 2048"),
        ],
    )
    def test_a_wrong_field_of_an_outcome_is_refused(self, field: str, value: object, reason: str) -> None:
        wrong = golden("verdict.v1.json")
        wrong["outcomes"][1][field] = value
        assert reason in refusal(wire.read_verdict, as_json(wrong))

    def test_more_outcomes_than_a_message_may_have_are_refused(self) -> None:
        verdict = golden("verdict.v1.json")
        verdict["outcomes"] = verdict["outcomes"][:1] * 1001
        assert "outcomes: Longer than maximum length 1000" in refusal(wire.read_verdict, as_json(verdict))

    def test_an_outcome_needs_to_say_whether_a_recipient_is_known(self) -> None:
        verdict = golden("verdict.v1.json")
        del verdict["outcomes"][1]["recipient"]
        assert "outcomes.1.recipient: Missing data" in refusal(wire.read_verdict, as_json(verdict))


def test_what_we_publish_is_the_golden_verdict() -> None:
    message = wire.verdict_message(wire.read_verdict(as_json(golden("verdict.v1.json"))))
    assert (message.exchange, message.routing_key, message.type, message.content_type, message.mandatory) == (
        EXCHANGE,
        VERDICT,
        "mailroom.verdict",
        "application/json",
        True,
    )
    assert json.loads(message.body) == golden("verdict.v1.json")


def test_what_we_publish_is_the_golden_fetch_request() -> None:
    message = wire.fetch_request_message(wire.read_fetch_request(as_json(golden("fetch-request.v1.json"))))
    assert (message.routing_key, message.type, message.mandatory) == (FETCH, "mailroom.fetch-request", True)
    assert json.loads(message.body) == golden("fetch-request.v1.json")


@pytest.mark.parametrize(("is_suppressed", "routing_key"), [(True, SUPPRESSED), (False, RELEASED)])
def test_what_we_publish_is_the_golden_address_event(is_suppressed: bool, routing_key: str) -> None:
    event = wire.read_address_event(as_json(golden("address-event.v1.json")))
    message = wire.address_event_message(event, is_suppressed=is_suppressed)
    assert (message.routing_key, message.type, message.mandatory) == (routing_key, "mailroom.address-event", False)
    assert json.loads(message.body) == golden("address-event.v1.json")


@every_json_form
class TestEveryJsonForm:
    def test_its_type_is_accepted(self, name: str, read: Reader, type_: str) -> None:
        assert read(as_json(golden(name), type_=type_)) == read(as_json(golden(name)))

    def test_a_newer_publisher_is_understood(self, name: str, read: Reader, type_: str) -> None:
        newer = deepcopy(golden(name)) | {"colour": "green", "nested": {"a": [1, {"b": None}]}}
        assert read(as_json(newer)) == read(as_json(golden(name)))

    def test_without_a_version_it_is_the_first(self, name: str, read: Reader, type_: str) -> None:
        bare = golden(name)
        del bare["schema_version"]
        assert read(as_json(bare)) == read(as_json(golden(name)))

    @pytest.mark.parametrize("version", [0, 2, -1, None, "x", [], 1e300, 10**30])
    def test_another_version_is_refused(self, name: str, read: Reader, type_: str, version: object) -> None:
        assert "schema_version: " in refusal(read, as_json(golden(name) | {"schema_version": version}))

    def test_another_type_is_refused(self, name: str, read: Reader, type_: str) -> None:
        reason = refusal(read, as_json(golden(name), type_="mailroom.something-else"))
        assert reason.startswith("type is 'mailroom.something-else'; a ")
        assert reason.endswith(f"has type {type_!r}")

    def test_another_content_type_is_refused(self, name: str, read: Reader, type_: str) -> None:
        assert "content type is 'text/x-yaml'" in refusal(read, as_json(golden(name), content_type="text/x-yaml"))

    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"\x80\x04\x95\x0f\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x03raw\x94K\x01s.",
            b"\xff\xfe{\x00}\x00",
            b'{"raw": "\\ud800"}',
            b"[" * 100_000,
            b"NaN",
            b'{"raw": "eA=="} trailing',
        ],
        ids=["cut", "pickle", "UTF-16", "surrogate", "deep", "NaN", "trailing"],
    )
    def test_what_is_no_json_is_refused(self, name: str, read: Reader, type_: str, body: bytes) -> None:
        assert refusal(read, Message(EXCHANGE, RAW, body, JSON)).startswith("the body is not JSON: ")

    @pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"17", b"[{}]"])
    def test_json_that_is_no_object_is_refused(self, name: str, read: Reader, type_: str, body: bytes) -> None:
        assert "is not a JSON object" in refusal(read, Message(EXCHANGE, RAW, body, JSON))

    def test_every_field_refuses_every_other_kind_of_value(self, name: str, read: Reader, type_: str) -> None:
        """Whatever comes, it loads or it is refused with a reason: never another error."""
        strange = [None, True, -1, 10**400, 1e308, "", "\x00", "x" * 5000, [], {}, [[]], {"a": {}}, ["a"]]
        for field in golden(name):
            for value in strange:
                try:
                    read(as_json(golden(name) | {field: value}))
                except Permanent as exc:
                    assert_readable(str(exc))


def test_the_headers_are_the_fields_of_the_json_form() -> None:
    assert set(golden("raw-bounce.v1.headers.json")) == set(RawBounceHeadersSchema().fields)
    assert set(golden("raw-bounce.v1.json")) == set(RawBounceHeadersSchema().fields) | {"raw"}


def refusal(read: Reader, message: Message) -> str:
    with pytest.raises(Permanent) as refused:
        read(message)
    assert_readable(str(refused.value))
    return str(refused.value)


def assert_readable(reason: str) -> None:
    assert reason
    assert len(reason.splitlines()) == 1
    assert len(reason) < 500
    assert "Traceback" not in reason
    assert "{" not in reason.removeprefix("the body is not JSON")
