"""`mailroom lists login`: from what a provider's portal shows to a mailbox that opens, with nothing secret left over."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import Engine, insert, select, update

from services.cli import main
from services.fetcher.accounts_sql import SqlAccounts
from services.fetcher.endpoint import Protocol
from services.fetcher.handler import open_account
from services.fetcher.lists_sql import SqlLists
from services.fetcher.login_factory import with_tokens
from shared.secrets import SecretBox, new_key, open_secret_box
from shared.tables import connect, upgrade
from shared.tables.fetcher import bounce_account, contact_list, login_token
from tests.servers import certificates, token_endpoint
from tests.servers.dovecot import Mailbox
from tests.servers.token_endpoint import TENANT, TokenEndpoint

SECRET = "canary-client-secret"
KEY = {"MAILROOM_SECRET_KEY": new_key()}


@pytest.fixture
def endpoint(mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenEndpoint]:
    """Gives tokens that the mailbox's server takes; its certificate is trusted."""
    files = certificates.make(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(files.ca_file))
    with token_endpoint.serving(files, lambda: mailbox.server.token(mailbox.user)) as serving:
        yield serving


@pytest.fixture(params=list(Protocol))
def engine(request: pytest.FixtureRequest, mailbox: Mailbox, tmp_path: Path) -> Iterator[Engine]:
    """A list `weekly` whose account `news`, on each protocol, still has a password."""
    engine = connect(f"sqlite:///{tmp_path}/mailroom.db")
    upgrade(engine)
    now = datetime.now(UTC)
    is_pop3 = request.param == Protocol.POP3
    row = {
        "name": "news",
        "protocol": request.param,
        "host": mailbox.host,
        "port": mailbox.server.pop3s_port if is_pop3 else mailbox.server.imaps_port,
        "tls": "implicit",
        "user_name": mailbox.user,
        "secret": "sealed",
        "ca_pem": mailbox.ca_file.read_text(),
        "folder": "" if is_pop3 else "INBOX",
        "created_at": now,
        "updated_at": now,
    }
    with engine.begin() as connection:
        connection.execute(insert(bounce_account).values(row))
        connection.execute(
            insert(contact_list).values(list_id="weekly", bounce_email="bounces@example.com", account="news")
        )
    yield engine
    engine.dispose()


LogIn = Callable[..., Result]


@pytest.fixture
def log_in(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LogIn:
    """Runs the command; `typed` is what a person answers."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, typed: str = "", **variables: str | None) -> Result:
        command = ["lists", "login", *arguments]
        return CliRunner().invoke(main, command, prog_name="mailroom", input=typed, env={**KEY, **variables})

    return run


def row(engine: Engine) -> Any:
    with engine.connect() as connection:
        return connection.execute(select(bounce_account)).one()


def opens(engine: Engine) -> bool:
    """As the fetcher opens it from then on."""

    def open_box() -> SecretBox:
        return open_secret_box(KEY)

    book = SqlAccounts(SqlLists(engine), open_box, make_login=with_tokens(engine, open_box))
    with open_account(book.find("news"))(False) as opened:
        opened.logout()
    return True


def kept(engine: Engine) -> str:
    with engine.connect() as connection:
        return repr(
            [tuple(one) for table in (bounce_account, login_token) for one in connection.execute(select(table))]
        )


def service_key(endpoint: TokenEndpoint, folder: Path) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    path = folder / "key.json"
    path.write_text(
        json.dumps({"client_email": "bot@project.example", "private_key": pem, "token_uri": endpoint.token_uri})
    )
    return path


@pytest.mark.parametrize("way", ["microsoft-app", "microsoft-user", "google-service", "refresh-token"])
def test_a_person_logs_in_and_the_fetcher_can(
    way: str, log_in: LogIn, engine: Engine, endpoint: TokenEndpoint, mailbox: Mailbox, tmp_path: Path
) -> None:
    mailbox.deliver(b"Subject: bounce\r\n\r\nbody\r\n")
    answers = {
        "microsoft-app": [TENANT, "app-1", SECRET],
        "microsoft-user": [TENANT, "app-1"],
        "google-service": [str(service_key(endpoint, tmp_path))],
        "refresh-token": [endpoint.token_uri, "app-1", SECRET, "mail.read", endpoint.refresh_token],
    }
    typed = "\n".join([way, *answers[way]]) + "\n"
    ran = log_in("weekly", "--authority", endpoint.url, typed=typed)
    assert ran.exit_code == 0, ran.output
    assert "1 mails" in ran.stdout
    assert mailbox.user in ran.stdout
    if way == "microsoft-user":
        assert "ABCD-1234" in ran.stderr
    assert (row(engine).login, row(engine).secret) == ("oauth2", None)
    asked = len(endpoint.asked)
    assert opens(engine)
    assert len(endpoint.asked) == asked, "with the token that the login got"
    with engine.begin() as connection:
        connection.execute(update(login_token).values(expires_at=login_token.c.updated_at))
    assert opens(engine)
    assert len(endpoint.asked) == asked + 1, "with a new one, asked for by what was kept"
    seen = ran.stdout + ran.stderr + kept(engine)
    assert "canary" not in seen
    assert "PRIVATE KEY" not in seen
    assert "eyJ" not in seen, "the beginning of a token of the mail server"


def test_a_script_logs_in(log_in: LogIn, engine: Engine, endpoint: TokenEndpoint, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    ran = log_in(
        "news", "--way", "microsoft-app", "--tenant", TENANT, "--client-id", "app-1",
        "--client-secret-file", str(secret), "--authority", endpoint.url,
    )  # fmt: skip
    assert ran.exit_code == 0, ran.output
    assert endpoint.asked[0]["client_secret"] == SECRET


def test_a_list_without_a_password_from_the_beginning_to_the_end(
    endpoint: TokenEndpoint, mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Added with --oauth2, logged in, tested, its key rotated, given a password, removed."""
    monkeypatch.chdir(tmp_path)
    engine = connect(f"sqlite:///{tmp_path}/mailroom.db")
    upgrade(engine)
    old, new = new_key(), new_key()

    def mailroom(*arguments: str, key: str = old, **variables: str) -> Result:
        variables = {"MAILROOM_SECRET_KEY": key, **variables}
        return CliRunner().invoke(main, arguments, prog_name="mailroom", env=variables)

    def done(*arguments: str, key: str = old, **variables: str) -> str:
        ran = mailroom(*arguments, key=key, **variables)
        assert ran.exit_code == 0, ran.output
        assert "canary" not in ran.output + kept(engine)
        return ran.output

    server = f"{mailbox.host}:{mailbox.server.imaps_port}"
    options = ("--server", server, "--user", mailbox.user, "--type", "imap", "--ca", str(mailbox.ca_file))
    added = done("lists", "add", "weekly", "--bounce-email", "bounces@example.com", *options, "--oauth2")
    assert "mailroom lists login weekly" in added
    untested = mailroom("lists", "test", "weekly")
    assert untested.exit_code == 1
    assert "mailroom lists login weekly" in untested.output
    (tmp_path / "secret").write_text(SECRET)
    app = ("--tenant", TENANT, "--client-id", "app-1", "--client-secret-file", "secret", "--authority", endpoint.url)
    done("lists", "login", "weekly", "--way", "microsoft-app", *app)
    done("lists", "test", "weekly")
    assert "3 sealed anew" not in done("secrets", "rotate")
    assert "2 sealed anew" in done("secrets", "rotate", key=f"{new},{old}")
    done("lists", "test", "weekly", key=new)
    with engine.begin() as connection:
        connection.execute(update(login_token).values(expires_at=login_token.c.updated_at))
    done("lists", "test", "weekly", key=new)
    assert len(endpoint.asked) == 2
    done("lists", "edit", "weekly", "--empty", "all", key=new)
    assert row(engine).login == "oauth2"
    done("lists", "edit", "weekly", "--password", key=new, MAILROOM_PASSWORD=mailbox.password)
    assert row(engine).login == "password"
    with engine.connect() as connection:
        assert connection.execute(select(login_token)).all() == []
    done("lists", "login", "weekly", "--way", "microsoft-app", *app, key=new)
    moved = done("lists", "edit", "weekly", "--server", "imap.example.net", "--tls", "implicit", key=new)
    assert "mailroom lists login weekly" in moved, "what was for one server is not sent to another"
    assert (row(engine).login, row(engine).host) == ("oauth2", "imap.example.net")
    with engine.connect() as connection:
        assert connection.execute(select(login_token)).all() == []
    plain = mailroom("lists", "edit", "weekly", "--server", "mail.example.net", "--tls", "none", key=new)
    assert plain.exit_code == 2
    assert "only sent over TLS" in plain.output
    done("lists", "remove", "weekly", "--yes", key=new)
    assert kept(engine) == "[]"
    engine.dispose()


@pytest.mark.parametrize("engine", [Protocol.IMAP], indirect=True)
class TestNothingChanges:
    """When anything is wrong, the account logs in as it did before."""

    APP = ("weekly", "--way", "microsoft-app")
    TYPED = f"{TENANT}\napp-1\n{SECRET}\n"

    def refused(self, ran: Result, engine: Engine, words: str) -> None:
        assert ran.exit_code == 2, ran.output
        assert words in ran.stderr
        assert "canary" not in ran.output
        assert "Traceback" not in ran.output
        assert (row(engine).login, row(engine).secret) == ("password", "sealed")
        with engine.connect() as connection:
            assert connection.execute(select(login_token)).all() == []

    def test_the_token_endpoint_refuses(self, log_in: LogIn, engine: Engine, endpoint: TokenEndpoint) -> None:
        endpoint.refusal = (401, {"error": "invalid_client", "error_description": "AADSTS7000215: not this secret"})
        ran = log_in(*self.APP, "--authority", endpoint.url, typed=self.TYPED)
        self.refused(ran, engine, "AADSTS7000215")

    def test_the_mail_server_refuses(self, log_in: LogIn, engine: Engine, endpoint: TokenEndpoint) -> None:
        endpoint.issue = lambda: "canary-of-no-use"
        ran = log_in(*self.APP, "--authority", endpoint.url, typed=self.TYPED)
        self.refused(ran, engine, "a token was given, but nothing was kept")
        assert "AccessAsApp" in ran.stderr

    def test_nobody_answers(self, log_in: LogIn, engine: Engine, endpoint: TokenEndpoint) -> None:
        ran = log_in(*self.APP, "--authority", "https://localhost:1", typed=self.TYPED)
        self.refused(ran, engine, "REQUESTS_CA_BUNDLE")

    def test_no_key_to_seal_with(self, log_in: LogIn, engine: Engine, endpoint: TokenEndpoint) -> None:
        ran = log_in(*self.APP, "--authority", endpoint.url, typed=self.TYPED, MAILROOM_SECRET_KEY=None)
        self.refused(ran, engine, "MAILROOM_SECRET_KEY")
        assert endpoint.asked == []

    def test_nothing_more_is_typed(self, log_in: LogIn, engine: Engine, endpoint: TokenEndpoint) -> None:
        self.refused(log_in("weekly", typed=""), engine, "nobody answers here: give --way")
        self.refused(log_in(*self.APP, typed="tenant\n"), engine, "nobody answers here: give --client-id")
        self.refused(
            log_in(*self.APP, typed="tenant\napp-1\n"), engine, "nobody answers here: give --client-secret-file"
        )

    def test_no_such_list(self, log_in: LogIn, engine: Engine, endpoint: TokenEndpoint) -> None:
        self.refused(log_in("nothing", typed=self.TYPED), engine, "no list or bounce account 'nothing'")

    def test_no_encryption(self, log_in: LogIn, engine: Engine, endpoint: TokenEndpoint) -> None:
        with engine.begin() as connection:
            connection.execute(update(bounce_account).values(tls="none"))
        self.refused(log_in(*self.APP, typed=self.TYPED), engine, "never sent that way")
        assert endpoint.asked == []

    def test_a_file_that_is_no_key(
        self, log_in: LogIn, engine: Engine, endpoint: TokenEndpoint, tmp_path: Path
    ) -> None:
        (tmp_path / "photo.json").write_bytes(b"\xff\xd8canary")
        ran = log_in("weekly", "--way", "google-service", "--key-file", str(tmp_path / "photo.json"))
        self.refused(ran, engine, "no key of a service account")
