"""Which images are held out: class by class, or group by group."""

from __future__ import annotations

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, TypeVar

import numpy as np

from keras_practical.data.index import ImageIndex, ImageRecord
from keras_practical.data.sources import Listing, composed, spelled

__all__ = ["decide_splits", "divided", "groups_of", "torn_folders"]

Key = TypeVar("Key")
Groups = Callable[[ImageRecord], Any] | Mapping[str, Any] | str


def groups_of(listing: Listing, groups: Groups | None) -> list[str] | None:
    """Return the name of each image's group.

    Args:
        listing: The images; it has the groups already if a CSV column says them.
        groups: As in `load_images`.

    Returns:
        One name an image; `None` without groups.

    Raises:
        ValueError: An image has no group, or `groups` is of another kind.

    Example:

    >>> listing = Listing([b""] * 2, ["7_a.jpg", "7_b.jpg"], [0, 1], [None] * 2, ("x", "y"))
    >>> groups_of(listing, lambda record: record.name.partition("_")[0])
    ['7', '7']
    """
    if groups is None or listing.groups is not None:
        return None if listing.groups is None else _spelled_once(listing.groups)
    if groups == "folder":
        return [str(PurePosixPath(name).parent) for name in listing.names]
    if not callable(groups) and not isinstance(groups, Mapping):
        raise ValueError(
            "`groups` must be a function from an image's ImageRecord to its group, a mapping from "
            'an image\'s path to its group, "folder" or, for a CSV file, a column. '
            f"Received: {groups!r}"
        )
    found = []
    for name, label, split in zip(listing.names, listing.labels, listing.splits, strict=True):
        if callable(groups):
            group = groups(ImageRecord(name, label, split or "train"))
        else:
            group = groups.get(name, groups.get(PurePosixPath(name).name))
        if group is None or group != group:
            raise ValueError(
                f"`groups` has no group for {name!r}. Give one for every image; an image that "
                "belongs to nothing else is a group of its own."
            )
        whole = isinstance(group, float | np.floating) and float(group).is_integer()
        found.append(str(int(group) if whole else group))
    return _spelled_once(found)


def _spelled_once(groups: Sequence[str]) -> list[str]:
    """Return groups of which those that differ in spelling only have become one, which is said."""
    first: dict[str, str] = {}
    joined = [first.setdefault(spelled(group), group) for group in groups]
    changed = sorted(
        {(one, other) for one, other in zip(joined, groups, strict=True) if one != other}
    )
    if changed:
        one, other = changed[0]
        warnings.warn(
            f"Groups that differ in spelling only count as one, {one!r} and {other!r} for "
            f"instance ({len(changed)} so). Write them otherwise if they are different.",
            stacklevel=5,
        )
    return joined


def divided(
    listing: Listing,
    *,
    fraction: float,
    seed: int,
    groups: Groups | None = None,
    usable: Sequence[bool] | None = None,
    strict: bool = True,
) -> tuple[list[str] | None, list[str]]:
    """Return each image's group and split: what every loader, and `audit`, goes by.

    Args:
        listing: The images.
        fraction: Part of each class to hold out, where the listing leaves it open.
        seed: Decides which.
        groups: As in `load_images`.
        usable: As in `decide_splits`.
        strict: As in `decide_splits`.

    Returns:
        One group an image, or `None` without groups; and one split an image.

    Raises:
        ValueError: As `groups_of` and `decide_splits`.

    Example:

    >>> listing = Listing([b""] * 4, list("abcd"), [0, 0, 1, 1], [None] * 4, ("x", "y"))
    >>> divided(listing, fraction=0.5, seed=0)[1].count("validation")
    2
    """
    names = groups_of(listing, groups)
    return names, decide_splits(listing, fraction, seed, groups=names, usable=usable, strict=strict)


def decide_splits(
    listing: Listing,
    fraction: float,
    seed: int,
    *,
    groups: Sequence[str] | None = None,
    usable: Sequence[bool] | None = None,
    strict: bool = True,
) -> list[str]:
    """Give each undecided image to training or validation, class by class.

    The order comes from a hash of seed and name: no random generator whose stream may change,
    no file system whose order may differ, and images added later leave the others where they
    are as far as the fraction allows. Groups stay whole; each is held out if that brings the
    numbers of images held out nearer to what is wanted of every class.

    Args:
        listing: The images.
        fraction: Part of each class to hold out.
        seed: Decides the order.
        groups: What each image belongs to. Default: each is by itself, but files with the very
            same content stay together.
        usable: Which images can be read; no other decides or counts. Default: all.
        strict: Whether a class that can't be on both sides is an error. Otherwise it stays in
            training.

    Returns:
        `"train"`, `"validation"` or `"test"` for each image.

    Raises:
        ValueError: A class has one image, or one group, which can't be on both sides, and
            `strict`.

    Example:

    >>> listing = Listing([b""] * 4, list("abcd"), [0, 0, 1, 1], [None] * 4, ("x", "y"))
    >>> decide_splits(listing, 0.5, seed=0).count("validation")
    2
    """
    splits = [split or "train" for split in listing.splits]
    open_places = [
        index
        for index, split in enumerate(listing.splits)
        if split is None and (usable is None or usable[index])
    ]
    if groups is not None:
        _warn_of_leaks(listing, groups)
        if fraction and open_places:
            held_out = _hold_out_groups(
                listing, open_places, groups, fraction=fraction, seed=seed, strict=strict
            )
            for index in held_out:
                splits[index] = "validation"
        return splits
    if fraction == 0.0:
        return splits
    for label, class_name in enumerate(listing.class_names):
        indexes = [index for index in open_places if listing.labels[index] == label]
        if not indexes or (len(indexes) < 2 and not strict):
            continue
        if len(indexes) < 2:
            raise ValueError(
                f"Class {class_name!r} has one image, which can't serve for both training and "
                "validation. Add images, or pass validation_fraction=0."
            )
        indexes = _shuffled(indexes, [listing.names[index] for index in indexes], seed)
        count = round(len(indexes) * fraction)
        for index in indexes[: min(max(count, 1), len(indexes) - 1)]:
            splits[index] = "validation"
    for same in _equal_files(listing, open_places):
        together = list(splits)
        for index in same[1:]:
            together[index] = together[same[0]]
        # Where a class has hardly anything but copies, it must still be on both sides.
        labels = {listing.labels[index] for index in same}
        sides = {(listing.labels[index], together[index]) for index in open_places}
        if all((label, side) in sides for label in labels for side in ("train", "validation")):
            splits = together
    return splits


def _equal_files(listing: Listing, indexes: Sequence[int]) -> list[list[int]]:
    """Return the files that hold the very same bytes, by their indexes."""
    by_size: dict[int, list[int]] = defaultdict(list)
    for index in indexes:
        image = listing.images[index]
        if isinstance(image, Path) and image.is_file():
            by_size[image.stat().st_size].append(index)
    together = []
    # Few photos have the very same size, so hardly any file is opened; of slices, which do, a
    # part tells most apart.
    for alike in by_size.values():
        if len(alike) > 1:
            for likely in _equal(listing, alike, _ends):
                together += _equal(listing, likely, Path.read_bytes)
    return together


def _equal(
    listing: Listing, indexes: Sequence[int], read: Callable[[Path], bytes]
) -> list[list[int]]:
    by_content: dict[bytes, list[int]] = defaultdict(list)
    for index in indexes:
        by_content[hashlib.sha256(read(listing.images[index])).digest()].append(index)
    return [same for same in by_content.values() if len(same) > 1]


def _ends(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(4096)
        file.seek(max(0, path.stat().st_size - 4096))
        return head + file.read()


def torn_folders(index: ImageIndex) -> list[str]:
    """Return the folders, below those of the classes, whose images are in several splits.

    Args:
        index: The images; their names are files' paths.

    Returns:
        The folders' paths, if every class has several of them and most hold several images.

    Example:

    >>> records = [ImageRecord(f"cat/{p}/{s}.png", 0) for p in "ab" for s in "12"]
    >>> torn_folders(ImageIndex(tuple(records), ("cat", "dog")))
    []
    """
    folders: dict[str, list[ImageRecord]] = defaultdict(list)
    for record in index:
        if record.problem is None:
            folders[str(PurePath(record.name).parent)].append(record)
    of_class: dict[int, list[str]] = defaultdict(list)
    for folder, records in folders.items():
        for label in {record.label for record in records}:
            of_class[label].append(folder)
    several = [folder for folder, records in folders.items() if len(records) > 1]
    if len(several) < 3 * len(index.class_names) or 2 * len(several) < len(folders):
        return []
    if any(len(of_class[label]) < 3 for label in range(len(index.class_names))):
        return []
    return [
        folder
        for folder, records in folders.items()
        if len({record.split for record in records if record.split != "test"}) > 1
    ]


def _hold_out_groups(
    listing: Listing,
    indexes: Sequence[int],
    groups: Sequence[str],
    *,
    fraction: float,
    seed: int,
    strict: bool,
) -> list[int]:
    """Return the indexes that are held out."""
    classes = len(listing.class_names)
    counts: dict[str, np.ndarray] = {}
    for index in indexes:
        of_group = counts.setdefault(groups[index], np.zeros(classes))
        of_group[listing.labels[index]] += 1
    order = _shuffled(list(counts), list(counts), seed)
    table = np.array([counts[group] for group in order])
    for label, with_class in enumerate((table > 0).sum(0)):
        if with_class == 1 and strict:
            raise ValueError(
                f"Class {listing.class_names[label]!r} has one group, which can't serve for both "
                "training and validation. Add images of other groups, or pass "
                "validation_fraction=0."
            )
    totals = table.sum(0)
    share = table / np.maximum(totals, 1)
    missing = np.where(totals > 0, fraction, 0.0)
    held_out = np.zeros(len(order), bool)
    for row in range(len(order)):
        others = ~held_out
        others[row] = False
        leaves_some = ((table[others].sum(0) > 0) | (totals == 0)).all()
        if leaves_some and np.abs(missing - share[row]).sum() < np.abs(missing).sum():
            held_out[row] = True
            missing = missing - share[row]
    # A class of large groups may have got none: its smallest one that training can spare.
    for label in np.flatnonzero(totals).tolist():
        if not (table[held_out, label] > 0).any():
            having = np.flatnonzero(table[:, label]).tolist()
            for row in sorted(having, key=lambda row: table[row].sum()):
                left = ~held_out
                left[row] = False
                if ((table[left].sum(0) > 0) | (totals == 0)).all():
                    held_out[row] = True
                    break
            else:
                if not strict:
                    continue
                raise ValueError(
                    f"Class {listing.class_names[label]!r} can't be in both training and "
                    "validation: its groups hold all that other classes have. Use smaller groups."
                )
    chosen = {group for group, out in zip(order, held_out, strict=True) if out}
    return [index for index in indexes if groups[index] in chosen]


def _warn_of_leaks(listing: Listing, groups: Sequence[str]) -> None:
    """Warn of groups that the source's own splits tear apart."""
    where: dict[str, set[str]] = {}
    for group, split in zip(groups, listing.splits, strict=True):
        if split is not None:
            where.setdefault(group, set()).add(split)
    torn = sorted(group for group, splits in where.items() if len(splits) > 1)
    if torn:
        named = ", ".join(repr(group) for group in torn[:5]) + ", ..." * (len(torn) > 5)
        warnings.warn(
            f"{len(torn)} of {len(where)} groups are in more than one of the source's own splits "
            f"({named}): results on the held-out images will be too good.",
            stacklevel=4,
        )


def _digest(text: str) -> bytes:
    # Names of files needn't be UTF-8: Python keeps other bytes as surrogates.
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _shuffled(keys: Sequence[Key], names: Sequence[str], seed: int) -> list[Key]:
    """Return `keys` in an order that depends on their names and the seed only."""
    ranks = [_digest(f"{seed}:{name}") for name in map(composed, names)]
    order = sorted(range(len(keys)), key=ranks.__getitem__)
    return [keys[number] for number in order]
