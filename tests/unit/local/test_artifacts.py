"""Only pinned files enter the cache, from whichever repository they are downloaded."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.errors import ArtifactError
from infra.local import artifacts
from infra.local.artifacts import Artifact, fetch, pinned
from infra.local.progress import Silent

CONTENT = b"a jar of the broker"


class Quiet(SimpleHTTPRequestHandler):
    """An HTTP handler that serves files and logs nothing."""

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield the folder of one artifact in a Maven repository on this machine, which the settings name."""
    root = tmp_path / "repository"
    folder = root / "org" / "example" / "broker" / "1.0"
    folder.mkdir(parents=True)
    (folder / "broker-1.0.jar").write_bytes(CONTENT)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("MESH_MAVEN_REPOSITORY", f"http://127.0.0.1:{server.server_port}")
        yield folder
        server.shutdown()
        thread.join()


@pytest.fixture
def pin(monkeypatch: pytest.MonkeyPatch) -> Artifact:
    """Return the only pinned artifact."""
    artifact = Artifact(
        group="org.example",
        name="broker",
        version="1.0",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size_bytes=len(CONTENT),
    )
    monkeypatch.setattr(artifacts, "pinned", lambda: {"kafka": [artifact]})
    return artifact


def cached(cache: Path) -> list[Path]:
    """Return the files in the cache, without its lock."""
    return [path for path in cache.rglob("*") if path.is_file() and path.name != ".lock"]


def test_a_pinned_file_is_downloaded_once(repository: Path, pin: Artifact, tmp_path: Path) -> None:
    """The complete file is in the cache, and the second call doesn't need the repository."""
    cache = tmp_path / "cache"
    (jar,) = fetch(["kafka"], Silent(), cache)["kafka"]
    assert jar.read_bytes() == CONTENT
    (repository / "broker-1.0.jar").unlink()
    assert fetch(["kafka"], Silent(), cache)["kafka"] == [jar]
    assert cached(cache) == [jar]


def test_a_file_with_another_hash_is_rejected(repository: Path, pin: Artifact, tmp_path: Path) -> None:
    """The error names the artifact, and nothing of the file stays in the cache."""
    (repository / "broker-1.0.jar").write_bytes(CONTENT + b"!")
    with pytest.raises(ArtifactError, match=r"org\.example:broker:jar:1\.0 differs from the pinned file"):
        fetch(["kafka"], Silent(), tmp_path / "cache")
    assert cached(tmp_path / "cache") == []


def test_a_missing_file_is_an_error_after_some_attempts(
    repository: Path, pin: Artifact, tmp_path: Path
) -> None:
    """The number of attempts is limited, and the error names the artifact."""
    (repository / "broker-1.0.jar").unlink()
    with pytest.raises(ArtifactError, match=r"org\.example:broker:jar:1\.0 can't be downloaded"):
        fetch(["kafka"], Silent(), tmp_path / "cache")
    assert cached(tmp_path / "cache") == []


def test_drafts_of_a_killed_download_are_deleted(repository: Path, pin: Artifact, tmp_path: Path) -> None:
    """The next download deletes them."""
    cache = tmp_path / "cache"
    (cache / "draft-killed").mkdir(parents=True)
    (cache / "draft-killed" / "half.jar").touch()
    (jar,) = fetch(["kafka"], Silent(), cache)["kafka"]
    assert cached(cache) == [jar]


def test_a_cache_that_cannot_be_written_is_an_error(pin: Artifact, tmp_path: Path) -> None:
    """The error names the setting that helps."""
    (tmp_path / "cache").touch()
    with pytest.raises(ArtifactError, match="XDG_CACHE_HOME"):
        fetch(["kafka"], Silent(), tmp_path / "cache")


def test_all_servers_are_pinned_for_every_machine() -> None:
    """Broker, registry, and PostgreSQL for Linux and macOS on two architectures, without addresses."""
    groups = pinned()
    machines = {
        f"postgres-{system}-{chip}" for system in ("linux", "darwin") for chip in ("amd64", "arm64v8")
    }
    assert groups.keys() == {"kafka", "registry"} | machines
    assert all(groups.values())
    assert not any("://" in artifact.model_dump_json() for group in groups.values() for artifact in group)
