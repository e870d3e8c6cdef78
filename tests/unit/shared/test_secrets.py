"""Secrets at rest: opened by the right key and for the right purpose, and by nothing else."""

import base64
from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from shared.secrets import CannotOpen, SecretBox, new_key, open_secret_box

CANARY = "canary-7f3a ü€"
PURPOSE = "account news"


def box(*keys: str, separator: str = ",") -> SecretBox:
    return open_secret_box({"MAILROOM_SECRET_KEY": separator.join(keys)})


@pytest.mark.parametrize("text", [CANARY, "", "x" * 10_000])
def test_what_was_sealed_is_opened(text: str) -> None:
    one = box(new_key())
    sealed = one.seal(text, PURPOSE)
    assert one.open(sealed, PURPOSE) == text
    assert one.seal(text, PURPOSE) != sealed


def test_a_sealed_text_holds_nothing_of_it_or_of_the_key() -> None:
    key = new_key()
    one = box(key)
    sealed = one.seal(CANARY, PURPOSE)
    assert CANARY[:6] not in sealed
    assert CANARY.encode() not in base64.urlsafe_b64decode(sealed.split(".")[2])
    assert key not in f"{one!r} {one} {vars(one)} {sealed}"


def test_it_opens_only_for_what_it_was_sealed_for() -> None:
    one = box(new_key())
    with pytest.raises(CannotOpen, match="sealed for something else"):
        one.open(one.seal(CANARY, PURPOSE), "account other")


@pytest.mark.parametrize("separator", [",", "\n", ", ", "\r\n"])
def test_the_first_key_seals_and_all_open(separator: str) -> None:
    old, new = new_key(), new_key()
    sealed = box(old).seal(CANARY, PURPOSE)
    both = box(new, old, separator=separator)
    assert both.open(sealed, PURPOSE) == CANARY
    assert both.is_stale(sealed)
    anew = both.seal(both.open(sealed, PURPOSE), PURPOSE)
    assert not both.is_stale(anew)
    assert box(new).open(anew, PURPOSE) == CANARY


def test_another_key_is_said() -> None:
    sealed = box(new_key()).seal(CANARY, PURPOSE)
    with pytest.raises(CannotOpen, match="account news was sealed by a key that is not in MAILROOM_SECRET_KEY") as said:
        box(new_key()).open(sealed, f"{PURPOSE}\njoe")
    assert "joe" not in str(said.value)


@pytest.mark.parametrize("place", [4, 14, -3])
def test_a_changed_text_is_refused(place: int) -> None:
    one = box(new_key())
    letters = list(one.seal(CANARY, PURPOSE))
    letters[place] = "A" if letters[place] != "A" else "B"
    with pytest.raises(CannotOpen):
        one.open("".join(letters), PURPOSE)


@pytest.mark.parametrize("sealed", ["", "v1", "v1.x", "v2.aaaa.bbbb", "v1.x.!", "v1.x.AAAA", CANARY])
def test_what_was_never_sealed_is_refused(sealed: str) -> None:
    with pytest.raises(CannotOpen):
        box(new_key()).open(sealed, PURPOSE)


def test_the_key_comes_from_a_file(tmp_path: Path) -> None:
    key, file = new_key(), tmp_path / "key"
    file.write_text(f"{key}\n{new_key()}\n")
    sealed = box(key).seal(CANARY, PURPOSE)
    assert open_secret_box({"MAILROOM_SECRET_KEY_FILE": str(file)}).open(sealed, PURPOSE) == CANARY


@pytest.mark.parametrize("variables", [{}, {"MAILROOM_SECRET_KEY": " ,\n"}])
def test_a_missing_key_says_how_to_make_one(variables: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"MAILROOM_SECRET_KEY is not set.*mailroom secret-key"):
        open_secret_box(variables)


@pytest.mark.parametrize(
    "bad",
    ["canary", new_key()[:-4], new_key() + "AAAA", "ü" * 44, "*" * 44],
    ids=["a word", "too short", "too long", "not ASCII", "not base64"],
)
def test_a_malformed_key_is_not_repeated(bad: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"key 2 of 2 in MAILROOM_SECRET_KEY is no key.*mailroom secret-key"
    ) as said:
        box(new_key(), bad)
    assert bad not in str(said.value)
