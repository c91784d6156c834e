"""`mesh run`, `mesh up` and `mesh down`."""

from __future__ import annotations

import signal
import time
from typing import Annotated

import typer

from infra.apply.applied_declarations import require_applied
from infra.apply.cli import apply_with_progress, report_adoption, report_lines
from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError, errors_as_messages
from infra.key_file import DEAD_LETTER_KEYS
from infra.local.home import Home
from infra.local.progress import OnConsole
from infra.local.stack import Stack
from infra.printing import say
from infra.run import background
from infra.run.background import ScaledWorkers, scale_workers, start_workers
from infra.run.generation import installed_generation
from infra.run.rolling_restart import restart
from infra.run.slots import RUN_STEPS, SINGLE, Slot, slots, steps_of
from infra.run.supervisor import RunningSupervisor, Supervisor, running_supervisor

run_app = typer.Typer(add_completion=False)
up_app = typer.Typer(add_completion=False)
down_app = typer.Typer(add_completion=False)
restart_app = typer.Typer(add_completion=False)

Workers = Annotated[int, typer.Option(min=1, help="Number of workers of each step.")]


@run_app.command()
def run(
    steps: Annotated[list[str] | None, typer.Argument(help="Steps to run; by default all.")] = None,
    workers: Workers = 1,
) -> None:
    """Run steps in the foreground and restart workers that end, until Ctrl-C."""
    with errors_as_messages():
        installation = Installation.of_settings()
        selected = slots(steps or [], workers)
        environment = Environment.load()
        require_applied(installation)
        _require_keys(environment, installation, selected)
        supervisor = Supervisor(installation, selected, say)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stop())
        if not supervisor.run():
            raise OperatorError(
                f"every worker was given up; see the logs in {installation.logs_folder}", code=1
            )
    say("stopped")


def _require_keys(environment: Environment, installation: Installation, selected: list[Slot]) -> None:
    """Raise KeyFileError where the key file has not the keys that the installation uses: no worker would start."""
    from infra.key_fingerprints import require_installed_keys  # noqa: PLC0415
    from infra.run.topology import key_names  # noqa: PLC0415

    steps = [slot.step for slot in selected if slot.step not in SINGLE]
    names = {name for step in steps if not step.startswith("sink") for name in key_names(step)}
    if steps:
        user = steps_of(steps[0])[0]
        require_installed_keys(environment, installation, user, names | {DEAD_LETTER_KEYS})


@up_app.command()
def up(
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Number of workers of each step; by default 1, or as many as run already."),
    ] = None,
) -> None:
    """Start the servers, apply the declarations, start all steps in the background. Returns when all are ready.

    If workers run already, start and stop some of them, so that each step has as many as requested.
    """
    started = time.monotonic()
    with errors_as_messages():
        Stack(progress=OnConsole()).up()
        installation = Installation(Home.of_settings().folder)
        environment = Environment.load()
        running = running_supervisor(installation)
        if running is None:
            applied = apply_with_progress(environment, installation, [])
            for line in report_lines(applied, installation.municipalities()):
                say(line)
        else:
            _scale(environment, installation, running, workers)
        start_workers(environment, installation, workers or 1)
        if running is None:
            report_adoption(environment, installation)
    say(f"ready after {time.monotonic() - started:.1f} s; `mesh status` shows what runs")


def _scale(
    environment: Environment, installation: Installation, running: RunningSupervisor, workers: int | None
) -> None:
    """Start and stop workers as requested, and print what was done."""
    require_applied(installation)
    scaled = scale_workers(environment, installation, running, workers) if workers else ScaledWorkers((), ())
    for verb, changed in (("started", scaled.started), ("stopped", scaled.stopped)):
        if changed:
            say(f"{verb}: {', '.join(slot.name for slot in changed)}")
    if not scaled.started and not scaled.stopped:
        say(f"{len(running.slots)} workers run already; none was started or stopped")
    steps = {slot.step.partition(".")[0] for slot in running.slots}
    if missing := [step for step in RUN_STEPS if step not in steps]:
        say(f"not running here: {', '.join(missing)}; `mesh down`, then `mesh up`, starts every step")


@down_app.command()
def down() -> None:
    """Stop all workers and servers; the data stays."""
    with errors_as_messages():
        stopped = background.stop(Installation.of_settings())
        say(f"{len(stopped.workers)} workers stopped" if stopped else "no workers were running")
        Stack(progress=OnConsole()).down()


@restart_app.command(name="restart")
def restart_command(
    everything: Annotated[
        bool, typer.Option("--all", help="Restart also the workers of the installed generation.")
    ] = False,
) -> None:
    """Restart workers that were given up or run other code or declarations than installed, one at a time."""
    started = time.monotonic()
    with errors_as_messages():
        number = restart(
            Environment.load(),
            Installation.of_settings(),
            lambda name: say(f"{name} restarted"),
            everything,
        )
    if not number:
        say(f"nothing to restart: every worker runs, of generation {installed_generation()}")
    else:
        say(f"{number} workers restarted in {time.monotonic() - started:.1f} s")
