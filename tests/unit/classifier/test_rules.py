"""Every rule decides its own example; bad files are refused with the place and the cause."""

import pytest

from services.classifier.proving import prove
from services.classifier.reasons import RANK, REASONS
from services.classifier.rule import BadRule, Rule, fold, parse_rules
from services.classifier.rulebook import build, own_rulebook, parse_all, with_deployment
from shared.contract.vocabulary import Verdict

SISIMAI_REASONS = (  # noqa: SIM905
    "auth-failure bad-reputation blocked content-error delivered exceed-limit expired failed-starttls "
    "feedback filtered has-moved host-unknown mailbox-full mailer-error mesg-too-big network-error "
    "no-relaying not-accept not-compliant-rfc on-hold policy-violation rejected require-ptr "
    "security-error spam-detected speeding suppressed suspend syntax-error system-error system-full "
    "too-many-conn undefined user-unknown vacation virus-detected "
).split()


@pytest.mark.parametrize("rule", own_rulebook().rules, ids=lambda rule: rule.id)
def test_a_rule_decides_its_own_examples_and_no_counterexample(rule: Rule) -> None:
    assert [(failure.example, failure.decided) for failure in prove(rule, own_rulebook())] == []


def test_every_reason_of_the_trade_is_known() -> None:
    assert not set(SISIMAI_REASONS) - REASONS.keys()


def test_only_reasons_of_the_recipient_are_hard() -> None:
    assert {REASONS[name].fault for name in REASONS if REASONS[name].verdict is Verdict.HARD} == {"recipient"}


def test_between_equals_the_softer_reason_decides() -> None:
    assert RANK["rejected"] < RANK["mailbox-full"] < RANK["user-unknown"]


GOOD = 'id = "a"\nreason = "expired"\nexamples = ["x"]\nserver = "y"\nphrases = ["x"]\n'


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("[[rule", "not TOML"),
        ("[[rule]]\n" + GOOD.replace('reason = "expired"\n', ""), "reason is missing"),
        ("[[rule]]\n" + GOOD.replace("expired", "expird"), "unknown reason 'expird'"),
        ("[[rule]]\n" + GOOD.replace('phrases = ["x"]', ""), "neither phrases nor patterns"),
        ("[[rule]]\n" + GOOD.replace('["x"]', '["X y"]'), "lower case"),
        ("[[rule]]\n" + GOOD + 'patterns = ["(?=x)"]\n', "not RE2"),
        ("[[rule]]\n" + GOOD + 'patterns = ["{colour} x"]\n', "unknown words {colour}"),
        ("[[rule]]\n" + GOOD.replace('["x"]\nserver', "[]\nserver"), "examples is missing"),
        ("[[rules]]\n" + GOOD, "[[rule]] tables only"),
        ("# mine\n\n[[rule]]\n" + GOOD.replace("expired", "expird"), "my.toml:3: rule 'a'"),
        ("[[rule]]\n" + GOOD + 'colour = "red"\n', "unknown key 'colour'"),
        ("[[rule]]\n" + GOOD + 'priority = "high"\n', "priority"),
        ("[[rule]]\n" + GOOD + "patterns = ['a*']\n", "matches the empty text"),
        ("[[rule]]\n" + GOOD + 'remote = ["MX.example.com"]\n', "no domain in lower case"),
        ("[[rule]]\n" + GOOD.replace('"a"', '"' + "a" * 65 + '"'), "an id is"),
        ("rule = [1]\n", "[[rule]] tables only"),
        ("\n[[rule]]\nid = \n", "my.toml:3: not TOML"),
        ("x = " + "[" * 100_000, "not TOML"),
        ("[[rule]]\n" + GOOD + 'verdict = "gone"\n', "verdict"),
    ],
)
def test_a_bad_rule_file_is_refused(text: str, cause: str) -> None:
    with pytest.raises(BadRule, match=r"my\.toml") as refusal:
        parse_rules(text, "my.toml")
    assert cause in str(refusal.value)


def test_two_rules_of_one_name_are_refused() -> None:
    rules = parse_rules("[[rule]]\n" + GOOD + "[[rule]]\n" + GOOD, "my.toml")
    with pytest.raises(BadRule, match="of that name, too"):
        build(rules)


def test_every_bad_rule_of_every_file_is_told() -> None:
    bad = "[[rule]]\n" + GOOD.replace("expired", "expird")
    with pytest.raises(BadRule) as refusal:
        parse_all({"a.toml": bad + bad, "b.toml": "[[rule", "c.toml": "[[rule]]\n" + GOOD})
    assert [cause[:8] for cause in refusal.value.causes] == ["a.toml:1", "a.toml:7", "b.toml:1"]


OWN = """[[rule]]
id = "{id}"
reason = "suppressed"
server = "ours"
priority = 50
phrases = ["user unknown"]
examples = ["550 5.7.1 user unknown"]
"""


def test_at_equal_priority_a_deployment_s_own_rule_decides() -> None:
    book = with_deployment({"own.toml": OWN.format(id="ours")})
    match = book.best("550 5.7.1 user unknown")
    assert match is not None
    assert match.rule.id == "ours"


def test_a_deployment_s_rule_takes_the_place_of_the_shipped_one_of_its_name() -> None:
    book = with_deployment({"own.toml": OWN.format(id="unknown-user")})
    assert [rule.is_own for rule in book.rules if rule.id == "unknown-user"] == [True]
    assert len(book.rules) == len(own_rulebook().rules)


def test_a_rule_with_a_remote_speaks_for_that_host_only() -> None:
    book = build(parse_rules("[[rule]]\n" + GOOD + 'remote = ["google.com"]\n', "my.toml"))
    assert book.best("x", "mx.google.com") is not None
    assert book.best("x", "mx.notgoogle.com") is None
    assert book.best("x", "", "mx.google.com") is None


def test_a_rule_with_a_reporting_host_speaks_for_that_host_only() -> None:
    book = build(parse_rules("[[rule]]\n" + GOOD + 'reporting = ["google.com"]\n', "my.toml"))
    assert book.best("x", "", "google.com") is not None
    assert book.best("x", "google.com", "relay.example.org") is None


def test_words_in_braces_stand_for_any_of_their_list() -> None:
    book = build(parse_rules("[[rule]]\n" + GOOD + "patterns = ['{recipient} gone']\n", "my.toml"))
    assert [book.best(f"{word} gone") is not None for word in ("mailbox", "user", "server")] == [True, True, False]


def test_addresses_are_nobodys_diagnosis() -> None:
    assert fold("550  <Mailbox.Full@spam.example.com>\n User UNKNOWN") == "550 @ user unknown"
    assert fold("550 <jürgen@bücher.example> and 用户@例子.广告: unknown") == "550 @ and @: unknown"


VETO = """[[rule]]
id = "ours-alone"
reason = "policy-violation"
server = "ours"
priority = 30
veto = true
remote = ["only-here.example"]
phrases = ["no such user"]
examples = ["550 no such user"]
"""


def test_a_veto_of_one_host_silences_nobody_elsewhere() -> None:
    book = with_deployment({"own.toml": VETO})
    there, elsewhere = (book.best("550 no such user", host) for host in ("mx.only-here.example", "mx.example.com"))
    assert there is not None
    assert elsewhere is not None
    assert (there.rule.id, elsewhere.rule.id) == ("ours-alone", "unknown-user")


def test_words_together_can_outrank_what_nobody_vetoes() -> None:
    own = OWN.format(id="ours").replace('phrases = ["user unknown"]', 'together = ["recipient + unknown"]')
    book = with_deployment({"own.toml": own.replace("priority = 50", "priority = 99")})
    match = book.best("550 mailbox unknown: nxdomain")
    assert match is not None
    assert match.rule.id == "ours"
