"""What a text is counted in: words, or characters where a script puts no spaces between words."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence

from keras_practical.text.normalization import normalize_text

__all__ = ["LONGEST", "UNITS", "features_of", "unit_of", "units_of"]

UNITS = ("auto", "words", "characters")
# Blocks of the scripts that are written without spaces between words.
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0x2E80, 0x2FDF),  # Radicals
    (0x3005, 0x3007),
    (0x3021, 0x312F),  # Hiragana, Katakana, Bopomofo
    (0x31A0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xA000, 0xA4CF),  # Yi
    (0xA980, 0xA9FF),  # Javanese
    (0xAA60, 0xAADF),  # Tai Viet
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9D),  # Narrow Katakana
    (0x1B000, 0x1B16F),
    (0x20000, 0x323AF),
)
# Letters, marks and letter-like numbers; digits are written as everywhere.
_LETTERS = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nl"}
_JOINERS = "\u200c\u200d"
# What stands inside words: the Catalan dot, Hebrew geresh and gershayim.
_INSIDE = "\u00b7\u05f3\u05f4"
# They set the next letter below the one before.
_STACKERS = "\u17d2\u1039\u1a60\u1b44\ua9c0"
# Space between words that is written as a sign: in Tibetan and Ethiopic.
_WRITTEN_SPACES = "\u0f0b\u0f0c\u1361"
# Sequences of so many characters tell words apart.
LONGEST = 3


def units_of(text: str, *, unit: str = "auto") -> tuple[str, ...]:
    """Cut a text into words, or into characters where its script has no spaces between words.

    A character is what a reader takes for one: a letter with its vowel signs and accents, an emoji
    with what is joined to it.

    Args:
        text: Any text.
        unit: `"auto"`: characters in the scripts of China, Japan, Thailand, Laos, Cambodia,
            Myanmar and others without spaces, words between spaces in all others, in one text too.
            `"words"` or `"characters"`: everywhere.

    Returns:
        The units in order, with the space before them if there is one, each with its punctuation
        in words; joined, they are the text.

    Example:

    >>> units_of("我用Python 3, daily.")
    ('我', '用', 'Python', ' 3,', ' daily.')
    """
    patterns = _patterns()
    text = normalize_text(text, form="NFC")
    if unit == "characters":
        return tuple(patterns.spaced_character.findall(text))
    if unit == "words":
        return tuple(re.findall(r"\s*\S+", text))
    found: list[str] = []
    for word in re.findall(rf"\s*[^\s{_WRITTEN_SPACES}]+[{_WRITTEN_SPACES}]*|\s*\S", text):
        found += patterns.part.findall(word) if patterns.unspaced.search(word) else [word]
    return tuple(found)


def features_of(text: str, *, unit: str = "auto") -> list[str]:
    """Return what a text is counted by: its words in lower case, or its short runs of characters.

    Punctuation parts words and takes no part, except with `"characters"`; signs and emoji count.

    Args:
        text: Any text.
        unit: As in `units_of`.

    Returns:
        Each as often as it occurs. Words; of characters, all runs of one to three.

    Example:

    >>> features_of("Rain, rain: 下雨 हिन्दी")
    ['rain', 'rain', '下', '雨', '下雨', 'हिन्दी']
    """
    patterns = _patterns()
    text = normalize_text(text, lowercase=True)
    if unit == "characters":
        return _runs(patterns.character.findall(text))
    if unit == "words" or not patterns.unspaced.search(text):
        return patterns.any_word.findall(text)
    found: list[str] = []
    for run in patterns.token.findall(text):
        unspaced = patterns.unspaced.match(run)
        found += _runs(patterns.character.findall(run)) if unspaced else [run]
    return found


def unit_of(texts: Sequence[str], *, unit: str = "auto") -> str:
    """Say what texts are counted in: `"words"`, `"characters"` or `"words and characters"`.

    Args:
        texts: Texts.
        unit: As in `units_of`.

    Returns:
        The unit's name.

    Example:

    >>> unit_of(["two words"]), unit_of(["下雨"]), unit_of(["rain", "下雨"])
    ('words', 'characters', 'words and characters')
    """
    if unit != "auto":
        return unit
    patterns = _patterns()
    plain = [normalize_text(text) for text in texts]
    characters = any(patterns.unspaced.search(text) for text in plain)
    if not characters:
        return "words"
    return "words and " * any(patterns.word.search(text) for text in plain) + "characters"


def _runs(characters: Sequence[str]) -> list[str]:
    return [
        "".join(characters[start : start + length])
        for length in range(1, LONGEST + 1)
        for start in range(len(characters) - length + 1)
    ]


class _Patterns:
    r"""Regular expressions for words and characters of all scripts.

    Python's `\w` knows neither vowel signs nor emoji, so that their code points are listed.
    """

    def __init__(self) -> None:
        points = [*range(0x80, 0x20000), *range(0xE0100, 0xE01F0)]
        kinds = {point: unicodedata.category(chr(point)) for point in points}
        marks = _ranges([p for p, kind in kinds.items() if kind[0] == "M"])
        signs = _ranges([p for p, kind in kinds.items() if kind[0] == "S"])
        letters = _ranges(
            [
                point
                for first, last in _UNSPACED
                for point in range(first, last + 1)
                if point >= 0x20000 or kinds[point] in _LETTERS
            ]
        )
        follows = (
            rf"(?:[{marks}{_JOINERS}\uff9e\uff9f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]"
            rf"|(?<=\u200d)[{signs}]|(?<=[{_STACKERS}])[{letters}])*"
        )
        character = rf"(?:[\U0001f1e6-\U0001f1ff]{{2}}|(?s:.)){follows}"
        inner = rf"[^\W_]|[{marks}{_JOINERS}{_INSIDE}]"
        # Lookaheads, because a set can't be taken from another.
        spaced_word = rf"(?:(?![{letters}])(?:[^\W_]|[{marks}]))(?:(?![{letters}])(?:{inner}))*"
        sign = rf"(?:[\U0001f1e6-\U0001f1ff]{{2}}|[{signs}]){follows}"
        run = rf"(?:[{letters}][{marks}{_JOINERS}]*)+"
        self.character = re.compile(character)
        self.spaced_character = re.compile(rf"\s*(?!\s){character}")
        self.unspaced = re.compile(rf"[{letters}]")
        self.any_word = re.compile(rf"(?:[^\W_]|[{marks}])(?:{inner})*|{sign}")
        self.word = re.compile(spaced_word)
        self.token = re.compile(rf"{run}|{spaced_word}|{sign}")
        # Of a word with such letters: each of them, other words in it, and what is between.
        self.part = re.compile(rf"\s*(?:[{letters}]{follows}|{spaced_word}|{character})")


def _ranges(points: Sequence[int]) -> str:
    """Return code points, sorted, as the inside of a set in a regular expression."""
    parts: list[list[int]] = []
    for point in points:
        if parts and parts[-1][1] == point - 1:
            parts[-1][1] = point
        else:
            parts.append([point, point])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in parts)


@functools.cache
def _patterns() -> _Patterns:
    return _Patterns()
