"""From a source to the index of what was loaded, and back."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from keras_practical.images import Header
from keras_practical.index import ImageIndex, ImageRecord
from keras_practical.sources import Listing, decided

__all__ = ["index_of", "listing_of", "report_problems"]

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


def listing_of(index: ImageIndex) -> Listing:
    """Return the files of an index as a source, with its labels, splits and groups.

    Args:
        index: The pictures; their names are the files' paths.

    Returns:
        The listing, in the index's order. Without any picture for validation the splits count as
        undecided, so that some can be held out.

    Raises:
        ValueError: The index is empty, or its pictures aren't files.

    Example:

    >>> listing_of(ImageIndex((ImageRecord("images[0]", 0),), ("x", "y")))
    Traceback (most recent call last):
    ValueError: The pictures of the index aren't files: there is no 'images[0]'. ...
    """
    if not len(index):
        raise ValueError("The index has no pictures.")
    names = [record.name for record in index]
    if not any(Path(name).is_file() for name in names):
        raise ValueError(
            f"The pictures of the index aren't files: there is no {names[0]!r}. Where pictures are "
            "in memory, use `with_index` of what `load_images` returned."
        )
    paths = [Path(name).absolute() for name in names]
    root = Path(os.path.commonpath([path.parent for path in paths]))
    splits = {record.split for record in index}
    groups = [record.group for record in index if record.group is not None]
    return Listing(
        [Path(name) for name in names],
        # As in a folder's listing: where the pictures are doesn't decide which are held out.
        [path.relative_to(root).as_posix() for path in paths],
        [record.label for record in index],
        [decided(record.split, splits) for record in index],
        index.class_names,
        groups=groups if len(groups) == len(names) else None,
    )


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
