"""A deployment's own rules: taken up while the service runs, refused when they are bad."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.classifier.own_rules import LOOK_EVERY_S, ReloadingSandbox, read_own_rules
from services.classifier.proving import changed_examples
from services.classifier.rule import BadRule
from services.classifier.rulebook import own_rulebook, with_deployment
from shared.errors import ConfigurationError
from tests.accuracy.replies import REPORT

RULE = """[[rule]]
id = "parked"
reason = "{reason}"
server = "ours"
phrases = ["mailbox parked"]
examples = ["550 mailbox parked"]
"""
MAIL = REPORT.format(host="mx.example.com", reply="550 mailbox parked").encode()


class Clock:
    """A clock that stands until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(tmp_path: Path, clock: Clock) -> Iterator[ReloadingSandbox]:
    (tmp_path / "own.toml").write_text(RULE.format(reason="suspend"))
    sandbox = ReloadingSandbox(str(tmp_path), clock)
    yield sandbox
    sandbox.close()


@pytest.fixture
def reason(sandbox: ReloadingSandbox, clock: Clock) -> Callable[[], str]:
    """The reason that a mail gets when the service looks at the folder again."""

    def judge() -> str:
        clock.now += LOOK_EVERY_S
        judgement = sandbox.judge([MAIL])[0]
        assert isinstance(judgement, dict)
        return str(judgement["outcomes"][0]["reason"])

    return judge


def test_the_folder_s_rules_decide(reason: Callable[[], str]) -> None:
    assert reason() == "suspend"


def test_changed_rules_are_taken_up(reason: Callable[[], str], tmp_path: Path) -> None:
    reason()
    (tmp_path / "own.toml").write_text(RULE.format(reason="mailbox-full"))
    assert reason() == "mailbox-full"
    (tmp_path / "own.toml").unlink()
    assert reason() == "on-hold"


def test_bad_rules_are_refused_once_and_the_running_ones_stay(
    reason: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reason()
    (tmp_path / "own.toml").write_text("\n" + RULE.format(reason="nonsense"))
    assert (reason(), reason()) == ("suspend", "suspend")
    refusals = [line for line in capsys.readouterr().out.splitlines() if "rules_refused" in line]
    assert len(refusals) == 1
    assert "own.toml:2: rule 'parked': unknown reason 'nonsense'" in refusals[0]
    (tmp_path / "own.toml").write_text(RULE.format(reason="has-moved"))
    assert reason() == "has-moved"


def test_a_service_does_not_start_with_bad_rules(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(RULE.format(reason="nonsense"))
    with pytest.raises(ConfigurationError, match=r"own\.toml:1"):
        ReloadingSandbox(str(tmp_path))


def test_a_folder_that_is_away_is_told() -> None:
    with pytest.raises(ConfigurationError, match="MAILROOM_RULES_DIR"):
        read_own_rules("/nowhere/at/all")


def test_a_mounted_folder_of_links_is_read_once(tmp_path: Path) -> None:
    """As Kubernetes mounts a ConfigMap: file -> ..data/file, ..data -> ..<time>."""
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026/own.toml").write_text(RULE.format(reason="suspend"))
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "own.toml").symlink_to("..data/own.toml")
    assert list(read_own_rules(str(tmp_path))) == ["own.toml"]


def test_words_of_its_own_are_refused_and_not_ignored(tmp_path: Path) -> None:
    (tmp_path / "words.toml").write_text("[words]\n")
    with pytest.raises(ConfigurationError, match="only the shipped rules"):
        read_own_rules(str(tmp_path))


def test_two_rules_of_one_name_are_refused_with_both_lines() -> None:
    with pytest.raises(BadRule, match=r"^b\.toml:2: rule 'parked': a\.toml:1 has a rule"):
        with_deployment({"a.toml": RULE.format(reason="suspend"), "b.toml": "\n" + RULE.format(reason="suspend")})


def test_a_shipped_example_that_becomes_hard_by_a_verdict_alone_is_told() -> None:
    shipped = own_rulebook()
    rule = next(rule for rule in shipped.rules if rule.reason == "mailbox-full" and not rule.is_scoped)
    everything = RULE.format(reason="mailbox-full") + 'patterns = ["."]\npriority = 199\nverdict = "hard"\n'
    changed = changed_examples(shipped, with_deployment({"own.toml": everything}))
    assert rule.examples[0] in [change.example for change in changed]
    assert list(changed_examples(shipped, with_deployment({"own.toml": RULE.format(reason="suspend")}))) == []
