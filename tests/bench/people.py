"""Invented residents as columns: any number of different people, in households of two."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

import pyarrow as pa

from infra.verification.synthetic.names import full_name, pick_surname
from tests.bench.cluster import MUNICIPALITIES

#: Number of different names: more than a batch has records, as in a city.
DISTINCT_NAMES: Final = 20_000
_BORN: Final = date(1930, 1, 1)
_STREETS: Final = ("高田馬場", "西早稲田", "大久保", "四谷", "若葉", "北新宿", "中落合", "上落合")


def all_readings(seed: int = 1) -> set[str]:
    """Return all readings of `invented_residents` with this seed."""
    rng = random.Random(seed)  # noqa: S311 (invented residents, nothing secret)
    return {kana for _, _, kana in (_random_name(rng) for _ in range(DISTINCT_NAMES))}


def invented_residents(
    count: int, seed: int = 1, first: int = 0, municipalities: Sequence[str] = MUNICIPALITIES
) -> pa.Table:
    """Return columns code, local_number, household, municipality, name, kana, sex, birth_date, relationship, address.

    Households are distributed over the municipalities in turn. Codes count from `first`: tables whose codes don't
    overlap have no person in common.
    """
    rng = random.Random(seed)  # noqa: S311 (invented residents, nothing secret)
    names = [_random_name(rng) for _ in range(DISTINCT_NAMES)]
    people = [names[rng.randrange(DISTINCT_NAMES)] for _ in range(count)]
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
            "birth_date": [_BORN + timedelta(days=rng.randrange(33_000)) for _ in numbers],
            "relationship": [("世帯主", "配偶者")[number % 2] for number in numbers],
            "address": [
                f"東京都新宿区{rng.choice(_STREETS)}{rng.randint(1, 8)}丁目{number // 2 % 5_000}番"
                for number in numbers
            ],
        }
    )


def _random_name(rng: random.Random) -> tuple[str, str, str]:
    """Return sex, name and reading. A random middle part in katakana makes readings as varied as in a city."""
    sex = rng.choice("男女")
    name, kana = full_name(pick_surname(rng, plain=True), rng, sex)
    middle = "".join(rng.choices("アカサタナハマヤラワ", k=3))
    return sex, f"{name}{middle}", f"{kana}{middle}"
