"""The words of signs.toml, compiled: RE2, so that all lists about one text cost one pass."""

import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Final

import re2

MAX_SET_MEMORY_BYTES: Final = 32 * 1024 * 1024


@lru_cache(maxsize=1)
def _lists() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((files("services.classifier") / "signs.toml").read_text(encoding="utf-8"))


def literal_words(name: str) -> list[str]:
    """A list of literal words."""
    return _lists()["words"][name]


class Signs:
    """Several lists, looked for together; the text is expected in lower case."""

    def __init__(self, *names: str) -> None:
        options = re2.Options()
        options.max_mem = MAX_SET_MEMORY_BYTES
        self._set = re2.Set.SearchSet(options)
        self._owners: list[tuple[str, str]] = []
        for name in names:
            patterns = _lists()["patterns"].get(name, [])
            words = _lists()["words"].get(name, [])
            for pattern, shown in [*((text, text) for text in patterns), *((re2.escape(text), text) for text in words)]:
                self._set.Add(pattern)
                self._owners.append((name, shown))
        self._set.Compile()

    def look(self, text: str) -> dict[str, str]:
        """The names of the lists that have something in the text, each with what was found first in its list."""
        found: dict[str, str] = {}
        for hit in sorted(self._set.Match(text) or ()):
            name, shown = self._owners[hit]
            found.setdefault(name, shown)
        return found
