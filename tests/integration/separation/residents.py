"""What the files of a city say of its residents: everything that no log, metric or error may show."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Names of a fact in the files of each kind.
NAMES = ("氏名", "name")
KANA = ("氏名カナ", "kana", "holder_kana")
CODES = ("住民票コード", "code")
ADDRESSES = ("住所", "address")
BIRTH_DATES = ("生年月日", "birth_date")
NUMBERS = ("number",)


@dataclass(frozen=True)
class Residents:
    """Every value of each kind in the whole city; `kana_by_code` tells whose readings changed."""

    names: frozenset[str]
    kana: frozenset[str]
    codes: frozenset[str]
    addresses: frozenset[str]
    accounts: frozenset[str]
    kana_by_code: Mapping[str, frozenset[str]]

    def steady(self) -> list[str]:
        """Readings that one resident alone has, and has had all along; in a stable order."""
        owners: dict[str, set[str]] = defaultdict(set)
        for code, readings in self.kana_by_code.items():
            for reading in readings:
                owners[reading].add(code)
        alone = (kana for kana, codes in owners.items() if len(codes) == 1)
        return sorted(kana for kana in alone if all(len(self.kana_by_code[c]) == 1 for c in owners[kana]))


def residents_of(folder: Path) -> Residents:
    """Read from the files as they stand."""
    found = [fact for path in sorted(folder.iterdir()) for fact in _facts(path)]
    kana: dict[str, set[str]] = defaultdict(set)
    for fact in found:
        code, reading = _of(fact, CODES), _of(fact, KANA)
        if code and reading and "holder_kana" not in fact:
            kana[code].add(reading)
    return Residents(
        _all(found, NAMES),
        _all(found, KANA),
        _all(found, CODES),
        _all(found, ADDRESSES),
        _all([fact for fact in found if "holder_kana" in fact], NUMBERS),
        {code: frozenset(readings) for code, readings in kana.items()},
    )


def text_of(path: Path) -> str:
    """A register's file in whichever encoding it has."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp932")


def _facts(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.suffix == ".csv":
        yield from csv.DictReader(io.StringIO(text_of(path)))
    elif path.suffix == ".jsonl":
        for line in text_of(path).splitlines():
            yield from _records(json.loads(line))


def _records(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from _records(part)
    elif isinstance(value, list):
        for part in value:
            yield from _records(part)


def _of(fact: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((str(fact[name]) for name in names if fact.get(name)), "")


def _all(facts: list[Mapping[str, Any]], names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(str(fact[name]) for fact in facts for name in names if fact.get(name)) - {"国外"}
