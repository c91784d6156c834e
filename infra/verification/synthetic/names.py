"""Names of synthetic residents: surnames and given names with their readings."""

from __future__ import annotations

import random

_SURNAMES = """
佐藤/サトウ 鈴木/スズキ 髙橋/タカハシ 田中/タナカ 伊藤/イトウ 渡邉/ワタナベ 山本/ヤマモト 中村/ナカムラ
小林/コバヤシ 加藤/カトウ 𠮷田/ヨシダ 山﨑/ヤマザキ 松浦/マツウラ 井上/イノウエ 大野/オオノ 河野/コウノ
越中/エッチュウ 本間/ホンマ 神保/ジンボ 難波/ナンバ 八田/ハッタ 服部/ハットリ 長谷川/ハセガワ 小野寺/オノデラ
新垣/アラカキ 比嘉/ヒガ 新庄/シンジョウ 葛󠄀西/カサイ 辻󠄀/ツジ 三浦/ミウラ 遠藤/エンドウ 近藤/コンドウ
大内/オオウチ 柳/ヤナギ 竜王/リュウオウ 日向/ヒュウガ 丹波/タンバ 金城/キンジョウ 堀江/ホリエ 東海林/ショウジ
一戸/イチノヘ 阿部/アベ 馬場/ババ 八丁/ハッチョウ 吉川/キッカワ 榊/サカキ
"""
_MEN = """
太郎/タロウ 健一/ケンイチ 純一/ジュンイチ 悠真/ユウマ 蓮/レン 翔/ショウ 信/マコト 徹/トオル 薫/カオル
新平/シンペイ 隆一/リュウイチ 悟/サトル 大輔/ダイスケ 修/オサム 一朗/イチロウ 湊/ミナト 樹/イツキ
"""
_WOMEN = """
花子/ハナコ 陽葵/ヒマリ 結衣/ユイ 京子/キョウコ 凛/リン さくら/サクラ 千代/チヨ 裕子/ユウコ 洋子/ヨウコ
詩/ウタ 楓/カエデ 紬/ツムギ 美緒/ミオ 順子/ジュンコ 香/カオリ 優/ユウ 遥/ハルカ
"""
#: Kanji and reading.
Name = tuple[str, str]


def _pairs(text: str) -> tuple[Name, ...]:
    split = (pair.partition("/") for pair in text.split())
    return tuple((kanji, kana) for kanji, _, kana in split)


#: Common names, names that are hard to romanize, and names with variant characters (IVS, 𠮷, 﨑).
SURNAMES = _pairs(_SURNAMES)
GIVEN = {"男": _pairs(_MEN), "女": _pairs(_WOMEN)}
_PLAIN_SURNAMES = tuple(pair for pair in SURNAMES if pair[0] not in ("𠮷田", "葛󠄀西", "辻󠄀"))


def pick_surname(rng: random.Random, *, plain: bool) -> Name:
    """Return a random surname; `plain`: one that can be encoded in CP932."""
    return rng.choice(_PLAIN_SURNAMES if plain else SURNAMES)


def full_name(family: Name, rng: random.Random, sex: str) -> Name:
    """Return a random full name of a person of the family, surname and given name separated by U+3000."""
    kanji, kana = rng.choice(GIVEN[sex])
    return f"{family[0]}\u3000{kanji}", f"{family[1]}\u3000{kana}"


def fits_cp932(text: str) -> bool:
    """Return whether `text` can be encoded in CP932."""
    try:
        text.encode("cp932")
    except UnicodeEncodeError:
        return False
    return True
