"""Hidden characters: they control a terminal, change the direction of text, or can't be seen.

They let one text look like another, or act on whoever reads it. Names that come from outside must not have them, and
no output shows them as they are (`infra.printing`).
"""

from __future__ import annotations

import re
from typing import Final

#: First and last code point of each range: Unicode's categories Cc, Cf, Cs, Zl and Zp, and its other invisible
#: characters (Default_Ignorable_Code_Point). Variation selectors (U+FE00 to U+FE0F, U+E0100 to U+E01EF) are not among
#: them, because they select the form of a kanji in a name.
HIDDEN_RANGES: Final = (
    (0x00, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x600, 0x605), (0x61C, 0x61C), (0x6DD, 0x6DD),
    (0x70F, 0x70F), (0x890, 0x891), (0x8E2, 0x8E2), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xD800, 0xDFFF), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x110BD, 0x110BD), (0x110CD, 0x110CD), (0x13430, 0x1343F),
    (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE00FF), (0xE01F0, 0xE0FFF),
)  # fmt: skip

#: The same as the content of a character class of RE2, which knows no surrogates.
HIDDEN_RE2: Final = "".join(
    rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in HIDDEN_RANGES if first != 0xD800
)

#: One hidden character.
HIDDEN: Final = re.compile("[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in HIDDEN_RANGES) + "]")
