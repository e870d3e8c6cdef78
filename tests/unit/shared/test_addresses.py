"""One spelling for one mailbox. One row is one way to write an address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.addresses import normalise_address, normalise_addresses
from shared.errors import InvalidAddress

SAME = [
    # case
    ("ann@example.com", "ann@example.com"),
    ("Ann@example.com", "ann@example.com"),
    ("ANN@EXAMPLE.COM", "ann@example.com"),
    ("ann@Example.COM", "ann@example.com"),
    ("JÖRG@example.com", "jörg@example.com"),
    # dots and tags are the mailbox's own business
    ("ann.lee@example.com", "ann.lee@example.com"),
    ("annlee@gmail.com", "annlee@gmail.com"),
    ("ann.lee@gmail.com", "ann.lee@gmail.com"),
    ("ann+news@example.com", "ann+news@example.com"),
    ("Ann+News@Example.com", "ann+news@example.com"),
    ("ann-news@yahoo.com", "ann-news@yahoo.com"),
    ("a@example.com", "a@example.com"),
    ("1@example.com", "1@example.com"),
    ("!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~@example.com"),
    ("bounces+ann=example.org@example.com", "bounces+ann=example.org@example.com"),
    # dots where RFC 5321 has none
    ("ann.@docomo.ne.jp", "ann.@docomo.ne.jp"),
    (".ann@docomo.ne.jp", ".ann@docomo.ne.jp"),
    ("a..b@ezweb.ne.jp", "a..b@ezweb.ne.jp"),
    ('"a..b"@ezweb.ne.jp', "a..b@ezweb.ne.jp"),
    ('"ann."@docomo.ne.jp', "ann.@docomo.ne.jp"),
    # around it
    (" ann@example.com", "ann@example.com"),
    ("ann@example.com\r\n", "ann@example.com"),
    ("\tann@example.com ", "ann@example.com"),
    ("<ann@example.com>", "ann@example.com"),
    (" < ann@example.com > ", "ann@example.com"),
    # final dot
    ("ann@example.com.", "ann@example.com"),
    ("<ann@EXAMPLE.com.>", "ann@example.com"),
    ("ann@localhost", "ann@localhost"),
    ("ann@localhost.", "ann@localhost"),
    # hosts
    ("ann@mx-1.example.com", "ann@mx-1.example.com"),
    ("ann@a.b.c.d.example.com", "ann@a.b.c.d.example.com"),
    ("ann@my_host.example.com", "ann@my_host.example.com"),
    ("ann@123.example", "ann@123.example"),
    ("ann@[192.0.2.1]", "ann@[192.0.2.1]"),
    ("ann@[IPv6:2001:DB8::1]", "ann@[ipv6:2001:db8::1]"),
    (f"ann@{'a' * 63}.example", f"ann@{'a' * 63}.example"),
    # internationalised
    ("ann@bücher.example", "ann@xn--bcher-kva.example"),
    ("ann@BÜCHER.example", "ann@xn--bcher-kva.example"),
    ("ann@bu\u0308cher.example", "ann@xn--bcher-kva.example"),
    ("ann@XN--BCHER-KVA.example", "ann@xn--bcher-kva.example"),
    ("ann@bücher.example.", "ann@xn--bcher-kva.example"),
    ("ann@faß.example", "ann@xn--fa-hia.example"),
    ("ann@例え.jp", "ann@xn--r8jz45g.jp"),
    ("ann@例え。jp", "ann@xn--r8jz45g.jp"),
    ("ann@例え。jp。", "ann@xn--r8jz45g.jp"),
    ("ann@ｅｘａｍｐｌｅ.com", "ann@example.com"),
    ("ann@почта.рф", "ann@xn--80a1acny.xn--p1ai"),
    ("用户@例え.jp", "用户@xn--r8jz45g.jp"),
    ("rene\u0301@example.com", "ren\u00e9@example.com"),
    # quotes
    ('"ann"@example.com', "ann@example.com"),
    ('"Ann.Lee"@example.com', "ann.lee@example.com"),
    ('"an\\n"@example.com', "ann@example.com"),
    ('"ann+tag"@example.com', "ann+tag@example.com"),
    ('"ann lee"@example.com', '"ann lee"@example.com'),
    ('"Ann Lee"@example.com', '"ann lee"@example.com'),
    ('"ann@home"@example.com', '"ann@home"@example.com'),
    ('"a\\"b"@example.com', '"a\\"b"@example.com'),
    ('"a\\\\b"@example.com', '"a\\\\b"@example.com'),
    ('"a,b"@example.com', '"a,b"@example.com'),
    ('" "@example.com', '" "@example.com'),
]

INVALID = [
    "",
    " ",
    "ann",
    "@",
    "ann@",
    "@example.com",
    "<>",
    "<ann>",
    "ann example@example.com",
    "ann@exam ple.com",
    "ann@@example.com",
    "ann@home@example.com",
    "Ann <ann@example.com>",
    "ann@example.com, bob@example.com",
    "ann@example.com;bob@example.com",
    "a(comment)@example.com",
    'a"b@example.com',
    '""@example.com',
    '"a\nb"@example.com',
    '"a\x00b"@example.com',
    "a\x00b@example.com",
    "a\r\nb@example.com",
    "ann@exa\x00mple.com",
    "ann@example..com",
    "ann@.example.com",
    "ann@example.com..",
    "ann@-example.com",
    "ann@example-.com",
    "ann@exam!ple.com",
    "ann@[example]",
    "ann@[192.0.2.1",
    "ann@.",
    "...@example.com",
    f"{'a' * 250}@example.com",
    f"ann@{'a' * 64}.example",
    f"ann@{'ü' * 63}.example",
    f"ann@{'.'.join(['a'] * 130)}",
    "ann@\u200d.example",
    "ann@a\u2260b\u3164.example",
    "\ud800@example.com",
    "ann@\udcff.example",
    "x" * 10_000,
    "x" * 10_000 + "@example.com",
]


@pytest.mark.parametrize(("written", "mailbox"), SAME)
def test_one_mailbox_has_one_spelling(written: str, mailbox: str) -> None:
    assert normalise_address(written) == mailbox
    assert normalise_address(mailbox) == mailbox


@pytest.mark.parametrize("written", INVALID)
def test_what_is_no_address_says_so(written: str) -> None:
    with pytest.raises(InvalidAddress, match="is no e-mail address") as refused:
        normalise_address(written)
    str(refused.value).encode()
    assert len(str(refused.value)) < 30_000


def test_the_length_counts_octets() -> None:
    assert len(normalise_address("ü" * 121 + "@example.com").encode()) == 254
    with pytest.raises(InvalidAddress, match="254 octets"):
        normalise_address("ü" * 122 + "@example.com")


@given(st.text(max_size=40), st.sampled_from(["example.com", "BÜCHER.example.", "[192.0.2.1]"]))
def test_any_local_part(local: str, domain: str) -> None:
    check_stable(f"{local}@{domain}")


@given(st.text(max_size=30))
def test_any_domain(domain: str) -> None:
    check_stable(f"ann@{domain}")


@given(st.from_regex(r"[aA1_.+-]{1,5}@[aA1_.-]{1,80}\n?", fullmatch=True))
def test_anything_nearly_plain(text: str) -> None:
    check_stable(text)


@given(st.text(alphabet='aA.@"\\ <>é\u0301İß', max_size=20))
def test_any_mixture_of_what_matters(text: str) -> None:
    check_stable(text)


def check_stable(text: str) -> None:
    """Whatever it is: one spelling that is its own, or an InvalidAddress; the same among many."""
    try:
        once = normalise_address(text)
    except InvalidAddress:
        with pytest.raises(InvalidAddress):
            normalise_addresses([text])
        return
    assert normalise_addresses([text, once]) == [once, once]
    assert normalise_address(once) == once
    once.encode()
