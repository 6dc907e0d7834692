"""Where images come from: one function a kind of source, each returning the same `Listing`.

Nothing is decoded here. A source that is wrong as a whole (no such folder, one class, an empty
class, a missing column) raises an error that says what to do about it.
"""

from __future__ import annotations

import os
import re
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_practical.data.folders import SPLIT_NAMES, class_folders, files_below, split_folders
from keras_practical.data.index import ImageIndex, PassedOver, printable
from keras_practical.data.tables import TABLES, Table, by_position, read_table

__all__ = [
    "Listing",
    "from_csv",
    "from_file_names",
    "from_folder",
    "listing_of",
    "source_kind",
    "spelled",
]


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
        passed_over: What else the source holds, and why it counts as no image.

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
    passed_over: tuple[PassedOver, ...] = ()


def source_kind(source: Any, *, tables: tuple[str, ...] = TABLES) -> str:
    """Return what kind of source the user of a loader gave.

    Args:
        source: Anything.
        tables: Endings of file names that stand for tables.

    Returns:
        `"arrays"` (also a mapping of them), `"index"`, `"digits"`, `"cats_vs_dogs"`, `"tfds"`,
        `"csv"` (also a pandas DataFrame), `"folder"`, or `"unknown"`.

    Example:

    >>> source_kind("pets/"), source_kind("Pets.CSV"), source_kind("tfds:mnist"), source_kind(3)
    ('folder', 'csv', 'tfds', 'unknown')
    """
    if isinstance(source, tuple | Mapping):
        return "arrays"
    if isinstance(source, ImageIndex):
        return "index"
    if _is_frame(source):
        return "csv"
    if not isinstance(source, str | Path):
        return "unknown"
    if source in ("digits", "cats_vs_dogs"):
        # A folder of that name is somebody's own; nobody calls one so by accident.
        return "folder" if Path(source).is_dir() else str(source)
    if str(source).startswith("tfds:"):
        return "tfds"
    return "csv" if str(source).lower().endswith(tables) else "folder"


def from_folder(
    folder: str | Path,
    *,
    splits: Mapping[str, str] | None = None,
    class_names: Sequence[str] | None = None,
) -> Listing:
    """List a folder of class folders, with or without `train/`, `validation/` and `test/` above.

    Args:
        folder: The folder. `valid/`, `val/` and `dev/` also stand for `validation/`. Hidden files,
            what systems put there, and texts and tables beside the images are passed over; every
            other file counts as an image, whatever its extension.
        splits: Which folder is which part, if they are called otherwise, such as
            `{"train": "seg_train", "test": "seg_test"}`.
        class_names: Which classes to take, in this order; they may lack images. Default: all
            folders, sorted.

    Returns:
        The listing, ordered by class and path.

    Raises:
        ValueError: The folder isn't there, holds fewer than two classes or no images, a class is
            empty or missing from one of the splits, or it isn't clear which folders are splits.

    Example:

    >>> from_folder("no/such/folder")
    Traceback (most recent call last):
    ValueError: There is no folder 'no/such/folder'. ...
    """
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(_no_folder(root))
    parts = split_folders(root, splits=splits)
    passed_over = list(parts.passed_over)
    classes = {part: class_folders(path) for part, path in parts.folders.items()}
    # macOS writes accents apart: the same name in one part and in another.
    found = {part: [composed(child.name) for child in own] for part, own in classes.items()}
    if class_names is None:
        names = _class_names(root, found)
        _warn_of_likeness(names, f"folders of {str(root)!r}")
    else:
        names = _checked_names(class_names)
        if not set(names) & {name for own in found.values() for name in own}:
            raise ValueError(
                f"{str(root)!r} has a folder for none of the classes {', '.join(names)}; it has "
                f"{', '.join(sorted({name for own in found.values() for name in own}))}."
            )
    rows = []
    for part, path in parts.folders.items():
        by_name = {composed(child.name): child for child in classes[part]}
        for name, child in by_name.items():
            if name not in names:
                passed_over.append(PassedOver(str(child), "it isn't one of `class_names`"))
        loose = [p for p in path.iterdir() if p.is_file() and not p.name.startswith(".")]
        passed_over += [PassedOver(str(p), "it lies in no class's folder") for p in sorted(loose)]
        for label, class_name in enumerate(names):
            below = files_below(by_name.get(class_name, path / class_name))
            passed_over += below.passed_over
            if not below.files and class_names is None:
                raise ValueError(
                    f"Class {class_name!r} has no images: {str(path / class_name)!r} is empty. "
                    "Add some, or remove the folder."
                )
            rows += [(file, file.relative_to(root).as_posix(), label, part) for file in below.files]
    if not rows:
        raise ValueError(f"{str(root)!r} holds no images of {', '.join(names)}.")
    rows.sort(key=lambda row: (row[2], composed(row[1])))
    paths, places, labels, chosen = zip(*rows, strict=True)
    return Listing(paths, places, labels, chosen, names, passed_over=tuple(passed_over))


def from_file_names(folder: str | Path, label_from: str | Callable[[str], str | None]) -> Listing:
    r"""List all images below a folder, whose paths say their classes.

    Args:
        folder: The folder.
        label_from: A regular expression, searched in the path from the folder, whose first group is
            the class; or a function from that path to the class.

    Returns:
        The listing, ordered by class and path.

    Raises:
        ValueError: The folder isn't there, the expression is broken or has no group, a path says no
            class, or there are fewer than two.

    Example:

    >>> from_file_names("no/such/folder", r"(.+)_\d+\.jpg")
    Traceback (most recent call last):
    ValueError: There is no folder 'no/such/folder'. ...
    """
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(_no_folder(root))
    ask = label_from if callable(label_from) else _searcher(label_from)
    below = files_below(root)
    rows = []
    for file in below.files:
        name = file.relative_to(root).as_posix()
        label = ask(name)
        if not label:
            raise ValueError(
                f"`label_from` finds no class in {printable(name)!r}. Change it, or move the file."
            )
        rows.append((file, name, composed(str(label))))
    names = tuple(sorted({label for _, _, label in rows}, key=composed))
    if len(names) < 2:
        raise ValueError(too_few_classes(f"Folder {str(root)!r}, by `label_from`,", names))
    _warn_of_likeness(names, f"names of files in {str(root)!r}")
    rows.sort(key=lambda row: (row[2], composed(row[1])))
    paths, places, labels = zip(*rows, strict=True)
    numbers = [names.index(label) for label in labels]
    return Listing(paths, places, numbers, [None] * len(rows), names, passed_over=below.passed_over)


def _searcher(pattern: str) -> Callable[[str], str | None]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"`label_from` isn't a regular expression: {error}. Received: label_from={pattern!r}"
        ) from error
    if not compiled.groups:
        raise ValueError(
            "`label_from` must have a group in brackets, which is the class. "
            f"Received: label_from={pattern!r}"
        )

    def search(name: str) -> str | None:
        match = compiled.search(name)
        return match and match.group(1)

    return search


def from_csv(
    file: Any,
    *,
    columns: Mapping[str, Any] | None = None,
    group: str | None = None,
    class_names: Sequence[str] | None = None,
    folder: str | Path | None = None,
    suffix: str = "",
    encoding: str | None = None,
) -> Listing:
    """List the images of a table: a CSV file, one JSON object a line, or a pandas DataFrame.

    Args:
        file: The CSV file, separated by commas, semicolons or tabs; a `.jsonl` file; a DataFrame.
        columns: The file's own names for the columns `path`, `label` (the class's name) and
            `split` (`train`, `validation` or `test`; optional), such as `{"path": "image_id"}`.
            Positions, such as `{"path": 0, "label": 1}`, say that there is no header line.
        group: The column that says what each image belongs to, such as the patient.
        class_names: Which classes to take, in this order; rows of others are passed over.
            Default: those in the file, sorted.
        folder: Where paths count from. Default: the file's own folder; for a DataFrame, the
            current one.
        suffix: What to put behind each path, such as `".png"` where the column holds ids.
        encoding: The file's encoding. Default: what a byte-order mark says, otherwise UTF-8.

    Returns:
        The listing, ordered by class and path. Files that aren't there come to light on reading.
        An image that several lines name alike counts once.

    Raises:
        ValueError: The table is broken, a column is missing, a cell is empty, a split's name is
            unknown, an image has two classes, or there are fewer than two classes. The text gives
            the line.

    Example:

    >>> from_csv("no_such.csv")
    Traceback (most recent call last):
    ValueError: There is no file 'no_such.csv' ...
    """
    if _is_frame(file):
        source, base, table = "the DataFrame", Path(folder or "."), _table_of_frame(file)
    else:
        source, base = str(file), Path(folder or Path(file).parent)
        columns, header = by_position(columns)
        table = read_table(file, encoding=encoding, header=header)
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
    rows = [_csv_row(source, line, row, named, suffix) for line, row in table.rows]
    rows, passed_over = _once_each(source, rows)
    found = tuple(sorted({row.label for row in rows}, key=composed))
    if class_names is None:
        names = found
        if len(names) < 2:
            raise ValueError(too_few_classes(f"Column {named['label']!r} of {source}", names))
        _warn_of_likeness(names, f"column {named['label']!r} of {source}")
    else:
        names = _checked_names(class_names)
        passed_over += [
            PassedOver(f"{source}, line {row.line}", f"{row.label!r} isn't one of `class_names`")
            for row in rows
            if row.label not in names
        ]
        rows = [row for row in rows if row.label in names]
        if not rows:
            raise ValueError(
                f"{source} has none of the classes {', '.join(names)}; it has {', '.join(found)}."
            )
    rows.sort(key=lambda row: (names.index(row.label), composed(row.path)))
    paths = [base / row.path for row in rows]
    places = _places(base, paths)
    given = {row.split for row in rows if row.split}
    return Listing(
        paths,
        places,
        [names.index(row.label) for row in rows],
        [row.split and decided(row.split, given) for row in rows],
        names,
        groups=None if group is None else [row.group for row in rows],
        passed_over=tuple(passed_over),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    path: str
    label: str
    split: str | None
    group: str


def _csv_row(
    source: str, line: int, row: Mapping[str, str], named: Mapping[str, str], suffix: str
) -> _Row:
    cells = {role: row[column] for role, column in named.items()}
    for role, cell in cells.items():
        # What pandas and spreadsheets write for nothing.
        if not cell or (role != "path" and cell.lower() in ("nan", "n/a", "#n/a", "<na>")):
            raise ValueError(
                f"{source}, line {line}: column {named[role]!r} is empty. Fill it in, or remove "
                "the line."
            )
    split = cells.get("split")
    if split is not None and split.lower() not in SPLIT_NAMES:
        raise ValueError(
            f"{source}, line {line}: {split!r} is no split; use train, validation or test."
        )
    path = cells["path"]
    path = path if path.lower().endswith(suffix.lower()) else f"{path}{suffix}"
    split = split and SPLIT_NAMES[split.lower()]
    return _Row(line, path, composed(cells["label"]), split, cells.get("group", ""))


def _once_each(source: str, rows: Sequence[_Row]) -> tuple[list[_Row], list[PassedOver]]:
    """Return one row an image, and the lines that only repeat another; refuse contradictions."""
    first: dict[str, _Row] = {}
    passed_over = []
    for row in rows:
        place = os.path.normpath(row.path)
        known = first.setdefault(place, row)
        if known is row:
            continue
        for what in ("label", "split", "group"):
            one, other = getattr(known, what), getattr(row, what)
            if one != other:
                raise ValueError(
                    f"{source}, line {row.line}: {row.path!r} has the {what} {other!r} here and "
                    f"{one!r} on line {known.line}. Keep one of the lines."
                )
        passed_over.append(
            PassedOver(f"{source}, line {row.line}", f"line {known.line} names this image already")
        )
    return list(first.values()), passed_over


def _places(base: Path, paths: Sequence[Path]) -> list[str]:
    """Return names for files that are the same wherever their folder is.

    Splits depend on names, so a path from the root must not count.
    """
    whole = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100
    root = Path(os.path.abspath(base))  # noqa: PTH100
    if any(path.is_absolute() for path in paths) and not base.is_absolute():
        root = Path(os.path.commonpath([path.parent for path in whole]))
    if not all(path.is_relative_to(root) for path in whole):
        root = Path(os.path.commonpath([path.parent for path in whole]))
    return [path.relative_to(root).as_posix() for path in whole]


def _is_frame(source: Any) -> bool:
    """Say whether this is a pandas DataFrame, without importing pandas."""
    return type(source).__name__ == "DataFrame" and hasattr(source, "itertuples")


def _table_of_frame(frame: Any) -> Table:
    """Return a DataFrame's cells as text; rows are counted from 0, as `iloc` does."""
    columns = tuple(str(column).strip() for column in frame.columns)
    empty = frame.isna().to_numpy()
    rows = []
    for number, cells in enumerate(frame.itertuples(index=False)):
        texts = [
            "" if gap else str(int(cell) if _is_whole_float(cell) else cell).strip()
            for cell, gap in zip(cells, empty[number], strict=True)
        ]
        rows.append((number, dict(zip(columns, texts, strict=True))))
    return Table(columns, tuple(rows))


def _is_whole_float(cell: Any) -> bool:
    # Pandas turns whole numbers into fractions where some are missing.
    return isinstance(cell, float) and cell.is_integer()


def _checked_names(class_names: Sequence[str]) -> tuple[str, ...]:
    names = (
        () if isinstance(class_names, str) else tuple(composed(str(name)) for name in class_names)
    )
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(
            "`class_names` must be at least two different names. "
            f"Received: class_names={class_names!r}"
        )
    return names


def _warn_of_likeness(names: Sequence[str], where: str) -> None:
    """Warn of classes whose names are nearly equal: mostly one class, spelled in two ways."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[" ".join(spelled(name).replace("_", " ").replace("-", " ").split())].append(name)
    for same in alike.values():
        if len(same) > 1:
            warnings.warn(
                f"The classes {' and '.join(map(repr, same))} ({where}) differ in spelling only. "
                "They count as different ones; if they aren't, write them alike.",
                stacklevel=4,
            )


def _no_folder(path: Path) -> str:
    """Say why something isn't a folder of images, and what to do."""
    if path.exists():
        return (
            f"{str(path)!r} is a file, and neither a folder nor a table that can be read. Unpack "
            "an archive; save a spreadsheet or another table as .csv, or pass it as a pandas "
            "DataFrame."
        )
    return (
        f"There is no folder {str(path)!r}. Give the folder that holds one folder of "
        f"images for each class (looked in {Path.cwd()})."
    )


def decided(split: str, splits: Iterable[str]) -> str | None:
    """Return `split`, or `None` for training images that validation is to be taken from."""
    return None if split == "train" and "validation" not in splits else split


def composed(name: str) -> str:
    """Return `name` in one Unicode form: macOS stores accents apart, Linux mostly as they come."""
    return unicodedata.normalize("NFC", name)


def spelled(name: str) -> str:
    """Return `name` without what is often written in two ways: case, blanks, `7.0` for `7`.

    Args:
        name: A class's name, or a group's.

    Returns:
        The same text for names that are nearly equal.

    Example:

    >>> spelled(" P7"), spelled("7.0")
    ('p7', '7')
    """
    text = unicodedata.normalize("NFKC", name).strip().casefold()
    whole, point, rest = text.partition(".")
    return whole if point and whole.isdigit() and rest.strip("0") == "" else text


def _class_names(root: Path, classes: Mapping[str | None, Sequence[str]]) -> tuple[str, ...]:
    """Return the sorted class names, after checking that every split has the same ones."""
    everywhere = sorted({name for names in classes.values() for name in names}, key=composed)
    if len(everywhere) < 2:
        raise ValueError(too_few_classes(f"Folder {str(root)!r}", everywhere))
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


def too_few_classes(where: str, found: Sequence[str]) -> str:
    classes = f"one class ({found[0]!r})" if found else "no classes"
    return (
        f"{where} has {classes}; a classifier needs at least two. Put the images of each class "
        "in a folder of its own, such as pets/cats and pets/dogs."
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
