"""What may not lie too far after the day of receipt: the day of record of a notice, the day of every other event.

Of an event of a declared entity, neither may.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from infra.verification.reference.notice import Enrolment, EntityEvent, Notice, Submission

#: A notice may be recorded at most this many days after it was received.
RECORDED_AHEAD_MAX = 1
#: An enrolment or account event may take effect at most this many days after it was received.
EFFECTIVE_AHEAD_MAX = 60


def without_future(submission: Submission, received_on: str) -> Submission:
    """Return the submission, with a fault instead of its content if its day lies too far after `received_on`."""
    content = submission.content
    if content is None:
        return submission
    if not isinstance(content, Notice):
        day = content.since if isinstance(content, Enrolment) else content.effective_on
        if _days_ahead(day, received_on) > EFFECTIVE_AHEAD_MAX:
            return replace(submission, content=None, fault="effective-in-future")
    recorded_on = content.recorded_on if isinstance(content, Notice | EntityEvent) else received_on
    if _days_ahead(recorded_on, received_on) > RECORDED_AHEAD_MAX:
        return replace(submission, content=None, fault="recorded-in-future")
    return submission


def _days_ahead(day: str, received_on: str) -> int:
    return (date.fromisoformat(day) - date.fromisoformat(received_on)).days
