"""Writes `artifacts.json`: resolves the servers' files and pins their hashes. `make pin` runs it."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import orjson
from jgo.maven import MavenContext

from infra.local.artifacts import PINS, Artifact

#: Maven group, artifact and version.
Name = tuple[str, str, str]

KAFKA = "4.3.1"
#: Kafka logs through SLF4J 1.7 and its jars have no binding; without this one a broker would log nothing.
SLF4J_BINDING = ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.4")
APICURIO = ("io.apicurio", "apicurio-registry-app", "3.3.3")
POSTGRES = "18.6.0"
POSTGRES_MACHINES = ("linux-amd64", "linux-arm64v8", "darwin-amd64", "darwin-arm64v8")


def pin(context: MavenContext, name: Name, classifier: str = "", packaging: str = "jar") -> Artifact:
    """Download one file and return it as a pinned artifact."""
    group, artifact, version = name
    component = context.project(group, artifact).at_version(version)
    content = Path(component.artifact(classifier, packaging).resolve()).read_bytes()
    return Artifact(
        group=group,
        name=artifact,
        version=version,
        classifier=classifier,
        packaging=packaging,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
    )


def kafka(context: MavenContext) -> list[Artifact]:
    """Return the broker's jar and its run-time dependencies."""
    broker = context.create_dependency(f"org.apache.kafka:kafka_2.13:{KAFKA}")
    direct, transitive = context.resolver.resolve([broker])
    names = {(jar.groupId, jar.artifactId, jar.version) for jar in [*direct, *transitive]}
    return [pin(context, name) for name in sorted(names | {SLF4J_BINDING})]


def postgres(context: MavenContext, machine: str) -> list[Artifact]:
    """Return PostgreSQL's binaries for one operating system and architecture."""
    return [pin(context, ("io.zonky.test.postgres", f"embedded-postgres-binaries-{machine}", POSTGRES))]


def main() -> None:
    """Download all files and write the list."""
    with tempfile.TemporaryDirectory() as draft:
        context = MavenContext(repo_cache=Path(draft), timeout=60)
        groups = {
            "kafka": kafka(context),
            "registry": [pin(context, APICURIO, "all", "tar.gz")],
        }
        groups |= {f"postgres-{machine}": postgres(context, machine) for machine in POSTGRES_MACHINES}
    plain = {
        name: [artifact.model_dump(exclude_defaults=True) for artifact in group]
        for name, group in groups.items()
    }
    Path(__file__).with_name(PINS).write_bytes(orjson.dumps(plain, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    main()
