"""The entities that the mesh makes of the registers' notices, for readings: nobody submits events of them.

The values are those of the confirmed registration. A domain that has rows of persons by rules (`Domain.rules`) needs
neither.
"""

from __future__ import annotations

from typing import Final

from schemas.declare.entities import PART, Entity
from schemas.declare.entity_fields import EntityField, day, text

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
