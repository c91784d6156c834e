"""Checks of an adoption: in each partition it looks at every person once, and ends with the declarations of now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from schemas.topics import PERSON_CHANGE, state_topic
from tests.fan_out_checks import adoption_end_differences, digests_of
from tests.simulation.cities import CODEC
from tests.simulation.declarations import CURRENT
from tests.simulation.log import Log, LogEntry

_ADOPTION, _PERSONS = state_topic("fan-out", "adoption"), state_topic("fan-out", "persons")

#: A state of the adoption, with the version of the log in which it was committed.
_Stored = tuple[int, dict[str, Any]]


def adoption_differences(log: Log) -> Iterator[str]:
    """Yield what is wrong with the adoption in any partition of fan-out."""
    adoptions, persons = (
        # A barrier token has no content.
        [entry for entry in log.committed(topic) if entry.value_bytes]
        for topic in (_ADOPTION, _PERSONS)
    )
    for partition in range(log.topics[PERSON_CHANGE]):
        of_partition = [entry for entry in adoptions if entry.topic_partition[1] == partition]
        values = [entry.value_bytes for entry in of_partition]
        rows = CODEC.decode("state-fan-out-adoption", values).table.to_pylist()
        stored = list(zip((_version(entry) for entry in of_partition), rows, strict=True))
        first = _first_versions([entry for entry in persons if entry.topic_partition[1] == partition])
        for difference in (*adoption_end_differences(rows, CURRENT), *_portion_differences(stored, first)):
            yield f"partition {partition}: {difference}"


def _portion_differences(stored: Sequence[_Stored], first: Mapping[str, int]) -> Iterator[str]:
    """Yield whether anybody was left out, or was looked at again.

    `first` is the version of the log in which a person was first stored. A person who is new in the transaction of a
    portion may be in it or not.
    """
    repeated = left_out = 0
    for (_, before), (version, after) in pairwise([(0, _NOTHING), *stored]):
        if after["number"] > before["number"]:
            reached, looked_at, was_complete = "", 0, False
        else:
            reached, looked_at, was_complete = before["after"], before["persons"], before["complete"]
        repeated += after["after"] < reached or (was_complete and not after["complete"])
        passed = [at for person, at in first.items() if reached < person <= after["after"] and at <= version]
        known = sum(at < version for at in passed)
        left_out += not known <= after["persons"] - looked_at <= len(passed)
        if after["complete"] and not was_complete and digests_of(before) != digests_of(after):
            left_out += any(person > after["after"] and at < version for person, at in first.items())
    if repeated:
        yield f"{repeated} times the adoption looked at persons again"
    if left_out:
        yield f"{left_out} portions of the adoption had other persons than the next ones"


#: What is stored before the first adoption.
_NOTHING: Final[Mapping[str, Any]] = {
    "number": 0, "complete": True, "after": "", "persons": 0, "digests": []
}  # fmt: skip


def _first_versions(entries: Sequence[LogEntry]) -> dict[str, int]:
    first: dict[str, int] = {}
    for entry in entries:
        first.setdefault((entry.key_bytes or b"").decode(), _version(entry))
    return first


def _version(entry: LogEntry) -> int:
    return entry.transaction.ended_version if entry.transaction is not None else entry.version
