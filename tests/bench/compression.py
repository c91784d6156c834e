"""Compression types and batch sizes: bytes per record on disk, and CPU to write and to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from infra.coding import codec
from schemas.topics import domain_topic
from streams.settings import PipelineSettings
from tests.bench import log, timing
from tests.bench.cluster import BenchCluster, running_cluster
from tests.bench.figures import Figure
from tests.bench.intake import submissions
from tests.bench.log import PreparedRecord
from tests.bench.side import Task, run_side
from tests.bench.sink import DOMAIN, changes
from tests.bench.sizes import Progress, Sizes
from tests.bench.stateless import PREFIX

SETTINGS: Final = PipelineSettings()
#: Compression type and maximum batch in bytes: first the mesh's settings, then other types and smaller batches.
VARIANTS: Final = (
    (SETTINGS.compression_type, SETTINGS.batch_size_bytes),
    ("none", SETTINGS.batch_size_bytes),
    ("zstd", SETTINGS.batch_size_bytes),
    (SETTINGS.compression_type, 16_384),
    ("zstd", 16_384),
)
PARTITIONS: Final = 4


def measure(folder: Path, sizes: Sizes, progress: Progress) -> list[Figure]:
    """Compare the variants for records of a source and of a domain, whose codes are as good as random."""
    with running_cluster(folder) as cluster:
        figures = []
        for topic, records in _records_by_topic(cluster, sizes.records // 2).items():
            progress(f"compression: {len(records):,} records of {topic}")
            figures += _TopicComparison(cluster, sizes, topic, records).run(progress)
        return figures


def _records_by_topic(cluster: BenchCluster, count: int) -> dict[str, list[PreparedRecord]]:
    values = codec(cluster.environment, cluster.installation).encode(DOMAIN.event, changes(cluster, count))
    keys = [b"%d" % number for number in range(count)]
    return {
        "in.juki-cs": submissions(cluster, count),
        domain_topic(DOMAIN.id): [
            PreparedRecord("", key, value) for key, value in zip(keys, values.to_pylist(), strict=True)
        ],
    }


class _TopicComparison:
    """Records of one topic, written and read in each variant."""

    def __init__(
        self, cluster: BenchCluster, sizes: Sizes, name: str, records: Sequence[PreparedRecord]
    ) -> None:
        self._cluster, self._sizes, self._name, self._count = cluster, sizes, name, len(records)
        self._file = cluster.folder / "compression.arrow"
        log.save(self._file, [record._replace(topic="", partition=-1) for record in records])

    def run(self, progress: Progress) -> list[Figure]:
        """Return the figures of each variant, compared with the mesh's settings."""
        sides: dict[str, Callable[[], timing.Run]] = {}
        for variant in VARIANTS:
            self._cluster.topics.create([self._topic(*variant)], PARTITIONS)
            for side in ("write", "read"):
                sides[f"{side} {_variant_name(*variant)}"] = lambda side=side, variant=variant: self._run(
                    side, variant
                )  # type: ignore[misc]
        runs = timing.alternate(sides, self._sizes.rounds, lambda: None, progress)
        return [figure for variant in VARIANTS for figure in self._figures(variant, runs)]

    def _figures(self, variant: tuple[str, int], runs: dict[str, list[timing.Run]]) -> list[Figure]:
        home, name, reference = self._cluster.stack.home.folder, _variant_name(*variant), VARIANTS[0]
        written = self._sizes.rounds * self._count
        record_bytes = {
            one: log.topic_bytes(home, self._topic(*one)) / written for one in (variant, reference)
        }
        compares = variant != reference
        return [
            Figure(
                f"{self._name}, {name}: on disk",
                record_bytes[variant],
                record_bytes[reference] if compares else None,
                "bytes/record",
            ),
            *(
                Figure(
                    f"{self._name}, {name}: CPU to {side}",
                    timing.cpu_us(runs[f"{side} {name}"]),
                    timing.cpu_us(runs[f"{side} {_variant_name(*reference)}"]) if compares else None,
                    "µs/record",
                )
                for side in ("write", "read")
            ),
        ]

    def _run(self, side: str, variant: tuple[str, int]) -> timing.Run:
        compression_type, batch_bytes = variant
        options: dict[str, Any] = {
            "file": str(self._file),
            "topic": self._topic(*variant),
            "properties": {
                "compression.type": compression_type,
                "batch.size": batch_bytes,
                "linger.ms": SETTINGS.linger_ms,
            },
        }
        count = self._count
        return run_side(
            f"compression.{side}",
            Task(count, self._sizes.warm_up(count), str(self._cluster.folder / "sides"), options),
        )

    def _topic(self, compression_type: str, batch_bytes: int) -> str:
        return f"{PREFIX}{self._name}.{compression_type}.{batch_bytes}"


def _variant_name(compression_type: str, batch_bytes: int) -> str:
    return f"{compression_type}, batches up to {batch_bytes // 1_000:,} kB"
