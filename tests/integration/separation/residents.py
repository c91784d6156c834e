"""The personal data in the files of a city, none of which a log, metric or error message may show."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.register_files import csv_rows, json_lines

#: The field names of each kind of value, in all file formats.
NAMES = ("氏名", "name")
KANA = ("氏名カナ", "kana", "holder_kana")
CODES = ("住民票コード", "code")
ADDRESSES = ("住所", "address")
BIRTH_DATES = ("生年月日", "birth_date")
NUMBERS = ("number",)


@dataclass(frozen=True)
class Residents:
    """Every value of each kind in the whole city, and the readings of each resident record code."""

    names: frozenset[str]
    kana: frozenset[str]
    codes: frozenset[str]
    addresses: frozenset[str]
    accounts: frozenset[str]
    kana_by_code: Mapping[str, frozenset[str]]

    def steady(self) -> list[str]:
        """Return readings that exactly one resident has, and has had from the start; sorted."""
        owners: dict[str, set[str]] = defaultdict(set)
        for code, readings in self.kana_by_code.items():
            for reading in readings:
                owners[reading].add(code)
        unique = (kana for kana, codes in owners.items() if len(codes) == 1)
        return sorted(kana for kana in unique if all(len(self.kana_by_code[c]) == 1 for c in owners[kana]))


def residents_of(folder: Path) -> Residents:
    """Read the residents from the files of a city."""
    facts = [fact for path in sorted(folder.iterdir()) for fact in _facts(path)]
    kana: dict[str, set[str]] = defaultdict(set)
    for fact in facts:
        code, reading = _first_value(fact, CODES), _first_value(fact, KANA)
        if code and reading and "holder_kana" not in fact:
            kana[code].add(reading)
    return Residents(
        _values(facts, NAMES),
        _values(facts, KANA),
        _values(facts, CODES),
        _values(facts, ADDRESSES),
        _values([fact for fact in facts if "holder_kana" in fact], NUMBERS),
        {code: frozenset(readings) for code, readings in kana.items()},
    )


def _facts(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.suffix == ".csv":
        yield from (row for _, row in csv_rows(path))
    elif path.suffix == ".jsonl":
        for _, text in json_lines(path):
            yield from _records(json.loads(text))


def _records(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from _records(part)
    elif isinstance(value, list):
        for part in value:
            yield from _records(part)


def _first_value(fact: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((str(fact[name]) for name in names if fact.get(name)), "")


def _values(facts: list[Mapping[str, Any]], names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(str(fact[name]) for fact in facts for name in names if fact.get(name)) - {"国外"}
