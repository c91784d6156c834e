"""Search for personal data in any output: plain, escaped, in another encoding, or as base64."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator

_ESCAPED_TEXT = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
#: From the first escaped byte to the end of the text around it: the second byte of a CP932 character may be a letter.
_ESCAPED_BYTES = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|[0-3][0-7]{2})(?:\\(?:x[0-9a-fA-F]{2}|[0-3][0-7]{2})|[ -\[\]-~])*"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){6,}")
_FOREIGN = re.compile(r"[^\x00-\x7f](?:[^\n]*[^\x00-\x7f])?")
#: A whole number: not part of a longer one, nor of a decimal fraction.
_NUMBER = re.compile(r"(?<![0-9])(?<![0-9]\.)[0-9]{7,11}(?![0-9])")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{30,}")


class SearchedText:
    """A text, decoded in every way in which a person could be recognized."""

    def __init__(self, content: bytes) -> None:
        text = content.decode("utf-8", "backslashreplace")
        self.plain = text.lower()
        self._numbers = set(_NUMBER.findall(text))
        self._tokens = set(_TOKEN.findall(text))
        decoded = list(_decoded(text))
        self._foreign = "\n".join(match for part in (text, *decoded) for match in _FOREIGN.findall(part))
        self._numbers |= {number for part in decoded for number in _NUMBER.findall(part)}

    def words(self, values: Iterable[str]) -> int:
        """Return how many of these names, readings and addresses occur; a test must not print them either."""
        return sum(value in self._foreign for value in values)

    def numbers(self, values: Iterable[str]) -> int:
        """Return how many of these numbers (resident record codes, accounts) occur."""
        return len(self._numbers.intersection(values))

    def codes(self, values: Iterable[str]) -> int:
        """Return how many of these mesh codes and domain codes occur."""
        return len(self._tokens.intersection(values))

    def letters(self, values: Iterable[str]) -> int:
        """Return how many of these names in Hepburn romanization occur."""
        return sum(value.lower() in self.plain for value in values)


def _decoded(text: str) -> Iterator[str]:
    for match in _ESCAPED_TEXT.findall(text):
        yield match.encode().decode("unicode_escape", "ignore")
    for match in _ESCAPED_BYTES.findall(text):
        yield from _texts(match.encode().decode("unicode_escape").encode("latin-1"))
    for match in set(_HEX.findall(text)):
        yield from _texts(bytes.fromhex(match))
    for match in set(_BASE64.findall(text)):
        try:
            padded = match.rstrip("=") + "=" * (-len(match.rstrip("=")) % 4)
            yield from _texts(base64.urlsafe_b64decode(padded.replace("+", "-").replace("/", "_")))
        except binascii.Error:
            continue


def _texts(content: bytes) -> Iterator[str]:
    yield content.decode("utf-8", "ignore")
    yield content.decode("cp932", "ignore")
