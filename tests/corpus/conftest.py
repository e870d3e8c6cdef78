"""A labelled corpus of real bounces is nobody's to publish: what needs it runs where it is, and is not collected elsewhere.

MAILROOM_TEST_CORPUS names its folder (messages/*.eml and labels.jsonl); by default it is looked for beside the checkout.
"""

import os
from pathlib import Path

CORPUS = Path(os.environ.get("MAILROOM_TEST_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")

collect_ignore = [] if (CORPUS / "labels.jsonl").is_file() else ["test_corpus.py"]
