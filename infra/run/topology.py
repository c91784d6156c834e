"""Combines each step's processor, topics and clients. The only module that does."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final

from infra.apply.applied_declarations import applied_number
from infra.apply.installation import Installation
from infra.coding import coding
from infra.environment import Environment
from infra.errors import KeyFileError, OperatorError
from infra.key_file import DEAD_LETTER_KEYS, HIGH_LEVEL_KEYS, high_sealer, sink_keys, sink_sealers
from infra.key_fingerprints import not_configured, require_keys_of_worker
from infra.run.settings import RunSettings
from schemas.systems import DOMAINS, SYSTEMS
from schemas.topics import (
    NOTICE,
    PERSON_CHANGE,
    PROTECTION,
    change_topic,
    domain_receipt_topic,
    parse_input_topic,
    topics_of,
)
from streams.kafka_clients import KafkaClients
from streams.pipeline import Pipeline
from streams.step import Step

#: Topics that each step reads. Intake subscribes to patterns, because each admitted municipality adds input topics. It
#: does not read a system's topic before it knows that system: `mesh apply` may create it while an older worker runs.
INPUTS: Final = {
    "intake": [
        rf"^in\.{system.id}\." if system.municipal else rf"^in\.{system.id}$"
        for system in SYSTEMS.values()
        if system.publishes
    ],
    "household": [NOTICE],
    "fan-out": [PERSON_CHANGE],
    "conversion": [
        *(change_topic(domain) for domain in DOMAINS),
        *(domain_receipt_topic(domain.id) for domain in DOMAINS.values() if domain.has_receipts),
        PROTECTION,
    ],
}


#: The domains of the high level, by their ids.
HIGH_DOMAINS: Final = tuple(domain.id for domain in DOMAINS.values() if domain.is_high)


def _intake_keys(installation: Installation) -> Any:
    return _ring(installation, "intake")


def _conversion_keys(installation: Installation) -> Any:
    return _ring(installation, "conversion")


def _ring(installation: Installation, step: str) -> Any:
    from infra.keys import load_keys  # noqa: PLC0415

    return load_keys(installation.key_file, _code_key_names(step))


def _code_key_names(step: str) -> tuple[str, ...]:
    """Return the names of the keys by which a step computes codes and digests."""
    # The cryptography modules take long to import, so only steps that compute codes import them.
    from processors.codes import DIGEST, MESH  # noqa: PLC0415

    return (MESH, DIGEST) if step == "intake" else tuple(DOMAINS)


def _high_sealer(installation: Installation) -> Any:
    return high_sealer(installation.key_file)


def _sink_sealers(installation: Installation) -> Any:
    return sink_sealers(installation.key_file, HIGH_DOMAINS)


#: Module and class of each processor, and its arguments, which are read from the installation. A worker imports only
#: its own processor.
_PROCESSORS: Final[dict[str, tuple[str, str, dict[str, Callable[[Installation], Any]]]]] = {
    "intake": (
        "processors.intake.processor",
        "IntakeProcessor",
        {"keys": _intake_keys, "sealer": _high_sealer},
    ),
    "household": ("processors.household.processor", "HouseholdProcessor", {}),
    "fan-out": (
        "processors.fan_out.processor",
        "FanOutProcessor",
        {"declarations": applied_number, "sealer": _high_sealer},
    ),
    "conversion": (
        "processors.conversion.processor",
        "ConversionProcessor",
        {"keys": _conversion_keys, "sealer": _high_sealer, "sink_sealers": _sink_sealers},
    ),
}


def build_step(name: str, installation: Installation) -> Step:
    """Return a step with its processor. Raise KeyFileError where it needs keys that are missing."""
    module, processor, needs = _PROCESSORS[name]
    create: Callable[..., Any] = getattr(importlib.import_module(module), processor)
    return Step(
        name, INPUTS[name], schema_of(), create(**{name: need(installation) for name, need in needs.items()})
    )


def key_names(name: str) -> tuple[str, ...]:
    """Return the names of the keys that a step uses: those that it is given, and no others. Each seals dead letters."""
    needs = _PROCESSORS[name][2]
    names = [DEAD_LETTER_KEYS]
    names += [HIGH_LEVEL_KEYS] if "sealer" in needs else []
    names += [sink_keys(domain) for domain in HIGH_DOMAINS] if "sink_sealers" in needs else []
    return (*names, *(_code_key_names(name) if "keys" in needs else ()))


def build_pipeline(
    name: str, slot: int, environment: Environment, installation: Installation, clock: Callable[[], float]
) -> Pipeline:
    """Return the pipeline of a step's worker, not yet started."""
    settings = RunSettings().pipeline()
    clients = KafkaClients(environment.kafka(name) | {"log_level": "3"}, name, slot, settings)
    return Pipeline(
        build_step(name, installation), clients, coding(environment, installation), settings, clock
    )


def build_checked_pipeline(
    name: str, slot: int, environment: Environment, installation: Installation, clock: Callable[[], float]
) -> Pipeline:
    """Return `build_pipeline`, after the check that the key file has the keys that the installation uses.

    Raise NotConfiguredError where it has others, or a file that `mesh apply` writes is missing.
    """
    try:
        require_keys_of_worker(environment, installation, name, key_names(name))
        return build_pipeline(name, slot, environment, installation, clock)
    except (KeyFileError, OperatorError) as error:
        raise not_configured(error) from None


def schema_of() -> Callable[[str], str]:
    """Return a function that returns the schema name of a topic that a step reads."""
    schema_by_topic = {topic.name: topic.schema for topic in topics_of(())}

    def of(topic: str) -> str:
        if topic.startswith("in."):
            return SYSTEMS[parse_input_topic(topic)[0]].publishes or ""
        return schema_by_topic[topic]

    return of
