"""The entities that the mesh makes of notices and account events, for readings: nobody submits events of them.

The values of a resident are those of the confirmed registration. A domain that has rows of persons by rules
(`Domain.rules`) needs neither of these two, and a `paying` domain doesn't need the account.
"""

from __future__ import annotations

from typing import Final

from schemas.declare.entities import PART, Entity
from schemas.declare.entity_fields import EntityField, day, digits, text

_FIELDS: Final = (
    text("name", "氏名", 100).optional(),
    text("kana", "氏名カナ", 100).optional(),
    EntityField("roman", "ローマ字氏名", is_optional=True, conversion="roman"),
    day("birth_date", "生年月日").optional(),
    text("sex", "性別", 1).optional(),
    text("address", "住所", 300).optional().location(),
    EntityField("household_code", "世帯の符号", is_optional=True, conversion="household"),
    text("relationship", "続柄", 40).optional(),
)

#: A resident of the country: open until the person dies. Abroad, the address is 国外.
RESIDENT: Final = Entity("resident", "住民", _FIELDS, (), is_derived=True)

#: A resident of one municipality: open as long as the registration there is the confirmed one.
REGISTRATION: Final = Entity("registration", "住民登録", _FIELDS, (), key=(PART,), is_derived=True)

#: The account in force (公金受取口座), or closed with the values that it had; the rules are in docs/accounts.md.
ACCOUNT: Final = Entity(
    "account",
    "公金受取口座",
    (
        text("holder_kana", "口座名義カナ", 100),
        digits("bank", "金融機関コード", 4),
        digits("branch", "店番", 3),
        text("type", "預金種目", 20),
        digits("number", "口座番号", 7),
    ),
    (),
    is_derived=True,
)
