"""Digests of declarations: what must be published again when they change."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Final

from schemas.systems import DOMAINS, SYSTEMS

_DIGEST_BYTES: Final = 12

#: Name of the digest of all rules by which domains have rows of persons.
RULES: Final = "rules"


def history_of_rows(domain: str) -> str:
    """Return the name of the digest of what the history of a domain's rows of persons follows from."""
    return f"history/{domain}"


@cache
def declaration_digests() -> Mapping[str, str]:
    """Return the digests of the rules of persons' rows, of their histories, and of each entity with its readings."""
    by_domain = {domain.id: {**_plain(domain), "reads": None} for domain in DOMAINS.values()}
    digests = {RULES: _digest(by_domain)}
    for domain in DOMAINS.values():
        if domain.has_history:
            digests[history_of_rows(domain.id)] = _digest(by_domain[domain.id])
    for system in SYSTEMS.values():
        for entity in (*system.owns, *system.derives):
            readings = [
                [domain.id, _plain(reads)]
                for domain in DOMAINS.values()
                for reads in domain.reads
                if reads.entity.id == entity.id
            ]
            digests[entity.id] = _digest([_plain(entity), readings])
    return MappingProxyType(digests)


def digest_of_all() -> str:
    """Return one digest of everything in `declaration_digests`."""
    return _digest(dict(declaration_digests()))


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def _is_default(value: Any, field: Field[Any]) -> bool:
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return default is not MISSING and getattr(value, field.name) == default


def _plain(value: Any) -> Any:
    """Return a declaration as JSON, equal for equal declarations in every process.

    What a declaration doesn't say isn't in it: a word that a release adds changes only what uses it.
    """
    if is_dataclass(value) and not isinstance(value, type):
        given = {
            field.name: getattr(value, field.name) for field in fields(value) if not _is_default(value, field)
        }
        content = {name: _plain(item) for name, item in given.items()}
        return {"type": type(value).__name__, **content}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, Set):
        return sorted(map(_plain, value))
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
