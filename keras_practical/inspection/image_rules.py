"""What is wrong with an image by itself, or with the classes as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from keras_practical.data.index import SPLITS, ImageIndex
from keras_practical.inspection.findings import KINDS, Case, Finding
from keras_practical.inspection.measures import ImageMeasures, lying_extension
from keras_practical.utils.intervals import wilson_interval

__all__ = ["class_findings", "image_findings"]

# Chosen on ants_vs_bees and the lung scans: nothing in them is flatter than 18, darker than 107,
# or, unless it's blurred by a hundredth of its longer side, more blurred than 0.53.
_BLANK_SPREAD = 8.0
_BLACK_SPREAD = 2.0
_DARK_HIGHLIGHT = 50.0
_BLURRED = 0.6
_TINY_PIXELS = 64
_HUGE_MEGAPIXELS = 40.0
# From portrait (2:3) to landscape (3:2) is 2.25.
_ASPECT_FACTOR = 3.0
_IMBALANCE = 3.0
_FEWEST = 10

_Test = Callable[[str, ImageMeasures], str | None]


def image_findings(index: ImageIndex, measures: Sequence[ImageMeasures]) -> tuple[Finding, ...]:
    """Find the images that are unreadable or strange by themselves.

    Args:
        index: The images.
        measures: What `measure_images` says of each.

    Returns:
        One finding a kind of fault.

    Example:

    >>> from keras_practical.data.index import ImageRecord
    >>> index = ImageIndex((ImageRecord("a.jpg", 0),), ("x", "y"))
    >>> print(image_findings(index, [ImageMeasures(problem="the file is empty")])[0].evidence)
    1 image can't be read: the file is empty
    """
    whole = [measure for measure in measures if measure.problem is None]
    broken = tuple(
        Case(names=(record.name,), evidence=measure.problem, drop=(record.name,))
        for record, measure in zip(index, measures, strict=True)
        if measure.problem is not None
    )
    findings = []
    if broken:
        reasons = Counter(case.evidence for case in broken).most_common()
        more = f", and {len(reasons) - 1} other reasons" if len(reasons) > 1 else ""
        findings.append(
            _finding(
                "unreadable",
                f"{_images(len(broken))} can't be read: {reasons[0][0]}{more}",
                "Repair or replace them; `load_images` leaves them out, plain Keras stops at them.",
                broken,
            )
        )
    if not whole:
        return tuple(findings)
    for kind, test, evidence, advice in _tests(whole):
        cases = []
        for record, measure in zip(index, measures, strict=True):
            text = test(record.name, measure) if measure.problem is None else None
            if text:
                cases.append(Case(names=(record.name,), evidence=text, drop=(record.name,)))
        if cases:
            findings.append(
                _finding(kind, f"{_images(len(cases))} {evidence}", advice, tuple(cases))
            )
    return tuple(findings)


def _tests(whole: Sequence[ImageMeasures]) -> Iterator[tuple[str, _Test, str, str]]:
    """Yield `(kind, test, evidence, advice)`; a test gives the evidence, or `None`."""
    usual_side = float(np.median([min(m.width, m.height) for m in whole]))
    usual_aspect = float(np.median([m.width / m.height for m in whole]))

    def strange(aspect: float) -> bool:
        return max(aspect / usual_aspect, usual_aspect / aspect) > _ASPECT_FACTOR

    yield (
        "wrong extension",
        _lie,
        "of another format than the name says",
        "Harmless for `load_images`; rename them before other tools trip over them.",
    )
    yield (
        "EXIF-rotated",
        lambda _, m: f"EXIF orientation {m.orientation}" if m.orientation != 1 else None,
        "on the side, upside down or mirrored unless the EXIF orientation is heeded",
        "`load_images` and `read_image` turn them upright; check whatever else reads them.",
    )
    yield (
        "nearly blank",
        lambda _, m: f"grey values spread by {m.spread:.1f} of 255" if _is_blank(m) else None,
        f"with next to nothing to see (spread of grey values below {_BLANK_SPREAD:g} of 255)",
        "Look at them, and drop those that don't show their class.",
    )
    yield (
        "very dark",
        lambda _, m: (
            f"98 % of it is darker than {m.highlight:.0f} of 255"
            if m.highlight < _DARK_HIGHLIGHT and not _is_blank(m)
            else None
        ),
        f"nearly black (98 % of the pixels below {_DARK_HIGHLIGHT:g} of 255)",
        "Keep them if the model will meet such images; drop those where even you see nothing.",
    )
    yield (
        "very blurred",
        lambda _, m: f"blur {m.blur:.2f} (sharp 0, blurred 1)" if m.blur > _BLURRED else None,
        f"blurred (above {_BLURRED:g} of 1, at 256 pixels)",
        "Keep them if the model will meet such images; drop those that don't show their class.",
    )
    yield (
        "tiny",
        lambda _, m: (
            f"{m.width} x {m.height} pixels"
            if min(m.width, m.height) < min(_TINY_PIXELS, usual_side / 2)
            else None
        ),
        f"tiny beside the others (half of all have {usual_side:.0f} pixels a side or more)",
        "Thumbnails? Look for the originals.",
    )
    yield (
        "huge",
        lambda _, m: (
            f"{m.width} x {m.height} pixels"
            if m.width * m.height > 1e6 * _HUGE_MEGAPIXELS
            else None
        ),
        f"of more than {_HUGE_MEGAPIXELS:g} megapixels",
        "They slow every epoch down: save smaller copies, or let `load_images` keep the decoded "
        'ones (`cache="disk"`).',
    )
    yield (
        "extreme aspect",
        lambda _, m: f"{m.width} x {m.height} pixels" if strange(m.width / m.height) else None,
        f"more than {_ASPECT_FACTOR:g} times as wide or as high as is usual here",
        "Cropped to a square they lose most of what they show: cut out the subject, or load them "
        'with aspect="pad".',
    )


def _lie(name: str, measure: ImageMeasures) -> str | None:
    promised = lying_extension(name, measure.file_format)
    return promised and f"named as {promised}, but it's {measure.file_format}"


def _is_blank(measure: ImageMeasures) -> bool:
    # In the dark, contrasts are small too.
    dark = measure.highlight < _DARK_HIGHLIGHT
    return measure.spread < (_BLACK_SPREAD if dark else _BLANK_SPREAD)


def class_findings(index: ImageIndex) -> tuple[Finding, ...]:
    """Find classes that are too small, by themselves or beside the others.

    Args:
        index: The images, unreadable ones marked with their `problem`.

    Returns:
        One finding a kind of fault.

    Example:

    >>> from keras_practical.data.index import ImageRecord
    >>> records = [ImageRecord(f"{n}.jpg", int(n < 20)) for n in range(120)]
    >>> [finding.kind for finding in class_findings(ImageIndex(tuple(records), ("x", "y")))]
    ['imbalance']
    """
    findings = []
    cases = []
    splits = [s for s in SPLITS if any(record.split == s for record in index)]
    for split in splits:
        for name, count in index.counts(split).items():
            if count < _FEWEST:
                text = f"{name} has {_images(count)} for {split}"
                if split != "train" and count:
                    low = wilson_interval(count, count)[0]
                    text += f": were all recognized, it might still be {100 * low:.0f} % only"
                cases.append(Case(names=(), evidence=text))
    if cases:
        more = f", and {len(cases) - 1} more like it" if len(cases) > 1 else ""
        findings.append(
            _finding(
                "too few",
                f"{cases[0].evidence}{more}",
                "Add images; with few of them use `cross_validate`, which judges them all.",
                tuple(cases),
            )
        )
    counts = index.counts("train")
    most, fewest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[most] > _IMBALANCE * counts[fewest]:
        text = f"{counts[most]:,} training images of {most}, {counts[fewest]:,} of {fewest}"
        findings.append(
            _finding(
                "imbalance",
                text,
                "Judge by macro-F1 and each class's recall (`evaluate`), not by accuracy; add "
                f"images of {fewest}, or pass `class_weight` to `fit`.",
                (Case(names=(), evidence=text),),
            )
        )
    return tuple(findings)


def _finding(kind: str, evidence: str, advice: str, cases: tuple[Case, ...]) -> Finding:
    return Finding(kind=kind, severity=KINDS[kind], evidence=evidence, advice=advice, cases=cases)


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"
