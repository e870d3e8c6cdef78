"""The fetcher's settings: all that is wrong with them is said at once."""

import pytest

from services.fetcher.app import Settings
from shared.errors import ConfigurationError


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_env({})
    for name in ("MAILROOM_AMQP_URL", "MAILROOM_DATABASE_URL", "MAILROOM_ACCOUNTS_FILE"):
        assert name in str(refused.value)
