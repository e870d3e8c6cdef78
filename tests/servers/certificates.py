"""A throw-away certificate authority, and one certificate of it for localhost and 127.0.0.1."""

import datetime
import ipaddress
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
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
