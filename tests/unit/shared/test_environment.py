"""One error names everything that is wrong with the settings."""

from pathlib import Path

import pytest

from services.ledger.app import Settings
from shared.environment import Environment
from shared.errors import ConfigurationError


def test_one_error_names_all_problems(tmp_path: Path) -> None:
    environment = Environment({"PORT": "eighty", "SIZE": "-1", "SECRET_FILE": str(tmp_path / "absent")})
    environment.text("URL")
    environment.integer("PORT", 80)
    environment.integer("SIZE", 5)
    environment.text("SECRET")
    with pytest.raises(ConfigurationError) as refused:
        environment.check()
    lines = str(refused.value).splitlines()
    assert [line.split()[0] for line in lines] == ["URL", "PORT", "SIZE", "SECRET_FILE"]
    assert "'eighty'" in lines[1]
    assert "at least 0" in lines[2]


def test_nothing_is_wrong() -> None:
    environment = Environment({"A": "text", "B": "0.5", "C": "7"})
    assert (environment.text("A"), environment.number("B", 1), environment.integer("C", 1)) == ("text", 0.5, 7)
    assert (environment.text("D", "given"), environment.number("E", 2.5), environment.integer("F", 3)) == (
        "given",
        2.5,
        3,
    )
    environment.check()


@pytest.mark.parametrize("content", ["s3cret", "s3cret\n", "s3cret\r\n"])
def test_a_secret_from_a_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "secret").write_bytes(content.encode())
    environment = Environment({"SECRET_FILE": str(tmp_path / "secret")})
    assert environment.text("SECRET") == "s3cret"
    environment.check()


def test_the_variable_itself_comes_first(tmp_path: Path) -> None:
    assert Environment({"SECRET": "a", "SECRET_FILE": str(tmp_path / "absent")}).text("SECRET") == "a"


@pytest.mark.parametrize(("content", "said"), [(b"", "is empty"), (b"\n", "is empty"), (b"\xff", "cannot be read")])
def test_a_file_that_holds_nothing_to_use(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "secret").write_bytes(content)
    environment = Environment({"SECRET_FILE": str(tmp_path / "secret")})
    environment.text("SECRET")
    with pytest.raises(ConfigurationError, match=said):
        environment.check()


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "-0.1"])
def test_numbers_that_are_none(value: str) -> None:
    environment = Environment({"WAIT_S": value})
    environment.number("WAIT_S", 1)
    with pytest.raises(ConfigurationError, match="WAIT_S"):
        environment.check()


@pytest.mark.parametrize("value", ["1.5", "0x10", "1e3", "ten", " "])
def test_whole_numbers_that_are_none(value: str) -> None:
    environment = Environment({"COUNT": value})
    environment.integer("COUNT", 1)
    with pytest.raises(ConfigurationError, match="not a whole number"):
        environment.check()


def test_the_ledger_names_all_that_it_misses() -> None:
    with pytest.raises(ConfigurationError, match=r"MAILROOM_AMQP_URL(.|\n)*MAILROOM_DATABASE_URL(.|\n)*LEDGER_BATCH"):
        Settings.from_env({"MAILROOM_LEDGER_BATCH": "0"})
