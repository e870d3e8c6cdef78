"""The published vectors: what every other implementation of the normaliser is tried on, ours first."""

from pathlib import Path

import orjson
import pytest

from shared.addresses import normalise_address, normalise_addresses
from shared.errors import InvalidAddress

VECTORS = orjson.loads((Path(__file__).parents[3] / "docs" / "normalising.json").read_bytes())
VALID = [(one["input"], one["normalised"]) for one in VECTORS if "normalised" in one]
INVALID = [one["input"] for one in VECTORS if "error" in one]


@pytest.mark.parametrize(("written", "normalised"), VALID)
def test_a_valid_address_has_one_spelling_which_is_its_own(written: str, normalised: str) -> None:
    assert normalise_address(written) == normalised
    assert normalise_address(normalised) == normalised


@pytest.mark.parametrize("written", INVALID)
def test_whatever_else_is_refused(written: str) -> None:
    with pytest.raises(InvalidAddress):
        normalise_address(written)
    with pytest.raises(InvalidAddress):
        normalise_addresses(["ann@example.com", written])


def test_many_at_once_are_as_one_by_one() -> None:
    assert normalise_addresses([written for written, _ in VALID]) == [normalised for _, normalised in VALID]
    for written, normalised in VALID:
        assert normalise_addresses([written, "Bob@Example.com"]) == [normalised, "bob@example.com"]
    assert normalise_addresses([]) == []


def test_an_address_with_a_line_end_is_not_two() -> None:
    with pytest.raises(InvalidAddress):
        normalise_addresses(["ann@example.com\nbob@example.com"])
    assert normalise_addresses(["ann@example.com\n", "bob@example.com"]) == ["ann@example.com", "bob@example.com"]


def test_each_vector_says_what_it_is_for_and_is_there_once() -> None:
    assert len(VECTORS) >= 400
    assert len({one["input"] for one in VECTORS}) == len(VECTORS)
    for one in VECTORS:
        assert one["why"]
        assert one.keys() in ({"why", "input", "normalised"}, {"why", "input", "error"})
        assert one.get("error", "InvalidAddress") == "InvalidAddress"
