"""(d) Conversion by two workers, compared with Kafka Streams with two threads, which writes the same bytes."""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

import orjson
from jgo.maven import MavenContext

from infra.errors import ArtifactError
from infra.keys import load_keys
from infra.local.artifacts import Artifact, verify
from infra.local.home import LocalSettings
from infra.local.java import java
from infra.local.kafka_server import ADMIN
from processors.readings import roman_part
from schemas.catalogue import catalogue
from schemas.reasons import Reason
from schemas.systems import DOMAINS
from schemas.topics import change_topic, disclosure_topic, domain_topic
from tests.bench import conversion, people, timing
from tests.bench.cluster import BenchCluster, running_cluster
from tests.bench.figures import Figure, at_least, at_most
from tests.bench.shared import SharedWork
from tests.bench.sides.avro import Avro
from tests.bench.sizes import Progress, Sizes
from tests.bench.stateless import contents

WORKERS: Final = 2
PREFIX: Final = "bench.java."
TIMEOUT_S: Final = 300.0
GOALS: Final = (at_least(1.2), at_most(0.7))
NAMES: Final = (
    "conversion by two workers: against Kafka Streams, two threads, warm",
    "conversion by two workers: CPU, against Kafka Streams",
)
TWO_AGAINST_ONE: Final = "conversion: two workers against one"
_HERE: Final = Path(__file__).parent
#: The jars, by Maven coordinates, with their hashes.
PINNED: Final = _HERE / "kafka_streams.json"
_DOMAIN: Final = DOMAINS[conversion.DOMAIN]


class UnavailableError(Exception):
    """Kafka Streams isn't available here, for the reason in the message."""


def measure(folder: Path, sizes: Sizes, progress: Progress) -> list[Figure]:
    """Compare rate and CPU. Without a JDK or the jars, return the mesh's figures with a note."""
    with running_cluster(folder) as cluster:
        comparison = _Comparison(cluster, sizes, progress)
        try:
            class_path = _build(folder / "kafka-streams", progress)
        except UnavailableError as error:
            two, one = (
                [comparison.run_alone(workers) for _ in range(sizes.rounds)] for workers in (WORKERS, 1)
            )
            return _figures(two, one, None, str(error))
        return comparison.run(class_path)


class _Comparison:
    """The workers and Kafka Streams on one set of servers."""

    def __init__(self, cluster: BenchCluster, sizes: Sizes, progress: Progress) -> None:
        self._cluster, self._sizes, self._progress = cluster, sizes, progress
        self._records = conversion.changes(cluster, sizes.records)
        # The first half of the records is Kafka Streams' warm-up; the workers process as many.
        self._count = sizes.records * sizes.kafka_streams_rounds
        self._work = SharedWork(
            cluster, "step.conversion", "conversion", change_topic(_DOMAIN.id), self._count
        )
        self._topics = domain_topic(_DOMAIN.id), disclosure_topic(_DOMAIN.id)

    def run(self, class_path: str) -> list[Figure]:
        """Run both in turn, after checking that they write the same records."""
        for topic in self._topics:
            self._cluster.topics.create([PREFIX + topic], self._cluster.topics.partitions(topic))
        self._progress(f"kafka_streams: {self._count:,} records a round, half of them measured")
        self._produce()
        self._work.run_workers(WORKERS)
        self._run_kafka_streams(class_path)
        self._check_same_output()
        # Records that one run of the step leaves unread are there for the next: there are enough for both.
        sides = {
            "two workers": lambda: self._work.run_workers(WORKERS),
            "one worker": lambda: self.run_alone(1),
            "Kafka Streams": lambda: self._run_kafka_streams(class_path),
        }
        runs = timing.alternate(sides, self._sizes.rounds, self._produce, self._progress)
        two, one, kafka_streams = runs.values()
        return _figures(two, one, kafka_streams, "")

    def run_alone(self, workers: int) -> timing.Run:
        """Run the workers on records that are produced for them alone."""
        self._produce()
        return self._work.run_workers(workers)

    def _produce(self) -> None:
        for _ in range(self._sizes.kafka_streams_rounds):
            self._cluster.topics.produce(self._records)

    def _check_same_output(self) -> None:
        avro, moments = Avro(self._cluster.installation), conversion.STEP.moments
        expected = contents(self._cluster.topics.read(*self._topics), moments, avro).keys()
        actual = contents(
            (
                record._replace(topic=record.topic.removeprefix(PREFIX))
                for record in self._cluster.topics.read(*(PREFIX + topic for topic in self._topics))
            ),
            moments,
            avro,
        ).keys()
        if not actual <= expected:
            raise RuntimeError(
                f"{len(actual - expected)} of {len(actual)} records of Kafka Streams differ from conversion's"
            )
        self._progress(f"  {len(actual):,} records of Kafka Streams are the same as conversion's")

    def _run_kafka_streams(self, class_path: str) -> timing.Run:
        folder = self._cluster.folder / "home" / "kafka-streams"
        folder.mkdir(exist_ok=True)
        settings = folder / "bench.properties"
        settings.write_text(_properties(_settings(self._cluster, folder, self._count)), encoding="ascii")
        command = [java(), "-Xmx1g", "-cp", class_path, "Conversion", str(settings)]
        with (folder / "log").open("wb") as log:
            process = subprocess.run(command, stdout=log, stderr=log, timeout=TIMEOUT_S + 60, check=False)
        if process.returncode:
            raise RuntimeError(
                f"Kafka Streams ended with {process.returncode}: {(folder / 'log').read_text()[-2_000:]}"
            )
        return timing.Run(**orjson.loads((folder / "result.json").read_bytes()), memory_mb=0.0)


def _figures(
    two: Sequence[timing.Run],
    one: Sequence[timing.Run],
    kafka_streams: Sequence[timing.Run] | None,
    note: str,
) -> list[Figure]:
    units = ("records/s", timing.rate), ("µs/record", timing.cpu_us)
    return [
        *(
            Figure(name, value_of(two), value_of(kafka_streams) if kafka_streams else None, unit, goal, note)
            for name, goal, (unit, value_of) in zip(NAMES, GOALS, units, strict=True)
        ),
        Figure(TWO_AGAINST_ONE, timing.rate(two), timing.rate(one), "records/s", at_least(1.7)),
    ]


def _settings(cluster: BenchCluster, folder: Path, count: int) -> Mapping[str, Any]:
    """Return recommended settings of Kafka Streams, with batches and compression as in the mesh."""
    kafka = cluster.environment.kafka(ADMIN)
    login = f'username="{kafka["sasl.username"]}" password="{kafka["sasl.password"]}"'
    ids: dict[str, dict[str, int]] = orjson.loads(cluster.installation.schema_ids.read_bytes())
    key = load_keys(cluster.installation.key_file).keys[_DOMAIN.id][0]
    schemas = {"change": "domain-change", "domain": _DOMAIN.event, "disclosure": "disclosure"}
    for role, name in schemas.items():
        (folder / f"{role}.avsc").write_text(catalogue().schema(name).text, encoding="utf-8")
    parts = folder / "parts.tsv"
    parts.write_text(_readings(), encoding="utf-8")
    return {
        "application.id": "bench-kafka-streams",
        "group.instance.id": "bench",
        "bootstrap.servers": kafka["bootstrap.servers"],
        "security.protocol": kafka["security.protocol"],
        "sasl.mechanism": kafka["sasl.mechanism"],
        "sasl.jaas.config": f"org.apache.kafka.common.security.scram.ScramLoginModule required {login};",
        "processing.guarantee": "exactly_once_v2",
        "num.stream.threads": WORKERS,
        "commit.interval.ms": 200,
        "state.dir": folder / "state",
        "consumer.auto.offset.reset": "earliest",
        "consumer.max.poll.records": 10_000,
        "consumer.session.timeout.ms": 10_000,
        "producer.linger.ms": 50,
        "producer.batch.size": 1_000_000,
        "producer.buffer.memory": 268_435_456,
        "producer.compression.type": "lz4",
        "bench.input": change_topic(_DOMAIN.id),
        "bench.output.domain": PREFIX + domain_topic(_DOMAIN.id),
        "bench.output.disclosure": PREFIX + disclosure_topic(_DOMAIN.id),
        "bench.records": count,
        "bench.warm": count // 2,
        "bench.timeout.s": int(TIMEOUT_S),
        "bench.result": folder / "result.json",
        "bench.domain": _DOMAIN.id,
        "bench.basis": _DOMAIN.basis("PERSON", Reason.FIRST_REGISTERED),
        "bench.key": base64.b64encode(key).decode(),
        "bench.parts": parts,
        **{f"bench.schema.{role}": folder / f"{role}.avsc" for role in schemas},
        **{
            f"bench.id.{role}": max(ids[name].items(), key=lambda version: int(version[0]))[1]
            for role, name in schemas.items()
        },
    }


def _readings() -> str:
    """Return the romanization of each part of a name, a line each, which Kafka Streams looks up."""
    kana = people.all_readings()
    parts = set(chain.from_iterable(reading.split("\u3000") for reading in kana))
    return "".join(f"{part}\t{roman_part(part)}\n" for part in sorted(parts))


def _properties(settings: Mapping[str, Any]) -> str:
    """Return the settings in the format of java.util.Properties."""
    lines = [f"{name}={value}".replace("\\", "\\\\") for name, value in settings.items()]
    return "".join("".join(c if c.isascii() else f"\\u{ord(c):04x}" for c in line) + "\n" for line in lines)


def _build(folder: Path, progress: Progress) -> str:
    """Compile the program and return its class path, with the jars of Kafka Streams fetched by hash."""
    compiler = shutil.which("javac")
    if compiler is None:
        raise UnavailableError("no JDK with a compiler (javac) here")
    jars = _jars(folder / "jars", progress)
    classes = folder / "classes"
    path = ":".join(map(str, [classes, *jars]))
    command = [compiler, "--release", "17", "-d", str(classes), "-cp", path]
    sources = sorted(map(str, (_HERE / "java").glob("*.java")))
    process = subprocess.run([*command, *sources], capture_output=True, text=True, timeout=120, check=False)
    if process.returncode:
        raise UnavailableError(f"javac ended with {process.returncode}: {process.stderr[-300:]}")
    return path


def _jars(folder: Path, progress: Progress) -> list[Path]:
    pinned = [Artifact(**fields) for fields in orjson.loads(PINNED.read_bytes())]
    files = [(jar, folder / f"{jar.sha256[:16]}-{jar.filename}") for jar in pinned]
    missing = [(jar, file) for jar, file in files if not file.is_file()]
    if missing:
        progress("fetching Kafka Streams …")
        folder.mkdir(parents=True, exist_ok=True)
        repository = LocalSettings().maven_repository
        remote = {"own": str(repository).rstrip("/")} if repository else None
        context = MavenContext(repo_cache=folder / "draft", remote_repos=remote, timeout=60)
        for jar, file in missing:
            _fetch(context, jar, file)
        shutil.rmtree(folder / "draft")
    return [file for _, file in files]


def _fetch(context: MavenContext, jar: Artifact, file: Path) -> None:
    component = context.project(jar.group, jar.name).at_version(jar.version)
    try:
        verify(jar, Path(component.artifact(jar.classifier, jar.packaging).resolve())).replace(file)
    except (ArtifactError, RuntimeError, OSError) as error:
        raise UnavailableError(f"{jar.coordinate} could not be fetched ({type(error).__name__})") from None
