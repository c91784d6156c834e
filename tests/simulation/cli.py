"""`make simulate`: runs histories, replays one, writes what all of them come to into docs/reliability.md."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import typer

from tests.simulation import report
from tests.simulation.campaign import LEDGER, Count, campaign, counted, keep, quiet
from tests.simulation.history import CITIES, FAULTS, history_of
from tests.simulation.shrink import shrunk

app = typer.Typer(no_args_is_help=True, help="The mesh on a simulated log, store and clock.")


@app.command()
def run(
    seed: Annotated[int, typer.Option(help="Which campaign; run again, it goes on where it ended.")] = 1,
    hours: Annotated[float, typer.Option(min=0, help="How long.")] = 0.1,
    processes: Annotated[int, typer.Option(min=1, max=64, help="How many at once.")] = 2,
) -> None:
    """Run histories, counted over runs in build/simulate.json; ends with 1 where any has failed."""
    progress = Progress(counted(), 3_600 * hours)
    count = campaign(seed, 3_600 * hours, processes, progress.told)
    typer.echo("")
    for finding in count.kept:
        typer.echo(f"seed {finding.seed}: {'; '.join(finding.what)}")
    if count.empty:
        typer.echo(f"{len(count.empty)} places where a fault has not struck yet, the first: {count.empty[0]}")
    raise typer.Exit(1 if count.findings else 0)


@app.command()
def replay(
    seed: int,
    cities: Annotated[int, typer.Option(min=1, help="Of how many cities the seed chooses.")] = CITIES,
) -> None:
    """Run one history again, and make it smaller where it fails."""
    quiet()
    history = history_of(seed, cities)
    typer.echo(
        f"history {seed}: city {history.city.number}, {history.city.notices} notices, {FAULTS} faults drawn"
    )
    typer.echo(f"sinks of {history.domain}; batches of {history.batch_records_max} records at most")
    try:
        smaller = shrunk(seed, cities)
    except ValueError as fine:
        typer.echo(str(fine))
        return
    typer.echo(f"fails by {len(smaller.told.struck)} faults, after {smaller.tries} tries to do with fewer:")
    for line in (*smaller.told.log, *smaller.told.findings):
        typer.echo(f"  {line}")
    raise typer.Exit(1)


@app.command()
def write() -> None:
    """Write the count into docs/reliability.md, and into docs/simulation.json to count on from."""
    count = counted()
    keep(count, LEDGER)
    report.write(count)


class Progress:
    """One line of a terminal that says how far a campaign is; `before` is what was counted when it began."""

    def __init__(self, before: Count, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._run, self._seconds, self._clock = _run(before), seconds, clock
        self._begun_s = clock()

    def line(self, count: Count) -> str:
        """All histories so far, how many a second in this run, what they cost and found, and how long it still goes."""
        passed_s = self._clock() - self._begun_s
        rate = (_run(count) - self._run) / max(passed_s, 0.001)
        each_ms = 1_000 * count.cpu_s / max(1, _run(count))
        left_s = max(0, round(self._seconds - passed_s))
        return (
            f"{count.histories:,} histories, {rate:.1f} a second, {each_ms:.0f} ms of CPU each, "
            f"{count.struck:,} faults, {count.findings} findings, {timedelta(seconds=left_s)} left"
        )

    def told(self, count: Count) -> None:
        """Writes the line anew."""
        typer.echo(f"\r{self.line(count)} ", nl=False)


def _run(count: Count) -> int:
    return count.histories + count.passed_over


if __name__ == "__main__":
    app()
