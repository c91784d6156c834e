"""Why a worker can't go on, as types. None says anything of a record's content.

- `StreamError`
    - `FencedError`: another worker has this slot
    - `UnavailableError`: a server that is needed doesn't answer; another try may help
    - `DeniedError`: a right or a topic is missing
    - `BrokenStepError`: the processor fails on too many records, so the step is at fault, not they
    - `StateError`: a changelog can't be read, or not to its end
    - `LostRecordsError`: the offset to go on from isn't in the log any more
    - `StoppedError`: Kafka says that this client can't go on
"""

from __future__ import annotations


class StreamError(Exception):
    """A worker can't go on."""


class FencedError(StreamError):
    """Another worker has taken over this slot's `transactional.id` or `group.instance.id`."""


class UnavailableError(StreamError):
    """A server that is needed did not answer within its deadline."""


class DeniedError(StreamError):
    """The step's user isn't known or may not do what the step needs, or a topic that it needs isn't there."""


class BrokenStepError(StreamError):
    """The processor raised on more records of one batch than can be poison."""


class StateError(StreamError):
    """A changelog can't be read: the worker must not go on from half a state."""


class LostRecordsError(StreamError):
    """The log doesn't have the offset to go on from, or the group has none while state is kept."""


class StoppedError(StreamError):
    """An error of Kafka's that is fatal, or that says nothing of what to do."""
