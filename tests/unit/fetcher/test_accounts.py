"""The accounts file: what it can say, and what is said about what is wrong in it."""

from pathlib import Path

import pytest

from services.fetcher.accounts import load_accounts
from services.fetcher.emptying import Empty
from services.fetcher.endpoint import Protocol, Tls
from services.fetcher.errors import UnknownAccount
from shared.errors import ConfigurationError

GOOD = """
[accounts.news]
protocol = "imap"
host = "mail.example"
user = "bounce@lists.example"
password_env = "NEWS_PASSWORD"
tls = "starttls"
folder = "Bounces"
empty = "move:Done"
list_id = "news"

[accounts.shop]
protocol = "pop3"
host = "mail.example"
user = "shop"
password_file = "shop.secret"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "accounts.toml"
    path.write_text(text)
    return path


def test_accounts_are_read(tmp_path: Path) -> None:
    (tmp_path / "shop.secret").write_text("canary\n")
    accounts = load_accounts(write(tmp_path, GOOD), {"NEWS_PASSWORD": "canary"})
    assert accounts.names == ["news", "shop"]
    news, shop = accounts.find("news"), accounts.find("shop")
    assert (news.endpoint.protocol, news.endpoint.tls, news.endpoint.port) == (Protocol.IMAP, Tls.STARTTLS, 143)
    assert (news.folder, news.emptying.empty, news.emptying.folder, news.list_id) == (
        "Bounces",
        Empty.MOVE,
        "Done",
        "news",
    )
    assert (shop.endpoint.protocol, shop.endpoint.tls, shop.endpoint.port) == (Protocol.POP3, Tls.IMPLICIT, 995)
    assert (shop.folder, shop.emptying.empty, shop.list_id) == ("", Empty.BOUNCES, None)


def test_a_password_is_in_no_text_of_an_account(tmp_path: Path) -> None:
    (tmp_path / "shop.secret").write_text("canary\n")
    accounts = load_accounts(write(tmp_path, GOOD), {"NEWS_PASSWORD": "canary"})
    assert "canary" not in f"{accounts.find('news')!r} {accounts.find('shop')} {accounts!r}"


def test_an_account_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "shop.secret").write_text("x")
    accounts = load_accounts(write(tmp_path, GOOD), {"NEWS_PASSWORD": "x"})
    with pytest.raises(UnknownAccount, match="'other'"):
        accounts.find("other")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ('protocol = "smtp"', "protocol: is 'smtp'; it is one of pop3, imap"),
        ("protocol = 3", "protocol: is not text"),
        ("port = 70000", "port: is no port number"),
        ('tls = "maybe"', "tls: is 'maybe'; it is one of implicit, starttls, none"),
        ('host = "mail example"', "host: is no host name"),
        ('host = ""', "host: is missing"),
        ('user = "a\\r\\nb"', "line break"),
        ('password = "canary\\n"', "line break"),
        ('folder = "x"', "folder: has no meaning on POP3"),
        ('empty = "some"', "empty: 'some' is none of"),
        ('empty = "move:x"', "empty: POP3 cannot move"),
        ('empty = "move:"', "empty: 'move:' needs"),
        ('list_id = "-"', "list_id: is no slug"),
        ('ca_file = "missing.pem"', "ca_file: ca_file"),
        ('password_env = "X"', "password: give exactly one"),
        ('colour = "red"', "colour: is no field"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: str, problem: str) -> None:
    fields = {"protocol": '"pop3"', "host": '"mail.example"', "user": '"joe"', "password": '"canary"'}
    name, _, value = change.partition(" = ")
    fields[name] = value
    text = "[accounts.shop]\n" + "".join(f"{name} = {value}\n" for name, value in fields.items())
    with pytest.raises(ConfigurationError) as refused:
        load_accounts(write(tmp_path, text), {})
    said = str(refused.value)
    assert said.startswith(f"{tmp_path / 'accounts.toml'}: account 'shop': ")
    assert problem in said
    assert "canary" not in said


def test_all_problems_are_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_accounts(write(tmp_path, '[accounts.a]\nprotocol = "pop3"\n[accounts.b]\nhost = "x"\n'), {})
    assert len(str(refused.value).splitlines()) >= 5


@pytest.mark.parametrize("text", ["", "accounts = 1", "[accounts", 'a = "\\ud800"'])
def test_a_file_without_accounts(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"accounts\.toml"):
        load_accounts(write(tmp_path, text), {})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_accounts(tmp_path / "none.toml", {})
