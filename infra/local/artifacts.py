"""The files the local stack is made of: pinned by SHA-256, fetched once into the user's cache.

`artifacts.json` lists them; `infra.local.pin` makes that list. Where a file comes from is the Maven client's
business: its own default, or the repository named in MESH_MAVEN_REPOSITORY.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from filelock import FileLock
from pydantic import BaseModel, Field, TypeAdapter

from infra.local.errors import ArtifactError
from infra.local.home import LOCK_TIMEOUT_S, LocalSettings, cache_folder

if TYPE_CHECKING:
    from infra.local.progress import ProgressReporter

ATTEMPTS_MAX = 3
DOWNLOADS_AT_ONCE = 6
REQUEST_TIMEOUT_S = 60
LIST = "artifacts.json"
#: How Maven artifacts name the machines that `platform` names otherwise.
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64v8", "arm64": "arm64v8"}


class Artifact(BaseModel, frozen=True, extra="forbid"):
    """One file of a Maven repository, and what it must hash to."""

    group: str
    name: str
    version: str
    classifier: str = ""
    packaging: str = "jar"
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(gt=0)

    @property
    def coordinate(self) -> str:
        """How Maven writes it."""
        parts = (self.group, self.name, self.packaging, self.classifier, self.version)
        return ":".join(part for part in parts if part)

    @property
    def filename(self) -> str:
        """The name of the file, as in the repository."""
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.name}-{self.version}{classifier}.{self.packaging}"

    def path(self, cache: Path) -> Path:
        """Where it lies in `cache`: the hash is part of the path, so a new pin never meets an old file."""
        return cache / "artifacts" / self.sha256[:16] / self.filename


def pinned() -> dict[str, list[Artifact]]:
    """All pinned artifacts, by what they are for: kafka, registry, postgres-<os>-<architecture>."""
    text = files("infra.local").joinpath(LIST).read_bytes()
    return TypeAdapter(dict[str, list[Artifact]]).validate_python(orjson.loads(text))


def postgres_group() -> str:
    """The group of artifacts with PostgreSQL for this machine. ArtifactError: there is none."""
    machine = ARCHITECTURES.get(platform.machine().lower())
    group = f"postgres-{platform.system().lower()}-{machine}"
    if group not in pinned():
        raise ArtifactError(
            f"no PostgreSQL for {platform.system()} on {platform.machine()}; use servers of your own"
        )
    return group


def fetch(
    groups: Sequence[str], progress: ProgressReporter, cache: Path | None = None
) -> dict[str, list[Path]]:
    """The files of each of `groups`, in the order of the list; those not in the cache are fetched.

    Several processes may call this at once: the second waits for the first. Raises ArtifactError.
    """
    cache = cache or cache_folder()
    wanted = {group: pinned()[group] for group in groups}
    if _missing(wanted, cache):
        with cache_lock(cache):
            _download(_missing(wanted, cache), cache, progress)
    return {group: [artifact.path(cache) for artifact in artifacts] for group, artifacts in wanted.items()}


@contextmanager
def cache_lock(cache: Path) -> Iterator[None]:
    """Held by whoever writes to `cache`. ArtifactError: it can't be written."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = FileLock(cache / ".lock", timeout=LOCK_TIMEOUT_S)
        with lock:
            yield
    except OSError as error:
        raise ArtifactError(f"the cache {cache} can't be used: {error}; set XDG_CACHE_HOME") from error


def extract(archive: tarfile.TarFile, folder: Path) -> None:
    """Unpack `archive` into `folder`, as whoever we are; it was pinned, so its names are as expected."""
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
    else:
        # Python before 3.11.4 knows no filters.
        archive.extractall(folder)  # noqa: S202


def _missing(wanted: dict[str, list[Artifact]], cache: Path) -> list[Artifact]:
    return [artifact for group in wanted.values() for artifact in group if not artifact.path(cache).is_file()]


def _download(artifacts: list[Artifact], cache: Path, progress: ProgressReporter) -> None:
    # Drafts of a download that was killed; whoever holds the lock knows that nobody is using them.
    for leftover in cache.glob("draft-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    total = sum(artifact.size_bytes for artifact in artifacts)
    with (
        tempfile.TemporaryDirectory(prefix="draft-", dir=cache) as draft,
        progress.bytes("fetching servers", total) as advance,
        ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool,
    ):
        for size in pool.map(lambda artifact: _download_one(artifact, Path(draft), cache), artifacts):
            advance(size)


def _download_one(artifact: Artifact, draft: Path, cache: Path) -> int:
    found = accept(artifact, _resolve(artifact, draft))
    target = artifact.path(cache)
    target.parent.mkdir(parents=True, exist_ok=True)
    found.replace(target)
    return artifact.size_bytes


def accept(artifact: Artifact, file: Path) -> Path:
    """`file` if it is what was pinned. ArtifactError, and the file is gone, if it isn't."""
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != artifact.sha256:
        file.unlink()
        raise ArtifactError(
            f"{artifact.coordinate} is not what was pinned: SHA-256 {found}, not {artifact.sha256}"
        )
    return file


def _resolve(artifact: Artifact, draft: Path) -> Path:
    # The Maven client takes a third of a second to import: only who fetches pays for it.
    from jgo.maven import MavenContext  # noqa: PLC0415

    own = LocalSettings().maven_repository
    remote = {"own": str(own).rstrip("/")} if own else None
    context = MavenContext(repo_cache=draft, remote_repos=remote, timeout=REQUEST_TIMEOUT_S)
    component = context.project(artifact.group, artifact.name).at_version(artifact.version)
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            return Path(component.artifact(artifact.classifier, artifact.packaging).resolve())
        except (RuntimeError, OSError) as error:  # what `requests` raises is an OSError
            shutil.rmtree(draft / component.path_prefix, ignore_errors=True)
            if attempt == ATTEMPTS_MAX:
                reason = type(error).__name__
                raise ArtifactError(
                    f"{artifact.coordinate} can't be fetched ({reason}); is there a network?"
                ) from error
    raise AssertionError
