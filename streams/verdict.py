"""What to do about an error of Kafka: a verdict, never a guess."""

from __future__ import annotations

from enum import StrEnum

from confluent_kafka import KafkaError, KafkaException


class Verdict(StrEnum):
    """RETRY the same call; ABORT the transaction and rewind; RENEW the producer, then rewind; STOP the worker.

    RENEW is for a call whose outcome is unknown (a timeout): librdkafka 2.15 has no KIP-890 part 2, so a late commit
    could hit the next transaction. A new producer of the same `transactional.id` bumps the epoch, and the committed
    offsets tell what came of it.
    """

    RETRY = "retry"
    ABORT = "abort"
    RENEW = "renew"
    STOP = "stop"


#: Outcome unknown, or a state in which only a new producer is of use.
_RENEW = frozenset(
    {
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._STATE,
        KafkaError._CONFLICT,
        KafkaError.INVALID_TXN_STATE,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
        KafkaError.REQUEST_TIMED_OUT,
    }
)
#: Somebody else has this worker's place: never go on.
_FENCED = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.FENCED_INSTANCE_ID})


def verdict(error: KafkaError) -> Verdict:
    """Fenced or unknown stops us; a timeout renews; the rest is as librdkafka says."""
    if error.code() in _FENCED:
        return Verdict.STOP
    if error.code() in _RENEW:
        return Verdict.RENEW
    if error.txn_requires_abort():
        return Verdict.ABORT
    if error.fatal():
        return Verdict.STOP
    return Verdict.RETRY if error.retriable() else Verdict.STOP


def verdict_of(failure: KafkaException) -> Verdict:
    """The verdict on the error that an exception carries."""
    return verdict(failure.args[0])
