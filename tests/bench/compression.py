"""What the log takes by the way it is compressed: bytes a record, and CPU of who writes it and who reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from infra.codec import codec
from schemas.topics import domain_topic
from streams.settings import PipelineSettings
from tests.bench import log, timing
from tests.bench.cluster import BenchCluster, running
from tests.bench.figures import Figure
from tests.bench.intake import hand_overs
from tests.bench.log import Prepared
from tests.bench.side import Task, start
from tests.bench.sink import DOMAIN, changes
from tests.bench.sizes import Say, Sizes
from tests.bench.stateless import PREFIX

OURS: Final = PipelineSettings()
#: Type, and the largest batch in bytes: ours, what else there is at that size, and smaller batches.
WAYS: Final = (
    (OURS.compression_type, OURS.batch_size_bytes),
    ("none", OURS.batch_size_bytes),
    ("zstd", OURS.batch_size_bytes),
    (OURS.compression_type, 16_384),
    ("zstd", 16_384),
)
PARTITIONS: Final = 4


def measure(folder: Path, sizes: Sizes, say: Say) -> list[Figure]:
    """Records as a source hands them over, and as a domain reads them (its codes are as good as random)."""
    with running(folder) as place:
        found = []
        for what, records in _kinds(place, sizes.records // 2).items():
            say(f"compression: {len(records):,} records of {what}")
            found += _Kind(place, sizes, what, records).figures(say)
        return found


def _kinds(place: BenchCluster, count: int) -> dict[str, list[Prepared]]:
    values = codec(place.environment, place.installation).encode(DOMAIN.event, changes(place, count))
    keys = [b"%d" % number for number in range(count)]
    return {
        "in.juki-cs": hand_overs(place, count),
        domain_topic(DOMAIN.id): [Prepared("", *each) for each in zip(keys, values.to_pylist(), strict=True)],
    }


class _Kind:
    """Records of one kind, written and read in every way."""

    def __init__(self, place: BenchCluster, sizes: Sizes, what: str, records: Sequence[Prepared]) -> None:
        self._place, self._sizes, self._what, self._count = place, sizes, what, len(records)
        self._file = place.folder / "compression.arrow"
        log.save(self._file, [each._replace(topic="", partition=-1) for each in records])

    def figures(self, say: Say) -> list[Figure]:
        """Each way against ours."""
        sides: dict[str, Callable[[], timing.Run]] = {}
        for way in WAYS:
            self._place.log.create([self._topic(*way)], PARTITIONS)
            for side in ("write", "read"):
                sides[f"{side} {_name(*way)}"] = lambda side=side, way=way: self._run(side, way)  # type: ignore[misc]
        runs = timing.alternate(sides, self._sizes.rounds, lambda: None, say)
        return [figure for way in WAYS for figure in self._of(way, runs)]

    def _of(self, way: tuple[str, int], runs: dict[str, list[timing.Run]]) -> list[Figure]:
        home, name, ours = self._place.stack.home.folder, _name(*way), WAYS[0]
        written = self._sizes.rounds * self._count
        bytes_of = {each: log.bytes_of(home, self._topic(*each)) / written for each in (way, ours)}
        others = way != ours
        return [
            Figure(
                f"{self._what}, {name}: on disk",
                bytes_of[way],
                bytes_of[ours] if others else None,
                "bytes/record",
            ),
            *(
                Figure(
                    f"{self._what}, {name}: CPU to {side}",
                    timing.cpu_us(runs[f"{side} {name}"]),
                    timing.cpu_us(runs[f"{side} {_name(*ours)}"]) if others else None,
                    "µs/record",
                )
                for side in ("write", "read")
            ),
        ]

    def _run(self, side: str, way: tuple[str, int]) -> timing.Run:
        kind, batch_bytes = way
        more: dict[str, Any] = {
            "file": str(self._file),
            "topic": self._topic(*way),
            "properties": {"compression.type": kind, "batch.size": batch_bytes, "linger.ms": OURS.linger_ms},
        }
        count = self._count
        return start(
            f"written.{side}", Task(count, self._sizes.warm(count), str(self._place.folder / "sides"), more)
        )

    def _topic(self, kind: str, batch_bytes: int) -> str:
        return f"{PREFIX}{self._what}.{kind}.{batch_bytes}"


def _name(kind: str, batch_bytes: int) -> str:
    return f"{kind}, batches up to {batch_bytes // 1_000:,} kB"
