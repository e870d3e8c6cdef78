"""The words of signs.toml, compiled: RE2, so that the longest list costs one pass."""

import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Any

import re2


@lru_cache(maxsize=1)
def _signs() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((files("services.classifier") / "signs.toml").read_text(encoding="utf-8"))


def sign_pattern(name: str) -> Any:
    """Any of a list of patterns; its text is expected in lower case."""
    return re2.compile("|".join(_signs()["patterns"][name]))


def sign_words(name: str) -> Any:
    """Any of a list of literal words; its text is expected in lower case."""
    return re2.compile("|".join(re2.escape(words) for words in _signs()["words"][name]))
