"""A mail server's name is no probe of the inner network, however it is spelled. Only numbers are resolved here: no DNS."""

import ipaddress
import socket
from collections.abc import Callable

import pytest

from services.fetcher.errors import NoSuchServer
from services.fetcher.reach import ANYWHERE, PublicServers, is_inner, resolve


def words(text: str) -> list[str]:
    return text.split()


INNER = words("""
127.0.0.1 127.0.0.2 127.255.255.254 127.1 127.0.1 2130706433 0x7f000001 0x7f.0.0.1 0x7F.1 0177.0.0.1 017700000001 0177.1
127.0.0.01 0 0.0.0.0 0x0 00 0.0.0.1 10.0.0.1 10.255.255.255 167772161 0xa.1 012.0.0.1 172.16.0.1 172.31.255.254 192.168.0.1
192.168.257 0xc0a80001 3232235521 169.254.169.254 169.254.1.1 2852039166 0xa9fea9fe 0251.0376.0251.0376 100.100.100.200
100.64.0.1 100.127.255.254 192.0.0.192 168.63.129.16 224.0.0.1 239.255.255.255 255.255.255.255 240.0.0.1 198.18.0.1
192.0.2.1 198.51.100.7 203.0.113.9 192.88.99.1
:: ::1 0:0:0:0:0:0:0:1 ::0001 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:0:127.0.0.1 ::127.0.0.1 ::7f00:1 ::ffff:10.0.0.1
::ffff:a9fe:a9fe ::FFFF:169.254.169.254 0:0:0:0:0:ffff:c0a8:1 64:ff9b::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe
64:ff9b:1::1 2002:7f00:1:: 2002:7f00:0001::1 2002:a00:1:: 2002:a9fe:a9fe::1 2002:c0a8:1:: 2001::1
2001:0:4136:e378:8000:63bf:80ff:fffe 2001:db8::1 fc00::1 fd00::1 fd00:ec2::254 fe80::1 fe80::a9fe:a9fe febf::1 fec0::1
ff00::1 ff02::1 ff05::2 100::1 3fff::1 2001:10::1 2001:20::1
""")

PUBLIC = words("""
8.8.8.8 1.1.1.1 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 126.255.255.255 128.0.0.1 169.253.255.255 169.255.0.1
172.15.255.255 172.32.0.1 192.167.255.255 192.169.0.1 198.17.255.255 198.20.0.1 223.255.255.255 2606:4700::1111
2a00:1450:4001::1 2001:4860::8888
""")


def answering(*addresses: str) -> Callable[[str, int], list[str]]:
    return lambda host, port: list(addresses)


def test_there_are_eighty_spellings_at_least() -> None:
    assert len(set(INNER)) >= 80


@pytest.mark.parametrize("spelling", INNER)
def test_no_spelling_of_an_inner_address_is_reached(spelling: str) -> None:
    with pytest.raises(NoSuchServer):
        PublicServers().addresses(spelling, 995)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached(address: str) -> None:
    assert not is_inner(address)
    assert PublicServers().addresses(address, 993) == [address]


@pytest.mark.parametrize("text", ["", "x", "127.0.0.1 ", "fe80::1%1", "2606:4700::1111%1", "1.2.3", "☃"])
def test_what_is_no_plain_address_is_inner(text: str) -> None:
    assert is_inner(text)


def test_one_inner_address_among_public_ones_refuses_the_name() -> None:
    with pytest.raises(NoSuchServer):
        PublicServers(resolve=answering("8.8.8.8", "10.0.0.1")).addresses("mail.example", 995)


def test_the_addresses_that_were_checked_are_given() -> None:
    """A second look-up, which might answer otherwise, does not happen."""
    answers = iter([["8.8.8.8", "2606:4700::1111", "8.8.8.8"], ["127.0.0.1"]])
    reach = PublicServers(resolve=lambda host, port: next(answers))
    assert reach.addresses("mail.example", 995) == ["8.8.8.8", "2606:4700::1111"]


@pytest.mark.parametrize("port", [0, 22, 25, 80, 109, 111, 5432, 6379, 9993, 65535])
def test_only_mail_ports_are_reached(port: int) -> None:
    with pytest.raises(NoSuchServer):
        PublicServers().addresses("8.8.8.8", port)


def test_a_deployment_allows_its_own() -> None:
    reach = PublicServers(frozenset({2110}), [ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd12::/16")])
    assert reach.addresses("10.1.2.3", 2110) == ["10.1.2.3"]
    assert reach.addresses("fd12::3", 2110) == ["fd12::3"]
    for host, port in (("10.2.0.1", 2110), ("10.1.2.3", 110), ("::ffff:10.1.2.3", 2110)):
        with pytest.raises(NoSuchServer):
            reach.addresses(host, port)


def failing(host: str, port: int) -> list[str]:
    raise socket.gaierror(socket.EAI_NONAME, "unknown")


def test_a_refusal_tells_nothing_about_the_inside() -> None:
    """The same words for a name that is not there, one that is inside, one without an address, and another port."""
    said = set()
    for resolving, port in ((failing, 995), (answering("10.0.0.1"), 995), (answering(), 995)):
        with pytest.raises(NoSuchServer) as refused:
            PublicServers(resolve=resolving).addresses("mail.example", port)
        said.add(str(refused.value))
    with pytest.raises(NoSuchServer) as refused:
        PublicServers(frozenset(), resolve=answering("8.8.8.8")).addresses("mail.example", 995)
    assert said == {str(refused.value)}
    assert "10.0.0.1" not in str(refused.value)


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "a\0b"])
def test_what_cannot_be_a_name_is_refused_alike(host: str) -> None:
    with pytest.raises(NoSuchServer):
        PublicServers().addresses(host, 995)


def test_the_operator_reaches_anything() -> None:
    assert ANYWHERE.addresses("127.0.0.1", 22) == ["127.0.0.1"]


def test_numbers_are_resolved_as_the_system_does() -> None:
    assert resolve("0x7f.1", 995) == ["127.0.0.1"]
