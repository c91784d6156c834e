"""The command line `mesh`. A sub-command is imported only when it is called, so `mesh --help` starts at once."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

#: Name of the installed package, whose version is the version of the mesh.
DISTRIBUTION = "public-service-mesh"
#: Sub-commands by name: `module:attribute` of the typer app, and the line in `mesh --help`.
COMMANDS: dict[str, tuple[str, str]] = {
    "local": ("infra.local.cli:app", "Kafka, schema registry and PostgreSQL on this machine."),
    "apply": (
        "infra.apply.cli:app",
        "Create keys, users, topics, ACLs, schemas and stores as declared.",
    ),
    "up": ("infra.run.cli:up_app", "Start servers and all steps in the background."),
    "down": ("infra.run.cli:down_app", "Stop all workers and servers; the data stays."),
    "run": ("infra.run.cli:run_app", "Run steps in the foreground, and restart workers that end."),
    "restart": (
        "infra.run.cli:restart_app",
        "Restart workers that run other code than is installed, one at a time.",
    ),
    "status": ("infra.monitoring.cli:status_app", "Show servers, workers and dead letters."),
    "state": ("infra.monitoring.cli:state_app", "Show entries and digest of each partition's state."),
    "wait": ("infra.monitoring.cli:wait_app", "Wait until everything accepted is applied in every store."),
    "systems": (
        "infra.systems.cli:systems_app",
        "The declared systems: list, show, check, begin a new one.",
    ),
    "rules": ("infra.systems.cli:rules_app", "Why a domain receives a field, or why it doesn't."),
    "ingest": ("infra.ingest.cli:app", "Ingest files of registers and agencies."),
    "client": ("infra.client.cli:app", "Write ready files for a Kafka client of one user."),
    "clock": ("infra.clock.cli:app", "Submit each day once it has begun in Japan."),
    "cases": ("infra.tracker.cli:app", "The progress of each accepted notice into all stores."),
    "demo": (
        "infra.demo.cli:app",
        "Run everything from nothing, and compare every row with a reference model.",
    ),
    "as-of": ("infra.as_of.cli:app", "The rows that a domain's tables had on a day, as known on a day."),
    "rejected": ("infra.triage.cli:rejected_app", "Rejected submissions: list, show, resubmit."),
    "conflicts": (
        "infra.triage.cli:conflicts_app",
        "Facts that contradict each other, for a clerk to decide.",
    ),
    "dlq": ("infra.triage.cli:dlq_app", "Dead letters: records that a step could not process."),
    "replay": ("infra.replay.cli:app", "Derive everything again from the input topics."),
    "synth": ("infra.verification.synthetic.cli:app", "Write a synthetic city in the format of the samples."),
}


class LazyCommand(TyperCommand):
    """A sub-command that shows its summary in listings, and imports its module when it is called."""

    def __init__(self, name: str, target: str, summary: str) -> None:
        super().__init__(name, help=summary, short_help=summary)
        self._target = target

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Return the context of the imported command."""
        module, _, attribute = self._target.partition(":")
        command = typer.main.get_command(getattr(_imported(module), attribute))
        return command.make_context(info_name, args, parent, **extra)


def _imported(name: str) -> ModuleType:
    """Import a module. If the declaration of a system is faulty, print the sentence and exit with 1."""
    from schemas.declare import DeclarationError  # noqa: PLC0415

    try:
        return importlib.import_module(name)
    except DeclarationError as error:
        from infra.printing import say  # noqa: PLC0415

        say(f"mesh: {error}", err=True)
        raise typer.Exit(1) from error


class LazyGroup(TyperGroup):
    """The group of the commands in COMMANDS, in that order."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order in which an operator needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        """Return the lazy command of this name, or None."""
        return LazyCommand(cmd_name, *COMMANDS[cmd_name]) if cmd_name in COMMANDS else None


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version  # noqa: PLC0415

        from infra.printing import say  # noqa: PLC0415

        say(f"mesh {version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def mesh(
    _: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Run the Public Service Mesh: a resident's change, reported once, reaches every domain's store."""


def main() -> None:
    """Run `mesh`."""
    app(prog_name="mesh")
