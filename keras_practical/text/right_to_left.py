"""Text of any script in plots and on the terminal, the right way round."""

from __future__ import annotations

import functools
import unicodedata
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.text import Text

__all__ = ["font_for", "is_right_to_left", "isolated", "shown_text"]

_FIRST_ISOLATE, _POP_ISOLATE = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"


def is_right_to_left(text: str) -> bool:
    """Return whether a text's first letter belongs to a script written from right to left.

    Args:
        text: Any text.

    Returns:
        Whether it does; `False` without letters. This is how browsers decide for `dir="auto"`.

    Example:

    >>> is_right_to_left("2016: خبر"), is_right_to_left("news خبر")
    (True, False)

    Reference:
        Unicode Standard Annex 9, *Unicode Bidirectional Algorithm*, rule P2.
    """
    for character in text:
        direction = unicodedata.bidirectional(character)
        if direction in ("L", "R", "AL"):
            return direction != "L"
    return False


def isolated(text: str) -> str:
    """Return `text` between marks that keep its direction from spilling over to its neighbours.

    Use it for words of unknown script inside a line of a report: without it, the number after an
    Urdu word moves to the word's other side. The marks can't be seen.

    Args:
        text: Any text.

    Returns:
        The text between two invisible characters.

    Example:

    >>> [f"U+{ord(character):04X}" for character in isolated("a")]
    ['U+2068', 'U+0061', 'U+2069']

    Reference:
        Unicode Standard Annex 9, section 2.4.
    """
    return f"{_FIRST_ISOLATE}{text}{_POP_ISOLATE}"


def font_for(text: str) -> str | None:
    """Return the name of an installed font that has every letter of `text`.

    Use it where matplotlib would draw boxes. Its own font has Latin, Greek, Cyrillic, Hebrew and
    Arabic, but not all that Urdu needs, and nothing for most of Asia.

    Args:
        text: What is to be drawn.

    Returns:
        The font's family name, matplotlib's own first; `None` if no font has all of them.

    Example:

    >>> font_for("plain text")
    'DejaVu Sans'
    """
    # Letters, marks, numbers, punctuation and symbols, and what is for private use; no spaces.
    drawn = {c for c in text if unicodedata.category(c)[0] in "LMNPS"}
    drawn |= {c for c in text if unicodedata.category(c) == "Co"}
    from matplotlib import font_manager

    # By how many fonts there are, so that one that was added is found.
    return _font_with(frozenset(map(ord, drawn)), len(font_manager.fontManager.ttflist))


def shown_text(label: Text) -> Text:
    """Make a matplotlib text legible whatever its script: a font that has it, and its direction.

    Use it on titles, labels and ticks that hold text from data. matplotlib joins letters and turns
    lines round by itself from version 3.11 on; older ones draw right-to-left text as separate
    letters in the wrong order, of which this warns.

    Args:
        label: The text, such as `ax.set_title("...")`. It is changed in place.

    Returns:
        The same text.

    Example:

    >>> from matplotlib.figure import Figure
    >>> shown_text(Figure().text(0.5, 0.5, "goal")).get_text()
    'goal'
    """
    text = label.get_text()
    family = font_for(text)
    if family is None:
        missing = sorted({c for c in text if font_for(c) is None})
        warnings.warn(
            f"No installed font can draw {', '.join(missing[:5]) or 'all of this text at once'}: "
            "there will be boxes. Take one for the script, such as Noto "
            "(https://fonts.google.com/noto), and call "
            "matplotlib.font_manager.fontManager.addfont('its_file.ttf').",
            stacklevel=2,
        )
    elif family != "DejaVu Sans":
        label.set_fontfamily([family, "DejaVu Sans"])
    if is_right_to_left(text) and not _shapes():
        warnings.warn(
            "This matplotlib draws right-to-left text as separate letters in the wrong order. "
            'Install a newer one: pip install "matplotlib>=3.11"',
            stacklevel=2,
        )
    return label


def _shapes() -> bool:
    """Whether matplotlib lays out scripts by itself."""
    from matplotlib import ft2font

    return hasattr(ft2font, "__libraqm_version__")


@functools.lru_cache(maxsize=256)
def _font_with(needed: frozenset[int], fonts: int) -> str | None:
    from matplotlib import font_manager

    entries = font_manager.fontManager.ttflist
    # "Last Resort" has a box for every character there is.
    left_out = ("Mono", "Last Resort")
    upright = [
        entry
        for entry in entries
        if entry.style == "normal" and not any(word in entry.name for word in left_out)
    ]
    # matplotlib's own, then fonts made for reading, by name so that every run takes the same.
    upright.sort(key=lambda e: (e.name != "DejaVu Sans", "Noto" not in e.name, e.name, e.fname))
    for entry in upright:
        if needed <= _letters_of(entry.fname):
            return str(entry.name)
    return None


@functools.lru_cache(maxsize=512)
def _letters_of(file: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
