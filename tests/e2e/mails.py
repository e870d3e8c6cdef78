"""A manifest of mails whose truth is known because it was written down first."""

import random
from collections import Counter
from dataclasses import dataclass

from shared.bus import Message
from shared.wire import raw_bounce_message

FIRST_RECEIVED = 1_767_225_600  # 2026-01-01


@dataclass(frozen=True)
class Send:
    """A failed send, and what the receiving server said."""

    recipient: str
    number: int
    reply: str
    status: str

    @property
    def is_hard(self) -> bool:
        return self.status == "5.1.1"


UNKNOWN = ("550 5.1.1 User unknown in virtual mailbox table", "5.1.1")
FULL = ("452 4.2.2 The recipient's mailbox is over quota", "4.2.2")


def make_sends(count: int, *, seed: int = 7) -> list[Send]:
    """A tenth of them hard; the others soft, on few addresses, so that some of these reach five."""
    chance = random.Random(seed)
    sends = []
    for number in range(count):
        if chance.random() < 0.1:
            sends.append(Send(f"gone{number}@example.net", number, *UNKNOWN))
        else:
            sends.append(Send(f"full{chance.randrange(count // 4)}@example.net", number, *FULL))
    return sends


def suppressed_by(sends: list[Send]) -> set[str]:
    """The truth: hard at once, or five soft ones."""
    soft = Counter(send.recipient for send in sends if not send.is_hard)
    return {send.recipient for send in sends if send.is_hard} | {name for name, times in soft.items() if times >= 5}


def bounce_of(send: Send) -> bytes:
    """The delivery report that a Postfix writes for it (RFC 3464)."""
    return f"""\
Return-Path: <>
Received: by mx.example.com (Postfix) id Q{send.number:06}; Mon, 5 Jan 2026 10:00:00 +0000 (UTC)
Date: Mon, 5 Jan 2026 10:00:00 +0000 (UTC)
From: MAILER-DAEMON@mx.example.com (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: bounce@lists.example.com
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="Q{send.number:06}.1/mx.example.com"
Message-Id: <bounce-{send.number}@mx.example.com>

This is a MIME-encapsulated message.

--Q{send.number:06}.1/mx.example.com
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.example.com.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

<{send.recipient}>: host mail.example.net[192.0.2.25] said: {send.reply} (in reply to RCPT TO command)

--Q{send.number:06}.1/mx.example.com
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.com
X-Postfix-Queue-ID: Q{send.number:06}
X-Postfix-Sender: rfc822; bounce@lists.example.com
Arrival-Date: Mon, 5 Jan 2026 09:59:58 +0000 (UTC)

Final-Recipient: rfc822; {send.recipient}
Original-Recipient: rfc822;{send.recipient}
Action: failed
Status: {send.status}
Remote-MTA: dns; mail.example.net
Diagnostic-Code: smtp; {send.reply}

--Q{send.number:06}.1/mx.example.com
Content-Description: Undelivered Message Headers
Content-Type: text/rfc822-headers

Message-ID: <campaign-{send.number}@lists.example.com>
From: News <news@lists.example.com>
To: {send.recipient}
Subject: The news of the week

--Q{send.number:06}.1/mx.example.com--
""".encode()


HUMAN_MAIL = b"""\
From: Jane <jane@example.org>
To: bounce@lists.example.com
Subject: Re: The news of the week
Message-ID: <jane-1@example.org>

Thank you, I enjoyed it. Two of my colleagues say that their copies bounced.

Jane
"""


def published(sends: list[Send]) -> list[Message]:
    """As a publisher sends them, each with the time at which it was received."""
    from datetime import UTC, datetime

    return [
        raw_bounce_message(bounce_of(send), received_at=datetime.fromtimestamp(FIRST_RECEIVED + send.number, UTC))
        for send in sends
    ]
