"""What is wrong with labelled texts: empty ones, repeated ones, misspelt labels."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from keras_practical.text.normalization import normalize_text
from keras_practical.text.sources import TextRow

__all__ = ["TextProblem", "check_labels", "unusable"]

# Splits whose copy of a text stays: what is held out must not be trained on.
_KEEP_FIRST = ("test", "validation", "train", None)
# A label this rare beside one that looks like it is taken for a slip.
_RARE_FRACTION = 0.1


@dataclass(frozen=True)
class TextProblem:
    """A text that was left out.

    Attributes:
        place: File and line, file, or `source[position]`.
        reason: Why.

    Example:

    >>> print(TextProblem("news.tsv, line 7", "the text is empty"))
    news.tsv, line 7: the text is empty
    """

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


def check_labels(rows: Sequence[TextRow], class_names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the classes, after looking for misspelt ones.

    Args:
        rows: The texts; rows without a label are passed over.
        class_names: The classes if they are known. Default: what training rows say.

    Returns:
        One name a class, sorted, or `class_names` as given.

    Raises:
        ValueError: A label is unknown, or looks like a slip of another, or there are fewer than
            two classes, or one has no training text. The text names the file and line.

    Example:

    >>> check_labels([TextRow("a", "x", "sports"), TextRow("b", "y", "weather")], None)
    ('sports', 'weather')
    """
    labelled = [row for row in rows if row.label]
    training = Counter(row.label for row in labelled if row.split in ("train", None))
    names = tuple(class_names) if class_names is not None else tuple(sorted(training))
    if len(set(names)) < 2 or len(set(names)) != len(names):
        raise ValueError(
            "A classifier needs at least two classes, each named once. "
            f"Received: {', '.join(map(repr, names)) or 'none'}"
        )
    for row in labelled:
        if row.label not in names:
            near = difflib.get_close_matches(row.label, names, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise ValueError(
                f"{row.place}: the label {row.label!r} is none of the classes. {hint}The classes "
                f"are {', '.join(names)}."
            )
    for name in names:
        if not training[name]:
            raise ValueError(f"Class {name!r} has no text for training. Add some, or drop it.")
        likeness = None if class_names is not None else _likely_slip(name, training)
        if likeness is not None:
            first = next(row for row in labelled if row.label == name)
            raise ValueError(
                f"{first.place}: the label {name!r} occurs {training[name]} times and looks like "
                f"{likeness!r}, which occurs {training[likeness]} times. Correct it, or if both "
                f"are meant, pass class_names={list(names)}."
            )
    return names


def unusable(rows: Sequence[TextRow]) -> dict[int, TextProblem]:
    """Find texts to leave out: empty, without label, repeated or labelled in two ways.

    A text that is in training and in a held-out part stays held out; elsewhere the first copy
    stays. Texts are compared after `normalize_text`, in lower case.

    Args:
        rows: The texts.

    Returns:
        A problem for each place in `rows` that has one.

    Example:

    >>> rows = TextRow("line 2", "Goal!", "sports"), TextRow("line 3", "goal! ", "sports")
    >>> print(unusable(rows)[1])
    line 3: the same text as line 2
    """
    problems: dict[int, TextProblem] = {}
    copies: dict[str, list[int]] = {}
    for position, row in enumerate(rows):
        text = normalize_text(row.text, lowercase=True)
        if not text:
            problems[position] = TextProblem(row.place, "the text is empty")
        elif not row.label:
            problems[position] = TextProblem(row.place, "there is no label")
        else:
            copies.setdefault(text, []).append(position)
    for positions in copies.values():
        if len(positions) == 1:
            continue
        positions.sort(key=lambda position: _KEEP_FIRST.index(rows[position].split))
        first = rows[positions[0]]
        conflicting = {rows[position].label for position in positions} - {first.label}
        for position in positions[0 if conflicting else 1 :]:
            row = rows[position]
            other = rows[positions[1]] if position == positions[0] else first
            reason = f"the same text as {other.place}"
            if conflicting:
                labels = " and ".join(repr(label) for label in sorted({first.label} | conflicting))
                reason += f", labelled {labels}"
            elif row.split != first.split:
                reason += f", which is held out for {first.split}"
            problems[position] = TextProblem(row.place, reason)
    return problems


def _likely_slip(name: str, counts: Counter[str]) -> str | None:
    """Return a much more frequent class that `name` looks like a misspelling of."""
    for other, count in counts.most_common():
        if other == name or count < counts[name]:
            continue
        if name.casefold() == other.casefold():
            return other
        rare = counts[name] <= max(1, _RARE_FRACTION * count) and counts[name] < count
        # Names that differ in a number, such as level_1 and level_2, aren't slips.
        spelt = name.casefold(), other.casefold()
        numbered = len({"".join(c for c in part if not c.isdigit()) for part in spelt}) == 1
        if rare and not numbered and difflib.SequenceMatcher(None, *spelt).ratio() >= 0.8:
            return other
    return None
