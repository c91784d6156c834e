"""Readings in Hepburn capitals as on a passport.

Source: the Hepburn spelling that the Ministry of Foreign Affairs prescribes for passports
(ヘボン式ローマ字綴方, ordinance of the Passport Act):

- ン is M before B, M and P; it has no apostrophe before a vowel.
- ッ doubles the consonant, and is T before CH.
- Of the long vowels オオ, オウ and ウウ one letter is written; ー is not.
- But an オ that ends the surname or the given name stays (横尾 ヨコオ YOKOO, 稲生 イノオ INOO).
- Other vowels stand side by side (ニイガタ NIIGATA).
"""

from __future__ import annotations

import re
from functools import cache

from infra.verification.reference.boundaries import BOUNDARIES

_ROWS = {
    "": "アイウエオ",
    "K": "カキクケコ", "S": "サ_スセソ", "T": "タ__テト", "N": "ナニヌネノ", "H": "ハヒ_ヘホ",
    "M": "マミムメモ", "Y": "ヤ_ユ_ヨ", "R": "ラリルレロ", "W": "ワ____", "G": "ガギグゲゴ", "Z": "ザ_ズゼゾ",
    "D": "ダ__デド", "B": "バビブベボ", "P": "パピプペポ",
}  # fmt: skip
_SINGLE = {
    **{
        kana: consonant + vowel
        for consonant, row in _ROWS.items()
        for kana, vowel in zip(row, "AIUEO", strict=True)
        if kana != "_"
    },
    "シ": "SHI", "チ": "CHI", "ツ": "TSU", "フ": "FU", "ジ": "JI", "ヂ": "JI", "ヅ": "ZU",
    "ヰ": "I", "ヱ": "E", "ヲ": "O", "ヴ": "BU", "ヷ": "BA", "ヸ": "BI", "ヹ": "BE", "ヺ": "BO", "ー": "",
    "ァ": "A", "ィ": "I", "ゥ": "U", "ェ": "E", "ォ": "O", "ャ": "YA", "ュ": "YU", "ョ": "YO", "ヮ": "WA",
    "ヵ": "KA", "ヶ": "KE",
}  # fmt: skip
_GLIDE = {
    **{kana: _SINGLE[kana][0] + "Y" for kana in "キニヒミリギビピ"},
    "シ": "SH", "チ": "CH", "ジ": "J", "ヂ": "J",
}  # fmt: skip
_DOUBLED = {
    kana + small: glide + vowel
    for kana, glide in _GLIDE.items()
    for small, vowel in zip("ャュョ", "AUO", strict=True)
}
_SYLLABLE = re.compile("|".join((*_DOUBLED, "[ァ-ヺー]")))


@cache
def romanised(reading: str) -> str:
    """Surname and given name in katakana, parted by U+3000, as capitals parted by a space."""
    return " ".join(_part(part) for part in reading.split("\u3000"))


def _part(part: str) -> str:
    """One name. At a boundary between its words two vowels never melt into a long one."""
    pieces = BOUNDARIES.get(part, part).split("・")
    latin = [_word(piece, last=index == len(pieces) - 1) for index, piece in enumerate(pieces)]
    return _nasals("".join(latin))


def _word(word: str, *, last: bool) -> str:
    syllables = _SYLLABLE.findall(word)
    letters, lengthens, double = "", "", False
    for index, kana in enumerate(syllables):
        final = last and index == len(syllables) - 1
        if kana in lengthens and not (final and kana == "オ"):
            lengthens = ""
            continue
        if kana == "ッ":
            double = True
            continue
        latin = "n" if kana == "ン" else _DOUBLED.get(kana) or _SINGLE[kana]
        letters += _doubling(latin) + latin if double else latin
        lengthens, double = {"O": "オウ", "U": "ウ"}.get(latin[-1:], ""), False
    return letters


def _doubling(latin: str) -> str:
    if latin.startswith("CH"):
        return "T"
    return "" if latin[:1] in "AIUEOn" else latin[0]


def _nasals(letters: str) -> str:
    """ン, kept as a small n until its follower is known."""
    return re.sub("n+(?=[BMP])", lambda found: "M" * len(found[0]), letters).replace("n", "N")
