"""Ingesting files: all files are validated before anything is published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from connectors.publish import IngestSummary, KafkaPublisher, publish_opened
from connectors.source import Route, Source
from infra.apply.installation import Installation
from infra.apply.reconcile import apply
from infra.coding import codec
from infra.environment import Environment
from infra.submission_key import submission_sealer
from schemas.systems import SYSTEMS

#: Called with a file's name, its bytes done and its size in bytes.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class IngestResult:
    """What was published, by file name, and the codes of the municipalities that were admitted for it."""

    files: Mapping[str, IngestSummary]
    admitted: Sequence[str] = ()


def ingest_files(
    environment: Environment,
    installation: Installation,
    sources: Mapping[str, Source],
    progress: Progress = lambda file, done, total: None,
) -> IngestResult:
    """Publish the files of `sources`, by file name, and return what was published.

    Open all sources first, then admit the municipalities that do not take part yet. Raise SourceFileError if
    a file is invalid; then nothing was published. Raise NotDeliveredError or BrokerUnavailableError if
    publishing fails; then a part may be published.
    """
    routes = [route for source in sources.values() for route in source.open()]
    admitted = _admit(environment, installation, routes)
    is_high = any(SYSTEMS[route.system].is_high for route in routes)
    publisher = KafkaPublisher(
        environment.kafka,
        codec(environment, installation),
        seal=submission_sealer(installation).sealed_table if is_high else None,
    )
    publisher.prepare(dict.fromkeys(routes))
    summaries: dict[str, IngestSummary] = {}
    for name, source in sources.items():
        summaries[name] = publish_opened(source, publisher, _file_progress(progress, name, source))
    return IngestResult(summaries, admitted)


def sources_by_name(paths: Sequence[Path], source: Callable[[Path], Source]) -> dict[str, Source]:
    """Return a source per file, by file name; by the complete path where several files have the same name."""
    names = [path.name for path in paths]
    return {str(path) if names.count(path.name) > 1 else path.name: source(path) for path in paths}


def _admit(environment: Environment, installation: Installation, routes: Sequence[Route]) -> list[str]:
    admitted = set(installation.municipalities())
    new = sorted({route.municipality for route in routes if route.municipality} - admitted)
    if new or not installation.schema_ids.exists():
        apply(environment, installation, new)
    return new


def _file_progress(progress: Progress, name: str, source: Source) -> Callable[[int], None]:
    return lambda done: progress(name, done, source.bytes_total)
