"""Hand a bounce to Mailroom from any other service. Needs pika, and nothing of Mailroom.

    MAILROOM_AMQP_URL=amqp://user:password@broker:5672/ python publish_with_pika.py bounce.eml [--list news] [--json]

Exit 0: the broker has the bounce on disk. 1: it could not take it, try again. 2: the call is wrong.
"""

import argparse
import base64
import json
import os
import sys
from pathlib import Path

import pika
from pika.exceptions import AMQPError, NackError, UnroutableError

LIMIT_BYTES = 1024 * 1024


def publish(url: str, mail: bytes, list_id: str | None, as_json: bool) -> None:
    """Return when RabbitMQ has confirmed the mail."""
    fields = {"schema_version": 1} | ({"list_id": list_id} if list_id else {})
    if as_json:
        content_type, headers = "application/json", None
        body = json.dumps(fields | {"raw": base64.b64encode(mail).decode("ascii")}).encode()
    else:
        content_type, headers, body = "message/rfc822", fields, mail

    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()  # basic_publish now waits for the broker, and raises when it did not take the mail
    channel.basic_publish(
        exchange="mailroom",
        routing_key="bounce.raw",
        body=body,
        properties=pika.BasicProperties(
            content_type=content_type, type="mailroom.raw-bounce", headers=headers, delivery_mode=2
        ),
        mandatory=True,  # no queue is an error, not a silent loss
    )
    connection.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Publish one bounce to Mailroom.")
    parser.add_argument("mail", type=Path, help="the bounce as it arrived, an .eml file")
    parser.add_argument("--list", dest="list_id", help="the contact list it belongs to")
    parser.add_argument("--json", action="store_true", help="send it as JSON with the mail in base64")
    arguments = parser.parse_args()

    url = os.environ.get("MAILROOM_AMQP_URL", "")
    if not url.startswith(("amqp://", "amqps://")):
        print("MAILROOM_AMQP_URL has to be set; it looks like amqp://user:password@broker:5672/", file=sys.stderr)
        return 2
    try:
        mail = arguments.mail.read_bytes()
    except OSError as exc:
        print(f"{arguments.mail} cannot be read: {exc.strerror}", file=sys.stderr)
        return 2
    if not 0 < len(mail) <= LIMIT_BYTES:
        print(f"{arguments.mail} has {len(mail)} bytes; Mailroom takes 1 to {LIMIT_BYTES}", file=sys.stderr)
        return 2

    try:
        publish(url, mail, arguments.list_id, arguments.json)
    except UnroutableError:
        print("No queue takes bounces: has the classifier ever been started on this broker?", file=sys.stderr)
        return 1
    except NackError:
        print("The queue of bounces is full; try again when the classifier has caught up.", file=sys.stderr)
        return 1
    except (AMQPError, OSError) as exc:
        print(f"RabbitMQ did not take the bounce: {type(exc).__name__} {exc}".rstrip(), file=sys.stderr)
        return 1
    except ValueError as exc:
        print(f"MAILROOM_AMQP_URL is not an AMQP address: {exc}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
