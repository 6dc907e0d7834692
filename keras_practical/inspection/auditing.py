"""`audit`: what is wrong with a data set, before anything is trained on it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_practical.data.features import Embeddings
from keras_practical.data.image_set import ImageFinder
from keras_practical.data.index import ImageIndex
from keras_practical.data.loading import ImageData, index_of, listing_of_any
from keras_practical.data.reading import Header
from keras_practical.data.sources import Listing, listing_of, source_kind
from keras_practical.data.splitting import Groups, divided
from keras_practical.inspection.copies import SimilarPair, near_duplicates
from keras_practical.inspection.findings import KINDS, AuditFindings
from keras_practical.inspection.image_rules import class_findings, image_findings
from keras_practical.inspection.measures import ImageMeasures, measure_images
from keras_practical.inspection.set_rules import copy_findings, group_findings, shortcut_findings
from keras_practical.utils.checks import check_between, check_count

__all__ = ["audit"]


def audit(
    source: str | Path | ImageIndex | ImageData,
    *,
    validation_fraction: float = 0.2,
    seed: int = 0,
    groups: Groups | None = None,
    columns: Mapping[str, Any] | None = None,
    embeddings: Embeddings | None = None,
    verbose: bool = True,
) -> AuditFindings:
    """Look through a data set for what would spoil training or its results; change nothing.

    Use it once, before the first model. Plain Keras has nothing like it: its loader stops at the
    first broken file and sees nothing else. Every image is decoded once; 10,000 photos
    of 256 pixels took 33 s of processor time.

    It finds, gravest first: copies of an image in training and validation or test (leakage: exact,
    re-encoded, resized, trimmed, brightened or mirrored ones), copies with two labels, unreadable
    and cut-off files, groups in file names (`patient_12_...`) that the split tears apart, trivial
    features (size, aspect, mean colour, border colour, file format) that tell the classes apart,
    classes with too few images for the split, other copies, extensions that lie, images turned
    by EXIF, nearly blank, very dark, very blurred, tiny, huge or very long ones, and imbalance. The
    thresholds and what they were chosen on are in `image_rules`, `near_duplicates` and
    `shortcuts`.

    Args:
        source: A folder of class folders or a CSV file, as in `load_images`; an index of files; or
            what `load_images` returned, also of arrays and named data sets.
        validation_fraction: As in `load_images`, where the source has no validation split: the
            split that is judged is the one that `load_images` would make.
        seed: As in `load_images`; also decides the shortcut test's folds.
        groups: As in `load_images`, for a folder or a CSV file: the split that is judged keeps them
            whole.
        columns: As in `load_images`, for a CSV file.
        embeddings: What `embed` gave for these images (all or some of them): near copies whose
            pixels leave doubts are then confirmed by what a network sees. Optional.
        verbose: Whether to show progress and say in one line what was found.

    Returns:
        `AuditFindings`: print them, `plot` a kind of finding, `to_csv` or `to_json`, pass them to
        `review`, and `drop` what has to go.

    Raises:
        ValueError: The source is wrong as a whole (no such folder, one class, ...), has no
            images, or an argument is out of range. A broken image never stops it.

    Example:

    >>> from keras_practical import load_images
    >>> findings = audit(load_images("digits", verbose=False), verbose=False)
    >>> findings.kinds
    ('leakage', 'near duplicate')

    Reference:
        Barz & Denzler, *Do We Train on Test Data? Purging CIFAR of Near-Duplicates* (2020), arXiv
        1902.00423; Kaufman et al., *Leakage in Data Mining* (2012).
    """
    check_between("validation_fraction", validation_fraction, 0.0, 0.9)
    check_count("seed", seed, minimum=0)
    started = time.perf_counter()
    index, sources, listing = _index_of(source, groups, columns)
    finder = ImageFinder(index, sources)
    measures = measure_images(index, finder, verbose=verbose)
    index = _with_headers(index, measures)
    if listing is not None:
        index = _divided(index, listing, validation_fraction, seed, groups)
    pairs = _near_duplicates(index, measures, embeddings, verbose)
    contents = ["" if m.problem else m.content for m in measures]
    found = (
        *copy_findings(index, contents, pairs),
        *image_findings(index, measures),
        *class_findings(index),
        *group_findings(index),
        *shortcut_findings(index, measures, seed=seed),
    )
    order = list(KINDS)
    findings = AuditFindings(
        findings=tuple(sorted(found, key=lambda finding: order.index(finding.kind))),
        index=index,
        images=ImageFinder(index, sources),
    )
    if verbose:
        kinds = ", ".join(findings.kinds) or "nothing found"
        seconds = time.perf_counter() - started
        print(f"audit: {len(index):,} images in {seconds:.1f} s: {kinds}")
    return findings


def _index_of(
    source: Any, groups: Groups | None, columns: Mapping[str, Any] | None
) -> tuple[ImageIndex, list[Any], Listing | None]:
    """Return the index of what is to be looked at, and what is behind it.

    Pixel sources, if there are any; the listing, if it isn't divided yet.
    """
    if isinstance(source, ImageData | ImageIndex):
        for name, value in (("groups", groups), ("columns", columns)):
            if value is not None:
                raise ValueError(
                    f"`{name}` means nothing for data that are loaded already, whose index has its "
                    f"groups and splits. Pass it to `load_images`. Received: {name}={value!r}"
                )
    if isinstance(source, ImageData):
        return source.index, list(source.sources), None
    if isinstance(source, ImageIndex):
        listing_of(source)  # Says what to do if the images aren't files.
        return source, [], None
    if not isinstance(source, str | Path):
        raise ValueError(
            "`source` must be a folder, a CSV file, an ImageIndex or what `load_images` returned. "
            f"Load other data first: audit(load_images(...)). Received: {type(source).__name__}"
        )
    if source_kind(source) in ("digits", "cats_vs_dogs", "tfds"):
        raise ValueError(f"Load named data first: audit(load_images({source!r}))")
    listing = listing_of_any(
        source,
        columns=columns,
        group_column=groups if isinstance(groups, str) else None,
    )
    undivided = ["train"] * len(listing.images)
    headers = [Header()] * len(listing.images)
    return index_of(listing, undivided, headers, None), [], listing


def _divided(
    index: ImageIndex, listing: Listing, fraction: float, seed: int, groups: Groups | None
) -> ImageIndex:
    """Return the index with the very split that `load_images` makes of what can be read."""
    names, splits = divided(
        listing,
        fraction=fraction,
        seed=seed,
        groups=groups,
        usable=[record.problem is None for record in index],
        # A class of one image, or of one group, is a finding and no reason to stop.
        strict=False,
    )
    records = (
        replace(record, split=split, group=None if names is None else names[position])
        for position, (record, split) in enumerate(zip(index, splits, strict=True))
    )
    return replace(index, records=tuple(records))


def _with_headers(index: ImageIndex, measures: Sequence[ImageMeasures]) -> ImageIndex:
    records = (
        replace(
            record,
            width=measure.width or record.width,
            height=measure.height or record.height,
            # Pixels in memory are upright, whatever their file said.
            orientation=measure.orientation if measure.file_format else record.orientation,
            problem=measure.problem,
        )
        for record, measure in zip(index, measures, strict=True)
    )
    return replace(index, records=tuple(records))


def _near_duplicates(
    index: ImageIndex,
    measures: Sequence[ImageMeasures],
    embeddings: Embeddings | None,
    verbose: bool,
) -> tuple[SimilarPair, ...]:
    """Return the pairs of near duplicates, by places in the index."""
    whole = np.array(
        [position for position, m in enumerate(measures) if m.thumbnail is not None], int
    )
    if len(whole) < 2:
        return ()
    features = None
    if embeddings is not None:
        rows = {record.name: row for row, record in enumerate(embeddings.index)}
        features = np.zeros((len(whole), embeddings.features.shape[1]), "float32")
        for position, image in enumerate(whole):
            name = index.records[image].name
            if name in rows:
                features[position] = embeddings.features[rows[name]]
        if not features.any():
            raise ValueError(
                "`embeddings` are of other images. They must come from `embed` with the data "
                f"that are audited; there is none of {index.records[whole[0]].name!r}."
            )
    pairs = near_duplicates(
        np.stack([measures[position].thumbnail for position in whole]),
        sizes_pixels=[(measures[position].height, measures[position].width) for position in whole],
        features=features,
        verbose=verbose,
    )
    return tuple(
        replace(pair, first=int(whole[pair.first]), second=int(whole[pair.second]))
        for pair in pairs
    )
