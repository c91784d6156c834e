"""The servers' files: pinned by SHA-256, and downloaded once into the user's cache.

`artifacts.json` lists them; `infra.local.pin` writes that list. The Maven client downloads from its default repository,
or from the one in MESH_MAVEN_REPOSITORY.
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

from infra.errors import ArtifactError
from infra.local.home import LOCK_TIMEOUT_S, LocalSettings, cache_folder

if TYPE_CHECKING:
    from infra.local.progress import ProgressReporter

ATTEMPTS_MAX = 3
DOWNLOADS_AT_ONCE = 6
REQUEST_TIMEOUT_S = 60
PINS = "artifacts.json"
#: Architecture names in Maven artifacts, by the names of `platform.machine()`.
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64v8", "arm64": "arm64v8"}


class Artifact(BaseModel, frozen=True, extra="forbid"):
    """One file of a Maven repository with its expected hash and size."""

    group: str
    name: str
    version: str
    classifier: str = ""
    packaging: str = "jar"
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(gt=0)

    @property
    def coordinate(self) -> str:
        """The coordinate in Maven's format."""
        parts = (self.group, self.name, self.packaging, self.classifier, self.version)
        return ":".join(part for part in parts if part)

    @property
    def filename(self) -> str:
        """The file name in the repository."""
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.name}-{self.version}{classifier}.{self.packaging}"

    def path(self, cache: Path) -> Path:
        """Return its path in `cache`. The path contains the hash, so a new pin never finds an old file."""
        return cache / "artifacts" / self.sha256[:16] / self.filename


def pinned() -> dict[str, list[Artifact]]:
    """Return all pinned artifacts by group: kafka, registry, postgres-<os>-<architecture>."""
    text = files("infra.local").joinpath(PINS).read_bytes()
    return TypeAdapter(dict[str, list[Artifact]]).validate_python(orjson.loads(text))


def postgres_group() -> str:
    """Return the group of artifacts with PostgreSQL for this machine. Raise ArtifactError where there is none."""
    machine = ARCHITECTURES.get(platform.machine().lower())
    group = f"postgres-{platform.system().lower()}-{machine}"
    if group not in pinned():
        raise ArtifactError(
            f"there is no PostgreSQL for {platform.system()} on {platform.machine()}; "
            "use servers of your own (MESH_SECRETS)"
        )
    return group


def fetch(
    groups: Sequence[str], progress: ProgressReporter, cache: Path | None = None
) -> dict[str, list[Path]]:
    """Return the files of each group, in the order of the list; download those that the cache lacks.

    Several processes may call this at once; they wait for one another. Raise ArtifactError where a file can't be
    downloaded or differs from the pinned one.
    """
    cache = cache or cache_folder()
    requested = {group: pinned()[group] for group in groups}
    if _missing(requested, cache):
        with cache_lock(cache):
            _download(_missing(requested, cache), cache, progress)
    return {group: [artifact.path(cache) for artifact in artifacts] for group, artifacts in requested.items()}


@contextmanager
def cache_lock(cache: Path) -> Iterator[None]:
    """Lock `cache` for writing. Raise ArtifactError where it can't be written."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = FileLock(cache / ".lock", timeout=LOCK_TIMEOUT_S)
        with lock:
            yield
    except OSError as error:
        raise ArtifactError(
            f"the cache {cache} can't be used ({error}); set XDG_CACHE_HOME to another folder"
        ) from error


def extract(archive: tarfile.TarFile, folder: Path) -> None:
    """Unpack `archive` into `folder` as the current user. The archive is pinned, so its file names are known."""
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
    else:
        # Python before 3.11.4 has no filters.
        archive.extractall(folder)  # noqa: S202


def _missing(groups: dict[str, list[Artifact]], cache: Path) -> list[Artifact]:
    return [artifact for group in groups.values() for artifact in group if not artifact.path(cache).is_file()]


def _download(artifacts: list[Artifact], cache: Path, progress: ProgressReporter) -> None:
    # Drafts of a killed download. This process holds the lock, so no other one uses them.
    for leftover in cache.glob("draft-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    total = sum(artifact.size_bytes for artifact in artifacts)
    with (
        tempfile.TemporaryDirectory(prefix="draft-", dir=cache) as draft,
        progress.bytes("downloading servers", total) as advance,
        ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool,
    ):
        for size in pool.map(lambda artifact: _download_one(artifact, Path(draft), cache), artifacts):
            advance(size)


def _download_one(artifact: Artifact, draft: Path, cache: Path) -> int:
    file = verify(artifact, _resolve(artifact, draft))
    target = artifact.path(cache)
    target.parent.mkdir(parents=True, exist_ok=True)
    file.replace(target)
    return artifact.size_bytes


def verify(artifact: Artifact, file: Path) -> Path:
    """Return `file` if it has the pinned hash; otherwise delete it and raise ArtifactError."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != artifact.sha256:
        file.unlink()
        raise ArtifactError(
            f"{artifact.coordinate} differs from the pinned file: SHA-256 {digest}, not {artifact.sha256}"
        )
    return file


def _resolve(artifact: Artifact, draft: Path) -> Path:
    # Importing the Maven client takes a third of a second, so only a download does it.
    from jgo.maven import MavenContext  # noqa: PLC0415

    repository = LocalSettings().maven_repository
    repositories = {"own": str(repository).rstrip("/")} if repository else None
    context = MavenContext(repo_cache=draft, remote_repos=repositories, timeout=REQUEST_TIMEOUT_S)
    component = context.project(artifact.group, artifact.name).at_version(artifact.version)
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            return Path(component.artifact(artifact.classifier, artifact.packaging).resolve())
        except (RuntimeError, OSError) as error:  # errors of `requests` are OSErrors
            shutil.rmtree(draft / component.path_prefix, ignore_errors=True)
            if attempt == ATTEMPTS_MAX:
                reason = type(error).__name__
                raise ArtifactError(
                    f"{artifact.coordinate} can't be downloaded ({reason}): check the network, or MESH_MAVEN_REPOSITORY"
                ) from error
    raise AssertionError
