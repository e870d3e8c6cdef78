"""[Test Bounce Settings] and the API are no probe of the inner network, however a server's name is spelled."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from services.console.api.door import PREFIX
from services.console.application import create_application
from services.console.roles import Role
from services.console.tokens import Scope
from services.fetcher.reach import ANYWHERE, PublicServers, Reach
from tests.browser.content import client_of
from tests.integration.console.conftest import Filled
from tests.servers.console import SECRET_KEY
from tests.servers.waiting import eventually
from tests.unit.fetcher.test_reach import INNER

SPELLINGS = sorted(set(INNER))


class Listener:
    """Listens wherever this machine does, counts who comes, and sends them away."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.port: int = self._socket.getsockname()[1]
        self.visits = 0
        self._thread = threading.Thread(target=self._count)
        self._thread.start()

    def _count(self) -> None:
        while True:
            try:
                visitor, _ = self._socket.accept()
            except OSError:  # it was shut down
                return
            visitor.close()
            self.visits += 1

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()


@contextmanager
def listening() -> Iterator[Listener]:
    listener = Listener()
    try:
        yield listener
    finally:
        listener.close()


def fields(spelling: str, port: int) -> dict[str, str]:
    server = f"[{spelling}]:{port}" if ":" in spelling else f"{spelling}:{port}"
    return {"server": server, "tls": "none", "password": "secret", "user": "bounce"}


def ask_the_page(client: FlaskClient, token: str, spelling: str, port: int) -> str:
    given = fields(spelling, port)
    form = {"csrf_token": token, "list_id": "inner", "bounce_email": "bounce@example.com", "protocol": "pop3", **given}
    answer = client.post("/lists/test", data=form | {"advanced": given["tls"]})
    assert answer.status_code in (200, 422), spelling
    return answer.text


def ask_the_api(client: FlaskClient, token: str, spelling: str, port: int) -> str:
    body = {"list_id": "inner", "bounce_email": "bounce@example.com", "account": fields(spelling, port)}
    answer = client.post(f"{PREFIX}/lists", json=body, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 422, spelling
    return answer.text


@pytest.mark.parametrize("way", ["page", "api"])
def test_nobody_comes(filled: Filled, way: str) -> None:
    assert len(SPELLINGS) >= 80
    with listening() as listener:

        def try_them(reach: Reach, spellings: list[str]) -> list[str]:
            app = create_application(replace(filled.backing, reach=reach), secret_key=SECRET_KEY)
            if way == "page":
                client = client_of(app, Role.ADMINISTRATOR)
                token = client.get("/lists/new").text.split('name="csrf_token" value="')[1].split('"')[0]
                return [ask_the_page(client, token, one, listener.port) for one in spellings]
            client = app.test_client()
            token = filled.backing.tokens.make(f"t{len(spellings)}", [Scope.LISTS], "tests")
            return [ask_the_api(client, token, one, listener.port) for one in spellings]

        try_them(PublicServers(frozenset({listener.port})), SPELLINGS)
        assert listener.visits == 0
        assert try_them(ANYWHERE, ["127.0.0.1"])
        eventually(lambda: listener.visits > 0, "who may go anywhere")
