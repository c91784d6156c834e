"""`mesh rejected`, `mesh conflicts`, `mesh dlq`: lists as tables, or with --json one object per line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from infra.apply.installation import Installation
from infra.coding import codec
from infra.environment import Environment
from infra.errors import OperatorError, errors_as_messages
from infra.printing import say, say_json, table, wide_console
from infra.triage import dead_letter_listing, rejections_and_conflicts, settling
from infra.triage.operator_commands import require_reason
from infra.triage.records import Row
from schemas.codec import Codec

rejected_app = typer.Typer(no_args_is_help=True, help="Rejected submissions: list, show, resubmit.")
conflicts_app = typer.Typer(
    no_args_is_help=True, help="Conflicts: facts that contradict each other; list, settle."
)
dlq_app = typer.Typer(
    no_args_is_help=True,
    help="Dead letters: list, show, retry, repair, dismiss records that a step can't process.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The ID as `list` shows it.")]
_NEXT_STEP = ": see `mesh dlq list` after `mesh wait --idle`"
PERSONAL_DATA_NOTICE = "mesh: the following content is personal data"


@rejected_app.command(name="list")
def rejected_list(
    as_json: Json = False,
    duplicates: Annotated[bool, typer.Option("--duplicates", help="List duplicates too.")] = False,
) -> None:
    """List rejected submissions: ID, source, line, notice, reason."""
    with errors_as_messages():
        rows = rejections_and_conflicts.list_rejected(*_codec(), duplicates)
    columns = ("id", "source", "line", "notice", "reason")
    _print(rows, ("kind", *columns) if duplicates else columns, as_json)


@rejected_app.command(name="show")
def rejected_show(rejection: Id) -> None:
    """Print a rejected submission as it was received. The content is personal data."""
    with errors_as_messages():
        submission = rejections_and_conflicts.read_submission(
            *_codec(), rejection, Installation.of_settings()
        )
    say(PERSONAL_DATA_NOTICE, err=True)
    document = {"origin": submission.origin, "schema": submission.schema, "submission": submission.content}
    say_json(document, indent=True)


@rejected_app.command(name="resubmit")
def rejected_resubmit(rejection: Id) -> None:
    """Submit a rejected submission again, unchanged, for a new decision."""
    with errors_as_messages():
        rejections_and_conflicts.resubmit(*_codec(), rejection)
    say(f"{rejection} is resubmitted: see `mesh rejected list` after `mesh wait --idle`")


@conflicts_app.callback()
def conflicts() -> None:
    """Show conflicts: facts that contradict each other, for a clerk to decide."""


@conflicts_app.command(name="list")
def conflicts_list(
    as_json: Json = False,
    withdrawn: Annotated[
        bool, typer.Option("--withdrawn", help="List conflicts that have ended or are settled too.")
    ] = False,
    system: Annotated[
        str | None,
        typer.Option("--system", metavar="ID", help="List those of a system of the high level instead."),
    ] = None,
) -> None:
    """List open conflicts: ID, kind, person (mesh code), domain, municipalities, day, reason."""
    with errors_as_messages():
        if system is None:
            rows = rejections_and_conflicts.list_conflicts(*_codec(), withdrawn)
        else:
            rows = rejections_and_conflicts.list_sealed_conflicts(
                *_codec(), Installation.of_settings(), system, withdrawn
            )
    columns = (
        "id",
        "kind",
        "person",
        "domain",
        "municipality",
        "other_municipality",
        "effective_on",
        "reason",
    )
    _print(rows, ("status", *columns) if withdrawn else columns, as_json)


@conflicts_app.command(name="settle")
def conflicts_settle(
    conflict: Id,
    reason: Annotated[str, typer.Option("--reason", help="Why; stored for ever, so write no personal data.")],
    registration: Annotated[
        str | None,
        typer.Option(
            "--registration",
            metavar="MUNICIPALITY",
            help="Code of the municipality where the person is registered.",
        ),
    ] = None,
    take_back: Annotated[bool, typer.Option("--take-back", help="End an earlier decision instead.")] = False,
) -> None:
    """Decide where a person is registered; other registrations stay unconfirmed until that is taken back."""
    with errors_as_messages():
        if (registration is None) != take_back:
            raise OperatorError("give either --registration MUNICIPALITY or --take-back")
        settling.settle_conflict(*_codec(), conflict, reason, registered_in=registration)
    say(f"{conflict} is decided: see `mesh conflicts list --withdrawn` after `mesh wait --idle`")


@dlq_app.command(name="list")
def dlq_list(as_json: Json = False) -> None:
    """List dead letters: ID, status, number of blocked records behind it, reason, record position."""
    with errors_as_messages():
        rows = dead_letter_listing.list_dead_letters(*_codec())
    _print(
        rows,
        ("id", "status", "blocked", "reason", "topic", "partition", "offset", "dismissal_reason"),
        as_json,
    )


@dlq_app.command(name="show")
def dlq_show(dead_letter: Id) -> None:
    """Print a dead letter with its content, which is personal data; needs the key file."""
    with errors_as_messages():
        row = dead_letter_listing.read_dead_letter(*_codec(), Installation.of_settings(), dead_letter)
    say(PERSONAL_DATA_NOTICE, err=True)
    say_json(row, indent=True)


@dlq_app.command(name="retry")
def dlq_retry(dead_letter: Id) -> None:
    """Process the record again unchanged, then the records behind it, in order."""
    with errors_as_messages():
        dead_letter_listing.submit_dead_letter_command(*_codec(), dead_letter, "RETRY")
    say(f"{dead_letter} will be retried{_NEXT_STEP}")


@dlq_app.command(name="repair")
def dlq_repair(
    dead_letter: Id,
    value: Annotated[
        Path,
        typer.Option(
            "--value", exists=True, dir_okay=False, help="File with JSON in the form of `value` in `show`."
        ),
    ],
) -> None:
    """Process another value in place of the record's, then the records behind it, in order."""
    with errors_as_messages():
        environment, codec = _codec()
        sealed = dead_letter_listing.seal_new_value(
            environment, codec, Installation.of_settings(), dead_letter, value.read_bytes()
        )
        dead_letter_listing.submit_dead_letter_command(
            environment, codec, dead_letter, "REPAIR", value=sealed
        )
    say(f"{dead_letter} will be repaired{_NEXT_STEP}")


@dlq_app.command(name="dismiss")
def dlq_dismiss(
    reason: Annotated[str, typer.Option("--reason", help="Why; stored for ever, so write no personal data.")],
    dead_letter: Annotated[
        str | None, typer.Argument(metavar="ID", help="The ID as `list` shows it; not with --all.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Dismiss all open dead letters of --step.")] = False,
    step: Annotated[str | None, typer.Option("--step", help="With --all: the step that has them.")] = None,
    failure: Annotated[
        str | None,
        typer.Option("--failure", help="With --all: only those whose reason in `list` begins with this."),
    ] = None,
) -> None:
    """Drop the record, or all records of a step, for a reason; the records behind follow, in order."""
    with errors_as_messages():
        require_reason(reason)
        if every and step and not dead_letter:
            count = dead_letter_listing.dismiss_all(*_codec(), step, reason, failure)
            say(f"{count} dead letters of {step} will be dismissed{_NEXT_STEP}")
            return
        if every or step or failure or not dead_letter:
            raise OperatorError("name either one ID, or --all with --step")
        dead_letter_listing.submit_dead_letter_command(*_codec(), dead_letter, "DISMISS", reason=reason)
    say(f"{dead_letter} will be dismissed{_NEXT_STEP}")


def _codec() -> tuple[Environment, Codec]:
    environment = Environment.load()
    return environment, codec(environment, Installation.of_settings())


def _print(rows: Sequence[Row], columns: Sequence[str], as_json: bool) -> None:
    if as_json:
        for row in rows:
            say_json(row)
    elif rows:
        listing = table(columns, ([row[name] for name in columns] for row in rows))
        listing.columns[0].no_wrap = True
        wide_console().print(listing)
    else:
        say("none")
