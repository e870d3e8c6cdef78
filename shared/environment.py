"""Settings from the environment: every missing or bad variable is named in one error."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from shared.errors import ConfigurationError


class Environment:
    """Reads variables, collects what is wrong with them, and says it all at once on `check()`."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._problems: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        """The variable, or the content of the file that NAME_FILE names (without its last newline); "" when missing."""
        value = self._variables.get(name)
        path = self._variables.get(f"{name}_FILE")
        if value and path:
            self._problems.append(f"{name} and {name}_FILE are both set, and only one can hold: unset the other")
        if value:
            return value
        if path:
            try:
                value = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
                if not value:
                    self._problems.append(f"{name}_FILE names {path}, which is empty")
                return value
            except (OSError, UnicodeDecodeError) as exc:
                self._problems.append(f"{name}_FILE names {path}, which cannot be read: {exc}")
                return ""
        if default is None:
            self._problems.append(f"{name} is not set (or {name}_FILE, a file that holds it)")
            return ""
        return default

    def number(self, name: str, default: float, *, least: float = 0) -> float:
        """A number that is not below `least`."""
        return self._parsed(name, default, float, least, math.inf)

    def integer(self, name: str, default: int, *, least: int = 0, most: float = math.inf) -> int:
        """A whole number from `least` to `most`."""
        return int(self._parsed(name, default, int, least, most))

    def _parsed(self, name: str, default: float, parse: Callable[[str], float], least: float, most: float) -> float:
        text = self.text(name, "")
        if not text:
            return default
        try:
            value = parse(text)
        except ValueError:
            self._problems.append(f"{name} is {text!r}, which is not a {'whole ' if parse is int else ''}number")
            return default
        if not least <= value <= most or value == math.inf:
            self._problems.append(
                f"{name} is {text}; it is at least {least}{f' and at most {most}' if most < math.inf else ''}"
            )
            return default
        return value

    def complain(self, problem: str) -> None:
        """One more problem, which the caller found."""
        self._problems.append(problem)

    def check(self) -> None:
        """Raises ConfigurationError that names every problem met so far."""
        if self._problems:
            raise ConfigurationError("\n".join(self._problems))
