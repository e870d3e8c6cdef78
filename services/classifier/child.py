"""The process in which mails are parsed: it may die, and nothing but the mail that ended it is lost.

Reads the texts of the deployment's own rules and says that it is ready; then it reads a batch (a count, then the mails)
and answers each mail as soon as it is judged.
"""

import os
import resource
import sys
from typing import BinaryIO, Final

import orjson

from services.classifier.framing import read_frame, write_frame
from services.classifier.judge import judge
from services.classifier.rulebook import Rulebook, with_deployment

READY: Final = b"ready"
OUT_OF_MEMORY: Final = 77
"""The exit status of a child that reached its limit."""


def main() -> None:
    """Serve batches from standard input until it ends."""
    memory_bytes = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    rulebook = with_deployment(orjson.loads(read_frame(requests) or b"{}"))
    os.dup2(2, 1)  # whatever prints must not end up between two frames
    write_frame(answers, READY)
    answers.flush()
    try:
        while (head := read_frame(requests)) is not None:
            batch = [read_frame(requests) for _ in range(int.from_bytes(head))]
            for raw in batch:
                _answer(answers, raw or b"", rulebook)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)


def _answer(answers: BinaryIO, raw: bytes, rulebook: Rulebook) -> None:
    write_frame(answers, orjson.dumps(judge(raw, rulebook)))
    answers.flush()


if __name__ == "__main__":
    main()
