"""Images with the names that docker-compose.yml asks for, made from Debian's packages where no registry of images is reached.

They do what the official ones do as far as the compose file goes: the same variables, folders and commands. The versions are
Debian's, not those that the names promise.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).with_name("standins")
DEBIAN = "mailroom-standin/debian"
IMAGES = {
    "python:3.13-slim": "python",
    "rabbitmq:4": "rabbitmq",
    "postgres:17": "postgres",
    "redis:7": "redis",
    "mailroom-standin/mailserver": "mailserver",
}
"""By name: the Dockerfile of its stand-in."""
TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")


def is_installed() -> bool:
    """Whether there are the programs that this needs."""
    return all(shutil.which(name) for name in ("docker", "dockerd", "docker-compose", "debootstrap"))


def answers() -> bool:
    """Whether a Docker daemon does."""
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def has(image: str) -> bool:
    return subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0


def provide() -> None:
    """Every image of IMAGES is there afterwards: pulled, or a stand-in."""
    for image, name in IMAGES.items():
        if has(image):
            continue
        is_pulled = subprocess.run(["docker", "pull", "--quiet", image], capture_output=True, check=False)
        if name == "mailserver" or is_pulled.returncode:
            print(f"{image} cannot be pulled: a stand-in is made", file=sys.stderr)
            _build(image, name)


def _build(image: str, name: str) -> None:
    if not has(DEBIAN):
        _import_debian()
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        shutil.copytree(HERE, context, dirs_exist_ok=True)
        (context / "trusted.crt").write_bytes(TRUSTED.read_bytes())
        subprocess.run(
            ["docker", "build", "--network=host", "--quiet", "--tag", image, "--file", f"{name}.Dockerfile", "."],
            cwd=context,
            check=True,
            stdout=subprocess.DEVNULL,
        )


def _import_debian() -> None:
    """The smallest Debian, of this machine's release."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        subprocess.run(
            ["debootstrap", "--variant=minbase", release["VERSION_CODENAME"], root],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        # No package starts a service while it is installed.
        policy = root / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        with subprocess.Popen(["tar", "--create", "--directory", root, "."], stdout=subprocess.PIPE) as packing:
            subprocess.run(
                ["docker", "import", "-", DEBIAN], stdin=packing.stdout, check=True, stdout=subprocess.DEVNULL
            )


if __name__ == "__main__":
    provide()
