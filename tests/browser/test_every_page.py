"""What holds for every page, whichever are added: roles, tokens, headers, hostile text, and people who see or move differently.

The routes come from the router; a route that no test knows how to fill fails here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Dialog, Page, expect

from services.console.app import Settings, make_backing
from services.console.application import CONTENT_SECURITY_POLICY, create_application
from services.console.roles import GIVEN, Role, needed_role
from shared.publisher import ConfirmingPublisher
from shared.tables import connect
from tests.browser.conftest import picture
from tests.browser.content import LETTER, RUN, address_of, client_of, fill, own_routes, spread
from tests.servers.console import NOBODY, PASSWORD, SECRET_KEY, Console, serve

LogIn = Callable[..., Page]
ROLES = (Role.ANYBODY, *GIVEN)


@pytest.fixture(scope="module")
def mail(database: str) -> str:
    return fill(database)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('console') / 'mailroom.db'}"


@pytest.fixture(scope="module")
def app(database: str, mail: str) -> Iterator[Flask]:
    """The application itself, without a socket."""
    variables = {"MAILROOM_DATABASE_URL": database, "MAILROOM_AMQP_URL": NOBODY, "MAILROOM_SECRET_KEY": SECRET_KEY}
    engine = connect(database)
    publisher = ConfirmingPublisher(NOBODY, 0.1)
    backing = make_backing(Settings.from_env(variables), engine, publisher)
    for role in GIVEN:
        backing.people.add(role, role, PASSWORD, "tests")
    yield create_application(backing, secret_key=SECRET_KEY)
    publisher.close()
    engine.dispose()


def test_every_route_says_which_role_it_needs(app: Flask) -> None:
    silent = [rule.endpoint for rule in own_routes(app) if needed_role(app.view_functions[rule.endpoint]) is None]
    assert silent == []


@pytest.mark.parametrize("role", ROLES)
def test_who_has_less_than_a_route_needs_is_refused(app: Flask, mail: str, role: Role) -> None:
    client = client_of(app, role)
    for rule in own_routes(app):
        needed = needed_role(app.view_functions[rule.endpoint])
        assert needed is not None
        if role.may(needed):
            continue
        for method in rule.methods or ():
            if method not in ("GET", "POST"):
                continue
            answer = client.open(address_of(app, rule, mail), method=method)
            is_sent_to_login = answer.status_code == 302 and answer.headers["Location"].startswith("/login?")
            is_refused = answer.status_code == 403 or (role == Role.ANYBODY and is_sent_to_login)
            assert is_refused, f"{role} {method} {rule.rule}: {answer.status}"


def test_a_post_without_its_token_is_refused_whoever_sends_it(app: Flask, mail: str) -> None:
    client = client_of(app, Role.ADMINISTRATOR)
    posts = [rule for rule in own_routes(app) if "POST" in (rule.methods or ())]
    assert len(posts) > 10
    for rule in posts:
        answer = client.post(address_of(app, rule, mail), data={"name": "x"})
        assert answer.status_code == 403, rule.rule


@pytest.mark.parametrize("role", GIVEN)
def test_every_page_of_a_role_opens_with_the_headers_that_protect_it(app: Flask, mail: str, role: Role) -> None:
    client = client_of(app, role)
    opened = 0
    for rule in own_routes(app):
        needed = needed_role(app.view_functions[rule.endpoint])
        if "GET" not in (rule.methods or ()) or needed is None or not role.may(needed):
            continue
        answer = client.get(address_of(app, rule, mail), query_string={"address": "gone@example.net"})
        assert answer.status_code in (200, 302), f"{rule.rule}: {answer.status}"
        assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        opened += 1
    assert opened > 8


def test_nothing_of_that_name_is_a_page_of_ours(app: Flask) -> None:
    answer = client_of(app, Role.VIEWER).get("/nothing/of/that/name")
    assert (answer.status_code, "There is no such page" in answer.text) == (404, True)


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_a_login_leads_nowhere_else(app: Flask, wanted: str) -> None:
    client = app.test_client()
    token = client.get("/login").text.split('name="csrf_token" value="')[1].split('"')[0]
    sent = {"name": "viewer", "password": PASSWORD, "csrf_token": token}
    assert client.post("/login", query_string={"next": wanted}, data=sent).headers["Location"] == "/"


@pytest.fixture(scope="module")
def console(database: str, mail: str, app: Flask) -> Iterator[Console]:
    with serve(database) as served:
        yield served


PAGES = {
    "dashboard": "/",
    "lists": "/lists/",
    "list-new": "/lists/new",
    "list-edit": "/lists/weekly/edit",
    "contacts": "/lists/weekly/contacts/",
    "tokens": "/tokens/",
    "process-pick": "/process/",
    "process-server": "/process/list/weekly",
    "process-ready": "/process/list/weekly/find?mails=3",
    "run": f"/process/runs/{RUN}",
    "runs": "/runs/",
    "addresses": "/addresses/",
    "address": "/addresses/of?address=gone@example.net",
    "address-unknown": "/addresses/of?address=nobody@example.net",
    "unidentified": "/unidentified/",
    "mail": "/mails/{mail}",
    "dead-letters": "/dead-letters/",
    "dead-letter": f"/dead-letters/{LETTER}",
    "policy": "/policy/",
    "users": "/users/",
    "audit": "/audit/",
}


@pytest.mark.timeout(300)
def test_every_page_can_be_used_by_everybody(console: Console, log_in: LogIn, mail: str) -> None:
    """No serious finding of axe, nothing wider than a telephone, and a picture for whoever looks."""
    page = log_in(console)
    for name, address in PAGES.items():
        page.goto(address.format(mail=mail))
        picture(page, name)
        assert serious_findings(page) == [], name
        page.set_viewport_size({"width": 400, "height": 800})
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 400, f"{name} is {width} wide"
        assert serious_findings(page) == [], f"{name}, narrow"
        page.set_viewport_size({"width": 1440, "height": 900})


def serious_findings(page: Page) -> list[str]:
    """What axe finds that keeps somebody from using it."""
    return [one["id"] for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")]


@pytest.mark.timeout(300)
def test_empty_and_refused_pages_can_be_used_by_everybody(tmp_path: Path, log_in: LogIn) -> None:
    with serve(f"sqlite:///{tmp_path / 'empty.db'}") as served:
        page = log_in(served)
        try:
            empty = (
                "/",
                "/lists/",
                "/runs/",
                "/unidentified/",
                "/dead-letters/",
                "/dead-letters/?state=discarded",
                "/audit/?subject=x",
            )
            for address in (*empty, "/policy/", "/nothing", f"/mails/{'0' * 64}"):
                page.goto(address)
                assert serious_findings(page) == [], address
                assert page.evaluate("document.documentElement.scrollWidth") <= 1440
            page.goto("/users/")
            page.get_by_label("User name").fill("jane")
            page.get_by_label("Password", exact=True).fill("short")
            page.get_by_role("button", name="Add").click()
            expect(page.get_by_role("alert")).to_contain_text("characters")
            expect(page.get_by_label("User name")).to_have_value("jane")
            assert serious_findings(page) == []
            page.get_by_role("button", name="Log out").click()
            expect(page.get_by_role("button", name="Log in")).to_be_visible()
            assert serious_findings(page) == []
        finally:
            page.context.close()


def test_pages_cover_every_page_that_the_router_has(app: Flask, mail: str) -> None:
    shown = {address.format(mail=mail).split("?")[0] for address in PAGES.values()}
    others = {"login.show", "login.by_link", "dashboard.days_svg", "process.progress", "mails.raw", "contacts.export"}
    for rule in own_routes(app):
        if "GET" in (rule.methods or ()) and rule.endpoint not in others:
            assert address_of(app, rule, mail) in shown, rule.rule


@pytest.mark.timeout(300)
def test_long_text_in_every_page_stays_text(tmp_path: Path, log_in: LogIn) -> None:
    """300 payloads at once wherever a mail or a person can put some: as many elements as with harmless text."""
    payloads = " ".join(PAYLOADS)
    counts = []
    for name, words in (("harmless", "x" * len(payloads)), ("hostile", payloads)):
        url = f"sqlite:///{tmp_path / name}.db"
        one = fill(url, words)
        with serve(url) as served, watch(log_in(served)) as watched:
            counts.append([watched.elements(address.format(mail=one)) for address in PAGES.values()])
    assert counts[0] == counts[1]


@pytest.mark.timeout(300)
def test_each_payload_in_each_field_stays_text(tmp_path: Path, log_in: LogIn) -> None:
    """None of 300 runs, makes an element, or is reported by the browser, in every list and on each mail's and letter's page."""
    assert len(set(PAYLOADS)) >= 300
    counts = []
    for name, texts in (("harmless", [f"harmless {number}" for number in range(300)]), ("hostile", PAYLOADS)):
        url = f"sqlite:///{tmp_path / name}.db"
        mails, letters = spread(url, texts)
        with serve(url) as served, watch(log_in(served)) as watched:
            elements = watched.elements_of_all(
                "/unidentified/", "/dead-letters/", "/audit/", "/runs/", f"/process/runs/{RUN}"
            )
            assert len(elements) > 15, "lists go on over several pages"
            elements += [watched.elements(f"/addresses/of?address=victim{number}@example.net") for number in range(3)]
            for folder, ones in (("mails", mails), ("dead-letters", letters)):
                looked_at = ones if name == "hostile" else ones[:1]  # harmless ones are alike
                alike = {watched.elements(f"/{folder}/{one}") for one in looked_at}
                assert len(alike) == 1
                elements += alike
            counts.append(elements)
    assert counts[0] == counts[1]


@contextmanager
def watch(page: Page) -> Iterator["Watched"]:
    """Closes what the page is of: a connection that is kept open keeps the server from ending."""
    try:
        yield Watched(page)
    finally:
        page.context.close()


class Watched:
    """A page that says at once when something of the text that it shows ran."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._said: list[str] = []
        page.on("dialog", self._dismiss)
        page.on("console", lambda message: self._said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self._said.append(str(error)))
        page.add_init_script(
            "window.refused = [];"
            "document.addEventListener('securitypolicyviolation', event => window.refused.push(event.violatedDirective))"
        )

    def _dismiss(self, dialog: Dialog) -> None:
        self._said.append(dialog.message)
        dialog.dismiss()

    def elements(self, address: str) -> int:
        """How many elements the page of that address has."""
        answer = self.page.goto(address)
        assert answer is not None
        assert answer.status == 200, f"{address}: {answer.status}"
        count, refused = self.page.evaluate("[document.querySelectorAll('*').length, window.refused]")
        assert (self._said, refused) == ([], []), address
        return int(count)

    def elements_of_all(self, *addresses: str) -> list[int]:
        """The same, of these and of the further pages that they lead to."""
        counts = []
        for address in addresses:
            counts.append(self.elements(address))
            while (further := self.page.locator("a[href*='after0=']")).count():
                counts.append(self.elements(further.first.get_attribute("href") or ""))
        return counts


_WAYS_OUT = (
    "", "'>", '">', "' x='>", '" x=">', "</pre>", "</title>", "</textarea>", "</td></tr></table>", "</dd></dl>",
    "</code>", "</select>", "</button>", "</form>", "-->", "<!--", "]]>", "</script>", "</style>", "\\",
)  # fmt: skip
"""Of where a template may have put the text."""
_TAGS = (
    "<script>alert({0})</script>",
    "<script src=//127.0.0.1/{0}.js></script>",
    "<img src=x onerror=alert({0})>",
    "<svg onload=alert({0})>",
    "<svg><script>alert({0})</script></svg>",
    "<iframe srcdoc='<script>alert({0})</script>'></iframe>",
    "<body onload=alert({0})>",
    "<details open ontoggle=alert({0})>",
    "<input autofocus onfocus=alert({0})>",
    "<a href='javascript:alert({0})'>x</a>",
    "<style>@import '//127.0.0.1/{0}.css'</style>",
    "<meta http-equiv=refresh content='0;url=javascript:alert({0})'>",
    "<math><mi xlink:href='data:x,<script>alert({0})</script>'>",
    "{{{{ {0} * {0} }}}}{{% include '{0}' %}}",
    "\\u003cscript\\u003ealert({0})\\u003c/script\\u003e",
)
PAYLOADS = [way_out + tag.format(number) for number, way_out in enumerate(_WAYS_OUT) for tag in _TAGS]


def test_a_keyboard_is_enough(console: Console, log_in: LogIn) -> None:
    """From the login to an address's answer without a mouse; what has the focus can be seen."""
    page = log_in(console, "viewer")
    page.goto("/addresses/")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_attribute("id", "address")
    page.keyboard.type("gone@example.net")
    page.keyboard.press("Enter")
    expect(page.locator(".answer")).to_have_text("Do not mail")


@pytest.mark.timeout(300)
def test_a_keyboard_reaches_whatever_can_be_used(console: Console, log_in: LogIn, mail: str) -> None:
    """On every page the Tab key comes by each link, button and field, and each shows that it has the focus."""
    page = log_in(console)
    for name, address in PAGES.items():
        page.goto(address.format(mail=mail))
        wanted = page.evaluate(_NUMBER_WHAT_CAN_BE_USED)
        reached: set[int] = set()
        for _ in range(2 * wanted + 10):
            page.keyboard.press("Tab")
            number, is_visible = page.evaluate(_WHAT_HAS_THE_FOCUS)
            if number in reached:
                break
            if number >= 0:
                assert is_visible, (
                    f"{name}: the focus on {page.evaluate('document.activeElement.outerHTML')} is not seen"
                )
                reached.add(number)
        missed = [
            page.locator(f"[data-tried='{one}']").evaluate("one => one.outerHTML")
            for one in set(range(wanted)) - reached
        ]
        assert missed == [], name


_NUMBER_WHAT_CAN_BE_USED = """() => {
    const seen = one => one.checkVisibility() && !one.disabled && one.type !== 'hidden';
    const first = {};  // of radio buttons the Tab key comes by one of each group
    const all = [...document.querySelectorAll('a[href], button, input, select, textarea, summary')].filter(seen)
        .filter(one => one.type !== 'radio' || !(one.name in first) && (first[one.name] = true));
    all.forEach((one, number) => one.dataset.tried = number);
    document.querySelectorAll('input[type=radio]').forEach(one => {
        const group = all.find(other => other.name === one.name && other.type === 'radio');
        if (group) one.dataset.tried = group.dataset.tried;
    });
    return all.length;
}"""
_WHAT_HAS_THE_FOCUS = """() => {
    const one = document.activeElement, style = getComputedStyle(one);
    const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
    return [one.dataset.tried === undefined ? -1 : Number(one.dataset.tried), outlined || style.boxShadow !== 'none'];
}"""
