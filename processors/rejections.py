"""What a step that keeps state refuses, as records for `rejected.<system>`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from processors.refusals import Refusal, rejection_id
from processors.rows import output
from schemas.topics import rejected_topic, source_of
from streams.contract import Output


@dataclass
class Rejections:
    """The refusals of a batch, by topic, in the order of what they come of."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any], refusal: Refusal) -> None:
        """One more; `row` is a `notice` or a `person-change`, which has no number of its own and isn't sent again."""
        system, municipality = source_of(row["origin"]["topic"])
        rejected = {
            "id": rejection_id(row["origin"], resent=row.get("resent", False)),
            "verdict": refusal.verdict.value,
            "system": system,
            "municipality": municipality or row["municipality"],
            "notice": row.get("notice"),
            "code": refusal.value,
            "reason": refusal.sentence,
            "origin": row["origin"],
            "received_at": row["received_at"],
        }
        self.rows.setdefault(rejected_topic(system), []).append(rejected)

    def outputs(self) -> Iterator[Output]:
        """One for each topic that has records."""
        for topic, rows in sorted(self.rows.items()):
            yield output(topic, "rejected", rows, [row["id"] for row in rows])
