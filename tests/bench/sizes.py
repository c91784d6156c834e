"""How much a run measures: whole, or quick while developing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Sizes:
    """Rounds of each comparison, and how many records each side is measured over (`by_record`: those that are slow).

    `residents` is the size of the city that stateful steps are fed; `load_s` how long notices come evenly;
    `warm_times` how many times `records` Kafka Streams is given, half of them to be warm; `municipalities` how many
    hand over at once; `partitions` how many notices are in, `through_many` how many records go through them.
    """

    rounds: int
    records: int
    by_record: int
    residents: int
    load_s: float
    warm_times: int = 2
    municipalities: int = 200
    partitions: int = 100
    through_many: int = 50_000

    def warm(self, records: int) -> int:
        """Of these, so many are not measured."""
        return records // 5


WHOLE: Final = Sizes(
    rounds=5,
    records=250_000,
    by_record=30_000,
    residents=5_000,
    load_s=10,
    warm_times=4,
    municipalities=1_741,
    partitions=1_000,
    through_many=100_000,
)
QUICK: Final = Sizes(rounds=3, records=120_000, by_record=20_000, residents=4_500, load_s=8)

#: Says how far it is.
Say = Callable[[str], None]
