"""The index of what was loaded, and what is said of pictures that can't be read."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from keras_practical.images import Header
from keras_practical.index import ImageIndex, ImageRecord
from keras_practical.sources import Listing

__all__ = ["index_of", "report_problems"]

SPLITS = ("train", "validation", "test")


def index_of(
    listing: Listing,
    splits: Sequence[str],
    headers: Sequence[Header],
    groups: Sequence[str] | None,
) -> ImageIndex:
    """Put together what is known of every picture.

    Args:
        listing: The pictures.
        splits: Where each of them is used.
        headers: What reading them found out.
        groups: What each of them belongs to; `None` if unknown.

    Returns:
        The index, in the listing's order.

    Example:

    >>> listing = Listing([b"", b""], ["a", "b"], [0, 1], [None] * 2, ("x", "y"))
    >>> len(index_of(listing, ["train"] * 2, [Header()] * 2, None))
    2
    """
    records = []
    for position, header in enumerate(headers):
        picture = listing.pictures[position]
        records.append(
            ImageRecord(
                str(picture) if isinstance(picture, str | Path) else listing.names[position],
                listing.labels[position],
                splits[position],
                header.width,
                header.height,
                header.orientation,
                header.problem,
                None if groups is None else groups[position],
            )
        )
    return ImageIndex(tuple(records), listing.class_names)


def report_problems(index: ImageIndex, on_error: str) -> None:
    """Warn once of all unreadable pictures, or stop; stop if a class has nothing left.

    Args:
        index: The pictures.
        on_error: `"skip"` or `"raise"`.

    Raises:
        ValueError: A picture can't be read, or a class has no readable one.

    Example:

    >>> report_problems(ImageIndex((ImageRecord("a.jpg", 0),), ("x",)), "raise")
    """
    problems = index.problems
    if problems:
        listed = "\n".join(f"  {record.name}: {record.problem}" for record in problems[:20])
        more = f"\n  ... and {len(problems) - 20} more, in index.problems" * (len(problems) > 20)
        text = f"{len(problems)} of {len(index)} pictures can't be read:\n{listed}{more}"
        if on_error == "raise":
            raise ValueError(f'{text}\nRepair or remove them, or pass on_error="skip".')
        warnings.warn(f"{text}\nThey are left out.", stacklevel=3)
    for split in SPLITS:
        empty = [name for name, count in index.counts(split).items() if not count]
        wanted = split == "train" or any(record.split == split for record in index)
        if wanted and empty:
            raise ValueError(
                f"Class {empty[0]!r} has no readable picture for {split}. Add some, or remove the "
                "class."
            )
