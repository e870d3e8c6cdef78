"""Which servers may be connected to. Somebody who may name a mail server must not probe the network around us with it.

The operator's own command line reaches anything. For others every address of a name is checked, and what is connected to is
the address that was checked: a name that changes in between (DNS rebinding) gains nothing.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from services.fetcher.errors import NoSuchServer

MAIL_PORTS: Final = frozenset({110, 143, 993, 995})

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_INNER: Final[Sequence[_Network]] = [
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # this host (RFC 1122)
        "10.0.0.0/8",  # private (RFC 1918)
        "100.64.0.0/10",  # carrier-grade NAT (RFC 6598); Alibaba's metadata service
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local (RFC 3927); the metadata services of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments (RFC 6890); Oracle's metadata service
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks (RFC 2544)
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "168.63.129.16/32",  # Azure's platform, at a public address
    )
]
_GLOBAL_UNICAST: Final = ipaddress.ip_network("2000::/3")
"""Of IPv6 only this is in public use; loopback, link-local, unique local, multicast and the rest lie outside."""
_INNER_6: Final[Sequence[_Network]] = [
    ipaddress.ip_network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo among them (RFC 4380)
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address in disguise (RFC 3056)
        "3fff::/20",  # documentation (RFC 9637)
    )
]


class Reach(Protocol):
    """What a caller may connect to."""

    def addresses(self, host: str, port: int) -> Sequence[str]:
        """At least one address (or a name, where it does not matter) to connect to. Raises NoSuchServer, OSError."""


@dataclass(frozen=True, slots=True)
class Anywhere:
    """The operator knows the own network."""

    def addresses(self, host: str, port: int) -> Sequence[str]:
        """The name itself."""
        return [host]


ANYWHERE: Final = Anywhere()


def resolve(host: str, port: int) -> list[str]:
    """As the system does. Raises OSError."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True, slots=True)
class PublicServers:
    """Mail ports of the public internet, and what a deployment allows besides."""

    ports: frozenset[int] = MAIL_PORTS
    allowed: Sequence[_Network] = ()
    """Networks of the deployment's own mail servers."""
    resolve: Callable[[str, int], Sequence[str]] = resolve

    def addresses(self, host: str, port: int) -> Sequence[str]:
        """All of the name's addresses. One of them that is not allowed refuses the name.

        One text for a name that is not there, one that is inside, and a port that is none of mail: it tells nothing about us.
        """
        refusal = NoSuchServer(f"there is no public mail server at {host} port {port}: check the name and the port")
        if port not in self.ports:
            raise refusal
        try:
            found = list(dict.fromkeys(self.resolve(host, port)))
        except (OSError, UnicodeError):
            raise refusal from None
        if not found or not all(self._is_allowed(address) for address in found):
            raise refusal
        return found

    def _is_allowed(self, text: str) -> bool:
        if not is_inner(text):
            return True
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self.allowed if network.version == address.version)


def is_inner(text: str) -> bool:
    """Whether an address is anything but a public server's; also what is no address at all.

    IPv6 addresses that hold an IPv4 address (mapped, translated, 6to4, Teredo) are all refused: no mail server needs one.
    """
    try:
        address: _Address = ipaddress.ip_address(text)
    except ValueError:
        return True
    if isinstance(address, ipaddress.IPv4Address):
        return any(address in network for network in _INNER)
    if address.scope_id is not None or address not in _GLOBAL_UNICAST:
        return True
    return any(address in network for network in _INNER_6)
