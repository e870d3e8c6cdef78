"""A throw-away certificate authority, and one certificate of it for localhost and 127.0.0.1."""

import datetime
import ipaddress
from pathlib import Path
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class Certificates(NamedTuple):
    """PEM files."""

    ca_file: Path
    certificate_file: Path
    key_file: Path


BAD: Final = (
    "expired",
    "not valid yet",
    "of another name",
    "of a wildcard one level higher",
    "tampered with",
    "for clients only",
    "of another authority",
    "signed by itself",
)
"""What can be wrong with one."""


def make(directory: Path, host: str = "localhost", bad: str = "") -> Certificates:
    """Write the three files. A client that trusts `ca_file` accepts `host` (a name) and 127.0.0.1, and nothing else.

    With `bad`, one of BAD, it accepts nothing.
    """
    files = Certificates(directory / "ca.pem", directory / "server.pem", directory / "server.key")
    ca_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("Mailroom's throw-away authority")
    authority = (
        _builder(ca_name, ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    issuer, issuer_key = ca_name, ca_key
    if bad == "of another authority":
        issuer, issuer_key = _name("Nobody's authority"), ec.generate_private_key(ec.SECP256R1())
    elif bad == "signed by itself":
        issuer, issuer_key = _name(host), key
    purpose = ExtendedKeyUsageOID.CLIENT_AUTH if bad == "for clients only" else ExtendedKeyUsageOID.SERVER_AUTH
    builder = (
        _builder(_name(host), issuer, key, days=_DAYS.get(bad, (0, 2)))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(host, bad)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    certificate = builder.sign(issuer_key, hashes.SHA256())
    if bad == "tampered with":
        der = certificate.public_bytes(serialization.Encoding.DER)
        certificate = x509.load_der_x509_certificate(der[:-1] + bytes([der[-1] ^ 1]))  # in its signature
    files.ca_file.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    files.certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    files.key_file.chmod(0o600)
    return files


_DAYS: Final = {"expired": (-20, -10), "not valid yet": (10, 20)}
"""From today."""


def _names(host: str, bad: str) -> list[x509.GeneralName]:
    if bad == "of another name":
        return [x509.DNSName("mail.elsewhere.example")]
    if bad == "of a wildcard one level higher":
        return [x509.DNSName(f"*.{host}")]
    return [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: tuple[int, int] = (0, 2)
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0], hours=-1))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


class Bad(NamedTuple):
    """What a server shows that no client may accept; the chain may hold more than its own certificate."""

    ca_file: Path
    chain_file: Path
    key_file: Path


def make_bad(directory: Path, host: str = "localhost") -> dict[str, Bad]:
    """By what is wrong with it. A client that trusts the `ca_file` must refuse each, and accepts the one called "good"."""
    key = ec.generate_private_key(ec.SECP256R1())
    ca_key, other_key, middle_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    ca, other, middle = (_name(f"{which} of Mailroom's tests") for which in ("authority", "another", "intermediate"))
    roots = {
        "trusted": _sign(ca, ca, ca_key.public_key(), ca_key, _authority()),
        "untrusted": _sign(other, other, other_key.public_key(), other_key, _authority()),
    }
    ca_file = directory / "bad-ca.pem"
    ca_file.write_bytes(_pem(roots["trusted"]))
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    me = _name(host)
    weak = rsa.generate_private_key(65537, 1024)
    public = key.public_key()
    through_ca = _sign(middle, ca, middle_key.public_key(), ca_key, _authority(path_length=0))
    through_none = _sign(middle, ca, middle_key.public_key(), ca_key, _server("intermediate.example"))
    from_middle = _sign(me, middle, public, middle_key, _server(host))
    chains: dict[str, tuple[list[x509.Certificate], Any]] = {
        "good": ([from_middle, through_ca], key),
        "expired": ([_sign(me, ca, public, ca_key, _server(host), since=now - 3 * day, until=now - day)], key),
        "not yet valid": ([_sign(me, ca, public, ca_key, _server(host), since=now + day, until=now + 3 * day)], key),
        "of another name": ([_sign(me, ca, public, ca_key, _server("mail.example"))], key),
        "self-signed": ([_sign(me, me, public, key, _server(host))], key),
        "of an unknown authority": ([_sign(me, other, public, other_key, _server(host)), roots["untrusted"]], key),
        "not for servers": ([_sign(me, ca, public, ca_key, _server(host, ExtendedKeyUsageOID.CLIENT_AUTH))], key),
        "of a weak key": ([_sign(me, ca, weak.public_key(), ca_key, _server(host))], weak),
        "without its intermediate": ([from_middle], key),
        "signed by one that is no authority": ([from_middle, through_none], key),
    }
    bad = {}
    for name, (chain, private) in chains.items():
        files = Bad(ca_file, directory / f"{name}.pem", directory / f"{name}.key")
        files.chain_file.write_bytes(b"".join(_pem(one) for one in chain))
        files.key_file.write_bytes(
            private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        bad[name] = files
    return bad


def _sign(
    subject: x509.Name,
    issuer: x509.Name,
    public: Any,
    signer: ec.EllipticCurvePrivateKey,
    extensions: list[x509.ExtensionType],
    *,
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(since or now - datetime.timedelta(hours=1))
        .not_valid_after(until or now + datetime.timedelta(days=2))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return builder.sign(signer, hashes.SHA256())


def _authority(path_length: int | None = None) -> list[x509.ExtensionType]:
    return [x509.BasicConstraints(ca=True, path_length=path_length), _usage(signs_certificates=True)]


def _server(host: str, purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH) -> list[x509.ExtensionType]:
    return [
        x509.BasicConstraints(ca=False, path_length=None),
        _usage(signs_certificates=False),
        x509.ExtendedKeyUsage([purpose]),
        x509.SubjectAlternativeName([x509.DNSName(host)]),
    ]


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
