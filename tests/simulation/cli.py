"""`make simulate` and `make simulate-report`: run histories, repeat one, and write the count into the documentation."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import typer

from tests.simulation import report
from tests.simulation.campaign import LEDGER, Count, campaign, load_count, quiet, save
from tests.simulation.history import CITIES, FAULTS, history_of
from tests.simulation.shrink import shrink

app = typer.Typer(no_args_is_help=True, help="The mesh on a simulated log, store and clock.")


@app.command()
def run(
    seed: Annotated[int, typer.Option(help="Campaign seed; another run of it continues where it ended.")] = 1,
    hours: Annotated[float, typer.Option(min=0, help="Duration.")] = 0.1,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Number of processes.")] = 2,
) -> None:
    """Run histories, counted over runs in build/simulate.json; exit with 1 if any has ever failed."""
    progress = Progress(load_count(), 3_600 * hours)
    count = campaign(seed, 3_600 * hours, processes, progress.show)
    typer.echo("")
    for finding in count.failures:
        typer.echo(f"seed {finding.seed}: {'; '.join(finding.what)}")
    if missing := count.never_injected:
        typer.echo(
            f"{len(missing)} pairs of a fault and its target were never injected, such as {missing[0]}"
        )
    raise typer.Exit(1 if count.findings else 0)


@app.command()
def replay(
    seed: int,
    cities: Annotated[int, typer.Option(min=1, help="How many cities the seed chooses from.")] = CITIES,
) -> None:
    """Run one history again, and if it fails find fewer faults by which it still does."""
    quiet()
    history = history_of(seed, cities)
    typer.echo(
        f"history {seed}: city {history.city.number}, {history.city.notices} notices, {FAULTS} faults drawn"
    )
    typer.echo(f"sinks of {history.domain}; at most {history.batch_records_max} records per batch")
    try:
        shrunk = shrink(seed, cities)
    except ValueError as passed:
        typer.echo(str(passed))
        return
    typer.echo(
        f"fails with {len(shrunk.result.injected)} faults, after {shrunk.attempts} attempts with fewer:"
    )
    for line in (*shrunk.result.log, *shrunk.result.findings):
        typer.echo(f"  {line}")
    raise typer.Exit(1)


@app.command()
def write() -> None:
    """Write the count into docs/reliability.md, and into docs/simulation.json, from which other machines continue."""
    count = load_count()
    save(count, LEDGER)
    report.write(count)


class Progress:
    """The progress of a campaign in one line of a terminal. `before` is the count when it began."""

    def __init__(self, before: Count, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._histories_before, self._seconds, self._clock = _histories_run(before), seconds, clock
        self._started_s = clock()

    def line(self, count: Count) -> str:
        """Return the count, this run's rate, the cost per history, the findings and the remaining time."""
        passed_s = self._clock() - self._started_s
        rate = (_histories_run(count) - self._histories_before) / max(passed_s, 0.001)
        cpu_ms = 1_000 * count.cpu_s / max(1, _histories_run(count))
        left_s = max(0, round(self._seconds - passed_s))
        return (
            f"{count.histories:,} histories, {rate:.1f} a second, {cpu_ms:.0f} ms of CPU each, "
            f"{count.injected:,} faults, {count.findings} findings, {timedelta(seconds=left_s)} left"
        )

    def show(self, count: Count) -> None:
        """Overwrite the line."""
        typer.echo(f"\r{self.line(count)} ", nl=False)


def _histories_run(count: Count) -> int:
    return count.histories + count.skipped


if __name__ == "__main__":
    app()
