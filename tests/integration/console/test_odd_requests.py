"""Whatever stands in an address or a form: a page answers, and no text of it is an error of ours."""

import re

import pytest

from services.console.roles import Role
from tests.browser.content import address_of, client_of, own_routes
from tests.integration.console.conftest import Filled

ODD = (
    "\x00",
    "a\x00b",
    "99999999999999999999999999",
    "-1",
    "'",
    "%",
    "\\",
    "\u202e\ufdfd\U0010ffff",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999-14:00",
    "x" * 20_000,
)
NAMES = ("after0", "after1", "subject", "stage", "state", "reason", "address", "days", "mails", "next")


def test_a_page_takes_any_arguments(filled: Filled) -> None:
    client = client_of(filled.app, Role.ADMINISTRATOR)
    broken = []
    for rule in own_routes(filled.app):
        if "GET" not in (rule.methods or ()):
            continue
        plain = address_of(filled.app, rule, filled.mail)
        for odd in ODD:
            others = {name: odd for name in NAMES if not name.startswith("after")}
            asked = [(plain, others), (plain, {"after0": odd, "after1": odd})]
            asked.append((plain, {"after0": "2026-01-01T00:00:00+00:00", "after1": odd}))
            if rule.arguments:
                with filled.app.test_request_context():
                    asked.append((filled.app.url_for(rule.endpoint, **dict.fromkeys(rule.arguments, odd)), {}))
            for address, query in asked:
                status = client.get(address, query_string=query).status_code
                if status >= 500:
                    broken.append((rule.rule, sorted(query), odd[:12], status))
    assert not broken, "\n".join(map(str, broken))


def test_a_form_takes_any_values(filled: Filled) -> None:
    client = client_of(filled.app, Role.ADMINISTRATOR)
    pages = {rule.endpoint: address_of(filled.app, rule, filled.mail) for rule in own_routes(filled.app)}
    names = set(NAMES)
    for rule in own_routes(filled.app):
        if "GET" in (rule.methods or ()):
            shown = client.get(pages[rule.endpoint], query_string={"address": "gone@example.net"}).text
            names |= set(re.findall(r'name="([^"]+)"', shown))
    names -= {"csrf_token", "viewport", "password"}
    assert {"why", "letter", "soft_limit", "list_id"} <= names
    token = client.get("/policy/").text.split('name="csrf_token" value="')[1].split('"')[0]
    broken = []
    for rule in own_routes(filled.app):
        if "POST" not in (rule.methods or ()) or rule.endpoint in ("login.log_out", "login.log_in"):
            continue
        for odd in ODD:
            sent = dict.fromkeys(names, odd) | {"csrf_token": token, "password": odd[:300]}
            for form in (sent, sent | {"why": "because", "address": "gone@example.net", "letter": "ab" * 32}):
                status = client.post(pages[rule.endpoint], data=form).status_code
                if status >= 500:
                    broken.append((rule.rule, odd[:12], status))
    assert not broken, "\n".join(map(str, broken))


@pytest.mark.parametrize("odd", ODD)
def test_a_login_takes_any_name(filled: Filled, odd: str) -> None:
    client = filled.app.test_client()
    token = client.get("/login").text.split('name="csrf_token" value="')[1].split('"')[0]
    sent = {"name": odd, "password": odd[:300], "csrf_token": token}
    assert client.post("/login", data=sent).status_code in (200, 400, 429)
