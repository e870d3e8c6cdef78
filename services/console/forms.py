"""Forms from marshmallow schemas: one definition says what a field is called, what it takes, and how it looks.

A field's `metadata` has `label`, and may have `help`, `kind` (text, password, textarea, select, radio, checkbox, number,
file), `placeholder` and `autocomplete`; what a select or radio offers stands in `validate.OneOf(choices, labels)`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, missing, validate
from werkzeug.datastructures import MultiDict


@dataclass(frozen=True, slots=True)
class FormField:
    """One field as a template draws it."""

    name: str
    label: str
    kind: str
    value: Any
    errors: list[str]
    is_required: bool
    help: str = ""
    placeholder: str = ""
    autocomplete: str = ""
    choices: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Form:
    """A schema, what is in its fields, and what is wrong with it."""

    schema: Schema
    values: Mapping[str, Any] = field(default_factory=dict)
    errors: dict[str, list[str]] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    """What was read; empty when something is wrong."""

    @property
    def is_good(self) -> bool:
        """Whether it was read without an error."""
        return not self.errors

    def __getitem__(self, name: str) -> FormField:
        one = self.schema.fields[name]
        said = one.metadata
        offered = next((rule for rule in _rules(one) if isinstance(rule, validate.OneOf)), None)
        choices = [(str(value), label) for value, label in offered.options()] if offered else []
        value = self.values.get(name, "" if one.load_default in (None, missing) else one.load_default)
        return FormField(
            name=name,
            label=str(said.get("label", name)),
            kind=str(said.get("kind") or _kind(one, bool(choices))),
            # A secret is never sent back, neither to correct another field nor to show what is stored.
            value="" if said.get("kind") == "password" else value,
            errors=self.errors.get(name, []),
            is_required=one.required,
            help=str(said.get("help", "")),
            placeholder=str(said.get("placeholder", "")),
            autocomplete=str(said.get("autocomplete", "off")),
            choices=choices,
        )

    def __iter__(self) -> Iterator[FormField]:
        return (self[name] for name in self.schema.fields)

    def refuse(self, name: str, text: str) -> "Form":
        """Something that the schema cannot know is wrong with this field; "_schema" stands for all of it."""
        self.errors.setdefault(name, []).append(text)
        return self


def read_form(schema: Schema, sent: MultiDict[str, str]) -> Form:
    """What was sent, checked. A checkbox that is missing is off; an empty field that is not required is not there."""
    values: dict[str, Any] = {}
    for name, one in schema.fields.items():
        if isinstance(one, fields.Boolean):
            values[name] = name in sent
        elif isinstance(one, fields.List):
            values[name] = sent.getlist(name)
        elif name in sent:
            text = sent[name]
            values[name] = text if one.metadata.get("kind") == "password" else text.strip()
    given = {name: value for name, value in values.items() if value != "" or schema.fields[name].required}
    try:
        data = schema.load(given, unknown=EXCLUDE)
    except ValidationError as exc:
        return Form(schema, values, errors=_flat(exc.messages_dict))
    return Form(schema, values, data=data)


def _flat(messages: Mapping[Any, Any]) -> dict[str, list[str]]:
    return {str(name): said if isinstance(said, list) else [str(said)] for name, said in messages.items()}


def _rules(one: fields.Field[Any]) -> list[Any]:
    return list(one.validators)


def _kind(one: fields.Field[Any], is_choice: bool) -> str:
    if is_choice:
        return "select"
    if isinstance(one, fields.Boolean):
        return "checkbox"
    if isinstance(one, fields.Integer):
        return "number"
    return "text"
