"""`mesh as-of`: what it refuses, each in a sentence; what it reads is tested on a real server."""

from __future__ import annotations

from datetime import date

import pytest
from typer.testing import CliRunner

from infra import cli as mesh
from infra.as_of.dated_rows import days_of, tables_with_history
from infra.errors import OperatorError

pytestmark = pytest.mark.unit
TODAY = date(2026, 9, 1)


@pytest.mark.parametrize(
    ("domain", "table", "sentence"),
    [
        ("cards", None, "there is no domain 'cards'; domains that receive data are: .*card"),
        ("clock", None, "clock receives nothing"),
        ("portal", None, "no table of portal has a history"),
        ("care", "level", "care has no table 'level'; tables with a history are: person, insurance, cert"),
        ("child", "account", "table account of child has no history; tables with one are: person"),
        ("card", "card_history", "table card_history of card has no history"),
    ],
)
def test_what_has_no_history_is_refused(domain: str, table: str | None, sentence: str) -> None:
    """The sentence has what there is."""
    with pytest.raises(OperatorError, match=sentence):
        tables_with_history(domain, table)


def test_all_tables_with_a_history_are_shown_unless_one_is_named() -> None:
    """In the order of the store."""
    assert tables_with_history("care", None)[1] == ["person", "insurance", "certification"]
    assert tables_with_history("care", "certification")[1] == ["certification"]


@pytest.mark.parametrize(
    ("effective", "known", "sentence"),
    [
        ("2026-09-02", None, "--effective 2026-09-02 is later than today, 2026-09-01"),
        ("2026-08-01", "2026-09-02", "--known 2026-09-02 is later than today"),
        ("2026-02-29", None, "--effective '2026-02-29' is no day; write it as 2026-09-01"),
        ("2026-08-01", "20260801", "--known '20260801' is no day"),
        ("yesterday", None, "--effective 'yesterday' is no day"),
    ],
)
def test_a_text_that_is_no_past_day_is_refused(effective: str, known: str | None, sentence: str) -> None:
    """Nothing is known yet of a later day."""
    with pytest.raises(OperatorError, match=sentence):
        days_of(effective, known, TODAY)


def test_what_is_known_today_is_shown_unless_a_day_is_given() -> None:
    """A day may be known later or earlier than it was."""
    assert days_of("2026-08-01", None, TODAY) == (date(2026, 8, 1), TODAY)
    assert days_of("2026-09-01", "2026-08-01", TODAY) == (TODAY, date(2026, 8, 1))


def test_the_command_ends_with_the_sentence() -> None:
    """On standard error, with exit code 2 and no traceback; no server is needed for that."""
    result = CliRunner().invoke(mesh.app, ["as-of", "--domain", "card", "--effective", "tomorrow"])
    assert result.exit_code == 2
    assert result.stderr.startswith("mesh: --effective 'tomorrow' is no day")
    assert result.stdout == ""
