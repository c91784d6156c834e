"""One history: a city handed over to a mesh in which things go wrong, then all is driven idle, and checked."""

from __future__ import annotations

import random
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from schemas.systems import DOMAINS
from schemas.topics import sink_step
from tests.simulation.cities import SimCity, city, interleaved
from tests.simulation.failing_steps import FailurePlan, have_tried_again, left_aside, stumble_of
from tests.simulation.faults import Fault, Faults, plan
from tests.simulation.mesh import Feeder, Mesh
from tests.simulation.outcome import MeshOutcome, against_the_model, coherent, differences, outcome, unlisted
from tests.simulation.watcher import Watcher
from tests.simulation.world import FoundError, StuckError, World

#: Cities that histories are about.
CITIES: Final = 16
PARTITIONS: Final = 3
FAULTS: Final = 14
FAULTS_MIN: Final = 5
_TURNS_MAX: Final = 3_000


@dataclass
class History:
    """What a seed stands for."""

    seed: int
    city: SimCity
    domain: str
    cuts: tuple[int, ...]
    batch_records_max: int
    share: int
    faults: list[Fault]
    stumble: FailurePlan | None


@dataclass
class HistoryResult:
    """How a history went; `findings` is empty where everything held."""

    seed: int
    notices: int
    struck: list[Fault] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    turns: int = 0
    #: Whether it ended by an error that no check has raised: then it was not looked at what came of it.
    failed: bool = False
    #: Dead letters that an officer had tried again.
    letters: int = 0
    log: list[str] = field(default_factory=list)


def history_of(seed: int, cities: int = CITIES) -> History:
    """Everything that is drawn, but who comes when."""
    chance = random.Random(f"history {seed}")  # noqa: S311 - repeatable on purpose
    return History(
        seed=seed,
        city=city(chance.randrange(cities)),
        domain=chance.choice(sorted(DOMAINS)),
        cuts=chance.choice(((1_000,),) * 5 + ((1_000, 1_000, 60, 20),) * 2 + ((60, 20, 7, 3),)),
        batch_records_max=chance.choice((1_000, 50, 20)),
        share=chance.choice((30, 60, 120, 120)),
        faults=plan(seed, FAULTS),
        stumble=stumble_of(seed),
    )


def run(history: History, faults: Iterable[Fault] | None = None) -> HistoryResult:
    """Runs and checks a history, with the faults that it has or fewer."""
    drawn = Faults(history.faults if faults is None else faults)
    world = World(history.seed, PARTITIONS, drawn)
    world.cuts = history.cuts
    told = HistoryResult(history.seed, history.city.notices, log=world.told)
    mesh = Mesh(world, [history.domain], history.batch_records_max, stumble=history.stumble)
    watchers = [Watcher(domain, database) for domain, database in mesh.databases.items()]
    _feed(world, history.city, history.share)
    try:
        world.run(_TURNS_MAX)
        told.letters = _mended(world, mesh)
        world.run(_TURNS_MAX)
        drawn.over = True
        world.run(_TURNS_MAX)
    except (FoundError, StuckError) as error:
        told.findings.append(str(error))
    except Exception as error:
        told.failed = True
        told.findings.append(f"{type(error).__name__}: {error}")
        told.log.append(_where(error))
    else:
        told.findings += _checked(world, mesh, history)
    told.findings += [found for watcher in watchers for found in watcher.at_the_end()]
    told.struck, told.turns = drawn.struck, world.turns
    return told


@cache
def undisturbed(number: int) -> MeshOutcome:
    """What comes of a city where nothing goes wrong, in all domains; as the reference model has it."""
    world = World(0, PARTITIONS, Faults(()))
    world.cuts = (1_000,)
    mesh = Mesh(world, sorted(DOMAINS), 1_000, workers=1)
    _feed(world, city(number), 1_000)
    world.run(_TURNS_MAX)
    found = outcome(world.log, mesh.databases)
    wrong = [*coherent(world.log, tuple(DOMAINS)), *against_the_model(city(number), found.rows)]
    if wrong:
        raise FoundError(f"city {number} comes out wrong without any fault: {'; '.join(wrong)}")
    return found


def _feed(world: World, of: SimCity, share: int) -> None:
    records = interleaved(of.records, world.chance)
    world.add("feeder", 1, lambda _: Feeder(world, records, share))


def _mended(world: World, mesh: Mesh) -> int:
    """What couldn't be processed can be from now on, and an officer sees to its letters, while faults still strike."""
    if mesh.stumbling is None or mesh.stumble is None:
        return 0
    mesh.stumbling.mended = True
    return have_tried_again(world.log, _stumbles(mesh.stumble, mesh.domains[0]))


def _checked(world: World, mesh: Mesh, history: History) -> list[str]:
    aborted = sorted({each.topic_partition[0] for each in world.log.uncommitted_reads if each.aborted})
    found = [f"an aborted record of {topic} was read" for topic in aborted]
    aside = _stumbles(history.stumble, history.domain) if history.stumble else None
    expected, actual = undisturbed(history.city.number), outcome(world.log, mesh.databases)
    if aside == "household":
        expected, actual = unlisted(expected), unlisted(actual)
    found += differences(expected, actual)
    found += coherent(world.log, (history.domain,), aside)
    if aside and history.stumble:
        found += left_aside(
            world.log, aside, mesh.databases[history.domain] if history.stumble.step == "sink" else None
        )
    return found


def _stumbles(stumble: FailurePlan, domain: str) -> str:
    return sink_step(domain) if stumble.step == "sink" else stumble.step


def _where(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)[-4:])
