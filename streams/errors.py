"""The reasons why a worker can't continue, as exception types. No message contains the content of a record."""

from __future__ import annotations


class StreamError(Exception):
    """A worker can't continue."""


class FencedError(StreamError):
    """Another worker has taken over this slot's `transactional.id` or `group.instance.id`."""


class UnavailableError(StreamError):
    """A server that the worker needs didn't answer within its deadline; another attempt may succeed."""


class TableBehindError(UnavailableError):
    """A global table lacks a record on which a record of the batch depends; another attempt may find it."""


class DeniedError(StreamError):
    """The step's user is unknown or lacks a permission, or a topic that the step needs doesn't exist."""


class NotConfiguredError(StreamError):
    """A setting or the key file of the process is wrong or missing; the message shows neither."""


class BrokenStepError(StreamError):
    """The processor failed on more records of one batch than can be poison: the step is at fault."""


class StateError(StreamError):
    """A changelog can't be read to its end: the worker must not continue with incomplete state."""


class LostRecordsError(StreamError):
    """The log no longer has the committed offset, or the group has no committed offset although there is state."""


class StoppedError(StreamError):
    """Kafka reported an error that is fatal, or for which no reaction is known."""


class LargeOutputsError(Exception):
    """The records of a batch have more outputs than one transaction should: a smaller batch has fewer."""
