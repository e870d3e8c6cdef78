"""What was granted to us, and how it becomes access tokens: at Microsoft by msal, at Google and others by google-auth.

Both libraries are loaded by the first token that is asked for: most runs of a command need none.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from services.fetcher.errors import GrantOver, TokenEndpointUnreachable
from services.fetcher.repeated import without_secret
from shared.errors import ConfigurationError

MICROSOFT: Final = "https://login.microsoftonline.com"
MICROSOFT_APP_SCOPES: Final = ["https://outlook.office365.com/.default"]
MICROSOFT_USER_SCOPES: Final = [
    "https://outlook.office365.com/IMAP.AccessAsUser.All",
    "https://outlook.office365.com/POP.AccessAsUser.All",
]
GOOGLE_SCOPE: Final = "https://mail.google.com/"
GOOGLE_TOKENS: Final = "https://oauth2.googleapis.com/token"
_UNSAID_LIFETIME: Final = timedelta(minutes=10)
_LONGEST_LIFETIME: Final = timedelta(days=1)
_TEXT_LIMIT: Final = 300
_TEMPORARY: Final = frozenset({"temporarily_unavailable", "server_error", "internal_failure", "slow_down"})


@dataclass(frozen=True, slots=True)
class Obtained:
    """What a token endpoint gave."""

    access_token: str = field(repr=False)
    lifetime: timedelta
    refresh_token: str = field(default="", repr=False)
    """Replaces the one that was sent; empty where that stays good."""


class Grant(Protocol):
    """A person's or an application's permission to open a mailbox. A `repr` shows no secret."""

    def obtain(self, refresh_token: str) -> Obtained:
        """Ask the token endpoint, which may take a minute. Raises GrantOver, TokenEndpointUnreachable.

        `refresh_token` is empty for a grant that needs none.
        """


@dataclass(frozen=True, slots=True)
class MicrosoftApp:
    """An application of its own right at Microsoft 365: client credentials."""

    tenant: str
    client_id: str
    client_secret: str = field(repr=False)
    authority: str = MICROSOFT

    def obtain(self, refresh_token: str = "") -> Obtained:
        import msal

        with _asking(self.authority, self.client_secret):
            client = msal.ConfidentialClientApplication(
                self.client_id,
                client_credential=self.client_secret,
                authority=f"{self.authority}/{self.tenant}",
                instance_discovery=False,
                http_client=session(),
            )
            return _of_msal(client.acquire_token_for_client(MICROSOFT_APP_SCOPES), self.client_secret)


@dataclass(frozen=True, slots=True)
class MicrosoftUser:
    """A person who logged in at Microsoft 365 and let a public client read the mailbox: refresh tokens."""

    tenant: str
    client_id: str
    authority: str = MICROSOFT

    def client(self) -> Any:
        """A msal.PublicClientApplication. Raises what `asking` translates."""
        import msal

        return msal.PublicClientApplication(
            self.client_id,
            authority=f"{self.authority}/{self.tenant}",
            instance_discovery=False,
            http_client=session(),
        )

    def obtain(self, refresh_token: str) -> Obtained:
        with _asking(self.authority, refresh_token):
            answer = self.client().acquire_token_by_refresh_token(refresh_token, MICROSOFT_USER_SCOPES)
            return _of_msal(answer, refresh_token)

    def begin_device_login(self) -> dict[str, Any]:
        """msal's flow; its `message` tells a person what to do. Raises as `obtain`."""
        with _asking(self.authority):
            flow: dict[str, Any] = self.client().initiate_device_flow(MICROSOFT_USER_SCOPES)
            if "user_code" not in flow:
                raise _refused(flow.get("error"), flow.get("error_description"))
            return flow

    def end_device_login(self, flow: dict[str, Any]) -> Obtained:
        """Waits until the person has logged in. Raises as `obtain`."""
        with _asking(self.authority):
            return _of_msal(self.client().acquire_token_by_device_flow(flow))


@dataclass(frozen=True, slots=True)
class GoogleService:
    """A service account with domain-wide delegation, acting for the mailbox's user."""

    key: str = field(repr=False)
    """The JSON file as the console gives it."""
    subject: str

    def obtain(self, refresh_token: str = "") -> Obtained:
        from google.oauth2.service_account import Credentials

        key = read_service_key(self.key)
        with _asking(key["token_uri"], key["private_key"]):
            credentials = Credentials.from_service_account_info(key, scopes=[GOOGLE_SCOPE], subject=self.subject)
            return _of_google(credentials)


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A person's refresh token at Google, or at anybody who follows RFC 6749 §6."""

    client_id: str
    client_secret: str = field(repr=False)
    token_uri: str = GOOGLE_TOKENS
    scope: str = GOOGLE_SCOPE

    def obtain(self, refresh_token: str) -> Obtained:
        from google.oauth2.credentials import Credentials

        with _asking(self.token_uri, refresh_token, self.client_secret):
            credentials = Credentials(
                None,
                refresh_token=refresh_token,
                token_uri=self.token_uri,
                client_id=self.client_id,
                client_secret=self.client_secret,
                scopes=self.scope.split() or None,
            )
            return _of_google(credentials, refresh_token)


_KINDS: Final[Mapping[str, Any]] = {
    "microsoft-app": MicrosoftApp,
    "microsoft-user": MicrosoftUser,
    "google-service": GoogleService,
    "refresh-token": RefreshToken,
}


def grant_as_text(grant: Grant) -> str:
    """For a sealed column: it holds secrets."""
    kind = next(name for name, cls in _KINDS.items() if isinstance(grant, cls))
    return json.dumps({"kind": kind} | asdict(grant))  # type: ignore[call-overload]


def read_grant(text: str) -> Grant:
    """The inverse of `grant_as_text`."""
    fields = json.loads(text)
    grant: Grant = _KINDS[fields.pop("kind")](**fields)
    return grant


def read_service_key(text: str) -> dict[str, str]:
    """Of a service account. Raises ConfigurationError, which repeats nothing of it."""
    try:
        key = json.loads(text)
        if isinstance(key, dict) and all(key.get(name) for name in ("client_email", "private_key", "token_uri")):
            return {name: str(value) for name, value in key.items()}
    except ValueError:
        pass
    raise ConfigurationError(
        "that is no key of a service account: Google's console makes a JSON file with client_email, private_key and token_uri"
    )


def session() -> Any:
    """A requests.Session that is bounded in time and size, and sends to the endpoint that was named, over TLS."""
    from services.fetcher.token_session import TokenSession

    return TokenSession()


@contextmanager
def _asking(endpoint: str, *secrets: str) -> Iterator[None]:
    """Errors of both libraries in our classes, without their causes: an answer with tokens may be among those."""
    import msal.exceptions
    import requests
    from google.auth import exceptions

    try:
        yield
    except msal.exceptions.MsalServiceError as exc:  # a status of 500 and above
        raise _unreachable(endpoint, str(exc)) from None
    except exceptions.RefreshError as exc:
        answer = exc.args[1] if len(exc.args) > 1 and isinstance(exc.args[1], dict) else {}
        if exc.retryable or not answer.get("error") or answer["error"] in _TEMPORARY:
            raise _unreachable(endpoint, "its answer is no token") from None
        raise _refused(answer.get("error"), answer.get("error_description"), *secrets) from None
    except (requests.RequestException, exceptions.TransportError) as exc:
        response = getattr(exc, "response", None)
        cause = f"HTTP status {response.status_code}" if response is not None else _network_cause(exc)
        raise _unreachable(endpoint, cause) from None
    except OverflowError:  # a lifetime beyond all time
        raise _unreachable(endpoint, "its answer is no token") from None
    except (ValueError, KeyError, TypeError, RuntimeError, exceptions.GoogleAuthError) as exc:
        # msal: a tenant that does not exist, or an answer that is no JSON
        raise GrantOver(_tidy(f"{endpoint} gives no token: {exc}", *secrets)) from None


def _of_msal(answer: Mapping[str, Any], *secrets: str) -> Obtained:
    if "access_token" not in answer:
        if answer.get("error") in _TEMPORARY:
            raise TokenEndpointUnreachable(f"the token endpoint cannot answer now: {answer['error']}")
        if not answer.get("error"):
            raise TokenEndpointUnreachable("the token endpoint cannot answer now: its answer is no token")
        raise _refused(answer.get("error"), answer.get("error_description"), *secrets)
    return _obtained(answer["access_token"], answer.get("expires_in"), answer.get("refresh_token"))


def _of_google(credentials: Any, refresh_token: str = "") -> Obtained:
    from google.auth.transport.requests import Request

    credentials.refresh(Request(session()))
    expiry: datetime | None = credentials.expiry  # naive, in UTC
    left = (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds() if expiry else None
    new = getattr(credentials, "refresh_token", None)
    return _obtained(credentials.token, left, new if new != refresh_token else None)


def _obtained(access_token: Any, expires_in_s: Any, refresh_token: Any) -> Obtained:
    token = str(access_token)
    if not token.isascii() or not token.isprintable() or not token:
        raise ValueError("its token holds characters that no mail server takes")
    lifetime = timedelta(seconds=float(expires_in_s)) if expires_in_s else _UNSAID_LIFETIME
    return Obtained(token, min(lifetime, _LONGEST_LIFETIME), str(refresh_token or ""))


def _refused(error: Any, description: Any, *secrets: str) -> GrantOver:
    said = _tidy(f"{error or 'no reason given'}: {description}" if description else f"{error}", *secrets)
    return GrantOver(f"the token endpoint refused ({said})")


def _unreachable(endpoint: str, cause: str) -> TokenEndpointUnreachable:
    return TokenEndpointUnreachable(
        f"{endpoint} gives no token now ({cause}): check the network, a proxy (HTTPS_PROXY), and this machine's certificate "
        "authorities (REQUESTS_CA_BUNDLE)"
    )


def _network_cause(exc: Exception) -> str:
    text = str(exc)
    for sign, cause in (
        ("CERTIFICATE_VERIFY_FAILED", "its certificate was refused"),
        ("timed out", "it did not answer in time"),
        ("refused", "the connection was refused"),
        ("resolve", "there is no server of that name"),
        ("HTTP status 429", "it is asked too often: HTTP status 429"),
        ("HTTP status", "it is in trouble: HTTP status 500 or above"),
        ("no token", "its answer is no token"),
        ("no end in sight", "its answer has no end in sight"),
        ("https://, so nothing", "it does not begin with https://, so nothing was sent"),
        ("it sends elsewhere", "it sends elsewhere, where no secret is sent"),
    ):
        if sign in text:
            return cause
    return type(exc).__name__


def _tidy(text: str, *secrets: str) -> str:
    """One line of printable text, without the secrets that were sent."""
    text = without_secret(text.splitlines()[0] if text else "", *secrets)
    return "".join(character for character in text if character.isprintable())[:_TEXT_LIMIT]
