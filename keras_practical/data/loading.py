"""`load_images`: from wherever the images are to data sets that `fit` takes."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_practical.data import dicom, named_sets, sources
from keras_practical.data.array_source import from_arrays
from keras_practical.data.image_set import PixelSource, dataset_of
from keras_practical.data.index import SPLITS, ImageIndex, ImageRecord, printable
from keras_practical.data.order import EpochOrder
from keras_practical.data.origin import origin_of
from keras_practical.data.pixel_store import PixelStore
from keras_practical.data.reading import NO_FILE, Header
from keras_practical.data.sources import Listing, listing_of, source_kind
from keras_practical.data.splitting import Groups, divided, torn_folders
from keras_practical.data.tables import read_table
from keras_practical.utils.checks import (
    ImageSize,
    check_between,
    check_choice,
    check_count,
    check_image_size,
)

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_practical.utils.types import Arrays

__all__ = ["ImageData", "index_of", "load_images", "report_problems"]

_KINDS = {
    "arrays": "arrays",
    "csv": "a CSV file",
    "tfds": '"tfds:NAME"',
    "folder": "a folder",
    "digits": '"digits"',
    "cats_vs_dogs": '"cats_vs_dogs"',
    "index": "an ImageIndex",
}

_FILE_SIZE = 224
# Decoded once and kept, 5,000 photos of 224 x 224 take 0.75 GB; above this the default is to
# decode them again in each epoch.
_MEMORY_LIMIT_BYTES = 2 * 1024**3


@dataclass(frozen=True, kw_only=True)
class ImageData:
    """Data sets for training and judging an image classifier, and what is behind them.

    Each data set yields `(images, labels)`: float32 of shape `(batch, height, width, channels)` in
    [0, 255], and int64 of shape `(batch,)`. `train` is shuffled anew each time it is read, in an
    order that depends on the seed and the number of the reading only (`callbacks.SetEpoch` makes it
    the number of the epoch); the others keep the order of `index.split(...)`.

    Attributes:
        train: Training data.
        validation: Validation data, `None` if none was asked for.
        test: Test data, `None` if the source has none.
        class_names: One name a class.
        index: Every image of the source, the unusable ones included.
        image_size: `(height, width)` in pixels.

    Raises:
        ValueError: From `with_index`, if an image is unknown or a class has none left.

    Example:

    >>> digits = load_images("digits", batch_size=100, seed=0, verbose=False)
    >>> images, labels = next(iter(digits.train))
    >>> images.shape, len(digits.class_names)
    (TensorShape([100, 8, 8, 3]), 10)
    """

    train: tf.data.Dataset
    validation: tf.data.Dataset | None
    test: tf.data.Dataset | None
    class_names: tuple[str, ...]
    index: ImageIndex
    image_size: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.index}, {self.image_size[0]} x {self.image_size[1]} pixels"

    @property
    def sources(self) -> list[PixelSource]:
        """The images behind `train`, `validation` and `test`, as far as there are any."""
        sources = []
        for split in SPLITS:
            dataset = getattr(self, split)
            if dataset is None:
                continue
            source = origin_of(dataset).source
            if source is None:
                raise ValueError(
                    f"`{split}` must be as `load_images` returned it; after `.map` and the like "
                    "its elements aren't the images of the index any more."
                )
            sources.append(source)
        return sources

    def with_index(self, index: ImageIndex) -> ImageData:
        """Return the same images as another index has them: fewer, relabelled, split otherwise.

        Use it with an index that was cleaned (`self.index.without(...)`). Nothing is read again;
        for files, `load_images(index)` is the same from the start.

        Args:
            index: Images of `self.index`, by their names.

        Returns:
            Data sets of the images that both indexes call usable.

        Raises:
            ValueError: An image isn't in `self.index`, or a class has none left.
        """
        # By what the data sets themselves read: this index may already be one of fewer images.
        parts = self.sources
        rows = {
            r.name: row for part in parts for r, row in zip(part.records, part.rows, strict=True)
        }
        problems = {record.name: record.problem for record in self.index}
        for record in index:
            if record.name not in problems:
                raise ValueError(f"These data have no image {record.name!r}.")
        records = tuple(replace(r, problem=r.problem or problems[r.name]) for r in index)
        index = replace(index, records=records)
        usable = tuple(record for record in records if record.problem is None)
        report_problems(replace(index, records=usable), "skip")
        # Nobody asks for the place of an image that can't be read.
        positions = np.array([rows.get(record.name, -1) for record in records], "int64")
        training = parts[0]
        assert training.order is not None  # Training data are always shuffled.
        train, validation, test = _datasets(
            index, positions, training.store, training.batch_size, training.order.seed
        )
        return replace(
            self,
            train=train,
            validation=validation,
            test=test,
            class_names=index.class_names,
            index=index,
        )


def load_images(
    source: str | Path | Arrays | Mapping[str, Arrays] | ImageIndex,
    *,
    image_size: ImageSize | None = None,
    batch_size: int = 32,
    validation_fraction: float = 0.2,
    seed: int = 0,
    aspect: str = "crop",
    color_mode: str = "rgb",
    window: dicom.Window = "file",
    groups: Groups | None = None,
    cache: str | None = "auto",
    cache_dir: str | Path | None = None,
    on_error: str = "skip",
    class_names: Sequence[str] | None = None,
    splits: Mapping[str, str] | None = None,
    label_from: str | Callable[[str], str | None] | None = None,
    columns: Mapping[str, Any] | None = None,
    folder: str | Path | None = None,
    suffix: str = "",
    encoding: str | None = None,
    download: bool = False,
    data_dir: str | Path | None = None,
    verbose: bool = True,
) -> ImageData:
    r"""Load labelled images for training: upright, whole, split, ready for `fit`.

    Use it instead of `keras.utils.image_dataset_from_directory`, the plain-Keras equivalent for
    folders: that one stops at a broken file without naming it, leaves phone photos sideways and
    stretches every image to a square.

    The validation images are chosen class by class from the images' names and `seed`, so the
    same seed gives the same split on every machine. A source that brings its own validation split
    keeps it. Where several images show one patient, one animal or one scene, say so with
    `groups`, or the model is judged by images that it has nearly seen.

    Args:
        source: A folder of class folders (with or without `train/`, `validation/` and `test/`
            above them); a `.csv`, `.tsv` or `.jsonl` file, or a pandas DataFrame;
            `(images, labels)` arrays, or a mapping from split to such pairs; `"digits"` (comes with
            scikit-learn); `"cats_vs_dogs"`; `"tfds:NAME"`; an index of files (its labels and splits
            hold).
        image_size: Pixels, one number or `(height, width)`. Default: 224 for files, the arrays'
            own size for arrays.
        batch_size: Images a batch, >= 1.
        validation_fraction: Part of each class held out, in [0, 0.9], where the source has no
            validation split. At least one image a class; 0 for no validation data.
        seed: Whole number >= 0; decides the split and the order of training.
        aspect: How an image of another shape fits: `"crop"` keeps the middle, `"pad"` adds black
            borders, `"stretch"` distorts.
        color_mode: `"rgb"` (3 channels) or `"grayscale"` (1 channel).
        window: As in `read_image`: which values of DICOM files become 0 to 255, such as `"lung"`.
        groups: What belongs together and must be on one side of the split: a CSV file's column, a
            function from an image's `ImageRecord` (of which `name` is the path in the source and
            `label` the class) to its group, a mapping from paths in the source, or from files'
            names, to groups, or `"folder"`: images in one folder belong together. About
            `validation_fraction` of each class is held out, in whole groups. The groups are kept
            as `record.group`. Files with the very same content stay together by themselves.
        cache: `"memory"` decodes every image once, here; `"disk"` likewise, into a file in
            `cache_dir` that the next run finds again; `None` decodes in each epoch. `"auto"` is
            `"memory"` up to 2 GiB of decoded images, otherwise `None`.
        cache_dir: The folder for `cache="disk"`.
        on_error: `"skip"` leaves unreadable images out, with one warning that lists them;
            `"raise"` stops.
        class_names: Which classes to take, in this order, such as those that a model has learnt;
            some may lack images. For arrays, names for their labels. Default: those of the source,
            sorted; for arrays, the numbers.
        splits: Which folder holds which part, if they are called otherwise than `train`,
            `validation` and `test`, such as `{"train": "seg_train", "test": "seg_test"}`.
        label_from: Where files aren't sorted into class folders, how a file's path in the folder
            says its class: a regular expression whose first group is the class, such as
            `r"([^/]+)_\d+\.jpg$"` for `beagle_12.jpg`, or a function from the path to the class.
        columns: A CSV file's own names for its columns `path` (relative to the file), `label` and,
            optionally, `split`, such as `{"path": "image_id"}`. Positions, such as
            `{"path": 0, "label": 1}`, say that it has no header line.
        folder: Where a table's paths count from. Default: the table's own folder.
        suffix: What to put behind a table's paths, such as `".png"` where they are ids.
        encoding: A table's encoding, such as `"cp1252"`. Default: what its byte-order mark says,
            otherwise UTF-8.
        download: Whether `"cats_vs_dogs"` or `"tfds:..."` may be fetched from the network.
        data_dir: Where TensorFlow Datasets keeps prepared sets. Default: its own choice.
        verbose: Whether to show progress and say in one line what was loaded.

    Returns:
        An `ImageData` with `train`, `validation`, `test`, `class_names` and `index`.

    Raises:
        ValueError: An argument or the source is wrong: the text says which folder, class, file,
            column or line, and what to do; or an image is unreadable and `on_error="raise"`.

    Example:

    >>> digits = load_images("digits", seed=0)
    load_images: 1,438 training and 359 validation images, 10 classes, 8 x 8 pixels, ...

    Reference:
        The split by hash follows the advice of Géron, *Hands-On Machine Learning* (2022),
        chapter 2.
    """
    check_count("batch_size", batch_size)
    check_count("seed", seed, minimum=0)
    check_between("validation_fraction", validation_fraction, 0.0, 0.9)
    check_choice("aspect", aspect, ("crop", "pad", "stretch"))
    check_choice("color_mode", color_mode, ("rgb", "grayscale"))
    dicom.check_window(window)
    check_choice("cache", cache, ("auto", "memory", "disk", None))
    check_choice("on_error", on_error, ("skip", "raise"))
    if (cache == "disk") != (cache_dir is not None):
        raise ValueError(
            '`cache="disk"` and `cache_dir` go together. '
            f"Received: cache={cache!r}, cache_dir={cache_dir!r}"
        )
    column = groups if isinstance(groups, str) else None
    listing = listing_of_any(
        source,
        class_names=class_names,
        splits=splits,
        label_from=label_from,
        columns=columns,
        group_column=column,
        folder=folder,
        suffix=suffix,
        encoding=encoding,
        download=download,
        data_dir=data_dir,
    )
    if image_size is None:
        image_size = listing.native_size or _FILE_SIZE
    size = check_image_size("image_size", image_size)
    store = PixelStore(listing.images, size, aspect=aspect, color_mode=color_mode, window=window)
    mode = _cache_mode(cache, store.nbytes)
    if mode is None:
        headers = store.check_headers(verbose=verbose)
    else:
        headers = store.decode_all(cache_dir if mode == "disk" else None, verbose=verbose)
    _refuse_missing(listing, headers)
    checked = np.full(len(headers), mode is not None)
    while True:
        # Only images that can be read are divided, or one broken file could take a class's place.
        usable = [header.problem is None for header in headers]
        group_names, parts = divided(
            listing, fraction=validation_fraction, seed=seed, groups=groups, usable=usable
        )
        # Training makes do without an image that turns out to be broken; an evaluation must know
        # its images beforehand.
        held_out = [split != "train" for split in parts]
        unsure = np.array(held_out) & np.array(usable) & ~checked
        if not unsure.any():
            break
        rows = np.flatnonzero(unsure)
        for row, header in zip(rows, store.check_rows(rows, verbose=verbose), strict=True):
            headers[row] = header
        checked |= unsure
    index = index_of(listing, parts, headers, group_names)
    chosen = class_names is not None and source_kind(source) in ("folder", "csv")
    report_problems(index, on_error, empty_classes="warn" if chosen else "raise")
    _warn_of_notices(index, headers)
    _warn_of_folders(index, listing, group_names)
    train, validation, test = _datasets(index, np.arange(len(index)), store, batch_size, seed)
    data = ImageData(
        train=train,
        validation=validation,
        test=test,
        class_names=listing.class_names,
        index=index,
        image_size=size,
    )
    if verbose:
        print(_summary(index, size, mode, store.nbytes))
    return data


def _refuse_missing(listing: Listing, headers: Sequence[Header]) -> None:
    """Refuse a table of which not one file is there: its paths mean something else."""
    if not all(header.problem == NO_FILE for header in headers):
        return
    first = Path(listing.images[0])
    bare = not any(Path(image).suffix for image in listing.images)
    raise ValueError(
        f"None of the {len(headers):,} files is there: {str(first)!r}, for instance. Say where "
        "they are with `folder`"
        + (', and their extension with `suffix`, such as suffix=".png".' if bare else ".")
    )


def _cache_mode(cache: str | None, nbytes: int) -> str | None:
    if cache != "auto":
        return cache
    return "memory" if nbytes <= _MEMORY_LIMIT_BYTES else None


def _datasets(
    index: ImageIndex, rows: np.ndarray, store: PixelStore, batch_size: int, seed: int
) -> list[tf.data.Dataset | None]:
    """Return the usable images of each split, `None` without any; `rows` says where they are."""
    datasets: list[tf.data.Dataset | None] = []
    for split in SPLITS:
        records = index.split(split)
        usable = [r.split == split and r.problem is None for r in index]
        source = PixelSource(
            store,
            rows[usable],
            np.array([record.label for record in records], "int64"),
            records,
            index.class_names,
            batch_size,
            EpochOrder(len(records), seed) if split == "train" else None,
        )
        datasets.append(dataset_of(source) if records else None)
    return datasets


def _summary(index: ImageIndex, size: tuple[int, int], mode: str | None, nbytes: int) -> str:
    counts = [(len(index.split(split)), split) for split in SPLITS]
    parts = [f"{n:,} {'training' if split == 'train' else split}" for n, split in counts if n]
    kept = {
        None: "decoded anew in each epoch",
        "memory": f"decoded once into memory ({nbytes / 1e6:,.1f} MB)",
        "disk": f"decoded once into a file ({nbytes / 1e6:,.1f} MB)",
    }[mode]
    return (
        f"load_images: {' and '.join(parts)} images, {len(index.class_names)} classes, "
        f"{size[0]} x {size[1]} pixels, {kept}{_passed_over(index)}"
    )


def _passed_over(index: ImageIndex) -> str:
    """Say in a line how many things of the source were no images, by reason."""
    reasons = Counter(item.reason for item in index.passed_over)
    if not reasons:
        return ""
    named = "; ".join(f"{count:,} × {reason}" for reason, count in reasons.most_common(5))
    return f"\n  passed over (index.passed_over): {named}"


def _warn_of_notices(index: ImageIndex, headers: Sequence[Header]) -> None:
    """Say once what was assumed of images whose range of values isn't clear."""
    noted = [(r.name, h.notice) for r, h in zip(index, headers, strict=True) if h.notice]
    if noted:
        name, notice = noted[0]
        warnings.warn(
            f"{len(noted)} of {len(index)} images: {notice}. The first is {printable(name)}.",
            stacklevel=3,
        )


def _warn_of_folders(index: ImageIndex, listing: Listing, groups: Sequence[str] | None) -> None:
    """Warn of folders below the classes that a split has torn apart: they may be patients."""
    if groups is not None or not all(isinstance(image, Path) for image in listing.images):
        return
    torn = torn_folders(index)
    if torn:
        warnings.warn(
            f"Images of {len(torn)} folders, such as {printable(torn[0])!r}, are in training and "
            "in validation. If a folder holds one patient, animal or scene, pass "
            'groups="folder"; otherwise pass a function: groups=lambda record: record.name.',
            stacklevel=3,
        )


def listing_of_any(
    source: Any,
    *,
    class_names: Sequence[str] | None = None,
    splits: Mapping[str, str] | None = None,
    label_from: str | Callable[[str], str | None] | None = None,
    columns: Mapping[str, Any] | None = None,
    group_column: str | None = None,
    folder: str | Path | None = None,
    suffix: str = "",
    encoding: str | None = None,
    download: bool = False,
    data_dir: str | Path | None = None,
) -> sources.Listing:
    """List the images of whatever `load_images` was given, refusing what means nothing for it."""
    kind = sources.source_kind(source)
    if kind == "unknown":
        raise ValueError(
            "`source` must be a folder, a CSV file, a DataFrame, an (images, labels) tuple, a "
            'mapping from split to such tuples, an ImageIndex, "digits", "cats_vs_dogs" or '
            '"tfds:NAME". '
            f"Received: {type(source).__name__}"
        )
    by_folder = group_column == "folder" and kind in ("folder", "index")
    if kind != "csv" and group_column is not None and not by_folder:
        raise ValueError(
            "`groups` can name a column of a CSV file only; for other sources give a function, a "
            f'mapping or "folder". Received: groups={group_column!r} with {_KINDS[kind]}'
        )
    for name, value, owners in (
        ("class_names", class_names, ("arrays", "folder", "csv")),
        ("splits", splits, ("folder",)),
        ("label_from", label_from, ("folder",)),
        ("columns", columns, ("csv",)),
        ("folder", folder, ("csv",)),
        ("suffix", suffix or None, ("csv",)),
        ("encoding", encoding, ("csv",)),
        ("data_dir", data_dir, ("tfds",)),
    ):
        if value is not None and kind not in owners:
            raise ValueError(
                f"`{name}` means nothing for this source, only for "
                f"{', '.join(_KINDS[owner] for owner in owners[:-1])}{' and ' * (len(owners) > 1)}"
                f"{_KINDS[owners[-1]]}. "
                f"Received: {name}={value!r} with {_KINDS[kind]}"
            )
    if kind == "arrays":
        return from_arrays(source, class_names=class_names)
    if kind == "index":
        return listing_of(source)
    if kind == "digits":
        return named_sets.from_digits()
    if kind == "cats_vs_dogs":
        return named_sets.from_cats_vs_dogs(download=download)
    if kind == "tfds":
        return named_sets.from_tfds(str(source)[5:], download=download, data_dir=data_dir)
    if kind == "csv":
        table_has = group_column is not None and not _means_folder(source, group_column, encoding)
        return sources.from_csv(
            source,
            columns=columns,
            group=group_column if table_has else None,
            class_names=class_names,
            folder=folder,
            suffix=suffix,
            encoding=encoding,
        )
    if label_from is None:
        return sources.from_folder(source, splits=splits, class_names=class_names)
    for name, value in (("splits", splits), ("class_names", class_names)):
        if value is not None:
            raise ValueError(f"`{name}` and `label_from` can't go together.")
    return sources.from_file_names(source, label_from)


def _means_folder(source: Any, group_column: str, encoding: str | None) -> bool:
    """Say whether groups are by folder: a column of that name comes first."""
    if group_column != "folder":
        return False
    if isinstance(source, str | Path):
        return "folder" not in read_table(source, encoding=encoding).columns
    return "folder" not in source.columns


def index_of(
    listing: Listing,
    splits: Sequence[str],
    headers: Sequence[Header],
    groups: Sequence[str] | None,
) -> ImageIndex:
    """Put together what is known of every image.

    Args:
        listing: The images.
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
        image = listing.images[position]
        records.append(
            ImageRecord(
                str(image) if isinstance(image, str | Path) else listing.names[position],
                listing.labels[position],
                splits[position],
                header.width,
                header.height,
                header.orientation,
                header.problem,
                None if groups is None else groups[position],
            )
        )
    return ImageIndex(tuple(records), listing.class_names, listing.passed_over)


def report_problems(index: ImageIndex, on_error: str, *, empty_classes: str = "raise") -> None:
    """Warn once of all unreadable images, or stop; stop if a class has nothing left.

    Args:
        index: The images.
        on_error: `"skip"` or `"raise"`.
        empty_classes: `"raise"`, or `"warn"` where somebody named the classes.

    Raises:
        ValueError: An image can't be read, or a class has no readable one.

    Example:

    >>> report_problems(ImageIndex((ImageRecord("a.jpg", 0),), ("x",)), "raise")
    """
    problems = index.problems
    if problems:
        listed = "\n".join(f"  {printable(r.name)}: {r.problem}" for r in problems[:20])
        more = f"\n  ... and {len(problems) - 20} more, in index.problems" * (len(problems) > 20)
        text = f"{len(problems)} of {len(index)} images can't be read:\n{listed}{more}"
        if on_error == "raise":
            raise ValueError(f'{text}\nRepair or remove them, or pass on_error="skip".')
        warnings.warn(f"{text}\nThey are left out.", stacklevel=3)
    for split in SPLITS:
        empty = [name for name, count in index.counts(split).items() if not count]
        wanted = split == "train" or any(record.split == split for record in index)
        if wanted and empty and empty_classes == "raise":
            raise ValueError(
                f"Class {empty[0]!r} has no readable image for {split}. Add some, or remove the "
                "class."
            )
        if wanted and empty:
            warnings.warn(f"There is no {split} image of {', '.join(empty)}.", stacklevel=3)
