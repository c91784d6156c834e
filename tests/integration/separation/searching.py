"""Looks for people in whatever was written: as text, escaped, in another encoding, or as base64."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator

_ESCAPED_TEXT = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
#: From the first escaped byte to the end of the text around it: CP932's second bytes may be letters.
_ESCAPED_BYTES = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|[0-3][0-7]{2})(?:\\(?:x[0-9a-fA-F]{2}|[0-3][0-7]{2})|[ -\[\]-~])*"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){6,}")
_FOREIGN = re.compile(r"[^\x00-\x7f](?:[^\n]*[^\x00-\x7f])?")
#: A number of its own: not part of a longer one, nor of a decimal fraction.
_NUMBER = re.compile(r"(?<![0-9])(?<![0-9]\.)[0-9]{7,11}(?![0-9])")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{30,}")


class Searched:
    """Everything of one text that a person could be read from."""

    def __init__(self, content: bytes) -> None:
        text = content.decode("utf-8", "backslashreplace")
        self.plain = text.lower()
        self._numbers = set(_NUMBER.findall(text))
        self._tokens = set(_TOKEN.findall(text))
        hidden = list(_hidden(text))
        self._foreign = "\n".join(found for part in (text, *hidden) for found in _FOREIGN.findall(part))
        self._numbers |= {number for part in hidden for number in _NUMBER.findall(part)}

    def words(self, values: Iterable[str]) -> int:
        """How many of these (names, readings, addresses) stand there; how many, as a test tells no names either."""
        return sum(value in self._foreign for value in values)

    def numbers(self, values: Iterable[str]) -> int:
        """How many of these numbers (codes, accounts) stand there."""
        return len(self._numbers.intersection(values))

    def codes(self, values: Iterable[str]) -> int:
        """How many of the mesh's and domains' own codes."""
        return len(self._tokens.intersection(values))

    def letters(self, values: Iterable[str]) -> int:
        """How many names in Hepburn letters."""
        return sum(value.lower() in self.plain for value in values)


def _hidden(text: str) -> Iterator[str]:
    for found in _ESCAPED_TEXT.findall(text):
        yield found.encode().decode("unicode_escape", "ignore")
    for found in _ESCAPED_BYTES.findall(text):
        yield from _texts(found.encode().decode("unicode_escape").encode("latin-1"))
    for found in set(_HEX.findall(text)):
        yield from _texts(bytes.fromhex(found))
    for found in set(_BASE64.findall(text)):
        try:
            padded = found.rstrip("=") + "=" * (-len(found.rstrip("=")) % 4)
            yield from _texts(base64.urlsafe_b64decode(padded.replace("+", "-").replace("/", "_")))
        except binascii.Error:
            continue


def _texts(content: bytes) -> Iterator[str]:
    yield content.decode("utf-8", "ignore")
    yield content.decode("cp932", "ignore")
