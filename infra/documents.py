"""docs/reference.md: every command, setting and metric, made of the code.

`python -m infra.documents` writes it; a test holds it against the code.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import typer
from prometheus_client.metrics import MetricWrapperBase
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from infra.apply.installation import ApplySettings
from infra.cli import COMMANDS
from infra.environment import GivenAddresses
from infra.local.home import LocalSettings
from infra.run.settings import RunSettings
from infra.tracker.settings import TrackerSettings
from streams import metrics

PATH: Final = Path(__file__).parent.parent / "docs" / "reference.md"
SETTINGS: Final[tuple[type[BaseSettings], ...]] = (
    LocalSettings,
    GivenAddresses,
    ApplySettings,
    RunSettings,
    TrackerSettings,
)
_INTRODUCTION: Final = """\
# Commands, settings and metrics

Made of the code by `python -m infra.documents`; don't edit it by hand. How to work with them: `operations.md`.
"""


def reference() -> str:
    """The whole document."""
    lines = [_INTRODUCTION, "## Commands", "", "| command | options | what it does |", "| --- | --- | --- |"]
    for name, (place, _) in COMMANDS.items():
        module, _, attribute = place.partition(":")
        command = typer.main.get_command(getattr(importlib.import_module(module), attribute))
        lines += [_row(*each) for each in _commands(f"mesh {name}", command)]
    lines += [
        "",
        "## Settings",
        "",
        "Environment variables, and all of them. A misspelt value fails; a misspelt name is not ours to see.",
        "",
        "| setting | default | may be | meaning |",
        "| --- | --- | --- | --- |",
    ]
    lines += [_row(*each) for settings in SETTINGS for each in _settings(settings)]
    lines += ["", "## Metrics", "", "| metric | labels | meaning |", "| --- | --- | --- |"]
    lines += [_row(*each) for each in _metrics()]
    return "\n".join([*lines, ""])


def _commands(name: str, command: Any) -> Iterator[tuple[str, str, str]]:
    for sub, each in sorted(getattr(command, "commands", {}).items()):
        yield from _commands(f"{name} {sub}", each)
    if not getattr(command, "commands", {}):
        options = [_parameter(each) for each in command.params if each.name != "help"]
        yield f"`{name}`", " ".join(options), _first_line(command.help)


def _parameter(parameter: Any) -> str:
    text = parameter.opts[-1] if parameter.param_type_name == "option" else str(parameter.name).upper()
    return f"`{text}`" if parameter.required else f"`[{text}]`"


def variables(settings: type[BaseSettings]) -> Mapping[str, FieldInfo]:
    """Settings by the names of their environment variables."""
    prefix = settings.model_config.get("env_prefix", "")
    return {f"{prefix}{name}".upper(): field for name, field in settings.model_fields.items()}


def _settings(settings: type[BaseSettings]) -> Iterator[tuple[str, str, str, str]]:
    for name, field in variables(settings).items():
        default = "" if field.default in (None, "") else f"`{field.default}`"
        yield f"`{name}`", default, _values(field), field.description or ""


def _values(field: FieldInfo) -> str:
    """What a setting may be, where it has choices or limits."""
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    words = {"gt": "above {}", "ge": "from {}", "le": "to {}", "max_length": "at most {} characters"}
    found = {name: getattr(each, name) for each in field.metadata for name in words if hasattr(each, name)}
    return " ".join(said.format(found[name]) for name, said in words.items() if name in found)


def _metrics() -> Iterator[tuple[str, str, str]]:
    for found in vars(metrics).values():
        if isinstance(found, MetricWrapperBase):
            described = next(iter(found.describe()))
            labels = ", ".join(f"`{label}`" for label in found._labelnames)
            yield f"`{described.name}`", labels, described.documentation


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n\n")[0].replace("\n", " ")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PATH.write_text(reference(), encoding="utf-8")
