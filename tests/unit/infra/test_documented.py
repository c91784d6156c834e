"""Every command, setting, topic and exit code is documented."""

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
from processors.entities.timeline import NoEffect
from schemas.systems import DOMAINS
from schemas.topics import topics_of
from streams.worker import ExitCode

DOCS = Path(__file__).parents[3] / "docs"
OPERATIONS = (DOCS / "operations.md").read_text(encoding="utf-8")
REFERENCE = (DOCS / "reference.md").read_text(encoding="utf-8")
GUIDES = sorted([DOCS.parent / "README.md", *DOCS.rglob("*.md")])


def commands() -> Iterator[str]:
    """Yield every command with its sub-command."""
    for name, (target, _) in COMMANDS.items():
        module, _, attribute = target.partition(":")
        command = typer.main.get_command(getattr(importlib.import_module(module), attribute))
        subcommands = getattr(command, "commands", None)
        yield from (f"mesh {name} {sub}" for sub in subcommands) if subcommands else [f"mesh {name}"]


@pytest.mark.parametrize("command", list(commands()))
def test_every_command_is_documented(command: str) -> None:
    """docs/operations.md contains every command."""
    assert command in OPERATIONS


@pytest.mark.parametrize("name", [name for settings in SETTINGS for name in variables(settings)])
def test_every_setting_is_in_one_table(name: str) -> None:
    """It is in the generated table, and in no other."""
    tables = [guide.name for guide in GUIDES if f"| `{name}` |" in guide.read_text(encoding="utf-8")]
    assert tables == ["reference.md"]
    assert REFERENCE.count(f"| `{name}` |") == 1


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_documents_name_only_existing_settings(guide: Path) -> None:
    """No document names a renamed or deleted setting; settings of tests are excepted."""
    known = {name for settings in SETTINGS for name in variables(settings)}
    named = set(re.findall(r"`\$?(MESH_[A-Z_]+)", guide.read_text(encoding="utf-8")))
    assert {name for name in named if not name.startswith("MESH_TEST_")} <= known


def test_every_reason_of_no_effect_is_documented() -> None:
    """docs/rules.md has exactly the codes of conflicts of events, each with its sentence."""
    rules = (DOCS / "rules.md").read_text(encoding="utf-8")
    table = rules.partition("| code | reason | what to do |\n")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([^|]+?)(?:, such as revoked)? \|", table, re.MULTILINE)
    assert dict(rows) == {reason.value: reason.sentence for reason in NoEffect}


def test_the_columns_of_accounts_are_documented() -> None:
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
    """docs/events.md contains every topic."""
    events = (DOCS / "events.md").read_text(encoding="utf-8")
    assert f"`{topic.replace('131041', '<municipality>')}`" in events


def test_every_exit_code_is_documented() -> None:
    """The table in docs/operations.md has the number and name of every exit code, and no other."""
    rows = set(re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", OPERATIONS, re.MULTILINE))
    assert rows == {(str(code.value), code.name) for code in ExitCode}
