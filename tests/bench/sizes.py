"""How much a run measures: full, or quick during development."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Sizes:
    """Numbers that determine how long a run takes.

    - `rounds`: rounds of each comparison.
    - `records`: records that each side processes; `records_by_record` for the slow sides, a record at a time.
    - `residents`: size of the city that stateful steps process.
    - `load_s`: seconds for which notices are published evenly.
    - `kafka_streams_rounds`: Kafka Streams processes `records` this often, the first half as warm-up.
    - `municipalities`: number of municipalities that submit at the same time.
    - `partitions`: number of partitions of the notices; `records_many_partitions` records go through them.
    """

    rounds: int
    records: int
    records_by_record: int
    residents: int
    load_s: float
    kafka_streams_rounds: int = 2
    municipalities: int = 200
    partitions: int = 100
    records_many_partitions: int = 50_000

    def warm_up(self, records: int) -> int:
        """Return how many of `records` are done before the measurement begins."""
        return records // 5


FULL: Final = Sizes(
    rounds=5,
    records=250_000,
    records_by_record=30_000,
    residents=5_000,
    load_s=10,
    kafka_streams_rounds=4,
    municipalities=1_741,
    partitions=1_000,
    records_many_partitions=100_000,
)
QUICK: Final = Sizes(rounds=3, records=120_000, records_by_record=20_000, residents=4_500, load_s=8)

#: Reports the progress of a run, a line per call.
Progress = Callable[[str], None]
