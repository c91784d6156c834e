"""Puts a step together: its processor, its topics, its clients. The only place where that is done."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final

from infra.apply.installation import Installation
from infra.codec import codec
from infra.environment import Environment
from infra.key_file import sealer
from infra.run.settings import RunSettings
from schemas.systems import DOMAINS, SYSTEMS
from schemas.topics import (
    NOTICE,
    PERSON_CHANGE,
    change_topic,
    domain_receipt_topic,
    parse_input_topic,
    topics_of,
)
from streams.kafka_clients import KafkaClients
from streams.pipeline import Pipeline
from streams.sealing import Coding
from streams.step import Step

#: What each step reads; a topic of hand-overs comes into being whenever a municipality is admitted.
INPUTS: Final = {
    "intake": [r"^in\..*"],
    "household": [NOTICE],
    "fan-out": [PERSON_CHANGE],
    "conversion": [
        *(change_topic(domain) for domain in DOMAINS),
        *(domain_receipt_topic(domain) for domain in DOMAINS),
    ],
}
#: Where each processor stands, and whether it is given the keys. Imported by name: a worker loads its own alone.
_PROCESSORS: Final = {
    "intake": ("processors.intake.processor", "IntakeProcessor", True),
    "household": ("processors.household.processor", "HouseholdProcessor", False),
    "fan-out": ("processors.fan_out.processor", "FanOutProcessor", False),
    "conversion": ("processors.conversion.processor", "ConversionProcessor", True),
}


def step(name: str, installation: Installation) -> Step:
    """A step with its processor. KeyFileError where it needs keys that aren't there."""
    module, processor, keyed = _PROCESSORS[name]
    make: Callable[..., Any] = getattr(importlib.import_module(module), processor)
    return Step(name, INPUTS[name], schema_of(), make(_keys(installation)) if keyed else make())


def _keys(installation: Installation) -> Any:
    # What codes are made with takes a while to import: only who makes them does.
    from infra.keys import load_keys  # noqa: PLC0415

    return load_keys(installation.key_file)


def pipeline(
    name: str, slot: int, environment: Environment, installation: Installation, clock: Callable[[], float]
) -> Pipeline:
    """One worker of a step, not yet started."""
    settings = RunSettings().pipeline()
    clients = KafkaClients(environment.kafka(name) | {"log_level": "3"}, name, slot, settings)
    coding = Coding(codec(environment, installation), sealer(installation.key_file))
    return Pipeline(step(name, installation), clients, coding, settings, clock)


def schema_of() -> Callable[[str], str]:
    """Tells the schema of a topic that a step reads."""
    known = {topic.name: topic.schema for topic in topics_of(())}

    def of(topic: str) -> str:
        if topic.startswith("in."):
            return SYSTEMS[parse_input_topic(topic)[0]].publishes or ""
        return known[topic]

    return of
