"""One row is one mail: kind, verdict, and for each recipient its verdict, reason and enhanced status code."""

from pathlib import Path

import pytest

from services.classifier.explain import explain
from services.classifier.judge import judge
from services.classifier.version import CLASSIFIER_VERSION
from shared.addresses import normalise_address
from shared.identity import raw_id

MAILS = Path(__file__).parent / "mails"

Row = tuple[str, str, str, str | None]

ROWS: list[tuple[str, str, str, list[Row]]] = [
    ("amazon_sns_bounce.eml", "bounce", "hard", [("gone@example.com", "hard", "user-unknown", "5.1.1")]),
    ("amazon_sns_complaint.eml", "feedback-report", "ignore", [("angry@example.com", "complaint", "feedback", None)]),
    ("aol_screen_name.eml", "bounce", "soft", [("screenname@aol.com", "soft", "rejected", None)]),
    ("auto_reply.eml", "auto-reply", "ignore", []),
    ("bare_delivery_status.eml", "bounce", "hard", [("info+tag@example.com", "hard", "user-unknown", "5.1.1")]),
    ("boxbe_challenge.eml", "auto-reply", "ignore", []),
    ("chasquid_aol_volume.eml", "bounce", "soft", [("ben.weber@aol.test", "soft", "policy-violation", "5.2.1")]),
    (
        "chasquid_three_recipients.eml",
        "bounce",
        "hard",
        [
            ("dgarcia@fastmail.test", "hard", "user-unknown", "5.1.1"),
            ("carla92@proton.test", "hard", "suspend", "5.2.1"),
            ("garcia.mara@cox.example.org", "hard", "user-unknown", "5.1.0"),
        ],
    ),
    (
        "courier_sender_without_mx.eml",
        "bounce",
        "soft",
        [("liam80@kundenserver.example.com", "soft", "rejected", "5.0.0")],
    ),
    ("courier_success.eml", "not-bounce", "ignore", []),
    (
        "courier_vague.eml",
        "bounce",
        "unidentified",
        [("hgarcia@vague.example.org", "unidentified", "on-hold", "5.0.0")],
    ),
    ("disposition.eml", "mdn", "ignore", []),
    ("dma_gave_up.eml", "bounce", "soft", [("tanaka.victor@nullmx.example.org", "soft", "expired", None)]),
    ("dma_null_mx.eml", "bounce", "hard", [("david70@corp.example.com", "hard", "not-accept", "5.1.10")]),
    ("exchange55_x400.eml", "bounce", "hard", [("gone@example.com", "hard", "user-unknown", None)]),
    ("exchange_resolver.eml", "bounce", "hard", [("gone@example.com", "hard", "user-unknown", "5.1.1")]),
    ("exim_chinese_octal.eml", "bounce", "hard", [("yara.weber@cn.example.org", "hard", "user-unknown", "5.0.0")]),
    ("exim_delay.eml", "delay-notice", "soft", [("wmueller@in110.pt.example.org", "soft", "mailbox-full", "4.2.2")]),
    ("exim_no_reason.eml", "bounce", "unidentified", [("ghost@exim.example.org", "unidentified", "on-hold", "5.0.0")]),
    (
        "exim_three_soft.eml",
        "bounce",
        "soft",
        [
            ("berg.noah@vague.example.org", "unidentified", "on-hold", "5.0.0"),
            ("jonas95@gmail.example.net", "soft", "mailbox-full", "5.2.2"),
            ("mara_weber@outlook.test", "soft", "blocked", "5.7.1"),
        ],
    ),
    ("feedback_report.eml", "feedback-report", "ignore", [("angry@example.com", "complaint", "feedback", None)]),
    ("gmail_user_unknown.eml", "bounce", "hard", [("nobody.here@example.com", "hard", "user-unknown", "5.1.1")]),
    ("haraka_vague.eml", "bounce", "unidentified", [("olga.costa@vague.example.org", "unidentified", "on-hold", None)]),
    ("human_reply_about_bounces.eml", "not-bounce", "ignore", []),
    ("newsletter_about_bounces.eml", "not-bounce", "ignore", []),
    ("nullmailer_blocked_account.eml", "bounce", "hard", [("paul.lopez@zoho.example.com", "hard", "suspend", "5.1.8")]),
    ("opensmtpd_disabled.eml", "bounce", "hard", [("tina.weber@outlook.test", "hard", "suspend", "5.2.1")]),
    (
        "opensmtpd_two_soft.eml",
        "bounce",
        "soft",
        [
            ("carla_mueller@gmail.example.net", "soft", "mailbox-full", "5.2.2"),
            ("simon_kowalski@vague.example.org", "unidentified", "on-hold", "5.0.0"),
        ],
    ),
    ("postfix_account_blocked.eml", "bounce", "hard", [("novak.mara@zoho.example.com", "hard", "suspend", "5.1.8")]),
    ("postfix_alias.eml", "bounce", "hard", [("board@postfix.example.net", "hard", "user-unknown", "5.1.1")]),
    ("postfix_delay.eml", "delay-notice", "soft", [("novak.ida@post94.uni.test", "soft", "expired", "4.7.0")]),
    ("postfix_success.eml", "not-bounce", "ignore", []),
    (
        "postfix_three_recipients.eml",
        "bounce",
        "hard",
        [
            ("rsmith@cox.example.org", "hard", "user-unknown", "5.1.0"),
            ("noah.brown@fastmail.test", "hard", "user-unknown", "5.1.1"),
            ("jonas_smith@proton.test", "hard", "suspend", "5.2.1"),
        ],
    ),
    ("qmail_quota.eml", "bounce", "soft", [("full@example.com", "soft", "mailbox-full", "5.2.2")]),
    ("sendmail_delay.eml", "delay-notice", "soft", [("noah_moreau@refused.example.org", "soft", "expired", "4.4.1")]),
    ("sendmail_sender_callout.eml", "bounce", "soft", [("dberg@exm.test", "soft", "rejected", "5.1.1")]),
    (
        "sendmail_three_recipients.eml",
        "bounce",
        "hard",
        [
            ("anna_ivanov@cox.example.org", "hard", "user-unknown", "5.1.0"),
            ("hkowalski@fastmail.test", "hard", "user-unknown", "5.1.1"),
            ("paul87@proton.test", "hard", "suspend", "5.2.1"),
        ],
    ),
    (
        "sendmail_vague.eml",
        "bounce",
        "unidentified",
        [("klara.tanaka@vague.example.org", "unidentified", "on-hold", "5.1.1")],
    ),
    ("slimta_policy.eml", "bounce", "soft", [("novak.simon@yandex.test", "soft", "suspend", "5.7.1")]),
    (
        "slimta_three_recipients.eml",
        "bounce",
        "hard",
        [
            ("tdubois@fastmail.test", "hard", "user-unknown", "5.1.1"),
            ("omueller@proton.test", "hard", "user-unknown", "5.1.1"),
            ("tanaka.noah@cox.example.org", "hard", "user-unknown", "5.1.1"),
        ],
    ),
    ("throttling_lies.eml", "bounce", "soft", [("user@example.com", "soft", "speeding", "5.1.1")]),
    ("vacation.eml", "vacation", "ignore", []),
    ("wrapped_by_gateway.eml", "bounce", "hard", [("gone@example.com", "hard", "user-unknown", "5.1.1")]),
]


def load(name: str) -> bytes:
    return (MAILS / name).read_bytes()


@pytest.mark.parametrize(("name", "kind", "verdict", "outcomes"), ROWS, ids=[row[0] for row in ROWS])
def test_mail(name: str, kind: str, verdict: str, outcomes: list[Row]) -> None:
    judgement = judge(load(name))
    assert (judgement.kind, judgement.verdict) == (kind, verdict)
    assert [(o.recipient, o.verdict, o.reason, o.status) for o in judgement.outcomes] == outcomes


def test_every_mail_has_its_row() -> None:
    assert {row[0] for row in ROWS} == {path.name for path in MAILS.iterdir()}


@pytest.mark.parametrize("name", [row[0] for row in ROWS])
def test_an_outcome_can_be_recorded(name: str) -> None:
    for outcome in judge(load(name)).outcomes:
        assert outcome.recipient == normalise_address(outcome.recipient or "")
        assert len(outcome.event_id) == 64
        assert outcome.tier in (2, 3, 4)
        assert outcome.rule
        assert outcome.evidence
        assert outcome.fault in (None, "recipient", "sender", "content", "network", "policy")


@pytest.mark.parametrize("name", [row[0] for row in ROWS])
def test_the_same_bytes_give_the_same_judgement(name: str) -> None:
    assert judge(load(name)) == judge(load(name))


def test_delays_say_so() -> None:
    for name in ("postfix_delay.eml", "exim_delay.eml", "sendmail_delay.eml"):
        assert [outcome.action for outcome in judge(load(name)).outcomes] == ["delayed"]


def test_the_address_that_was_mailed_is_the_one_reported() -> None:
    outcome = judge(load("bare_delivery_status.eml")).outcomes[0]
    assert (outcome.recipient, outcome.final_recipient) == ("info+tag@example.com", "mailbox7@backend.example.com")


def test_the_campaign_is_the_returned_message_s() -> None:
    assert judge(load("gmail_user_unknown.eml")).campaign == "november"
    assert judge(load("feedback_report.eml")).campaign == "november:example"
    assert judge(load("qmail_quota.eml")).campaign is None


def test_two_reports_of_one_send_are_one_event() -> None:
    """A copy of the report that went through another relay, and a delay notice of the same message, name the same send."""
    raw = load("gmail_user_unknown.eml")
    again = b"Received: from elsewhere\r\n" + raw.replace(b"6650c1d2", b"7750c1d2").replace(
        b"Action: failed", b"Action: delayed"
    )
    assert judge(raw).outcomes[0].event_id == judge(again).outcomes[0].event_id
    assert judge(raw).outcomes[0].tier == 2


def test_without_the_returned_message_s_id_the_answered_one_counts() -> None:
    raw = load("gmail_user_unknown.eml")
    without = raw[: raw.index(b"--00000000000012\nContent-Type: message/rfc822")]
    assert judge(without).outcomes[0].event_id == judge(raw).outcomes[0].event_id


def test_the_tiers_below() -> None:
    bare = load("bare_delivery_status.eml")
    assert judge(bare).outcomes[0].tier == 3
    nameless = bare.replace(b"Message-ID: <bare@relay.example.com>\n", b"")
    assert judge(nameless).outcomes[0].tier == 4
    relayed = b"Received: from a\n by b\nX-Spam-Score: 1\n" + nameless
    assert judge(relayed).outcomes[0].event_id == judge(nameless).outcomes[0].event_id


def test_explain_tells_every_stage() -> None:
    raw = load("throttling_lies.eml")
    sections = dict(explain(raw))
    assert list(sections) == ["mail", "read", "kind", "identity", "recipient 1", "result"]
    assert raw_id(raw) in sections["mail"][0]
    assert f"version {CLASSIFIER_VERSION}" in sections["mail"][1]
    assert "its limit" in sections["identity"][0]
    assert any(line.startswith("rule speeding") for line in sections["recipient 1"])
    assert any("words outrank a code" in line for line in sections["recipient 1"])
