"""Invented residents, as many as wanted, as columns: all of them different people in households of two."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

import pyarrow as pa

from infra.verification.synthetic.names import full, surname
from tests.bench.cluster import MUNICIPALITIES

#: Distinct names, addresses: more than a batch has, as a city's would be.
NAMES: Final = 20_000
_BORN: Final = date(1930, 1, 1)
_STREETS: Final = ("高田馬場", "西早稲田", "大久保", "四谷", "若葉", "北新宿", "中落合", "上落合")


def readings(seed: int = 1) -> set[str]:
    """Every reading that `residents` of this seed have."""
    chance = random.Random(seed)  # noqa: S311 (invented residents, nothing secret)
    return {kana for _, _, kana in (_named(chance) for _ in range(NAMES))}


def residents(
    count: int, seed: int = 1, first: int = 0, municipalities: Sequence[str] = MUNICIPALITIES
) -> pa.Table:
    """Columns code, local_number, household, municipality, name, kana, sex, birth_date, relationship, address.

    Households are in each of the municipalities in turn. Codes count from `first`: two tables that don't overlap have
    nobody in common.
    """
    chance = random.Random(seed)  # noqa: S311 (invented residents, nothing secret)
    named = [_named(chance) for _ in range(NAMES)]
    people = [named[chance.randrange(NAMES)] for _ in range(count)]
    numbers = range(first, first + count)
    return pa.table(
        {
            "code": [f"6{number:010d}" for number in numbers],
            "local_number": [f"{number:013d}" for number in numbers],
            "household": [f"{number // 2:012d}" for number in numbers],
            "municipality": [municipalities[number // 2 % len(municipalities)] for number in numbers],
            "name": [name for _, name, _ in people],
            "kana": [kana for _, _, kana in people],
            "sex": [sex for sex, _, _ in people],
            "birth_date": [_BORN + timedelta(days=chance.randrange(33_000)) for _ in numbers],
            "relationship": [("世帯主", "配偶者")[number % 2] for number in numbers],
            "address": [
                f"東京都新宿区{chance.choice(_STREETS)}{chance.randint(1, 8)}丁目{number // 2 % 5_000}番"
                for number in numbers
            ],
        }
    )


def _named(chance: random.Random) -> tuple[str, str, str]:
    """Sex, name, reading: readings as distinct as a city's, by a middle part that is read as written."""
    sex = chance.choice("男女")
    name, kana = full(surname(chance, plain=True), chance, sex)
    middle = "".join(chance.choices("アカサタナハマヤラワ", k=3))
    return sex, f"{name}{middle}", f"{kana}{middle}"
