"""Readings (katakana) romanized as on a passport: Hepburn spelling in capital letters.

Source: the Hepburn spelling that the Ministry of Foreign Affairs prescribes for passports
(ヘボン式ローマ字綴方, ordinance of the Passport Act):

- ン is M before B, M and P; it has no apostrophe before a vowel.
- ッ doubles the consonant, and is T before CH.
- The long vowels オオ, オウ and ウウ are written with one letter; ー is not written.
- But an オ at the end of the surname or the given name is written (横尾 ヨコオ YOKOO, 稲生 イノオ INOO).
- All other pairs of vowels are written with both letters (ニイガタ NIIGATA).
"""

from __future__ import annotations

import re
from functools import cache

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
_GLIDES = {
    **{kana: _SINGLE[kana][0] + "Y" for kana in "キニヒミリギビピ"},
    "シ": "SH", "チ": "CH", "ジ": "J", "ヂ": "J",
}  # fmt: skip
_CONTRACTED = {
    kana + small: glide + vowel
    for kana, glide in _GLIDES.items()
    for small, vowel in zip("ャュョ", "AUO", strict=True)
}
_SYLLABLE = re.compile("|".join((*_CONTRACTED, "[ァ-ヺー]")))

#: Readings in which the rule of long vowels doesn't apply, as a word ends between the two vowels (松浦: マツ, ウラ).
_WITH_BOUNDARIES = """
マツ・ウラ カツ・ウラ ミツ・ウラ ツ・ウラ フク・ウラ キク・ウラ ナツ・ウラ タツ・ウラ テツ・ウラ フル・ウラ
クス・ウラ ヤス・ウラ マツ・ウチ マツ・ウエ マツ・ウメ ミツ・ウチ カツ・ウチ ツル・ウチ フル・ウチ
フル・ウミ キク・ウチ マル・ウチ クツ・ウチ タケノ・ウチ ヤマノ・ウチ キノ・ウチ ホリノ・ウチ ミヤノ・ウチ
テラノ・ウチ イケノ・ウチ モリノ・ウチ セキノ・ウチ サカノ・ウチ イノ・ウチ カキノ・ウチ シロノ・ウチ
カワノ・ウチ マキノ・ウチ クボノ・ウチ ニシノ・ウチ ナカノ・ウチ ヒガシノ・ウチ ノ・ウチ ヨコ・ウチ
ソノ・ウチ トノ・ウチ モト・ウチ シモ・ウチ サト・ウチ シロ・ウチ クロ・ウチ ホソ・ウチ トコ・ウチ
ミゾ・ウチ イノ・ウエ ヤマノ・ウエ イケノ・ウエ サカノ・ウエ カワノ・ウエ オノ・ウエ ノ・ウエ ヨコ・ウエ
モト・ウエ キノ・ウエ シモ・ウエ ハタノ・ウエ シオ・ウラ ホソ・ウミ シモ・ウラ ヨコ・ウラ モト・ウラ
ソト・ウラ クロ・ウラ サト・ウラ トコ・ウラ ノ・ウラ ウオ・ウラ イノ・ウラ モト・オカ トモ・オカ トヨ・オカ
トノ・オカ ソト・オカ ソノ・オカ シモ・オカ モト・オリ イソ・オカ ヒロ・オカ クロ・オカ シロ・オカ
ヒロ・ウチ ヒロ・ウミ ヒロ・ウラ トヨ・ウラ トヨ・ウチ シオ・ウチ モモ・ウラ コト・ウミ トモ・ウミ
ヤマノ・ウラ タケノ・ウラ ミノ・ウラ ヤマノ・オカ タケノ・オカ タケノ・ウエ マノ・ウエ マノ・ウチ イソ・ウエ
オク・ウチ オク・ウミ カク・ウチ カツ・ウミ カツ・ウジ クズ・ウミ クロ・ウミ サト・ウミ タツ・ウマ
タツ・ウミ トモ・オミ トヨ・オミ ナオ・オミ ナオ・ウミ ナツ・ウミ ハル・ウミ ヒロ・ウエ ヒロ・オミ
フク・ウチ フユ・ウミ ホソ・オカ マル・ウミ ミツ・ウジ ムツ・ウラ ムロ・オカ モロ・オカ モト・ウジ
モト・オミ ヤス・ウジ ヤス・ウミ ヨコ・オカ ノブ・ウジ コ・ウメ
"""

#: Reading of a name -> the same reading with ・ between its words.
_BOUNDARIES: dict[str, str] = {marked.replace("・", ""): marked for marked in _WITH_BOUNDARIES.split()}


@cache
def romanize(reading: str) -> str:
    """Return a reading in capital letters.

    `reading` is surname and given name in katakana, separated by U+3000. The result separates them by a space.
    """
    return " ".join(_romanize_name(name) for name in reading.split("\u3000"))


def _romanize_name(name: str) -> str:
    """Romanize a surname or a given name; two vowels at a boundary between its words are no long vowel."""
    words = _BOUNDARIES.get(name, name).split("・")
    letters = [_romanize_word(word, last=index == len(words) - 1) for index, word in enumerate(words)]
    return _write_nasals("".join(letters))


def _romanize_word(word: str, *, last: bool) -> str:
    """Romanize a word, with ン as a small n; `last`: it is the name's last word, whose final オ is written."""
    syllables = _SYLLABLE.findall(word)
    letters, lengthening, double = "", "", False
    for index, kana in enumerate(syllables):
        final = last and index == len(syllables) - 1
        if kana in lengthening and not (final and kana == "オ"):
            lengthening = ""
            continue
        if kana == "ッ":
            double = True
            continue
        syllable = "n" if kana == "ン" else _CONTRACTED.get(kana) or _SINGLE[kana]
        letters += _doubled_consonant(syllable) + syllable if double else syllable
        lengthening, double = {"O": "オウ", "U": "ウ"}.get(syllable[-1:], ""), False
    return letters


def _doubled_consonant(syllable: str) -> str:
    if syllable.startswith("CH"):
        return "T"
    return "" if syllable[:1] in "AIUEOn" else syllable[0]


def _write_nasals(letters: str) -> str:
    """Replace each small n (ン) by M before B, M or P, and by N elsewhere."""
    return re.sub("n+(?=[BMP])", lambda match: "M" * len(match[0]), letters).replace("n", "N")
