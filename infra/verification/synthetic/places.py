"""Municipalities of synthetic residents.

Codes are those of JIS X 0402 with check digit; wards of designated cities have their own. Towns are real places, block
and house numbers are random.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SyntheticMunicipality:
    """One municipality: its code, its name as at the beginning of an address, and some of its towns."""

    code: str
    name: str
    towns: tuple[str, ...]


_TABLE = """
131041 東京都新宿区 四谷 西新宿 高田馬場 市谷八幡町
131130 東京都渋谷区 神宮前 恵比寿 道玄坂 代々木
141097 神奈川県横浜市港北区 日吉 大倉山 新横浜 菊名
473812 沖縄県八重山郡竹富町 竹富 小浜 黒島 上原
012033 北海道小樽市 花園 色内 稲穂 緑
271276 大阪府大阪市北区 梅田 天満 中津 本庄東
011011 北海道札幌市中央区 大通西 南一条西 円山西町 宮の森
401323 福岡県福岡市博多区 博多駅前 中洲 吉塚 千代
231011 愛知県名古屋市千種区 今池 覚王山通 池下 本山町
261033 京都府京都市左京区 下鴨松ノ木町 岡崎東福ノ川町 一乗寺西閉川原町 吉田神楽岡町
041017 宮城県仙台市青葉区 一番町 国分町 上杉 八幡
341011 広島県広島市中区 本通 幟町 白島北町 吉島西
152021 新潟県長岡市 城内町 大手通 千手 宮内
172014 石川県金沢市 片町 本多町 石引 寺町
372013 香川県高松市 番町 瓦町 栗林町 屋島西町
422011 長崎県長崎市 出島町 丸山町 稲佐町 浦上町
462012 鹿児島県鹿児島市 天文館通 加治屋町 城山 鴨池
202011 長野県長野市 善光寺下 吉田 篠ノ井 松代町松代
322016 島根県松江市 殿町 末次本町 西川津町 雑賀町
052019 秋田県秋田市 大町 中通 手形 土崎港中央
"""

MUNICIPALITIES: tuple[SyntheticMunicipality, ...] = tuple(
    SyntheticMunicipality(code, name, tuple(towns))
    for code, name, *towns in (line.split() for line in _TABLE.strip().splitlines())
)
RESIDENTS_PER_MUNICIPALITY = 2500
MUNICIPALITIES_MIN = 5


def municipalities_for(residents: int) -> tuple[SyntheticMunicipality, ...]:
    """Return one municipality per 2500 residents, at least 5 and at most all of the table."""
    return MUNICIPALITIES[
        : max(MUNICIPALITIES_MIN, min(len(MUNICIPALITIES), residents // RESIDENTS_PER_MUNICIPALITY))
    ]
