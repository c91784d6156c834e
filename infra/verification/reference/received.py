"""What may not lie too far after the day of receipt: the day of record of a notice, the day of every other event."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from infra.verification.reference.notice import Enrolment, Notice, Submission

#: A notice may be recorded at most this many days after it was received.
RECORDED_AHEAD_MAX = 1
#: An enrolment or account event may take effect at most this many days after it was received.
EFFECTIVE_AHEAD_MAX = 60


def without_future(submission: Submission, received_on: str) -> Submission:
    """Return the submission, with a fault instead of its content if its day lies too far after `received_on`."""
    content = submission.content
    if content is None:
        return submission
    if isinstance(content, Notice):
        day, ahead_max, fault = content.recorded_on, RECORDED_AHEAD_MAX, "recorded-in-future"
    else:
        day = content.since if isinstance(content, Enrolment) else content.effective_on
        ahead_max, fault = EFFECTIVE_AHEAD_MAX, "effective-in-future"
    ahead = (date.fromisoformat(day) - date.fromisoformat(received_on)).days
    return replace(submission, content=None, fault=fault) if ahead > ahead_max else submission
