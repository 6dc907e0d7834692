"""What is wrong between images: copies, groups on both sides of the split, shortcuts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePath

import numpy as np

from keras_practical.data.groups import group_numbers
from keras_practical.data.index import ImageIndex, ImageRecord, printable
from keras_practical.data.splitting import torn_folders
from keras_practical.inspection.copies import SimilarPair
from keras_practical.inspection.findings import KINDS, Case, Finding
from keras_practical.inspection.measures import ImageMeasures
from keras_practical.inspection.name_groups import groups_in_names
from keras_practical.inspection.shortcuts import Shortcut, find_shortcuts

__all__ = ["copy_findings", "group_findings", "shortcut_findings"]

# Which copy is kept: results stay comparable if those for judging stay.
_KEPT_FIRST = ("test", "validation", "train")
_COPY_ADVICE = {
    "leakage": (
        'Drop the training copies (`load_images(findings.drop("leakage"))`): a model is judged too '
        "well by images that it was trained on."
    ),
    "two labels": "Look at them; correct the label or drop them: one of the labels is wrong.",
    "exact duplicate": "Drop all but one: they count twice, and a new split may tear them apart.",
    "near duplicate": "Look at them, and drop all but one: a new split may tear them apart.",
}
_COPY_EVIDENCE = {
    "leakage": "are in training and validation or test at once",
    "two labels": "have one label here and another there",
    "exact duplicate": "are in the data more than once, byte for byte",
    "near duplicate": "are in the data more than once, re-encoded, resized, trimmed or mirrored",
}


def copy_findings(
    index: ImageIndex, contents: Sequence[str], pairs: Sequence[SimilarPair]
) -> tuple[Finding, ...]:
    """Sort copies of images by the harm they do.

    Args:
        index: The images.
        contents: A hash of each file's bytes; empty for what can't be read.
        pairs: What `near_duplicates` found, by places in the index.

    Returns:
        Findings of the kinds `"leakage"`, `"two labels"`, and for copies of one class and split
        `"exact duplicate"` and `"near duplicate"`.

    Example:

    >>> records = ImageRecord("a.jpg", 0), ImageRecord("b.jpg", 0, "validation")
    >>> [leak] = copy_findings(ImageIndex(records, ("x", "y")), ["same", "same"], [])
    >>> leak.kind, leak.cases[0].drop
    ('leakage', ('a.jpg',))
    """
    positions = defaultdict(list)
    for position, content in enumerate(contents):
        if content:
            positions[content].append(position)
    exact = [(same[0], other) for same in positions.values() for other in same[1:]]
    similarity = {(pair.first, pair.second): pair for pair in pairs}
    cases: dict[str, list[Case]] = defaultdict(list)
    for members in _connected(len(index), [*exact, *similarity]):
        records = [index.records[position] for position in members]
        is_exact = len({contents[position] for position in members}) == 1
        within = [pair for pair in pairs if pair.first in members and pair.second in members]
        text = "the same file" if is_exact else _likeness(within)
        labels = len({record.label for record in records})
        splits = len({record.split for record in records})
        names = tuple(record.name for record in records)
        if splits > 1:
            clash = ", and the labels differ" if labels > 1 else ""
            cases["leakage"].append(
                Case(names=names, evidence=text + clash, drop=_later_copies(records))
            )
        if labels > 1:
            classes = " and ".join(dict.fromkeys(index.class_names[r.label] for r in records))
            cases["two labels"].append(
                Case(names=names, evidence=f"{text}, as {classes}", drop=names)
            )
        if splits == 1 and labels == 1:
            kind = "exact duplicate" if is_exact else "near duplicate"
            cases[kind].append(Case(names=names, evidence=text, drop=_later_copies(records)))
    return tuple(
        Finding(
            kind=kind,
            severity=KINDS[kind],
            evidence=f"{sum(len(case.names) for case in of_kind):,} images in {len(of_kind):,} "
            f"set{'' if len(of_kind) == 1 else 's'} {_COPY_EVIDENCE[kind]}",
            advice=_COPY_ADVICE[kind],
            cases=tuple(of_kind),
        )
        for kind, of_kind in cases.items()
    )


def group_findings(index: ImageIndex) -> tuple[Finding, ...]:
    """Find groups that are in more than one split: known ones or, without any, guessed ones.

    Args:
        index: The images.

    Returns:
        One finding, or none.

    Example:

    >>> records = [ImageRecord(f"p{n // 3}_{n}.png", n % 2) for n in range(60)]
    >>> records[3] = ImageRecord("p1_3.png", 1, "validation")
    >>> group_findings(ImageIndex(tuple(records), ("x", "y")))[0].cases[0].names
    ('p1_3.png', 'p1_4.png', 'p1_5.png')
    """
    known = [record.group for record in index if record.group is not None]
    source = "the groups that were given"
    groups: Sequence[str] = known
    if len(known) < len(index):
        labels = [record.label for record in index]
        proposal = groups_in_names([record.name for record in index], labels)
        folders = torn_folders(index)
        if folders:
            groups = [str(PurePath(record.name).parent) for record in index]
            source = f"the folders that they lie in, such as {printable(folders[0])}"
        elif proposal is not None:
            groups, source = proposal.groups, f"the files' names, such as {proposal.example}"
        else:
            return ()
    members = defaultdict(list)
    for record, group in zip(index, groups, strict=True):
        members[group].append(record)
    torn = {g: m for g, m in members.items() if len({record.split for record in m}) > 1}
    if not torn:
        return ()
    cases = []
    for group, records in torn.items():
        names = tuple(record.name for record in records)
        held_out = sum(record.split != "train" for record in records)
        text = f"{group}: {len(records) - held_out} for training, {held_out} held out"
        cases.append(Case(names=names, evidence=text, drop=_later_copies(records)))
    return (
        Finding(
            kind="group across splits",
            severity=KINDS["group across splits"],
            evidence=f"{len(torn):,} of {len(members):,} groups are on both sides of the split, "
            f"by {source}",
            advice="If these are patients, papers or scenes, split by them: "
            '`load_images(groups=...)`, or `groups="folder"`. Otherwise the model is judged by '
            "images that it has nearly seen.",
            cases=tuple(cases),
        ),
    )


def shortcut_findings(
    index: ImageIndex, measures: Sequence[ImageMeasures], *, seed: int = 0
) -> tuple[Finding, ...]:
    """Find trivial features that already tell the classes apart.

    Args:
        index: The images.
        measures: What `measure_images` says of each.
        seed: Whole number >= 0; decides the folds.

    Returns:
        One finding, or none.

    Example:

    >>> records = [ImageRecord(f"{n}.png", n % 2) for n in range(60)]
    >>> sizes = [ImageMeasures(width=100 + n % 2, height=90) for n in range(60)]
    >>> print(shortcut_findings(ImageIndex(tuple(records), ("x", "y")), sizes)[0].evidence)
    trivial features tell the classes apart (size, aspect)
    """
    whole = [position for position, measure in enumerate(measures) if measure.problem is None]
    if not whole:
        return ()
    records = [index.records[position] for position in whole]
    features = _trivial_features([measures[position] for position in whole])
    groups = group_numbers(None, len(records), index=records)
    shortcuts = find_shortcuts(
        features, [record.label for record in records], groups=groups, seed=seed
    )
    clear = [shortcut for shortcut in shortcuts if shortcut.is_clear]
    if not clear:
        return ()
    return (
        Finding(
            kind="shortcut",
            severity=KINDS["shortcut"],
            evidence=f"trivial features tell {_what_they_tell(clear, index.class_names)}",
            advice="The model will learn that instead. Make it alike for all classes (same "
            "source, same camera, same saving), and judge by images from elsewhere.",
            cases=tuple(Case(names=(), evidence=str(shortcut)) for shortcut in clear),
        ),
    )


def _what_they_tell(shortcuts: Sequence[Shortcut], class_names: Sequence[str]) -> str:
    features = defaultdict(list)
    for shortcut in shortcuts:
        what = "the classes apart"
        if shortcut.told is not None:
            what = f"{class_names[shortcut.told]} from the rest"
        features[what].append(shortcut.feature)
    return "; ".join(f"{what} ({', '.join(names)})" for what, names in features.items())


def _trivial_features(measures: Sequence[ImageMeasures]) -> Mapping[str, np.ndarray]:
    formats = sorted({measure.file_format for measure in measures})
    sizes = np.array([(measure.width, measure.height) for measure in measures], "float64")
    return {
        "size": sizes,
        "aspect": sizes[:, 0] / sizes[:, 1],
        "mean colour": np.array([measure.color for measure in measures]),
        "border colour": np.array([measure.border_color for measure in measures]),
        "file format": np.array([[m.file_format == name for name in formats] for m in measures]),
    }


def _connected(count: int, pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Return the sets of places that pairs tie together, each with two places or more."""
    if not pairs:
        return []
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = np.array(pairs).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(count, count))
    members = defaultdict(list)
    for index, number in enumerate(connected_components(graph, directed=False)[1].tolist()):
        members[number].append(index)
    return [indexes for indexes in members.values() if len(indexes) > 1]


def _likeness(pairs: Sequence[SimilarPair]) -> str:
    if not pairs:
        return "copies"
    weakest = min(pair.similarity for pair in pairs)
    mirrored = ", mirrored" if any(pair.mirrored for pair in pairs) else ""
    return f"the same image{mirrored} (details correlate by {weakest:.2f})"


def _later_copies(records: Sequence[ImageRecord]) -> tuple[str, ...]:
    """Return what to drop so that one image is left, if it can be one that isn't trained on.

    Of several for judging all stay: which of them counts isn't a matter of copies in training.
    """
    best = min(_KEPT_FIRST.index(record.split) for record in records)
    kept = [r.name for r in records if r.split == _KEPT_FIRST[best]]
    if len({record.split for record in records}) == 1:
        kept = kept[:1]
    return tuple(record.name for record in records if record.name not in kept)
