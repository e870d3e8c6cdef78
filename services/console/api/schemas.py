"""What several parts of the API say alike."""

from collections.abc import Sequence
from typing import Any, Final

from apiflask import Schema
from marshmallow import ValidationError, fields, validate

MOST_ADDRESSES: Final = 1000
_LONGEST_ADDRESS: Final = 1000


class Addresses(fields.List[str]):
    """Up to a thousand texts, looked at together: a check of a thousand is a request like any other."""

    def __init__(self, **more: Any) -> None:
        item = fields.String(validate=validate.Length(max=_LONGEST_ADDRESS))
        super().__init__(item, validate=validate.Length(1, MOST_ADDRESSES), **more)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **more: Any) -> Sequence[str]:  # type: ignore[override]
        if not isinstance(value, list) or not all(type(one) is str and len(one) <= _LONGEST_ADDRESS for one in value):
            raise ValidationError(f"A list of texts, of at most {_LONGEST_ADDRESS} characters each.")
        return value


class WhySchema(Schema):
    """A person's or a program's reason."""

    why = fields.String(
        required=True, validate=validate.Length(1, 1000), metadata={"description": "Kept in the audit and the history."}
    )


class OptionalWhySchema(Schema):
    """A reason, where none is needed."""

    why = fields.String(load_default="", validate=validate.Length(max=1000))


class ProblemSchema(Schema):
    """What every error looks like."""

    message = fields.String(required=True)
    detail = fields.Dict(required=True)


class AfterSchema(Schema):
    """Where a page begins."""

    after = fields.String(
        load_default="",
        validate=validate.Length(max=1000),
        metadata={"description": "What `next` of the page before was; nothing for the first page."},
    )
    limit = fields.Integer(load_default=100, validate=validate.Range(1, 1000))


def next_field() -> fields.String:
    """Of a page's answer."""
    return fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Give it as `after` for the next page; null on the last."},
    )
