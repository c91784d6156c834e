"""One history: submit a city to a mesh while faults are injected, drive the mesh idle, and check the result."""

from __future__ import annotations

import random
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Final
from unittest.mock import patch

from processors.fan_out import adoption, partition_clock
from schemas.topics import sink_step
from tests.simulation.adoption_checks import adoption_differences
from tests.simulation.ahead_checks import early_rows, waiting_differences
from tests.simulation.card_checks import card_differences, early_cards
from tests.simulation.cities import SimCity, Submitted, city, interleaved
from tests.simulation.clock_checks import clock_differences
from tests.simulation.declarations import CURRENT, AdoptionPlan, draw_adoption_plan
from tests.simulation.failing_steps import (
    FailurePlan,
    draw_failure_plan,
    retry_open_dead_letters,
    unresolved_dead_letters,
)
from tests.simulation.faults import TABLE_CALLS, Fault, Faults, draw_faults
from tests.simulation.mesh import FAN_OUT, WORKERS, Feeder, SimMesh
from tests.simulation.outcome import (
    MeshOutcome,
    differences,
    history_differences,
    invariant_violations,
    model_differences,
    outcome_of,
    without_register_order,
)
from tests.simulation.protection import addresses_published, addresses_stored
from tests.simulation.watcher import Watcher
from tests.simulation.world import FindingError, StuckError, World
from tests.standard_level import STANDARD_DOMAINS

#: Cities that histories choose from.
CITIES: Final = 16
PARTITIONS: Final = 3
FAULTS: Final = 14
FAULTS_MIN: Final = 5
#: In how many of the histories the clock lags behind the other submissions.
_CLOCK_LAGS: Final = 0.3
_RUNS_MAX: Final = 3_000


@dataclass
class History:
    """Everything that is drawn from a seed before a history begins."""

    seed: int
    city: SimCity
    domain: str
    fetch_sizes: tuple[int, ...]
    batch_records_max: int
    #: Records that the feeder publishes at a time.
    feed_size: int
    faults: list[Fault]
    failure_plan: FailurePlan | None
    adoption_plan: AdoptionPlan
    #: Persons whose due changes fan-out publishes at a time, and persons who adopt declarations at a time.
    portion: int
    adoption_portion: int
    #: For so many days ahead fan-out has an agenda; whenever a day begins, it puts the days of the last one on it.
    agenda_days: int


@dataclass
class HistoryResult:
    """The result of a history; `findings` is empty if nothing was wrong."""

    seed: int
    notices: int
    injected: list[Fault] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    #: How often any process was run.
    runs: int = 0
    #: Whether it ended by an unexpected exception: then its outcome was not checked.
    crashed: bool = False
    dead_letters_retried: int = 0
    log: list[str] = field(default_factory=list)


def history_of(seed: int, cities: int = CITIES) -> History:
    """Draw a history from a seed. The order of its runs is drawn later, by the world."""
    chance = random.Random(f"history {seed}")  # noqa: S311 - repeatable on purpose
    return History(
        seed=seed,
        city=city(chance.randrange(cities)),
        domain=chance.choice((*sorted(STANDARD_DOMAINS), "card", "card")),
        fetch_sizes=chance.choice(((1_000,),) * 5 + ((1_000, 1_000, 60, 20),) * 2 + ((60, 20, 7, 3),)),
        batch_records_max=chance.choice((1_000, 50, 20)),
        feed_size=chance.choice((5, 30, 60, 120)),
        faults=draw_faults(seed, FAULTS),
        failure_plan=draw_failure_plan(seed),
        adoption_plan=draw_adoption_plan(seed, WORKERS),
        portion=chance.choice((1, 2, 200)),
        adoption_portion=chance.choice((3, 5, 200, 200)),
        agenda_days=chance.choice((1, 2, 3, 700)),
    )


def run(history: History, faults: Iterable[Fault] | None = None) -> HistoryResult:
    """Run and check a history, with its own faults or with some of them."""
    planned = Faults(history.faults if faults is None else faults)
    world = World(history.seed, PARTITIONS, planned)
    world.fetch_sizes = history.fetch_sizes
    result = HistoryResult(history.seed, history.city.notices, log=world.lines)
    mesh = SimMesh(
        world,
        [history.domain],
        history.batch_records_max,
        failure_plan=history.failure_plan,
        adoption_plan=history.adoption_plan,
    )
    watchers = [Watcher(domain, database) for domain, database in mesh.databases.items()]
    _start_feeder(world, history.city, history.feed_size, mesh, history.adoption_plan)
    try:
        with (
            patch.object(partition_clock, "PORTION", history.portion),
            patch.object(adoption, "PORTION", history.adoption_portion),
            patch.object(partition_clock, "agenda_end", lambda day: day + timedelta(history.agenda_days)),
        ):
            world.run(_RUNS_MAX)
            result.findings += addresses_stored(world.log, history.domain, mesh.databases[history.domain])
            result.dead_letters_retried = _heal(world, mesh)
            world.run(_RUNS_MAX)
            planned.disabled = True
            world.run(_RUNS_MAX)
    except (FindingError, StuckError) as error:
        result.findings.append(str(error))
    except Exception as error:
        result.crashed = True
        result.findings.append(f"{type(error).__name__}: {error}")
        result.log.append(_traceback_end(error))
    else:
        result.findings += _check(world, mesh, history)
    result.findings += [finding for watcher in watchers for finding in watcher.findings_at_end()]
    result.injected, result.runs = planned.injected, world.runs
    return result


@cache
def expected_outcome(number: int) -> MeshOutcome:
    """Return the outcome of a city without any fault, for all domains. Raise FindingError if the model disagrees."""
    world = World(0, PARTITIONS, Faults(()))
    world.fetch_sizes = (1_000,)
    mesh = SimMesh(world, sorted(STANDARD_DOMAINS), 1_000, workers=1)
    _start_feeder(world, city(number), 1_000, mesh)
    world.run(_RUNS_MAX)
    outcome = outcome_of(world.log, mesh.databases)
    findings = [
        *invariant_violations(world.log, tuple(STANDARD_DOMAINS)),
        *model_differences(city(number), outcome.rows, world.log),
        *history_differences(outcome.rows),
        *clock_differences(world.log),
        *adoption_differences(world.log),
        *card_differences(city(number), world.log, mesh.databases),
        *early_cards(world.log),
        *early_rows(world.log),
        *waiting_differences(world.log),
    ]
    if findings:
        raise FindingError(f"city {number} is wrong without any fault: {'; '.join(findings)}")
    return outcome


def _start_feeder(
    world: World, source: SimCity, feed_size: int, mesh: SimMesh, plan: AdoptionPlan | None = None
) -> None:
    records = list(interleaved(source.records, world.chance))
    if plan is not None and world.chance.random() < _CLOCK_LAGS:
        records = _with_lagging_clock(records, world.chance)
    if plan is not None and plan.late:
        records = _with_late_commands(records)
    before = {} if plan is None else {_installed_before(records, plan): lambda: _install(world, mesh, plan)}
    world.add_step("feeder", 1, lambda _: Feeder(world, records, feed_size, before))


def _with_lagging_clock(
    records: Sequence[tuple[str, Submitted]], chance: random.Random
) -> list[tuple[str, Submitted]]:
    """Return the submissions with those of the clock later: days begin first by the receipt of others."""
    others = [record for record in records if record[0] != "in.clock"]
    days = [record for record in records if record[0] == "in.clock"]
    places = sorted(chance.choices(range(len(others) // 2, len(others)), k=len(days)))
    for place, day in reversed(list(zip(places, days, strict=True))):
        others.insert(place, day)
    return others


def _with_late_commands(records: Sequence[tuple[str, Submitted]]) -> list[tuple[str, Submitted]]:
    """Return the submissions with all commands but the first at their end."""
    first, *late = (record for record in records if record[0] == "in.operator")
    return [record for record in records if record[0] != "in.operator" or record is first] + late


def _installed_before(records: Sequence[tuple[str, Submitted]], plan: AdoptionPlan) -> int:
    """Return the index of the submission before which the declarations of now are installed.

    That is after the command to adopt those of before, and not later than the first one to adopt them.
    """
    commands = [index for index, (topic, _) in enumerate(records) if topic == "in.operator"]
    return commands[0] + 1 + int(plan.installed_at * (commands[1] - commands[0] - 1))


def _install(world: World, mesh: SimMesh, plan: AdoptionPlan) -> None:
    """Install the declarations of now, as `mesh apply` does, and restart some workers at once."""
    mesh.installed.number = CURRENT
    for slot in plan.restarted:
        world.restart(FAN_OUT, slot)


def _heal(world: World, mesh: SimMesh) -> int:
    """Repair the failing step and retry its dead letters, while faults are still injected; return how many."""
    if mesh.failure_plan is None:
        return 0
    mesh.health.healed = True
    return retry_open_dead_letters(world.log, _failing_step_name(mesh.failure_plan, mesh.domains[0]))


def _check(world: World, mesh: SimMesh, history: History) -> list[str]:
    plan = history.failure_plan
    aborted = sorted({entry.topic_partition[0] for entry in world.log.uncommitted_reads if entry.aborted})
    findings = [f"an aborted record of {topic} was read" for topic in aborted]
    failing_step = _failing_step_name(plan, history.domain) if plan else None
    expected, actual = expected_outcome(history.city.number), outcome_of(world.log, mesh.databases)
    if failing_step == "household":
        expected, actual = without_register_order(expected), without_register_order(actual)
    findings += differences(expected, actual)
    findings += invariant_violations(world.log, (history.domain,), failing_step)
    findings += card_differences(history.city, world.log, mesh.databases)
    findings += early_cards(world.log)
    findings += early_rows(world.log)
    findings += waiting_differences(world.log)
    findings += clock_differences(world.log)
    findings += adoption_differences(world.log)
    if not any(fault.kind == "stale answer" and fault.call in TABLE_CALLS for fault in world.faults.injected):
        # A deposed leader may report an old end of the table: see docs/decisions/protection.md.
        findings += addresses_published(world.log, history.domain)
    findings += addresses_stored(world.log, history.domain, mesh.databases[history.domain])
    if failing_step and plan:
        store = mesh.databases[history.domain] if plan.step == "sink" else None
        findings += unresolved_dead_letters(world.log, failing_step, store)
    return findings


def _failing_step_name(plan: FailurePlan, domain: str) -> str:
    return sink_step(domain) if plan.step == "sink" else plan.step


def _traceback_end(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)[-4:])
