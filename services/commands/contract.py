"""`mailroom contract`: what other services may publish and hear, for their tools."""

from importlib.metadata import version

import click
import orjson

from shared.described import SCHEMAS, asyncapi, json_schema


@click.command(
    epilog="Example: mailroom contract > asyncapi.json   or: mailroom contract verdict.v1 > verdict.schema.json"
)
@click.argument("message", required=False, type=click.Choice(list(SCHEMAS)))
def contract(message: str | None) -> None:
    """The messages of RabbitMQ as an AsyncAPI document; with MESSAGE, that one as JSON Schema (2020-12)."""
    described = json_schema(message) if message else asyncapi(version("mailroom-bounces"))
    click.echo(orjson.dumps(described, option=orjson.OPT_INDENT_2).decode())
