"""Contact List Details and Bounce Account Details as a form, and what a person wants with it. Pure.

Labels and help are those of the application that people know.
"""

from collections.abc import Mapping
from typing import Any, Final

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from services.console.trials import TypedPassword
from services.fetcher.emptying import Empty, read_emptying
from services.fetcher.endpoint import Protocol, Tls
from services.fetcher.lists import ContactList, read_server
from services.fetcher.lists_sql import Stored
from services.fetcher.settling import Wanted
from shared.addresses import normalise_address
from shared.errors import ConfigurationError, InvalidAddress

AUTO: Final = "auto"
BY_HAND: Final = ("ca_pem", "folder", "interval_minutes", "is_active")
"""Fields that most people leave alone."""
_LONGEST_MINUTES: Final = 31 * 24 * 60


def require_address(text: str) -> None:
    """Raises ValidationError, which says what is wrong with it."""
    try:
        normalise_address(text)
    except InvalidAddress as exc:
        raise ValidationError(f"{exc}.") from exc


class ListSchema(Schema):
    """A list and its account."""

    title = fields.String(
        metadata={"label": "Title", "help": "What people call it."}, validate=validate.Length(max=255)
    )
    bounce_email = fields.String(
        required=True,
        metadata={"label": "List Bounce Email", "placeholder": "bounce@your-domain.tld"},
        validate=[validate.Length(1, 320, error="Type the address that bounces come to."), require_address],
    )
    server = fields.String(
        metadata={
            "label": "Bounce Email Server Name",
            "help": "The incoming mail server name, with its port if it is not the usual one.",
            "placeholder": "pop.your-domain.tld",
        },
        validate=validate.Length(max=300),
    )
    user = fields.String(
        metadata={
            "label": "Bounce Email User Name",
            "help": "The bounce email address, unless the server wants something else.",
            "placeholder": "bounce@your-domain.tld",
        },
        validate=validate.Length(max=320),
    )
    password = fields.String(
        metadata={
            "label": "Bounce Email Password",
            "kind": "password",
            "autocomplete": "new-password",
            "help": "The password for the user name above.",
        },
        validate=validate.Length(max=1000),
    )
    protocol = fields.String(
        load_default=Protocol.POP3.value,
        metadata={"label": "Account Type", "help": "POP3 is recommended."},
        validate=validate.OneOf([one.value for one in Protocol], ["POP3", "IMAP"]),
    )
    advanced = fields.String(
        load_default=AUTO,
        metadata={
            "label": "Advanced Settings",
            "help": "Auto detect is recommended: it tries verified TLS first, and never ends without it.",
        },
        validate=validate.OneOf(
            [AUTO, *(one.value for one in Tls)], ["Auto detect", "TLS from the first byte", "STARTTLS", "Not encrypted"]
        ),
    )
    is_emptied = fields.Boolean(
        load_default=True,
        metadata={"label": "Empty Inbox When Done", "help": "Recommended. A mail is only removed once it is recorded."},
    )
    removed = fields.String(
        load_default=Empty.BOUNCES.value,
        metadata={"label": "What leaves the inbox then"},
        validate=validate.OneOf(
            [Empty.BOUNCES.value, Empty.ALL.value, Empty.MOVE.value],
            ["Recognised bounces", "Everything that was read", "Recognised bounces, to a folder (IMAP)"],
        ),
    )
    removed_to = fields.String(metadata={"label": "That folder"}, validate=validate.Length(max=255))
    folder = fields.String(
        metadata={"label": "Folder that is read", "help": "IMAP only; INBOX unless you say another."},
        validate=validate.Length(max=255),
    )
    interval_minutes = fields.Integer(
        load_default=15,
        metadata={"label": "Fetch every so many minutes", "help": "0: only when somebody asks for it."},
        validate=validate.Range(0, _LONGEST_MINUTES),
    )
    is_active = fields.Boolean(load_default=True, metadata={"label": "Process bounces automatically"})
    ca_pem = fields.String(
        metadata={
            "label": "Certificate authority of your own",
            "kind": "textarea",
            "help": "In PEM, if no public one signs your server's certificate.",
        },
        validate=validate.Length(max=1_000_000),
    )
    kept_password = fields.String(metadata={"label": "", "kind": "hidden"})

    @validates_schema
    def require_a_folder_to_move_to(self, data: Mapping[str, Any], **_: Any) -> None:
        """Only where mails are moved."""
        if data.get("is_emptied") and data.get("removed") == Empty.MOVE.value and not data.get("removed_to"):
            raise ValidationError("Say which folder the mails are moved to.", "removed_to")

    @validates_schema
    def require_certificates(self, data: Mapping[str, Any], **_: Any) -> None:
        """And no private key by mistake."""
        pem = data.get("ca_pem", "")
        if pem and ("BEGIN CERTIFICATE" not in pem or "PRIVATE KEY" in pem):
            raise ValidationError("That is no certificate: one begins with -----BEGIN CERTIFICATE-----.", "ca_pem")


class NewListSchema(ListSchema):
    """The same, with the name that is given once."""

    list_id = fields.String(
        required=True,
        metadata={"label": "Name", "help": "At most 64 letters, digits, '.', '_' and '-'. It stays as it is."},
        validate=validate.Length(1, 64, error="Type a name of at most 64 letters, digits, '.', '_' and '-'."),
    )


def values_of(one: ContactList, stored: Stored | None) -> dict[str, Any]:
    """What is in the fields of a list that is there."""
    values: dict[str, Any] = {"title": one.title, "bounce_email": one.bounce_email}
    if stored is None:
        return values
    account = stored.account
    emptying = read_emptying(account.empty)
    is_emptied = emptying.empty != Empty.NOTHING
    return values | {
        "server": _server_of(stored),
        "user": account.user,
        "protocol": account.protocol.value,
        "advanced": account.tls.value,
        "is_emptied": is_emptied,
        "removed": emptying.empty.value if is_emptied else Empty.BOUNCES.value,
        "removed_to": emptying.folder,
        "folder": account.folder,
        "interval_minutes": account.interval_s // 60,
        "is_active": account.is_active,
        "ca_pem": account.ca_pem,
    }


def wanted_of(data: Mapping[str, Any], stored: Stored | None, password: TypedPassword) -> Wanted:
    """What differs from what is stored. Raises ConfigurationError for what is no server."""
    server = data.get("server", "")
    if stored is None and not server:
        return Wanted()
    tls = None if data["advanced"] == AUTO else Tls(data["advanced"])
    protocol = Protocol(data["protocol"])
    said = Wanted(
        server=server,
        user=data.get("user") or data["bounce_email"],
        protocol=protocol,
        tls=tls,
        ca_pem=data.get("ca_pem", "").replace("\r\n", "\n"),
        folder=data.get("folder", "") if protocol == Protocol.IMAP else None,
        empty=_empty_of(data),
        interval_s=60 * data["interval_minutes"],
        is_active=data["is_active"],
    )
    if stored is None:
        return said
    if not server:
        raise ConfigurationError(
            "Type the Bounce Email Server Name: a list keeps its bounce account until the list is removed."
        )
    account = stored.account
    host, port = read_server(server)
    is_same_server = host == account.host and port in (None, account.port)
    return Wanted(
        server=None if is_same_server else server,
        user=_unless(said.user, account.user),
        protocol=None if protocol == account.protocol else protocol,
        tls=None if tls == account.tls else tls,
        is_auto=tls is None,
        ca_pem=_unless(said.ca_pem, account.ca_pem.replace("\r\n", "\n")),
        folder=_unless(said.folder or None, account.folder),
        empty=_unless(said.empty, account.empty),
        interval_s=None if said.interval_s == account.interval_s else said.interval_s,
        is_active=None if said.is_active == account.is_active else said.is_active,
        has_new_password=password.is_given,
    )


def _unless(said: str | None, stored: str) -> str | None:
    return None if said == stored else said


def _empty_of(data: Mapping[str, Any]) -> str:
    if not data["is_emptied"]:
        return Empty.NOTHING.value
    if data["removed"] == Empty.MOVE.value:
        return f"{Empty.MOVE.value}:{data['removed_to']}"
    return str(data["removed"])


def _server_of(stored: Stored) -> str:
    host = stored.account.host
    return f"[{host}]:{stored.account.port}" if ":" in host else f"{host}:{stored.account.port}"
