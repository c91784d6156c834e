"""Every setting has limits: a number from and to, a text its length; what contradicts is refused when it is read."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

import annotated_types
import pytest
from pydantic import AnyHttpUrl, BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

import connectors
import infra
import streams
from streams.settings import PipelineSettings

#: Numbers whose name says their unit, or that are a count or a port.
UNITS = ("_s", "_days", "_ms", "_bytes", "_kbytes", "_max", "port", "partitions", "factor", "replicas")


def modules(package: ModuleType) -> Iterator[ModuleType]:
    """All modules of a package but those that run when imported."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def models() -> list[type[BaseModel]]:
    """All models of settings: those from the environment, and those by the name of one."""
    every = [
        each
        for package in (streams, connectors, infra)
        for module in modules(package)
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, BaseModel) and each.__module__ == module.__name__
    ]
    named = [each for each in every if issubclass(each, BaseSettings) or each.__name__.endswith("Settings")]
    return sorted(set(named), key=lambda each: each.__name__)


def fields() -> list[Any]:
    """Each field of each model, named for the report."""
    return [
        pytest.param(name, field, id=f"{model.__name__}.{name}")
        for model in models()
        for name, field in model.model_fields.items()
    ]


def kinds(field: FieldInfo) -> set[Any]:
    """What its values are, null apart."""
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return {Literal}
    found = set(get_args(annotation)) or {annotation}
    return {Literal if get_origin(each) is Literal else each for each in found} - {type(None)}


def limited(field: FieldInfo) -> bool:
    """Whether a number has both limits, and a text a length."""
    limits = field.metadata
    below = any(isinstance(each, (annotated_types.Ge, annotated_types.Gt)) for each in limits)
    above = any(isinstance(each, (annotated_types.Le, annotated_types.Lt)) for each in limits)
    long = any(isinstance(each, annotated_types.MaxLen) for each in limits)
    return (below and above) if kinds(field) & {int, float} else long


def test_all_of_them_are_found() -> None:
    """Of steps, sinks, sources, the command line, the tracker."""
    found = {model.__name__ for model in models()}
    assert {"PipelineSettings", "SinkSettings", "PostgresSettings", "PublishSettings"} <= found
    assert {"RunSettings", "ApplySettings", "GivenAddresses", "LocalSettings", "TrackerSettings"} <= found


@pytest.mark.parametrize(("name", "field"), fields())
def test_each_has_limits(name: str, field: FieldInfo) -> None:
    """A number from and to, with its unit in its name; a text its longest; all else is one of a few things."""
    of = kinds(field)
    if of & {int, float, str}:
        assert limited(field)
    else:
        closed = {bool, Path, Literal, AnyHttpUrl}
        assert all(each in closed or issubclass(each, BaseModel) for each in of)
    if of & {int, float}:
        assert name.endswith(UNITS)


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_none_changes_and_none_is_misspelt(model: type[BaseModel]) -> None:
    """Read once; a name that isn't a setting is an error (in the environment, other programs' names stand too)."""
    assert model.model_config.get("frozen")
    assert issubclass(model, BaseSettings) or model.model_config.get("extra") == "forbid"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("message_timeout_ms", 10_000),
        ("session_timeout_ms", 60_000),
        ("recovery_timeout_s", 300),
        ("commit_timeout_s", 60),
    ],
)
def test_times_that_contradict_each_other_are_refused(name: str, value: float) -> None:
    """One time budget for a turn."""
    others = {"max_poll_interval_ms": 60_000} if name == "session_timeout_ms" else {}
    with pytest.raises(ValueError, match="must be below"):
        PipelineSettings.model_validate({name: value, **others})
