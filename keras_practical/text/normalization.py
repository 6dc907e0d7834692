"""One spelling for text that looks the same."""

from __future__ import annotations

import unicodedata
from typing import Literal, cast

from keras_practical.utils.checks import check_choice

__all__ = ["normalize_text"]

FORMS = ("NFC", "NFKC")
# Joiners part letters that would join in Persian, Urdu and many scripts of India; the others are
# Arabic marks for numbers and verses, which can be seen.
_KEPT = set("\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u08e2")


def normalize_text(text: str, *, form: str = "NFKC", lowercase: bool = False) -> str:
    r"""Return `text` in one Unicode form, with single spaces and without invisible marks.

    Use it wherever texts are compared or counted. The same letter can be stored in several ways:
    آ as one character or as alef and a mark above, é likewise, and older Arabic-script pages hold
    letters in the shape of their place in the word. What looks the same must be the same word. The
    plain equivalent is `unicodedata.normalize`.

    Control characters and invisible ones (byte-order marks, direction marks, soft hyphens) go; the
    zero-width joiner and non-joiner stay, because in some scripts they are spelling. What only
    looks alike across scripts (Arabic and Persian ya, Latin and Cyrillic a) stays apart.

    Args:
        text: Any text.
        form: `"NFKC"` also replaces presentation forms, ligatures and wide letters by the plain
            ones (ﬁ becomes fi, ² becomes 2); `"NFC"` only composes.
        lowercase: Whether to fold upper into lower case (`str.casefold`).

    Returns:
        The text in that form, perhaps empty. Normalized again, it stays the same.

    Raises:
        ValueError: `text` isn't a string, or there is no such form.

    Example:

    >>> normalize_text("  cafe\u0301 \n ﬁn ")
    'café fin'
    >>> normalize_text("ﬁn", form="NFC")
    'ﬁn'

    Reference:
        Unicode Standard Annex 15, *Unicode Normalization Forms*.
    """
    check_choice("form", form, FORMS)
    if not isinstance(text, str):
        raise ValueError(f"`text` must be a string. Received: {type(text).__name__} {text!r:.60}")
    before = None
    # Each step can make work for another: NFKC brings capitals (ℝ becomes R) and spaces. Composing
    # comes last: folding takes letters apart, and an invisible mark can keep two from joining.
    while text != before:
        before = text
        if lowercase:
            text = text.casefold()
        unwanted = {ord(character): None for character in set(text) if _is_invisible(character)}
        text = unicodedata.normalize(
            cast(Literal["NFC", "NFKC"], form), " ".join(text.translate(unwanted).split())
        )
    return text


def _is_invisible(character: str) -> bool:
    """Whether a character is a control, a format mark or half a pair, but no space."""
    if character.isspace() or character in _KEPT:
        return False
    return unicodedata.category(character) in ("Cc", "Cf", "Cs")
