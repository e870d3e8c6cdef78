"""Which recorded mails leave a mailbox."""

import pytest

from services.fetcher.emptying import Judged, read_emptying
from shared.errors import ConfigurationError


@pytest.mark.parametrize(
    ("kind", "verdict", "truncated", "bounces", "everything"),
    [
        ("bounce", "hard", False, True, True),
        ("bounce", "soft", True, True, True),
        ("bounce", "unidentified", False, False, True),
        ("bounce", "unidentified", True, False, True),
        ("delay-notice", "soft", False, True, True),
        ("feedback-report", "ignore", False, True, True),
        ("auto-reply", "ignore", False, False, True),
        ("not-bounce", "ignore", False, False, True),
        ("not-bounce", "ignore", True, False, False),
        ("vacation", "ignore", True, False, False),
    ],
)
def test_what_goes(kind: str, verdict: str, truncated: bool, bounces: bool, everything: bool) -> None:
    mail = Judged(kind, verdict, truncated)
    assert read_emptying("bounces").takes(mail) == bounces
    assert read_emptying("move:Done").takes(mail) == bounces
    assert read_emptying("all").takes(mail) == everything
    assert not read_emptying("nothing").takes(mail)


@pytest.mark.parametrize("text", ["", "some", "move", "move:", "all:", "move:a\r\nA1 LOGOUT", "move:\x00"])
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        read_emptying(text)
