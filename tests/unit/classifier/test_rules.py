"""Every rule decides its own example; bad files are refused with the place and the cause."""

import pytest

from services.classifier.reasons import RANK, REASONS
from services.classifier.rulebook import BadRule, Rule, build, fold, own_rulebook, parse_rules
from shared.contract.vocabulary import Verdict

SISIMAI_REASONS = (  # noqa: SIM905
    "auth-failure bad-reputation blocked content-error delivered exceed-limit expired failed-starttls "
    "feedback filtered has-moved host-unknown mailbox-full mailer-error mesg-too-big network-error "
    "no-relaying not-accept not-compliant-rfc on-hold policy-violation rejected require-ptr "
    "security-error spam-detected speeding suppressed suspend syntax-error system-error system-full "
    "too-many-conn undefined user-unknown vacation virus-detected "
).split()


@pytest.mark.parametrize("rule", own_rulebook().rules, ids=lambda rule: rule.id)
def test_a_rule_decides_its_own_example(rule: Rule) -> None:
    match = own_rulebook().best(fold(rule.example), rule.remote)
    assert match is not None
    assert match.rule.id == rule.id, f"{match.rule.id} decides it, by {match.words!r}"


def test_every_reason_of_the_trade_is_known() -> None:
    assert not set(SISIMAI_REASONS) - REASONS.keys()


def test_only_reasons_of_the_recipient_are_hard() -> None:
    assert {REASONS[name].fault for name in REASONS if REASONS[name].verdict is Verdict.HARD} == {"recipient"}


def test_between_equals_the_softer_reason_decides() -> None:
    assert RANK["rejected"] < RANK["mailbox-full"] < RANK["user-unknown"]


GOOD = 'id = "a"\nreason = "expired"\nexample = "x"\nserver = "y"\nphrases = ["x"]\n'


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("[[rule", "not TOML"),
        ("[[rule]]\n" + GOOD.replace('reason = "expired"\n', ""), "reason is missing"),
        ("[[rule]]\n" + GOOD.replace("expired", "expird"), "unknown reason 'expird'"),
        ("[[rule]]\n" + GOOD.replace('phrases = ["x"]', ""), "neither phrases nor patterns"),
        ("[[rule]]\n" + GOOD.replace('["x"]', '["X y"]'), "lower case"),
        ("[[rule]]\n" + GOOD + 'patterns = ["(?=x)"]\n', "not RE2"),
        ("[[rule]]\n" + GOOD + 'colour = "red"\n', "unknown key 'colour'"),
        ("[[rule]]\n" + GOOD + 'priority = "high"\n', "priority"),
        ("[[rule]]\n" + GOOD + 'verdict = "gone"\n', "verdict"),
    ],
)
def test_a_bad_rule_file_is_refused(text: str, cause: str) -> None:
    with pytest.raises(BadRule, match=r"my\.toml") as refusal:
        parse_rules(text, "my.toml")
    assert cause in str(refusal.value)


def test_two_rules_of_one_name_are_refused() -> None:
    rules = parse_rules("[[rule]]\n" + GOOD + "[[rule]]\n" + GOOD, "my.toml")
    with pytest.raises(BadRule, match="two rules"):
        build(rules)


def test_a_rule_with_a_remote_speaks_for_that_host_only() -> None:
    rules = parse_rules("[[rule]]\n" + GOOD + 'remote = "google.com"\n', "my.toml")
    book = build(rules)
    assert book.best("x", "mx.google.com") is not None
    assert book.best("x", "mx.example.com") is None


def test_addresses_are_nobodys_diagnosis() -> None:
    assert fold("550  <Mailbox.Full@spam.example.com>\n User UNKNOWN") == "550 @ user unknown"
