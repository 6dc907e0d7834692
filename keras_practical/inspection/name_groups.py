"""What file names say of images that belong together, such as `patient_12_slice_3.png`."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

__all__ = ["NameGroups", "groups_in_names"]

# What divides a name, from the surest sign to the vaguest.
_DIVIDERS = (r"[\s_\-%~()\[\]+,;=@]+", r"[\s_\-%~()\[\]+,;=@.]+", r"(?<=\d)(?=\D)|(?<=\D)(?=\d)")
_DEEPEST = 5
# So much of a data set may belong to one patient. A prefix that more images share (`IMG`, `cat`)
# says what they are.
_LARGEST_PART = 0.1
_LEAST_COVERED = 0.2
_GROUPS_A_CLASS = 3


@dataclass(frozen=True, slots=True)
class NameGroups:
    """Which images seem to belong together.

    Attributes:
        groups: One an image: what its file's name begins with or, where nothing shares that, the
            whole name.
        example: A file's name without extension and, in brackets, the part that was taken.

    Example:

    >>> NameGroups(("p1", "p1"), "[p1]_2").groups
    ('p1', 'p1')
    """

    groups: tuple[str, ...]
    example: str


def groups_in_names(names: Sequence[str], labels: Sequence[int]) -> NameGroups | None:
    """Look for groups in file names.

    Use it before splitting data that nobody documented; if it's right, give the groups to
    `load_images(groups=...)`. A group is what several names begin with, up to a divider: the
    shortest beginning for which there are many groups (three a class and more), none of which has
    a tenth of all images, and which puts a fifth of the images beside others. Running numbers
    behind a class's or a camera's name give no groups.

    Args:
        names: Files' paths or names; only the last part counts.
        labels: Classes, one a name.

    Returns:
        The groups; `None` if the names show none.

    Raises:
        ValueError: There isn't one label for each name.

    Example:

    >>> names = [f"patient_{patient}_{slice}.png" for patient in range(20) for slice in range(3)]
    >>> groups_in_names(names, [0, 1] * 30).example
    '[patient_0]_0'
    >>> groups_in_names([f"cat_{number}.png" for number in range(60)], [0, 1] * 30)
    """
    if len(names) != len(labels):
        raise ValueError(f"Received {len(names)} names for {len(labels)} labels")
    files = [unicodedata.normalize("NFC", PurePath(name).name) for name in names]
    stems = [file.removesuffix(PurePath(file).suffix) for file in files]
    for divider in _DIVIDERS:
        for depth in range(1, _DEEPEST + 1):
            groups = [_beginning(stem, divider, depth) for stem in stems]
            members: dict[str, set[str]] = defaultdict(set)
            for group, stem in zip(groups, stems, strict=True):
                members[group].add(stem)
            # `train/cat/001.png` and `test/cat/001.png` needn't have to do with each other.
            shared = {group for group, inside in members.items() if len(inside) > 1}
            if _plausible([group for group in groups if group in shared], labels):
                largest = max(sorted(shared), key=lambda group: len(members[group]))
                longer = min(stem for stem in members[largest] if stem != largest)
                pairs = zip(groups, names, strict=True)
                return NameGroups(
                    tuple(group if group in shared else name for group, name in pairs),
                    f"[{largest}]{longer[len(largest) :]}",
                )
    return None


def _beginning(stem: str, divider: str, depth: int) -> str:
    """Return what stands before the divider number `depth`; the whole without so many."""
    for number, match in enumerate(re.finditer(divider, stem), start=1):
        # A name that starts with a divider has nothing before it.
        if number == depth and match.start():
            return stem[: match.start()]
    return stem


def _plausible(grouped: Sequence[str], labels: Sequence[int]) -> bool:
    """Say whether the images that share a beginning, one entry each, look like groups."""
    counts = Counter(grouped)
    if not counts or len(counts) < _GROUPS_A_CLASS * len(set(labels)):
        return False
    fits = max(counts.values()) <= max(2, _LARGEST_PART * len(labels))
    return fits and len(grouped) >= _LEAST_COVERED * len(labels)
