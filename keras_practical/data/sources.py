"""Where images come from: one function a kind of source, each returning the same `Listing`.

Nothing is decoded here. A source that is wrong as a whole (no such folder, one class, an empty
class, a missing column) raises an error that says what to do about it.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_practical.data.index import ImageIndex
from keras_practical.data.tables import read_table

if TYPE_CHECKING:
    from keras_practical.utils.types import Arrays

__all__ = ["Listing", "from_arrays", "from_csv", "from_folder", "listing_of", "source_kind"]

# What splits are called in folders and columns, and what they are called here.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
_NOT_IMAGES = {"thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Listing:
    """Images with their labels, not yet read.

    Attributes:
        images: Files' paths, their bytes, or arrays.
        names: A name for each image that is the same on every machine; splits depend on it.
        labels: Index into `class_names` for each image.
        splits: `"train"`, `"validation"`, `"test"` or `None` (not yet decided) for each image.
        class_names: One name a class.
        native_size: `(height, width)` that arrays have by themselves, `None` for files.
        groups: What each image belongs to, if a column says so.

    Example:

    >>> Listing([b""], ["a.jpg"], [0], [None], ("cats", "dogs")).class_names
    ('cats', 'dogs')
    """

    images: Sequence[Any]
    names: Sequence[str]
    labels: Sequence[int]
    splits: Sequence[str | None]
    class_names: tuple[str, ...]
    native_size: tuple[int, int] | None = None
    groups: Sequence[str] | None = None


def source_kind(source: Any, *, tables: tuple[str, ...] = (".csv", ".tsv")) -> str:
    """Return what kind of source the user of a loader gave.

    Args:
        source: Anything.
        tables: Endings of file names that stand for tables.

    Returns:
        `"arrays"` (also a mapping of them), `"index"`, `"digits"`, `"cats_vs_dogs"`, `"tfds"`,
        `"csv"`, `"folder"`, or `"unknown"`.

    Example:

    >>> source_kind("pets/"), source_kind("Pets.CSV"), source_kind("tfds:mnist"), source_kind(3)
    ('folder', 'csv', 'tfds', 'unknown')
    """
    if isinstance(source, tuple | Mapping):
        return "arrays"
    if isinstance(source, ImageIndex):
        return "index"
    if not isinstance(source, str | Path):
        return "unknown"
    if source in ("digits", "cats_vs_dogs"):
        return str(source)
    if str(source).startswith("tfds:"):
        return "tfds"
    return "csv" if str(source).lower().endswith(tables) else "folder"


def from_folder(folder: str | Path) -> Listing:
    """List a folder of class folders, with or without `train/`, `validation/` and `test/` above.

    Args:
        folder: The folder. `valid/` and `val/` also stand for `validation/`. Hidden files are
            passed over; every other file counts as an image, whatever its extension.

    Returns:
        The listing, ordered by class and path.

    Raises:
        ValueError: The folder isn't there, holds fewer than two classes or no images, a class is
            empty or missing from one of the splits, or two folders stand for the same split.

    Example:

    >>> from_folder("no/such/folder")
    Traceback (most recent call last):
    ValueError: There is no folder 'no/such/folder'. ...
    """
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(
            f"There is no folder {str(folder)!r}. Give the folder that holds one folder of "
            f"images for each class (looked in {Path.cwd()})."
        )
    splits: dict[str, Path] = {}
    for child in _folders(root):
        split = SPLIT_NAMES.get(child.name.lower())
        if split in splits:
            raise ValueError(
                f"{str(root)!r} has two folders for {split}: {splits[split].name!r} and "
                f"{child.name!r}. Put the images into one of them."
            )
        if split:
            splits[split] = child
    if "train" not in splits:
        splits = {}
    parts: dict[str | None, Path] = {None: root}
    if splits:
        parts = {decided(name, splits): path for name, path in splits.items()}
    classes = {part: [child.name for child in _folders(path)] for part, path in parts.items()}
    class_names = _class_names(root, classes)
    rows = []
    for part, path in parts.items():
        for label, class_name in enumerate(class_names):
            files = _files(path / class_name)
            if not files:
                raise ValueError(
                    f"Class {class_name!r} has no images: {str(path / class_name)!r} is empty. "
                    "Add some, or remove the folder."
                )
            rows += [(file, file.relative_to(root).as_posix(), label, part) for file in files]
    rows.sort(key=lambda row: (row[2], composed(row[1])))
    paths, names, labels, chosen = zip(*rows, strict=True)
    return Listing(paths, names, labels, chosen, class_names)


def from_csv(
    file: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    group: str | None = None,
) -> Listing:
    """List the images of a CSV file with a header line; paths are relative to the file's folder.

    Args:
        file: The CSV file, UTF-8, separated by commas, semicolons or tabs.
        columns: The file's own names for the columns `path`, `label` (the class's name) and
            `split` (`train`, `validation` or `test`; optional), such as `{"path": "image_id"}`.
        group: The column that says what each image belongs to, such as the patient.

    Returns:
        The listing, ordered by class and path. Files that aren't there come to light on reading.

    Raises:
        ValueError: The file isn't UTF-8, a column is missing, a cell is empty, a split's name is
            unknown, or there are fewer than two classes. The text gives the line.

    Example:

    >>> from_csv("no_such.csv")
    Traceback (most recent call last):
    ValueError: There is no file 'no_such.csv'. ...
    """
    source = Path(file)
    table = read_table(source)
    named = {"path": "path", "label": "label", "split": "split", **(columns or {})}
    if "split" not in (columns or {}) and "split" not in table.columns:
        del named["split"]
    if group is not None:
        named["group"] = group
    missing = [name for name in named.values() if name not in table.columns]
    if missing:
        raise ValueError(
            f"{source} has no column {missing[0]!r}; its columns are "
            f"{', '.join(table.columns) or 'none'}. Say which is which, such as "
            "columns={'path': 'image_id', 'label': 'diagnosis'}."
        )
    rows = [_csv_row(source, line, row, named) for line, row in table.rows]
    class_names = tuple(sorted({row[1] for row in rows}, key=composed))
    if len(class_names) < 2:
        raise ValueError(_too_few_classes(f"Column {named['label']!r} of {source}", class_names))
    given = {row[2] for row in rows if row[2]}
    rows.sort(key=lambda row: (composed(row[1]), composed(row[0])))
    return Listing(
        [source.parent / row[0] for row in rows],
        [Path(row[0]).as_posix() for row in rows],
        [class_names.index(row[1]) for row in rows],
        [row[2] and decided(row[2], given) for row in rows],
        class_names,
        groups=None if group is None else [row[3] for row in rows],
    )


def from_arrays(
    arrays: Arrays | Mapping[str, Arrays],
    *,
    class_names: Sequence[str] | None = None,
) -> Listing:
    """List the images of `(images, labels)`, or of a mapping from split to such pairs.

    Args:
        arrays: Images of shape `(n, height, width)`, `(n, height, width, 1)` or
            `(n, height, width, 3)` with values in [0, 255], and `n` integer labels.
        class_names: One name a class. Default: `"0"`, `"1"`, ...

    Returns:
        The listing, in the arrays' order.

    Raises:
        ValueError: A shape, a label or the range of the values is wrong.

    Example:

    >>> listing = from_arrays((np.zeros((3, 8, 8)), [0, 1, 0]))
    >>> listing.class_names, listing.native_size
    (('0', '1'), (8, 8))
    """
    parts: dict[str | None, tuple[Any, Any]] = {}
    if isinstance(arrays, Mapping):
        parts = {decided(name, arrays): pair for name, pair in arrays.items()}
    else:
        parts = {None: arrays}
    if isinstance(arrays, Mapping) and not {"train"} <= set(arrays) <= set(SPLIT_NAMES.values()):
        raise ValueError(
            "Arrays given by split need a 'train' pair and may have 'validation' and 'test'. "
            f"Received: {list(arrays)}"
        )
    images: list[Any] = []
    names: list[str] = []
    labels: list[int] = []
    splits: list[str | None] = []
    for part, pair in parts.items():
        where = part or "images"
        part_images, part_labels = _pair_of_arrays(where, pair)
        _check_arrays(where, part_images, part_labels)
        images += list(part_images)
        names += [f"{where}[{position}]" for position in range(len(part_images))]
        labels += part_labels.tolist()
        splits += [part] * len(part_images)
    found = sorted(set(labels))
    named = tuple(class_names or (str(label) for label in range(found[-1] + 1)))
    if len(named) < 2:
        raise ValueError(_too_few_classes("The labels", named))
    missing = [label for label in range(len(named)) if label not in found]
    if missing or found[-1] >= len(named):
        raise ValueError(
            f"Labels must be whole numbers from 0 to {len(named) - 1}, every one of them used. "
            f"Received: labels {found} for {len(named)} classes"
        )
    return Listing(images, names, labels, splits, named, images[0].shape[:2])


def _csv_row(
    source: Path, line: int, row: Mapping[str, str], named: Mapping[str, str]
) -> tuple[str, str, str | None, str]:
    """Return a row's path, class name, split and group."""
    cells = {role: row[column] for role, column in named.items()}
    for role, cell in cells.items():
        if not cell:
            raise ValueError(
                f"{source}, line {line}: column {named[role]!r} is empty. Fill it in, or remove "
                "the line."
            )
    split = cells.get("split")
    if split is not None and split.lower() not in SPLIT_NAMES:
        raise ValueError(
            f"{source}, line {line}: {split!r} is no split; use train, validation or test."
        )
    split = split and SPLIT_NAMES[split.lower()]
    return cells["path"], cells["label"], split, cells.get("group", "")


def decided(split: str, splits: Iterable[str]) -> str | None:
    """Return `split`, or `None` for training images that validation is to be taken from."""
    return None if split == "train" and "validation" not in splits else split


def composed(name: str) -> str:
    """Return `name` in one Unicode form: macOS stores accents apart, Linux mostly as they come."""
    return unicodedata.normalize("NFC", name)


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    """Return all visible files below `folder`; a missing folder has none."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name)
            for name in files
            if not name.startswith(".") and name.lower() not in _NOT_IMAGES
        ]
    return found


def _class_names(root: Path, classes: Mapping[str | None, Sequence[str]]) -> tuple[str, ...]:
    """Return the sorted class names, after checking that every split has the same ones."""
    everywhere = sorted({name for names in classes.values() for name in names}, key=composed)
    if len(everywhere) < 2:
        raise ValueError(_too_few_classes(f"Folder {str(root)!r}", everywhere))
    for part, names in classes.items():
        for name in everywhere:
            if name not in names:
                others = [p or "train" for p, has in classes.items() if name in has]
                raise ValueError(
                    f"Class {name!r} is in {' and '.join(others)} but not in {part or 'train'}. "
                    "Every split needs a folder for each class: check the spelling, or move some "
                    "images."
                )
    return tuple(everywhere)


def _too_few_classes(where: str, found: Sequence[str]) -> str:
    classes = f"one class ({found[0]!r})" if found else "no classes"
    return (
        f"{where} has {classes}; a classifier needs at least two. Put the images of each class "
        "in a folder of its own, such as pets/cats and pets/dogs."
    )


def _pair_of_arrays(where: str, pair: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return `(images, labels)` as arrays."""
    try:
        images, labels = pair
        return np.asarray(images), np.asarray(labels)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{where}: give one (images, labels) pair, all images of one size, or a mapping such "
            "as {'train': (images, labels), 'test': (images, labels)}."
        ) from error


def _check_arrays(where: str, images: np.ndarray, labels: np.ndarray) -> None:
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise ValueError(
            f"{where}: images must be of shape (n, height, width), (n, height, width, 1) or "
            f"(n, height, width, 3). Received: shape {images.shape}"
        )
    if len(images) == 0 or labels.shape != (len(images),):
        raise ValueError(
            f"{where}: there must be one label for each of at least one image. "
            f"Received: {len(images)} images, labels of shape {labels.shape}"
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(
            f"{where}: labels must be whole numbers >= 0, not {labels.dtype} "
            f"{labels.reshape(-1)[:3].tolist()}... For one-hot labels, pass labels.argmax(axis=1)."
        )
    low, high = float(images.min()), float(images.max())
    # Written so that NaN fails as well.
    if not (low >= 0 and high <= 255) or (images.dtype.kind == "f" and 0 < high <= 1):
        raise ValueError(
            f"{where}: pixel values must lie in [0, 255]. Received: values from {low:g} to "
            f"{high:g}. Scale them first, for instance images * 255."
        )


def listing_of(index: ImageIndex) -> Listing:
    """Return the files of an index as a source, with its labels, splits and groups.

    Args:
        index: The images; their names are the files' paths.

    Returns:
        The listing, in the index's order. Without any image for validation the splits count as
        undecided, so that some can be held out.

    Raises:
        ValueError: The index is empty, or its images aren't files.

    Example:

    >>> from keras_practical.data.index import ImageRecord
    >>> listing_of(ImageIndex((ImageRecord("images[0]", 0),), ("x", "y")))
    Traceback (most recent call last):
    ValueError: The images of the index aren't files: there is no 'images[0]'. ...
    """
    if not len(index):
        raise ValueError("The index has no images.")
    names = [record.name for record in index]
    if not any(Path(name).is_file() for name in names):
        raise ValueError(
            f"The images of the index aren't files: there is no {names[0]!r}. Where images are "
            "in memory, use `with_index` of what `load_images` returned."
        )
    paths = [Path(name).absolute() for name in names]
    root = Path(os.path.commonpath([path.parent for path in paths]))
    splits = {record.split for record in index}
    groups = [record.group for record in index if record.group is not None]
    return Listing(
        [Path(name) for name in names],
        # As in a folder's listing: where the images are doesn't decide which are held out.
        [path.relative_to(root).as_posix() for path in paths],
        [record.label for record in index],
        [decided(record.split, splits) for record in index],
        index.class_names,
        groups=groups if len(groups) == len(names) else None,
    )
