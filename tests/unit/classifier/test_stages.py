"""Which SMTP command was answered, and what an unknown user is then."""

import pytest

from services.classifier.diagnosis import find_stage, reason_at_stage


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        ("550 Unknown user (in reply to end of\n    DATA command)", "data"),
        ("-------server message\n550 unknown user\n\n-------SMTP command\nDATA", "data"),
        (">>> DATA\n<<< 550 5.0.0 User unknown\n<<< 503 5.0.0 Need RCPT (recipient)", "data"),
        ("Connected to 192.0.2.1 but my name was\nrejected.", "connect"),
        ("said: 550 go away (in reply to\n    EHLO command)", "connect"),
        ("after MAIL FROM:<a@example.com> SIZE=1024: 550 no", "mail"),
        ("SMTP error from remote mail server after initial connection:\n 554 no", "connect"),
        ("Connected to 192.0.2.1 but greeting failed.", "connect"),
        ("192.0.2.1 failed after I sent the message.\nRemote host said: 550 unknown user", "data"),
        ("550 User unknown", ""),
    ],
)
def test_a_stage_is_found_across_lines(text: str, stage: str) -> None:
    assert find_stage(text) == stage


def test_who_is_sure_is_not_asked_when_it_was_said() -> None:
    assert reason_at_stage("user-unknown", "5.0.0", lambda: "data") == "filtered"
    assert reason_at_stage("user-unknown", "5.0.0", lambda: "data", is_sure=True) == "user-unknown"
    assert reason_at_stage("user-unknown", "5.1.1", lambda: "mail", is_sure=True) == "rejected"
