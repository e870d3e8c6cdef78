"""The ways in which servers list several failed recipients in a notice: each is reported, and nobody else."""

import pytest

from services.classifier.judge import judge
from tests.unit.classifier.hostile import HEAD

INTRODUCTION = "\nYour message could not be delivered to the following recipients:\n\n"
ONE, TWO, THREE = "one@example.com", "two@example.com", "three@example.net"
NAMES = ("Ann One", "Bob Two", "Cy Three")

IN_ONE_LINE = [
    "{0}; {1}; {2}",
    "{0}, {1}, {2}",
    "{0};{1};{2}",
    "{0},{1},{2}",
    "{0}, {1},\n   {2}",
    "  {0},\n  {1},\n  {2}",
    "<{0}>, <{1}>, <{2}>",
    "<{0}> <{1}> <{2}>",
    "'Ann' <{0}>; \"Two, Bob\" <{1}>; Cy Three <{2}>",
    "Failed recipients: {0}, {1}, {2}",
    "Failed recipients: {0},\n   {1},\n   {2}",
    "Failed Recipient(s): {0}; {1}; {2}",
    "Recipients: 'Ann' <{0}>; \"Bob\" <{1}>; Cy <{2}>",
    "宛先：{0}；{1}；{2}",
    "I could not deliver your message to {0}, {1} and {2}.",
    "Delivery failed for {0}, {1}, and {2}.",
]

LINES = [
    "'{name}' <{address}>:",
    '"{name}" <{address}>',
    "{name} <{address}>",
    "{name} <{address}>: rejected",
    "{name} ({address})",
    "{number}) {address} - rejected",
    "{number}. {address}",
    "  {number}. <{address}> rejected",
    "{number}: {address}",
    "({number}) {address} – rejected",
    "[{number}] <{address}>: rejected",
    "{number}  {address}",
    "{number}) {name} <{address}>",
    "Recipient {number}: {address}",
    "Recipient #{number}: {address}",
    "· {address}",
    "– {address}",
    "● {address}",
    "=> {address}: rejected",
    "{address} | 550 rejected",
    "| {address} | 550 rejected |",
    "{address}     rejected",
    "{address}\t550 rejected",
    "{address} = rejected",
    "{address} => rejected",
    "{address} — rejected",
    "{address} [rejected]",
    "{address}:",
    "{address}:rejected",
    "{address};",
    "{address}<mailto:{address}>",
    "[{address}]",
    "({address})",
    "SMTP:{address}",
    "550 5.1.1 {address} user unknown",
    "550 {address}... User unknown",
]


def recipients(notice: str) -> list[str | None]:
    return [outcome.recipient for outcome in judge(HEAD + notice.encode()).outcomes]


@pytest.mark.parametrize("shape", IN_ONE_LINE)
def test_in_one_line(shape: str) -> None:
    assert recipients(INTRODUCTION + shape.format(ONE, TWO, THREE) + "\n") == [ONE, TWO, THREE]


@pytest.mark.parametrize("shape", LINES)
def test_a_line_each(shape: str) -> None:
    rows = enumerate(zip((ONE, TWO, THREE), NAMES, strict=True), 1)
    lines = (shape.format(number=number, address=address, name=name) for number, (address, name) in rows)
    assert recipients(INTRODUCTION + "\n".join(lines) + "\n") == [ONE, TWO, THREE]


@pytest.mark.parametrize("between", ["; ", "\n", ",\n  "])
def test_a_reason_below_a_list_is_everybody_s(between: str) -> None:
    outcomes = judge(HEAD + f"\nThese failed:\n\n{ONE}{between}{TWO}\n\nUser unknown\n".encode()).outcomes
    assert [(outcome.recipient, outcome.reason) for outcome in outcomes] == [
        (ONE, "user-unknown"),
        (TWO, "user-unknown"),
    ]


def test_a_reason_with_an_address_of_its_own_is_not_everybody_s() -> None:
    notice = f"\nThese failed:\n\n{ONE}\n{TWO}\n\n550 5.1.1 <alias@b.example.com>: User unknown\n"
    assert judge(HEAD + notice.encode()).outcomes[0].reason != "user-unknown"


@pytest.mark.parametrize(
    "below",
    [
        "Please contact helpdesk@example.com, or support@example.com.",
        'Please contact "Support" <help@relay.example.org>, admin@relay.example.org',
        '--\n"Mail Admin" <admin@relay.example.org>',
        "-- \nadmin@relay.example.org",
    ],
)
def test_who_is_to_be_asked_is_no_recipient(below: str) -> None:
    assert recipients(f"{INTRODUCTION}{ONE}; {TWO}\n\n{below}\n") == [ONE, TWO]


def test_the_sender_in_a_list_is_no_recipient() -> None:
    assert recipients(f"{INTRODUCTION}{ONE}; news@example.org; {TWO}\n") == [ONE, TWO]


def test_the_address_that_was_mailed_is_reported_beside_a_list() -> None:
    notice = f"{INTRODUCTION}<box@b.example.com> (expanded from <{ONE}>): user unknown\n<{TWO}>, <{THREE}>: full\n"
    assert recipients(notice) == [ONE, TWO, THREE]


def test_what_the_notice_says_outranks_a_header_that_it_never_mentions() -> None:
    head = HEAD + b"X-Failed-Recipients: other@example.com\n"
    outcomes = judge(head + f"{INTRODUCTION}{ONE}\n".encode()).outcomes
    assert [outcome.recipient for outcome in outcomes] == [ONE]


def test_a_returned_to_line_with_several_accuses_nobody() -> None:
    notice = f"\nYour message was rejected by the server\n550 5.1.1 user unknown\n\nTo: {ONE}, {TWO}\n"
    assert recipients(notice) == [None]


@pytest.mark.parametrize(
    "notice",
    [
        "Your message to {one} was rejected: unknown user.\n\n1. service@x.example.com - write there\n",
        "Your message to {one} was rejected: unknown user.\n\nservice@x.example.com\t+49 30 1234\n",
        "Your message could not be delivered to {one} and it-service@x.example.com has been informed: unknown user\n",
    ],
)
def test_who_is_mentioned_beside_is_not_accused(notice: str) -> None:
    assert recipients("\n" + notice.format(one=ONE)) == [ONE]


@pytest.mark.parametrize(
    "notice",
    [
        "jane@corp.example.com => {one}: 550 User unknown\n",
        "| jane@corp.example.com | {one} | User unknown |\n",
        "jane@corp.example.com  {one}  User unknown\n",
        "550 5.1.1 user unknown\n\nTo: {one},\n alice@y.example.com,\n carol@z.example.com\n",
        "550 5.1.1 user unknown\n\nTo: {one};\n\talice@y.example.com\n",
    ],
)
def test_of_several_nobody_knows_who_failed(notice: str) -> None:
    accused = [one.recipient for one in judge(HEAD + b"\n" + notice.format(one=ONE).encode()).outcomes]
    assert accused in ([None], [ONE])
