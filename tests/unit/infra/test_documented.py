"""The documents against the code: no command, setting or topic that nobody can read of."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from connectors.postgres.table_definitions import ACCOUNT, tables_of
from infra.cli import COMMANDS
from infra.documents import SETTINGS, variables
from schemas.systems import DOMAINS
from schemas.topics import topics_of
from streams.worker import ExitCode

DOCS = Path(__file__).parents[3] / "docs"
OPERATIONS = (DOCS / "operations.md").read_text(encoding="utf-8")
REFERENCE = (DOCS / "reference.md").read_text(encoding="utf-8")
GUIDES = sorted([DOCS.parent / "README.md", *DOCS.rglob("*.md")])


def commands() -> Iterator[str]:
    """Every command that can be typed, with its sub-command."""
    for name, (place, _) in COMMANDS.items():
        module, _, attribute = place.partition(":")
        found = typer.main.get_command(getattr(importlib.import_module(module), attribute))
        inner = getattr(found, "commands", None)
        yield from (f"mesh {name} {each}" for each in inner) if inner else [f"mesh {name}"]


@pytest.mark.parametrize("command", list(commands()))
def test_every_command_is_documented(command: str) -> None:
    """As it is typed."""
    assert command in OPERATIONS


@pytest.mark.parametrize("name", [name for settings in SETTINGS for name in variables(settings)])
def test_every_setting_has_one_row(name: str) -> None:
    """In the table that is made of the code, and in no other."""
    tables = [guide.name for guide in GUIDES if f"| `{name}` |" in guide.read_text(encoding="utf-8")]
    assert tables == ["reference.md"]
    assert REFERENCE.count(f"| `{name}` |") == 1


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_every_setting_named_exists(guide: Path) -> None:
    """None that was renamed or went; those of tests are their own."""
    known = {name for settings in SETTINGS for name in variables(settings)}
    named = set(re.findall(r"`\$?(MESH_[A-Z_]+)", guide.read_text(encoding="utf-8")))
    assert {name for name in named if not name.startswith("MESH_TEST_")} <= known


def test_who_is_told_of_accounts_is_documented() -> None:
    """The table of docs/accounts.md names exactly the domains that have accounts, with the columns of their tables."""
    accounts = (DOCS / "accounts.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+) \| [^|]+ \| ([^|]+) \|$", accounts, re.MULTILINE)
    documented = {
        domain: re.findall("`([^`]+)`", columns)
        for domains, columns in rows
        for domain in re.findall("`([^`]+)`", domains)
    }
    declared = {
        domain.id: list(table.content)
        for domain in DOMAINS.values()
        for table in tables_of(domain)
        if table.entity == ACCOUNT
    }
    assert documented == declared


@pytest.mark.parametrize("topic", [topic.name for topic in topics_of(["131041"])])
def test_every_topic_is_documented(topic: str) -> None:
    """For who reads events, or wants to."""
    events = (DOCS / "events.md").read_text(encoding="utf-8")
    assert f"`{topic.replace('131041', '<municipality>')}`" in events


def test_every_exit_code_is_documented() -> None:
    """With its number and its name, for who supervises workers by other means."""
    rows = set(re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", OPERATIONS, re.MULTILINE))
    assert rows == {(str(code.value), code.name) for code in ExitCode}
