"""A deployment's own rules: taken up while the service runs, refused when they are bad."""

import os
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


def test_a_swapped_link_of_a_mounted_folder_is_noticed(reason: Callable[[], str], tmp_path: Path) -> None:
    """Kubernetes writes a new folder and moves a new ..data over the old one; the files' links stay as they are."""
    (tmp_path / "own.toml").unlink()
    for folder, own_reason in (("..1", "suspend"), ("..2", "blocked")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.toml").write_text(RULE.format(reason=own_reason))
        os.utime(tmp_path / folder / "own.toml", (0, 0))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "own.toml").symlink_to("..data/own.toml")
    assert reason() == "suspend"
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert reason() == "blocked"


def test_a_change_in_a_linked_folder_is_noticed(
    reason: Callable[[], str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (tmp_path / "own.toml").rename(elsewhere / "own.toml")
    (tmp_path / "linked").symlink_to(elsewhere)
    assert reason() == "suspend"
    (elsewhere / "own.toml").write_text(RULE.format(reason="mailbox-full"))
    assert reason() == "mailbox-full"


def test_a_change_that_keeps_size_and_time_is_noticed(reason: Callable[[], str], tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    before = file.stat()
    assert reason() == "suspend"
    file.write_text(RULE.format(reason="blocked"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    assert reason() == "blocked"


def test_rules_that_no_parser_starts_with_are_tried_again(
    reason: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reason() == "suspend"
    (tmp_path / "own.toml").write_text(RULE.format(reason="has-moved"))
    with monkeypatch.context() as patch:
        patch.setattr("sys.executable", "/bin/false")
        assert reason() == "suspend"
    assert reason() == "has-moved"


def test_a_folder_that_goes_away_is_told_once_and_its_rules_stay(
    reason: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reason() == "suspend"
    tmp_path.rename(tmp_path.with_name("away"))
    assert (reason(), reason()) == ("suspend", "suspend")
    assert capsys.readouterr().out.count("rules_refused") == 1
    tmp_path.with_name("away").rename(tmp_path)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(RULE.format(reason="suspend"), encoding="utf-8-sig")
    assert read_own_rules(str(tmp_path)) == {"own.toml": RULE.format(reason="suspend")}


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_file_that_is_no_utf_8_is_refused_with_its_line(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/own.toml").write_text("# Münster\n", encoding=encoding)
    with pytest.raises(ConfigurationError, match=r"sub/own\.toml:1: not UTF-8"):
        read_own_rules(str(tmp_path))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.toml").symlink_to("nothing-there")
    with pytest.raises(ConfigurationError, match=r"No such file.*own\.toml"):
        read_own_rules(str(tmp_path))


def test_a_service_says_that_its_folder_holds_no_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ReloadingSandbox(str(tmp_path)).close()
    assert "rules_folder_is_empty" in capsys.readouterr().out


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
