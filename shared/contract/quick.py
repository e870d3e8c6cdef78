"""The common case of a schema, read and written without marshmallow, which takes ten times as long.

It knows the fields of the contract by what their schemas say, and answers only for a message in which nothing is to be
converted, defaulted by marshmallow's own rules, or refused. For every other message it says None, and the schema decides.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from marshmallow import Schema, fields, missing, validate

_Accepts = Callable[[Any], bool]
_Field = tuple[str, _Accepts, Any]
_ABSENT: Final = object()
_EARLIEST_YEAR: Final = 1000
"""Python and orjson write earlier ones differently."""


class Quick:
    """One schema's quick way in and out. Raises TypeError for a schema with a field that it does not know."""

    def __init__(self, schema: Schema) -> None:
        self._plain: Final[list[_Field]] = []
        self._times: Final[list[tuple[str, bool, Any]]] = []
        self._lists: Final[list[tuple[str, Quick, int]]] = []
        for name, field in schema.fields.items():
            default = _ABSENT if field.required or field.load_default is missing else field.load_default
            if callable(default):
                raise TypeError(f"{name} has a default that is made anew each time")
            if isinstance(field, fields.List) and isinstance(field.inner, fields.Nested):
                self._lists.append((name, Quick(field.inner.schema), _most(field)))
            elif isinstance(field, fields.AwareDateTime):
                self._times.append((name, field.allow_none, default))
            else:
                self._plain.append((name, _acceptor(field), default))

    def load(self, given: Any) -> dict[str, Any] | None:
        """What `schema.load` gives, or None."""
        return self._copy(given, _parsed)

    def dump(self, value: Mapping[str, Any]) -> dict[str, Any] | None:
        """What `schema.dump` gives with its times as they are, valid by `schema.validate`; or None."""
        return self._copy(value, _writable)

    def _copy(self, given: Any, time_of: Callable[[Any], datetime | None]) -> dict[str, Any] | None:
        if type(given) is not dict:
            return None
        copied: dict[str, Any] = {}
        for name, accepts, default in self._plain:
            value = given.get(name, _ABSENT)
            if value is _ABSENT:
                value = default
            elif not accepts(value):
                return None
            copied[name] = value
        for name, may_be_none, default in self._times:
            value = given.get(name, default)
            if value is not None or not may_be_none:
                value = time_of(value)
                if value is None:
                    return None
            copied[name] = value
        for name, inner, most in self._lists:
            value = given.get(name)
            if type(value) is not list or len(value) > most:
                return None
            copied[name] = items = [inner._copy(item, time_of) for item in value]
            if None in items:
                return None
        return None if _ABSENT in copied.values() else copied


def _parsed(value: Any) -> datetime | None:
    if type(value) is not str or not value.endswith("+00:00"):
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo is UTC else None  # "2026-01-01+00:00" is midnight, somewhere


def _writable(value: Any) -> datetime | None:
    is_plain = type(value) is datetime and value.tzinfo is UTC and value.year >= _EARLIEST_YEAR
    return value if is_plain else None


def _acceptor(field: fields.Field[Any]) -> _Accepts:
    """Whether a value is the field's already, and valid."""
    may_be_none = field.allow_none
    if type(field) is fields.Boolean:
        return lambda value: value is True or value is False
    if type(field) is fields.Integer:
        least, most = _range(field)
        return lambda value: type(value) is int and least <= value <= most
    if type(field) is not fields.String:
        raise TypeError(f"{field!r} has no quick way")
    least, most = 0, 2**63
    pattern: re.Pattern[Any] | None = None
    choices: frozenset[Any] | None = None
    for validator in field.validators:
        if isinstance(validator, validate.Length) and validator.equal is None:
            least, most = validator.min or 0, most if validator.max is None else validator.max
        elif isinstance(validator, validate.OneOf):
            choices = frozenset(validator.choices)
        elif isinstance(validator, validate.Regexp):
            pattern = validator.regex
        else:
            raise TypeError(f"{validator!r} has no quick way")

    def accepts(value: Any) -> bool:
        if value is None:
            return may_be_none
        if not isinstance(value, str) or not least <= len(value) <= most:
            return False
        if choices is not None and value not in choices:
            return False
        return pattern is None or pattern.match(value) is not None

    return accepts


def _range(field: fields.Integer) -> tuple[int, int]:
    least, most = -(2**63), 2**63 - 1
    for validator in field.validators:
        if isinstance(validator, validate.Equal):
            least = most = validator.comparable
        elif isinstance(validator, validate.Range) and validator.min_inclusive and validator.max_inclusive:
            least = least if validator.min is None else validator.min
            most = most if validator.max is None else validator.max
        else:
            raise TypeError(f"{validator!r} has no quick way")
    return least, most


def _most(field: fields.List[Any]) -> int:
    limits = [one.max for one in field.validators if isinstance(one, validate.Length) and one.max is not None]
    return min(limits, default=2**63)
