"""The fetcher's settings: all that is wrong with them is said at once."""

import pytest

from services.fetcher.app import Settings
from services.fetcher.errors import NoSuchServer
from services.fetcher.reach import ANYWHERE
from shared.errors import ConfigurationError

NEEDED = {"MAILROOM_AMQP_URL": "amqp://h", "MAILROOM_DATABASE_URL": "sqlite:///x"}
PUBLIC = NEEDED | {"MAILROOM_MAIL_SERVERS": "public"}


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_env({"MAILROOM_MAIL_SERVERS": "some"})
    for name in ("MAILROOM_AMQP_URL", "MAILROOM_DATABASE_URL", "MAILROOM_MAIL_SERVERS"):
        assert name in str(refused.value)


def test_an_accounts_file_is_not_needed() -> None:
    assert Settings.from_env(NEEDED).accounts_file is None
    assert Settings.from_env(NEEDED).reach == ANYWHERE


def test_accounts_may_be_held_to_public_servers() -> None:
    with pytest.raises(NoSuchServer):
        Settings.from_env(PUBLIC).reach.addresses("127.0.0.1", 995)
    allowing = {"MAILROOM_MAIL_PORTS": "2995, 2993", "MAILROOM_MAIL_NETWORKS": "127.0.0.0/8,fd12::/16"}
    assert Settings.from_env(PUBLIC | allowing).reach.addresses("127.0.0.1", 2993) == ["127.0.0.1"]


@pytest.mark.parametrize("variables", [{"MAILROOM_MAIL_PORTS": "x"}, {"MAILROOM_MAIL_NETWORKS": "10.0.0.1/8"}])
def test_what_they_may_reach_besides_has_to_be_readable(variables: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Settings.from_env(PUBLIC | variables)
