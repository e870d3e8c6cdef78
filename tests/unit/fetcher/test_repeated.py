"""No form in which a server repeats a secret is shown."""

import base64
from collections.abc import Callable
from urllib.parse import quote

import pytest

from services.fetcher.repeated import SAID_LIMIT, WITHHELD, without_secret

TOKEN = "canary-token-of-forty-characters-or-more"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"what is {TOKEN}?", "what is …?"),
        (f"{TOKEN} {TOKEN}", "… …"),
        (f"what is {TOKEN[:30]}", "what is …"),
        (f"{TOKEN[:20]}{TOKEN}", "……"),
        (f"…{TOKEN[-20:]}", "……"),
        ("canary? no", "canary? no"),
        ("", ""),
    ],
)
def test_a_token_that_is_repeated_is_cut_out_also_in_part(said: str, shown: str) -> None:
    assert without_secret(said, TOKEN) == shown
    assert without_secret(said, "") == said


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda secret: secret,
    "quoted": lambda secret: '"' + secret.replace("\\", "\\\\").replace('"', '\\"') + '"',
    "repr": repr,
    "repr of bytes": lambda secret: repr(secret.encode()),
    "every sign escaped": lambda secret: "".join(f"\\{sign}" for sign in secret),
    "as code points": lambda secret: "".join(f"\\u{ord(sign):04x}" for sign in secret),
    "capitals": str.upper,
    "spaced": " ".join,
    "without what is not ASCII": lambda secret: secret.encode("ascii", "ignore").decode(),
    "base64": in_base64,
    "base64, cut off": lambda secret: in_base64(secret)[:-3],
    "base64url": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "SASL PLAIN": lambda secret: in_base64(f"\0joe@example.net\0{secret}"),
    "SASL XOAUTH2": lambda secret: in_base64(f"user=joe\x01auth=Bearer {secret}\x01\x01"),
    "SASL PLAIN, cut off in front": lambda secret: in_base64(f"\0joe@example.net\0{secret}")[3:],
    "percent": lambda secret: "".join(f"%{byte:02X}" for byte in secret.encode()),
    "percent where needed": quote,
    "percent, twice": lambda secret: quote(quote(secret)),
    "base64 in percent": lambda secret: quote(in_base64(secret)),
    "HTML": lambda secret: "".join(f"&#{ord(sign)};" for sign in secret),
    "hexadecimal": lambda secret: secret.encode().hex(),
    "cut off": lambda secret: secret[: -len(secret) // 4],
}
SECRETS = ["canary5b1e", 'ca"na\\ry%5 b+1e', "canäry-5b1é-ß", TOKEN, "Canary/Schlüssel?=&"]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_it_is_shown(form: str, secret: str) -> None:
    repeated = FORMS[form](secret)
    for said in (repeated, f"[AUTH] no such login: joe {repeated} (try again)", f"LOGIN {repeated}, failed"):
        shown = without_secret(said, secret)
        assert repeated not in shown
        assert WITHHELD in shown or "…" in shown
        assert not any(secret[at : at + 8] in shown for at in range(len(secret) - 7))


@pytest.mark.parametrize(
    "said",
    [
        "[AUTHENTICATIONFAILED] Authentication failed.",
        "LOGIN failed.",
        "5.7.139 Authentication unsuccessful, basic authentication is disabled.",
        "Application-specific password required: https://support.example/accounts/answer/185833 (Failure)",
    ],
)
@pytest.mark.parametrize("secret", ["canary5b1e", TOKEN, "hunter22", "x9", "§$%&"])
def test_what_repeats_nothing_is_shown(said: str, secret: str) -> None:
    assert without_secret(said, secret) == said


def test_a_response_code_stays() -> None:
    assert without_secret(f"[SYS/TEMP] {in_base64(TOKEN)}", TOKEN) == f"[SYS/TEMP] {WITHHELD}"


def test_no_more_is_shown_than_anybody_reads() -> None:
    assert len(without_secret("no " * 100_000, TOKEN)) == SAID_LIMIT
