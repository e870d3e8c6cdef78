"""What is asked for together."""

import pytest

from services.fetcher.ports import Listed
from services.fetcher.windows import WINDOW_BYTES, WINDOW_MAILS, Windows


def taken(sizes: list[int], most: int = WINDOW_MAILS) -> list[list[int]]:
    windows = Windows(Listed(str(number), size) for number, size in enumerate(sizes))
    found = []
    while not windows.is_empty:
        found.append([mail.size_bytes for mail in windows.take(most)])
    return found


@pytest.mark.parametrize(
    ("sizes", "most", "windows"),
    [
        ([], 50, []),
        ([1] * (WINDOW_MAILS + 1), 1_000, [[1] * WINDOW_MAILS, [1]]),
        ([1, 2, 3], 2, [[1, 2], [3]]),
        ([1, 2], 0, [[1], [2]]),
        ([WINDOW_BYTES, 1], 50, [[WINDOW_BYTES], [1]]),
        ([1, 10**12, 10**12, 1], 50, [[1], [10**12], [10**12], [1]]),
    ],
)
def test_windows_are_bounded_in_mails_and_bytes(sizes: list[int], most: int, windows: list[list[int]]) -> None:
    assert taken(sizes, most) == windows
