"""SOURCE: what is a mail, in what order, under what name, and what happens to what cannot be read."""

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.fetcher.endpoint import Protocol, Tls
from services.fetcher.errors import SourceUnreadable
from services.fetcher.sources import clean_source, count_source, is_account_url, open_source, read_account_url
from shared.errors import ConfigurationError
from shared.identity import READ_LIMIT_BYTES

MAIL = b"Subject: one\n\nbody\n"
FROM_ = b"From MAILER-DAEMON Mon Jan  1 10:00:00 2024\n"


def write(path: Path, content: bytes = MAIL) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_file_is_one_mail_received_at_its_time(tmp_path: Path) -> None:
    path = write(tmp_path / "one.eml", MAIL.replace(b"\n", b"\r\n"))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    [found] = open_source(str(path))
    assert (found.name, found.raw, found.error) == (str(path), MAIL.replace(b"\n", b"\r\n"), None)
    assert found.received_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert count_source(str(path)) == 1


def test_a_file_that_starts_like_an_mbox_is_one(tmp_path: Path) -> None:
    path = write(tmp_path / "inbox", FROM_ + MAIL + b"\n" + FROM_ + MAIL)
    assert [found.name for found in open_source(str(path))] == [f"{path}#1", f"{path}#2"]
    assert count_source(str(path)) is None


def test_an_mbox_that_is_none_is_an_error(tmp_path: Path) -> None:
    [found] = open_source(str(write(tmp_path / "a.mbox", b"noise")))
    assert found.error is not None
    assert "a.mbox" in found.error


def test_an_empty_file_is_an_empty_mail(tmp_path: Path) -> None:
    [found] = open_source(str(write(tmp_path / "empty.eml", b"")))
    assert (found.raw, found.error) == (b"", None)


@pytest.mark.parametrize(("more", "truncated"), [(0, False), (1, True), (10_000_000, True)])
def test_a_large_file_is_cut(tmp_path: Path, more: int, truncated: bool) -> None:
    [found] = open_source(str(write(tmp_path / "noise.eml", b"\x00" * (READ_LIMIT_BYTES + more))))
    assert (len(found.raw), found.truncated) == (READ_LIMIT_BYTES, truncated)


def test_a_folder_is_read_in_order_each_file_one_mail(tmp_path: Path) -> None:
    write(tmp_path / "b.eml")
    write(tmp_path / "a.eml", FROM_ + MAIL + b"\n" + FROM_ + MAIL)  # a saved mail keeps its From_ line
    write(tmp_path / "c" / "d.mbox", FROM_ + MAIL)
    write(tmp_path / ".hidden")
    names = [found.name.removeprefix(f"{tmp_path}/") for found in open_source(str(tmp_path))]
    assert names == ["a.eml", "b.eml", "c/d.mbox#1"]


def test_of_a_maildir_cur_and_new_are_read_and_tmp_is_not(tmp_path: Path) -> None:
    for part, name in (("cur", "2:2,S"), ("cur", "1:2,"), ("new", "3"), ("tmp", "4")):
        write(tmp_path / part / name)
    names = [found.name.removeprefix(f"{tmp_path}/") for found in open_source(str(tmp_path))]
    assert names == ["cur/1:2,", "cur/2:2,S", "new/3"]
    assert count_source(str(tmp_path)) == 3


def test_a_path_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    [found] = open_source(str(tmp_path / "missing.eml"))
    assert found.error == f"{tmp_path / 'missing.eml'} cannot be read: No such file or directory"


def test_what_cannot_be_read_in_a_folder_does_not_stop_the_rest(tmp_path: Path) -> None:
    (tmp_path / "a.eml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "b.eml").symlink_to(tmp_path / "b.eml")
    write(tmp_path / "c.eml")
    a, b, c = open_source(str(tmp_path))
    assert a.error is not None
    assert b.error is not None
    assert (c.raw, c.error) == (MAIL, None)


def test_a_name_that_is_no_text_can_be_printed(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.eml")
    [found] = open_source(str(write(path)))
    assert found.name.encode().endswith(b"\\xff.eml")


@pytest.mark.parametrize(
    ("url", "protocol", "tls", "port", "user", "folder"),
    [
        ("imaps://joe@mail.example", Protocol.IMAP, Tls.IMPLICIT, 993, "joe", "INBOX"),
        ("imap://joe@mail.example:1143/Bounces", Protocol.IMAP, Tls.STARTTLS, 1143, "joe", "Bounces"),
        ("IMAP://joe@mail.example/a%20b?tls=none", Protocol.IMAP, Tls.NONE, 143, "joe", "a b"),
        ("pop3s://joe@lists.example@mail.example", Protocol.POP3, Tls.IMPLICIT, 995, "joe@lists.example", ""),
        ("pop3://joe%40lists.example@[::1]:110", Protocol.POP3, Tls.STARTTLS, 110, "joe@lists.example", ""),
    ],
)
def test_an_account_url(url: str, protocol: Protocol, tls: Tls, port: int, user: str, folder: str) -> None:
    account = read_account_url(url)
    endpoint = account.endpoint
    assert (endpoint.protocol, endpoint.tls, endpoint.port) == (protocol, tls, port)
    assert (account.user, account.folder) == (user, folder)


@pytest.mark.parametrize(
    "url",
    [
        "imaps://mail.example",
        "imaps://joe@",
        "imaps://joe@mail.example:x",
        "imaps://joe@mail.example?tls=none",
        "imap://joe@mail.example?tls=maybe",
        "imap://joe@mail.example?colour=red",
        "pop3s://joe@mail.example/folder",
        "imaps://joe%0d%0aA1 LOGOUT@mail.example",
        "imaps://joe@mail.example/a%0d%0ab",
        "imaps://[joe@mail.example",
    ],
)
def test_an_account_url_that_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        read_account_url(url)


def test_a_password_in_an_url_is_refused_and_not_repeated() -> None:
    [found] = open_source("imaps://joe:canary@mail.example/INBOX")
    assert found.error is not None
    assert "canary" not in found.error + found.name


def test_a_server_that_refuses_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    [found] = open_source(f"imaps://joe@127.0.0.1:{port}/INBOX", "secret")
    assert found.error is not None
    assert "refused the connection" in found.error


def test_files_are_never_cleaned(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable):
        clean_source(str(write(tmp_path / "one.eml")), "all", {}, lambda raw_ids: {})


def test_what_an_account_url_is() -> None:
    assert is_account_url("pop3://a@b")
    assert not is_account_url("samples/pop3")
    assert not is_account_url("https://a@b")
