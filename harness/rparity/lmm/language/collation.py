"""The order of text: R's default session sorts like a dictionary, `LC_COLLATE=C` by code point.

R compares text with ICU, whose order for English and most other languages is the root collation of
Unicode. This is that order for Latin letters, digits and ASCII's punctuation: first punctuation,
then symbols, digits and letters; accents count only between texts that are equal without them, and
case only after that, small letters first. Characters of other scripts follow in the order of their
code points, and are not in ICU's order where that is another.

Source: Unicode Technical Standard 10 and the root collation of CLDR.
"""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, TypeAlias

Collate: TypeAlias = Literal["en_US", "C"]

_ASCII = "\t\n\v\f\r _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz"
_PRIMARY = {character: float(i) for i, character in enumerate(_ASCII)}
# Letters between two others, and letters that are others with a mark.
_PRIMARY |= {"ð": _PRIMARY["d"] + 0.5, "ı": _PRIMARY["i"] + 0.5, "þ": _PRIMARY["z"] + 0.5}
_MARKED = {"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "æ": "ae", "œ": "oe", "ß": "ss"}

Key: TypeAlias = tuple[tuple[float, ...], tuple[int, ...], tuple[bool, ...]]


@lru_cache(maxsize=4096)
def _key(text: str) -> Key:
    primary: list[float] = []
    marks: list[int] = []
    capital: list[bool] = []
    for character in unicodedata.normalize("NFD", text):
        small = character.lower()
        if unicodedata.combining(character):
            marks[-1:] = [marks[-1] * 0x110000 + ord(character)] if marks else []
            continue
        for letter in _MARKED.get(small, small):
            primary.append(_PRIMARY.get(letter, 1000.0 + ord(letter)))
            marks.append(int(small in _MARKED))
            capital.append(character != small)
    return tuple(primary), tuple(marks), tuple(capital)


def sorted_levels(levels: Iterable[str], collate: Collate) -> list[str]:
    """Sort texts as R's `sort()` does in the locale `collate`."""
    return sorted(levels, key=_key) if collate == "en_US" else sorted(levels)
