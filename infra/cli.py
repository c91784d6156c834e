"""The command line `mesh`. A sub-command is imported when called, so that `mesh --help` starts at once."""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

#: Sub-commands by name: where the typer app stands, and its line in `mesh --help`.
COMMANDS: dict[str, tuple[str, str]] = {
    "local": ("infra.local.cli:app", "Kafka, schema registry and PostgreSQL on this machine."),
    "apply": ("infra.apply.cli:app", "Keys, users, topics, rights, schemas and stores, as declared."),
    "up": ("infra.run.cli:up_app", "Start servers and all steps in the background."),
    "down": ("infra.run.cli:down_app", "Stop all steps and the servers; the data stays."),
    "run": ("infra.run.cli:run_app", "Run steps in the foreground, and start again what dies."),
    "status": (
        "infra.monitoring.cli:status_app",
        "Servers, and each worker's step, slot, pid, partitions and lag.",
    ),
    "state": ("infra.monitoring.cli:state_app", "What steps keep: entries and digest of each partition."),
    "wait": ("infra.monitoring.cli:wait_app", "Wait until all that was accepted is applied everywhere."),
    "ingest": ("infra.ingest.cli:app", "Take in files that registers and agencies hand over."),
    "cases": ("infra.tracker.cli:app", "Each notice on its way into all stores."),
    "demo": ("infra.demo.cli:app", "From nothing to a report, in a place of its own."),
    "rejected": ("infra.triage.cli:rejected_app", "Refused hand-overs: list, show, resend."),
    "conflicts": ("infra.triage.cli:conflicts_app", "Facts of two sources that don't go together."),
    "dlq": ("infra.triage.cli:dlq_app", "Dead letters: records that a step could not process."),
    "replay": ("infra.replay.cli:app", "Derive everything again from what was handed over."),
    "synth": ("infra.verification.synthetic.cli:app", "A synthetic city in the samples' format."),
}


class LazyCommand(TyperCommand):
    """Stands for a sub-command in listings, and becomes it when called."""

    def __init__(self, name: str, place: str, summary: str) -> None:
        super().__init__(name, help=summary, short_help=summary)
        self._place = place

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the command this one stands for."""
        module, _, attribute = self._place.partition(":")
        command = typer.main.get_command(getattr(importlib.import_module(module), attribute))
        return command.make_context(info_name, args, parent, **extra)


class LazyGroup(TyperGroup):
    """The commands of COMMANDS, in its order."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in the order in which a person meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        """The stand-in of `cmd_name`, or None."""
        return LazyCommand(cmd_name, *COMMANDS[cmd_name]) if cmd_name in COMMANDS else None


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def mesh() -> None:
    """One backbone for public services: a resident's change, told once, reaches every domain's store."""


def main() -> None:
    """Entry point of `mesh`."""
    app(prog_name="mesh")
