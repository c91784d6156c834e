"""(d) Conversion by two workers against Kafka Streams with two threads, doing the same work: the same bytes out."""

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

from infra.keys import load_keys
from infra.local.artifacts import Artifact, accept
from infra.local.errors import ArtifactError
from infra.local.home import LocalSettings
from infra.local.java import java
from infra.local.kafka_server import ADMIN
from processors.readings import roman_part
from schemas.catalogue import catalogue
from schemas.reasons import Reason
from schemas.systems import DOMAINS
from schemas.topics import change_topic, disclosure_topic, domain_topic
from tests.bench import conversion, people, timing
from tests.bench.cluster import BenchCluster, running
from tests.bench.figures import Figure, at_least, at_most
from tests.bench.shared import Work
from tests.bench.sizes import Say, Sizes

WORKERS: Final = 2
PREFIX: Final = "bench.java."
TIMEOUT_S: Final = 300.0
GOALS: Final = (at_least(1.2), at_most(0.7))
NAMES: Final = (
    "conversion by two workers: against Kafka Streams, two threads, warm",
    "conversion by two workers: CPU, against Kafka Streams",
)
ALONE: Final = "conversion: two workers against one"
_HERE: Final = Path(__file__).parent
#: The jars, as Maven names them, with their hashes.
PINNED: Final = _HERE / "kafka_streams.json"
_DOMAIN: Final = DOMAINS[conversion.DOMAIN]


class MissingError(Exception):
    """It can't be had here; says why."""


def measure(folder: Path, sizes: Sizes, say: Say) -> list[Figure]:
    """Rate and CPU of both; a row that says so where there is no JDK, or no way to the jars."""
    with running(folder) as place:
        comparison = _Comparison(place, sizes, say)
        try:
            classes = _built(folder / "kafka-streams", say)
        except MissingError as error:
            ours, alone = (
                [comparison.ours(workers) for _ in range(sizes.rounds)] for workers in (WORKERS, 1)
            )
            return _figures(ours, alone, None, str(error))
        return comparison.run(classes)


class _Comparison:
    def __init__(self, place: BenchCluster, sizes: Sizes, say: Say) -> None:
        self._place, self._sizes, self._say = place, sizes, say
        self._records = conversion.changes(place, sizes.records)
        #: What Kafka Streams takes to be warm is not measured, nor the same of ours.
        self._count = sizes.records * sizes.warm_times
        self._work = Work(place, "step.conversion", "conversion", change_topic(_DOMAIN.id), self._count)
        self._topics = domain_topic(_DOMAIN.id), disclosure_topic(_DOMAIN.id)

    def run(self, classes: str) -> list[Figure]:
        """Both in turn, after what comes out was seen to be the same."""
        for topic in self._topics:
            self._place.log.create([PREFIX + topic], self._place.log.partitions(topic))
        self._say(f"kafka_streams: {self._count:,} records a round, half of them measured")
        self._feed()
        self._work.by(WORKERS)
        self._theirs(classes)
        self._hold_same()
        # What one of ours has left is there for the other, and enough for both.
        sides = {
            "two workers": lambda: self._work.by(WORKERS),
            "one worker": lambda: self.ours(1),
            "Kafka Streams": lambda: self._theirs(classes),
        }
        runs = timing.alternate(sides, self._sizes.rounds, self._feed, self._say)
        ours, alone, theirs = runs.values()
        return _figures(ours, alone, theirs, "")

    def ours(self, workers: int) -> timing.Run:
        """Ours alone, on records of its own."""
        self._feed()
        return self._work.by(workers)

    def _feed(self) -> None:
        for _ in range(self._sizes.warm_times):
            self._place.log.feed(self._records)

    def _hold_same(self) -> None:
        made = {(each.topic, *each[1:4]) for each in self._place.log.read(*self._topics)}
        others = {
            (each.topic.removeprefix(PREFIX), *each[1:4])
            for each in self._place.log.read(*(PREFIX + topic for topic in self._topics))
        }
        if not others <= made:
            raise RuntimeError(f"Kafka Streams gives {len(others - made)} others of {len(others)}")
        self._say(f"  {len(others):,} records of Kafka Streams are the same bytes as ours")

    def _theirs(self, classes: str) -> timing.Run:
        folder = self._place.folder / "home" / "kafka-streams"
        folder.mkdir(exist_ok=True)
        settings = folder / "bench.properties"
        settings.write_text(_properties(_settings(self._place, folder, self._count)), encoding="ascii")
        command = [java(), "-Xmx1g", "-cp", classes, "Conversion", str(settings)]
        with (folder / "log").open("wb") as log:
            ended = subprocess.run(command, stdout=log, stderr=log, timeout=TIMEOUT_S + 60, check=False)
        if ended.returncode:
            raise RuntimeError(
                f"Kafka Streams ended with {ended.returncode}: {(folder / 'log').read_text()[-2_000:]}"
            )
        return timing.Run(**orjson.loads((folder / "result.json").read_bytes()), memory_mb=0.0)


def _figures(
    ours: Sequence[timing.Run], alone: Sequence[timing.Run], theirs: Sequence[timing.Run] | None, missing: str
) -> list[Figure]:
    units = ("records/s", timing.rate), ("µs/record", timing.cpu_us)
    return [
        *(
            Figure(name, of(ours), of(theirs) if theirs else None, unit, goal, missing)
            for name, goal, (unit, of) in zip(NAMES, GOALS, units, strict=True)
        ),
        Figure(ALONE, timing.rate(ours), timing.rate(alone), "records/s", at_least(1.7)),
    ]


def _settings(place: BenchCluster, folder: Path, count: int) -> Mapping[str, Any]:
    """Those of Kafka Streams as a good user of it would have them: batches and compression as ours are."""
    kafka = place.environment.kafka(ADMIN)
    login = f'username="{kafka["sasl.username"]}" password="{kafka["sasl.password"]}"'
    ids: dict[str, dict[str, int]] = orjson.loads(place.installation.schema_ids.read_bytes())
    key = load_keys(place.installation.key_file).keys[_DOMAIN.id][0]
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
            f"bench.id.{role}": max(ids[name].items(), key=lambda each: int(each[0]))[1]
            for role, name in schemas.items()
        },
    }


def _readings() -> str:
    """Every part of a name in letters, made beforehand: Kafka Streams looks them up."""
    kana = people.readings()
    parts = set(chain.from_iterable(each.split("\u3000") for each in kana))
    return "".join(f"{part}\t{roman_part(part)}\n" for part in sorted(parts))


def _properties(settings: Mapping[str, Any]) -> str:
    """As java.util.Properties reads them."""
    lines = [f"{name}={value}".replace("\\", "\\\\") for name, value in settings.items()]
    return "".join("".join(c if c.isascii() else f"\\u{ord(c):04x}" for c in line) + "\n" for line in lines)


def _built(folder: Path, say: Say) -> str:
    """The class path of the program and of Kafka Streams, fetched by hash and compiled where it isn't yet."""
    compiler = shutil.which("javac")
    if compiler is None:
        raise MissingError("no JDK with a compiler (javac) here")
    jars = _jars(folder / "jars", say)
    classes = folder / "classes"
    path = ":".join(map(str, [classes, *jars]))
    command = [compiler, "--release", "17", "-d", str(classes), "-cp", path]
    sources = sorted(map(str, (_HERE / "java").glob("*.java")))
    ended = subprocess.run([*command, *sources], capture_output=True, text=True, timeout=120, check=False)
    if ended.returncode:
        raise MissingError(f"javac ended with {ended.returncode}: {ended.stderr[-300:]}")
    return path


def _jars(folder: Path, say: Say) -> list[Path]:
    pinned = [Artifact(**each) for each in orjson.loads(PINNED.read_bytes())]
    wanted = [(each, folder / f"{each.sha256[:16]}-{each.filename}") for each in pinned]
    missing = [(each, file) for each, file in wanted if not file.is_file()]
    if missing:
        say("fetching Kafka Streams …")
        folder.mkdir(parents=True, exist_ok=True)
        own = LocalSettings().maven_repository
        remote = {"own": str(own).rstrip("/")} if own else None
        context = MavenContext(repo_cache=folder / "draft", remote_repos=remote, timeout=60)
        for each, file in missing:
            _fetch(context, each, file)
        shutil.rmtree(folder / "draft")
    return [file for _, file in wanted]


def _fetch(context: MavenContext, wanted: Artifact, file: Path) -> None:
    component = context.project(wanted.group, wanted.name).at_version(wanted.version)
    try:
        accept(wanted, Path(component.artifact(wanted.classifier, wanted.packaging).resolve())).replace(file)
    except (ArtifactError, RuntimeError, OSError) as error:
        raise MissingError(f"{wanted.coordinate} could not be fetched ({type(error).__name__})") from None
