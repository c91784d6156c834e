"""The jars of the Java clients, from Maven Central: pinned by hash, and downloaded once into the user's cache."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import orjson
from jgo.maven import MavenContext

from infra.local.artifacts import Artifact, cache_lock, verify
from infra.local.home import LocalSettings, cache_folder

#: The jars, by Maven coordinates, with their hashes; `tests.interop.pin` writes it.
PINNED: Final = Path(__file__).with_name("jars.json")


def class_path() -> str:
    """Return the class path of all jars; download those that the cache lacks. Raise ArtifactError."""
    cache = cache_folder()
    jars = [Artifact(**fields) for fields in orjson.loads(PINNED.read_bytes())]
    with cache_lock(cache):
        missing = [jar for jar in jars if not jar.path(cache).is_file()]
        if missing:
            _download(missing, cache)
    return ":".join(str(jar.path(cache)) for jar in jars)


def _download(jars: list[Artifact], cache: Path) -> None:
    repository = LocalSettings().maven_repository
    remote = {"own": str(repository).rstrip("/")} if repository else None
    with tempfile.TemporaryDirectory(prefix="draft-", dir=cache) as draft:
        context = MavenContext(repo_cache=Path(draft), remote_repos=remote, timeout=60)
        for jar in jars:
            component = context.project(jar.group, jar.name).at_version(jar.version)
            file = verify(jar, Path(component.artifact(jar.classifier, jar.packaging).resolve()))
            jar.path(cache).parent.mkdir(parents=True, exist_ok=True)
            file.replace(jar.path(cache))
