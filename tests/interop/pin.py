"""Writes `jars.json`: Kafka Connect with its file sink, and Kafka's own console consumer, with what they need.

python -m tests.interop.pin
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import orjson
from jgo.maven import MavenContext

from infra.local.pin import KAFKA, SLF4J_BINDING, pin
from tests.interop.jars import PINNED

ROOTS = ("connect-runtime", "connect-file", "kafka-tools")


def main() -> None:
    """Resolve the jars, download them and write the list."""
    with tempfile.TemporaryDirectory() as draft:
        context = MavenContext(repo_cache=Path(draft), timeout=60)
        roots = [context.create_dependency(f"org.apache.kafka:{name}:{KAFKA}") for name in ROOTS]
        direct, transitive = context.resolver.resolve(roots)
        names = {(jar.groupId, jar.artifactId, jar.version) for jar in [*direct, *transitive]}
        jars = [pin(context, name) for name in sorted(names | {SLF4J_BINDING})]
    plain = [jar.model_dump(exclude_defaults=True) for jar in jars]
    PINNED.write_bytes(orjson.dumps(plain, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    main()
