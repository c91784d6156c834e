"""What fan-out received in a run, and what its changelogs say at the end about its days, agenda and adoption."""

from __future__ import annotations

from datetime import date

from infra.apply.installation import ApplySettings
from infra.environment import Environment
from schemas.codec import Codec
from schemas.topics import NOTICE, PERSON_CHANGE, state_topic
from tests import fan_out_checks
from tests.chaos.evidence import TopicContents, messages, partition_of


def receipts(environment: Environment, codec: Codec) -> dict[tuple[str, int], tuple[object, ...]]:
    """Return when and where each accepted notice or event was received, by the file and line that it is from."""
    topics, place = (
        TopicContents(environment, codec, [NOTICE, PERSON_CHANGE]),
        ("topic", "partition", "offset"),
    )
    return {
        (row["origin"]["file"], row["origin"]["line"]): (
            row["received_at"],
            *(row["origin"][name] for name in place),
        )
        for topic, schema in ((NOTICE, "notice"), (PERSON_CHANGE, "person-change"))
        for _, _, row in topics.rows(topic, schema, "received_at", "origin")
    }


def clock_and_adoption(
    environment: Environment, codec: Codec, last_day: date, number: int
) -> dict[str, list[str]]:
    """Return what is wrong with fan-out's days and agenda, and with its adoption of the declarations of a number."""
    clock, agenda, adoption = (state_topic("fan-out", store) for store in ("clock", "agenda", "adoption"))
    last: dict[tuple[str, int, bytes], bytes | None] = {}
    stored: dict[tuple[str, int], list[bytes]] = {
        (topic, partition): []
        for topic in (clock, adoption)
        for partition in range(ApplySettings().partitions)
    }
    for message in messages(environment, (clock, agenda, adoption), "read_committed"):
        topic, partition = partition_of(message)
        last[topic, partition, message.key() or b""] = message.value()
        if topic != agenda and (value := message.value()) is not None:
            stored[topic, partition].append(value)
    rows = {
        place: codec.decode(f"state-fan-out-{place[0].rsplit('.', 1)[-1]}", values).table.to_pylist()
        for place, values in stored.items()
    }
    waiting = [
        key.decode() for (topic, _, key), value in last.items() if topic == agenda and value is not None
    ]
    return {
        "clock-differs": [
            *fan_out_checks.clock_differences([rows[p] for p in rows if p[0] == clock], last_day),
            *fan_out_checks.agenda_differences(waiting, last_day),
        ],
        "adoption-differs": [
            difference
            for place, of_partition in rows.items()
            if place[0] == adoption
            for difference in fan_out_checks.adoption_end_differences(of_partition, number)
        ],
    }
