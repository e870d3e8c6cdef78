"""mpop, another program that fetches mail by POP3: what it gets of a mailbox is compared with ours."""

import subprocess
from pathlib import Path
from typing import Final

from tests.servers import finding
from tests.servers.dovecot import Mailbox
from tests.servers.installing import install

PACKAGES: Final = ["mpop"]


def installed() -> bool:
    return finding.program("mpop", "/usr/bin/mpop") is not None


def fetch(mailbox: Mailbox, directory: Path) -> list[bytes]:
    """Every mail of the mailbox, which keeps them. Line ends are LF."""
    if not installed():
        install(PACKAGES)
    for part in ("tmp", "new", "cur"):
        (directory / "got" / part).mkdir(parents=True)
    configuration = directory / "mpoprc"
    configuration.write_text(
        f"account tests\nhost {mailbox.host}\nport {mailbox.server.pop3s_port}\n"
        f"tls on\ntls_starttls off\ntls_trust_file {mailbox.ca_file}\n"
        f'user {mailbox.user}\npassword "{mailbox.password}"\n'
        f"delivery maildir {directory}/got\nuidls_file {directory}/uidls\nkeep on\nreceived_header off\n"
    )
    configuration.chmod(0o600)
    done = subprocess.run(
        ["mpop", "-C", str(configuration), "tests"], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        raise AssertionError(f"mpop failed: {done.stderr}")
    return [file.read_bytes() for file in (directory / "got" / "new").iterdir()]
