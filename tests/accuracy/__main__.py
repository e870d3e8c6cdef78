"""`python -m tests.accuracy [FOLDER...]`: how right the classifier is on labelled mails, with every difference in words."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.accuracy.replies import REPLIES, score_replies
from tests.accuracy.scoring import score_folder

HERE = Path(__file__).parent
OWN = (HERE / "written", HERE / "second")


def main() -> None:
    folders: Sequence[Path] = [Path(name) for name in sys.argv[1:]] or OWN
    for folder in folders:
        score = score_folder(folder)
        print(*score.wrong, sep="\n")
        print(f"{folder}: {score.messages} mails")
        for name, share in score.shares().items():
            print(f"  {name:18}{share:7.2f} %")
        print(f"  false hards       {score.false_hards}, of these indefensible {score.indefensible_hards}")
        print(f"  ordinary mail taken for a bounce {score.ordinary_taken_for_bounces} of {score.ordinary}")
        print(f"  bounces missed    {score.bounces_missed} of {score.bounces}")
        if (folder / REPLIES).exists():
            replies = score_replies(folder / REPLIES)
            print(*replies.wrong, sep="\n")
            print(f"{folder / REPLIES}: {replies.replies} replies")
            print(f"  verdicts right    {100 * replies.verdicts_right / replies.replies:6.2f} %")
            print(f"  reasons right     {100 * replies.reasons_right / replies.replies:6.2f} %")
            print(f"  hard recall       {100 * replies.hards_found / replies.hards:6.2f} %")
            print(f"  false hards       {replies.false_hards}")


if __name__ == "__main__":
    main()
