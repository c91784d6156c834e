"""Takes in files: all of them are looked through before anything of the first is published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from connectors.publish import KafkaPublisher, Summary, carry
from connectors.source import Route, Source
from infra.apply.installation import Installation
from infra.apply.reconcile import apply
from infra.codec import codec
from infra.environment import Environment

#: Told the file, its bytes done and its size.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TakenIn:
    """What was published of each file, and who was admitted for it."""

    files: Mapping[str, Summary]
    admitted: Sequence[str] = ()


def ingest_files(
    environment: Environment,
    installation: Installation,
    sources: Mapping[str, Source],
    progress: Progress = lambda file, done, total: None,
) -> TakenIn:
    """Publish files, by the name each is to be reported under.

    A municipality that takes no part yet is admitted, on behalf of the operator who has the file. SourceFileError:
    nothing of any file was published. NotDeliveredError, BrokerUnavailableError: part of it may have been.
    """
    routes = [route for source in sources.values() for route in source.open()]
    admitted = _admit(environment, installation, routes)
    publisher = KafkaPublisher(environment.kafka, codec(environment, installation))
    publisher.prepare(dict.fromkeys(routes))
    taken: dict[str, Summary] = {}
    for name, source in sources.items():
        taken[name] = carry(source, publisher, _of(progress, name, source))
    return TakenIn(taken, admitted)


def by_name(paths: Sequence[Path], source: Callable[[Path], Source]) -> dict[str, Source]:
    """A source for each file, under its name; under its whole path where two have the same name."""
    names = [path.name for path in paths]
    return {str(path) if names.count(path.name) > 1 else path.name: source(path) for path in paths}


def _admit(environment: Environment, installation: Installation, routes: Sequence[Route]) -> list[str]:
    taking_part = set(installation.municipalities())
    fresh = sorted({route.municipality for route in routes if route.municipality} - taking_part)
    if fresh or not installation.schema_ids.exists():
        apply(environment, installation, fresh)
    return fresh


def _of(progress: Progress, name: str, source: Source) -> Callable[[int], None]:
    return lambda done: progress(name, done, source.bytes_total)
