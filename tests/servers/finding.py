"""Where a server's program is on this machine, and which port is free."""

import os
import random
import re
import shutil
import socket
from pathlib import Path

# Below the range from which Linux takes the local ports of outgoing connections (32768 and up): a server that a test
# stopped finds its port still free when it comes back.
PORTS = range(18_000, 32_000)

_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")
_handed_out: set[int] = set()


class ServerMissing(Exception):
    """A server can neither be found nor installed; the text is the one line that mends it."""


def program(name: str, *patterns: str) -> Path | None:
    """The executable `name`: the newest match of the glob patterns (absolute), else the one on the search path."""
    for pattern in patterns:
        found = [path for path in Path("/").glob(pattern.lstrip("/")) if os.access(path, os.X_OK)]
        if found:
            return max(found, key=_version)
    folders = os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM_FOLDERS])
    on_path = shutil.which(name, path=folders)
    return Path(on_path) if on_path else None


def _version(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(path))]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, and that this process was not given before."""
    for _ in range(1000):
        port = random.choice(PORTS)
        if port not in _handed_out and is_free(port):
            _handed_out.add(port)
            return port
    raise RuntimeError(f"no free port between {PORTS.start} and {PORTS.stop} on 127.0.0.1")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
