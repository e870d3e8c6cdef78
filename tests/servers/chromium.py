"""Debian's Chromium, driven by Playwright; nothing is downloaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.servers import finding
from tests.servers.installing import install

PACKAGES = ["chromium", "fonts-dejavu-core"]


def installed() -> bool:
    return _program() is not None


@contextmanager
def start() -> Iterator[Browser]:
    """A browser without a window. It reaches loopback only."""
    if not installed():
        install(PACKAGES)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_program(),
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"],
        )
        try:
            yield browser
        finally:
            browser.close()


def _program() -> Path | None:
    return finding.program("chromium", "/usr/bin/chromium")
