"""Install the servers that are missing, on a Debian with root. Starts no system service, and leaves none to start.

`python -m tests.servers.installing` installs all that this machine lacks, or says in one line what to do.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.servers.finding import ServerMissing

POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_KEPT = POLICY.with_name("policy-rc.d.before-mailroom")
CLUSTER_SETTINGS = Path("/etc/postgresql-common/createcluster.conf")

# Denies to start services (exit status 101) only as long as the process that wrote it lives.
DENY = """#!/bin/sh
# Written by the tests of Mailroom while they install packages: no service is started meanwhile.
[ -d /proc/{pid} ] && exit 101
exit 0
"""


def install(packages: list[str]) -> None:
    """Install Debian packages and wait until they are there. Raises ServerMissing where that cannot be done."""
    hint = f"apt-get install {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise ServerMissing(f"not on this machine: {', '.join(packages)}. Install them with your system's packages.")
    if os.geteuid() != 0:
        raise ServerMissing(f"not on this machine: {', '.join(packages)}. As root: {hint}")
    _tell(f"installing for the tests (no service is started): {' '.join(packages)}")
    with _one_at_a_time(), _services_denied():
        try:
            _apt("update")
            if any(package.startswith("postgresql") for package in packages):
                _install(["postgresql-common"])
                with _no_cluster():
                    _install(packages)
            else:
                _install(packages)
        except subprocess.CalledProcessError as error:
            lines = error.output.splitlines()[-20:]
            raise ServerMissing("\n".join([*lines, f"apt-get failed; see above, then: {hint}"])) from error
        _disable_units(packages)
    _tell("installed.")


def _install(packages: list[str]) -> None:
    _apt("install", "--yes", "--no-install-recommends", *packages)


def _apt(*arguments: str) -> None:
    subprocess.run(
        ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Options::=--force-confold", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    with (Path(tempfile.gettempdir()) / "mailroom-tests-installing.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _services_denied() -> Iterator[None]:
    """Debian's packages start their service unless /usr/sbin/policy-rc.d denies it. What stood there comes back."""
    if not POLICY_KEPT.exists() and POLICY.exists():
        shutil.copy2(POLICY, POLICY_KEPT)
    try:
        POLICY.unlink(missing_ok=True)
        POLICY.write_text(DENY.format(pid=os.getpid()))
        POLICY.chmod(0o755)
        yield
    finally:
        if POLICY_KEPT.exists():
            POLICY_KEPT.replace(POLICY)
        else:
            POLICY.unlink(missing_ok=True)


@contextlib.contextmanager
def _no_cluster() -> Iterator[None]:
    """postgresql-NN makes a database cluster of its own when it is installed, unless this file says no."""
    before = CLUSTER_SETTINGS.read_text()
    CLUSTER_SETTINGS.write_text(before + "\ncreate_main_cluster = false\n")
    try:
        yield
    finally:
        CLUSTER_SETTINGS.write_text(before)


def _disable_units(packages: list[str]) -> None:
    """The packages enable their services for the next boot; where systemd is in charge, that is taken back."""
    if not Path("/run/systemd/system").is_dir():
        return
    units = {
        "rabbitmq-server": ["rabbitmq-server.service", "epmd.service", "epmd.socket"],
        "postgresql": ["postgresql.service"],
        "redis-server": ["redis-server.service"],
        "dovecot-imapd": ["dovecot.service", "dovecot.socket"],
    }
    for unit in [unit for package in packages for unit in units.get(package, [])]:
        subprocess.run(["systemctl", "disable", "--quiet", unit], capture_output=True, check=False)


def main() -> int:
    from tests.servers import choosing

    try:
        choosing.install_missing()
    except ServerMissing as error:
        _tell(str(error))
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
