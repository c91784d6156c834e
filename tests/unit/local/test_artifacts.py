"""Fetching: only what was pinned enters the cache, whoever hands it over."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.local import artifacts
from infra.local.artifacts import Artifact, fetch, pinned
from infra.local.errors import ArtifactError
from infra.local.progress import Silent

CONTENT = b"a jar of the broker"


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and says nothing about it."""

    def log_message(self, *arguments: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Maven repository of our own on this machine, with one file in it."""
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
    """The one artifact that is pinned."""
    found = Artifact(
        group="org.example",
        name="broker",
        version="1.0",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size_bytes=len(CONTENT),
    )
    monkeypatch.setattr(artifacts, "pinned", lambda: {"kafka": [found]})
    return found


def cached(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file() and path.name != ".lock"]


def test_what_is_pinned_is_fetched_once(repository: Path, pin: Artifact, tmp_path: Path) -> None:
    """The file lies in the cache, whole; the second time nobody is asked."""
    cache = tmp_path / "cache"
    (jar,) = fetch(["kafka"], Silent(), cache)["kafka"]
    assert jar.read_bytes() == CONTENT
    (repository / "broker-1.0.jar").unlink()
    assert fetch(["kafka"], Silent(), cache)["kafka"] == [jar]
    assert cached(cache) == [jar]


def test_another_file_under_the_name_is_refused(repository: Path, pin: Artifact, tmp_path: Path) -> None:
    """One byte differs: an error that names the artifact, and nothing of it stays."""
    (repository / "broker-1.0.jar").write_bytes(CONTENT + b"!")
    with pytest.raises(ArtifactError, match=r"org\.example:broker:jar:1\.0 is not what was pinned"):
        fetch(["kafka"], Silent(), tmp_path / "cache")
    assert cached(tmp_path / "cache") == []


def test_a_file_that_is_not_there_is_an_error_after_some_tries(
    repository: Path, pin: Artifact, tmp_path: Path
) -> None:
    """Every retry has an end, and the message names what is missing."""
    (repository / "broker-1.0.jar").unlink()
    with pytest.raises(ArtifactError, match=r"org\.example:broker:jar:1\.0 can't be fetched"):
        fetch(["kafka"], Silent(), tmp_path / "cache")
    assert cached(tmp_path / "cache") == []


def test_what_a_killed_download_left_is_cleared_away(repository: Path, pin: Artifact, tmp_path: Path) -> None:
    """Drafts don't pile up in the cache."""
    cache = tmp_path / "cache"
    (cache / "draft-killed").mkdir(parents=True)
    (cache / "draft-killed" / "half.jar").touch()
    (jar,) = fetch(["kafka"], Silent(), cache)["kafka"]
    assert cached(cache) == [jar]


def test_a_cache_that_cannot_be_written_is_said(pin: Artifact, tmp_path: Path) -> None:
    """A file where the cache should be: the message names it, and the setting that helps."""
    (tmp_path / "cache").touch()
    with pytest.raises(ArtifactError, match="XDG_CACHE_HOME"):
        fetch(["kafka"], Silent(), tmp_path / "cache")


def test_everything_is_pinned_for_every_machine() -> None:
    """Broker, registry, and PostgreSQL for Linux and macOS on both kinds of processors."""
    groups = pinned()
    machines = {
        f"postgres-{system}-{chip}" for system in ("linux", "darwin") for chip in ("amd64", "arm64v8")
    }
    assert groups.keys() == {"kafka", "registry"} | machines
    assert all(groups.values())
    assert not any("://" in artifact.model_dump_json() for group in groups.values() for artifact in group)
