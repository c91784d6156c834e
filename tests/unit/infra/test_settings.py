"""Every setting has limits: numbers a range, texts a length. Settings that contradict each other are errors."""

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

#: Ends of the names of numbers: a unit, a count or a port.
UNITS = (
    "_s",
    "_days",
    "_ms",
    "_bytes",
    "_kbytes",
    "_percent",
    "_max",
    "port",
    "partitions",
    "factor",
    "replicas",
)


def modules(package: ModuleType) -> Iterator[ModuleType]:
    """Yield all modules of a package but those that run when they are imported."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            yield importlib.import_module(module.name)


def models() -> list[type[BaseModel]]:
    """Return all models of settings: those read from the environment, and those named `…Settings`."""
    all_models = [
        member
        for package in (streams, connectors, infra)
        for module in modules(package)
        for member in vars(module).values()
        if isinstance(member, type) and issubclass(member, BaseModel) and member.__module__ == module.__name__
    ]
    settings = {
        model
        for model in all_models
        if issubclass(model, BaseSettings) or model.__name__.endswith("Settings")
    }
    return sorted(settings, key=lambda model: model.__name__)


def fields() -> list[Any]:
    """Return each field of each model as a test parameter."""
    return [
        pytest.param(name, field, id=f"{model.__name__}.{name}")
        for model in models()
        for name, field in model.model_fields.items()
    ]


def types_of(field: FieldInfo) -> set[Any]:
    """Return the types of a field's values, without None."""
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return {Literal}
    types = set(get_args(annotation)) or {annotation}
    return {Literal if get_origin(type_) is Literal else type_ for type_ in types} - {type(None)}


def is_limited(field: FieldInfo) -> bool:
    """Return whether a number has both limits, or a text a maximum length."""

    def has(*constraints: type) -> bool:
        return any(isinstance(constraint, constraints) for constraint in field.metadata)

    if types_of(field) & {int, float}:
        return has(annotated_types.Ge, annotated_types.Gt) and has(annotated_types.Le, annotated_types.Lt)
    return has(annotated_types.MaxLen)


def test_all_settings_are_covered() -> None:
    """The tests find the settings of steps, sinks, sources, the command line and the tracker."""
    names = {model.__name__ for model in models()}
    assert {"PipelineSettings", "SinkSettings", "PostgresSettings", "PublishSettings"} <= names
    assert {"RunSettings", "ApplySettings", "LocalSettings", "TrackerSettings"} <= names
    assert "ExternalServerSettings" in names


@pytest.mark.parametrize(("name", "field"), fields())
def test_every_setting_has_limits(name: str, field: FieldInfo) -> None:
    """A number has a range and a unit in its name, a text has a maximum length; other types need no limit."""
    types = types_of(field)
    if types & {int, float, str}:
        assert is_limited(field)
    else:
        without_limits = {bool, Path, Literal, AnyHttpUrl}
        assert all(type_ in without_limits or issubclass(type_, BaseModel) for type_ in types)
    if types & {int, float}:
        assert name.endswith(UNITS)


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_settings_are_frozen_and_unknown_names_are_errors(model: type[BaseModel]) -> None:
    """Unknown names are errors only outside the environment, which has variables of other programs too."""
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
def test_times_that_contradict_each_other_are_errors(name: str, value: float) -> None:
    """The times of one iteration must fit into the time between two polls."""
    others = {"max_poll_interval_ms": 60_000} if name == "session_timeout_ms" else {}
    with pytest.raises(ValueError, match="must be below"):
        PipelineSettings.model_validate({name: value, **others})
