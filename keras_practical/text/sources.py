"""Where labelled texts come from: one function a kind of source, each giving rows with places."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_practical.data.folders import (
    SPLIT_NAMES,
    class_folders,
    files_below,
    is_bystander,
    split_folders,
)
from keras_practical.data.named_sets import open_tfds, warn_of_hidden
from keras_practical.data.sources import decided
from keras_practical.data.tables import by_position, read_table, read_text

if TYPE_CHECKING:
    from keras_practical.utils.types import Arrays

__all__ = ["TextRow", "rows_of_arrays", "rows_of_folder", "rows_of_table", "rows_of_tfds"]

_TABLES = (".tsv", ".csv", ".jsonl")
_UNLABELLED = {"unsup", "unlabelled", "unlabeled"}


@dataclass(frozen=True)
class TextRow:
    """One labelled text as its source has it.

    Attributes:
        place: Where it stands: file and line, file, or `source[position]`.
        text: The text.
        label: The class's name.
        split: `"train"`, `"validation"`, `"test"` or `None` (not yet decided).

    Example:

    >>> TextRow("news.tsv, line 2", "The match ended in a draw.", "sports").split is None
    True
    """

    place: str
    text: str
    label: str
    split: str | None = None


def rows_of_table(
    file: str | Path,
    *,
    columns: Mapping[str, str | int | Sequence[str]] | None = None,
    split: str | None = None,
    encoding: str | None = None,
) -> list[TextRow]:
    """List the texts of a `.tsv`, `.csv` or `.jsonl` file.

    Args:
        file: The file.
        columns: The file's own names for `text` (several are joined by a full stop, such as title
            and body), `label` and `split`. Default: those words, and a column `title` before
            `text` if there is one. Positions, such as `{"label": 0, "text": 1}`, say that the file
            has no header line.
        split: The split of all rows. Default: what the column `split` says, if there is one.
        encoding: As in `load_texts`.

    Returns:
        The rows, in the file's order.

    Raises:
        ValueError: The file isn't a table, or lacks a column; the text says which and what it has.

    Example:

    >>> rows_of_table("no_such.tsv")
    Traceback (most recent call last):
    ValueError: There is no file 'no_such.tsv' ...
    """
    named, header = by_position(columns)
    table = read_table(file, encoding=encoding, strip=False, prose=True, header=header)
    given: dict[str, str | Sequence[str]] = dict(named or {})
    unknown = set(given) - {"text", "label", "split"}
    if unknown:
        raise ValueError(
            "`columns` says which columns are 'text', 'label' and 'split'. "
            f"Received: columns={columns!r}"
        )
    titled = {"title", "text"} <= set(table.columns)
    texts = given.get("text", ("title", "text") if titled else "text")
    texts = (texts,) if isinstance(texts, str) else tuple(texts)
    label = str(given.get("label", "label"))
    splits = given.get("split", "split" if "split" in table.columns else None)
    for column in (*texts, label, *([splits] if splits else [])):
        if column not in table.columns:
            raise ValueError(
                f"{file} has no column {column!r}; its columns are {', '.join(table.columns)}. Say "
                "which is which, such as columns={'text': 'article', 'label': 'topic'}."
            )
    rows = []
    for line, cells in table.rows:
        place = f"{file}, line {line}"
        own = cells[str(splits)].strip() if splits and split is None else ""
        if own and own.lower() not in SPLIT_NAMES:
            raise ValueError(f"{place}: {own!r} is no split; use train, validation or test.")
        row_split = SPLIT_NAMES[own.lower()] if own else split
        text = ". ".join(cells[column].strip() for column in texts if cells[column].strip())
        rows.append(TextRow(place, text, cells[label], row_split))
    return rows


def rows_of_folder(
    folder: str | Path,
    *,
    columns: Mapping[str, str | int | Sequence[str]] | None = None,
    encoding: str | None = None,
) -> list[TextRow]:
    """List the texts of a folder: class folders, or tables named for splits.

    Args:
        folder: Either `train.tsv`, `validation.tsv` and `test.tsv` (or `.csv`; the last two
            optional; `dev`, `valid` and `val` also stand for validation); or one folder of text
            files for each class, with or without `train/`, `validation/` and `test/` above. Hidden
            files are passed over, and so are texts without a class (IMDB's `unsup`), with a
            warning.
        columns: As in `rows_of_table`.
        encoding: As in `load_texts`.

    Returns:
        The rows, by split, class and file.

    Raises:
        ValueError: The folder isn't there or holds neither, or a split twice.

    Example:

    >>> rows_of_folder("no/such/folder")
    Traceback (most recent call last):
    ValueError: There is no folder 'no/such/folder' ...
    """
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(f"There is no folder {str(folder)!r} (looked in {Path.cwd()}).")
    tables: dict[str, Path] = {}
    for file in sorted(root.iterdir()):
        if file.suffix.lower() in _TABLES and file.stem.lower() in SPLIT_NAMES:
            _add_once(tables, SPLIT_NAMES[file.stem.lower()], file)
    if tables:
        if "train" not in tables:
            raise ValueError(f"{root} has {', '.join(tables)} but no train.tsv or train.csv.")
        return [
            row
            for split, file in tables.items()
            for row in rows_of_table(
                file, columns=columns, split=decided(split, tables), encoding=encoding
            )
        ]
    parts = split_folders(root)
    classes = {split: class_folders(path) for split, path in parts.folders.items()}
    named = {child.name for children in classes.values() for child in children}
    unlabelled = _unlabelled(root, classes)
    rows = []
    for split, children in classes.items():
        missing = sorted(named - unlabelled - {child.name for child in children})
        if missing:
            raise ValueError(
                f"Class {missing[0]!r} isn't in {str(parts.folders[split])!r}, only in another "
                "part of the data. Every split needs a folder for each class: check the spelling, "
                "or move some texts."
            )
        for child in children:
            if child.name in unlabelled:
                continue
            files = [
                file
                for file in files_below(child, side_files=False).files
                if not is_bystander(file.name, side_files=False)
            ]
            if not files:
                raise ValueError(
                    f"Class {child.name!r} has no texts: {str(child)!r} is empty. "
                    "Add some, or remove the folder."
                )
            for file in sorted(files):
                text = read_text(file, encoding=encoding)
                rows.append(TextRow(str(file), text, child.name, split))
    if not rows:
        raise ValueError(
            f"{root} has neither a train.tsv or train.csv nor class folders. Put the texts of each "
            "class in a folder of its own, or all in a table with the columns text and label."
        )
    return rows


def rows_of_arrays(arrays: Arrays | Mapping[str, Arrays]) -> list[TextRow]:
    """List the texts of `(texts, labels)`, or of a mapping from split to such pairs.

    Args:
        arrays: Texts, and as many labels: names, or whole numbers.

    Returns:
        The rows, in the given order.

    Raises:
        ValueError: Lengths differ, or a text isn't a string.

    Example:

    >>> rows_of_arrays((["rain", "goal"], ["weather", "sports"]))[1].place
    'texts[1]'
    """
    parts: dict[Any, Any] = dict(arrays) if isinstance(arrays, Mapping) else {None: arrays}
    if isinstance(arrays, Mapping) and not {"train"} <= set(arrays) <= set(SPLIT_NAMES.values()):
        raise ValueError(
            "Texts given by split need a 'train' pair and may have 'validation' and 'test'. "
            f"Received: {list(arrays)}"
        )
    rows = []
    for split, pair in parts.items():
        where = split or "texts"
        if not isinstance(pair, tuple | list) or len(pair) != 2 or isinstance(pair[0], str):
            raise ValueError(f"{where}: give one (texts, labels) pair. Received: {pair!r:.80}")
        texts, labels = list(pair[0]), np.asarray(pair[1]).tolist()
        if not isinstance(labels, list) or len(texts) != len(labels):
            raise ValueError(
                f"{where}: there must be one label for each text. Received: {len(texts)} texts, "
                f"labels of shape {np.shape(pair[1])}"
            )
        for position, (text, label) in enumerate(zip(texts, labels, strict=True)):
            place = f"{where}[{position}]"
            if not isinstance(text, str):
                hint = " (decode bytes first)" if isinstance(text, bytes) else ""
                raise ValueError(f"{place} must be a string{hint}. Received: {text!r:.60}")
            if not isinstance(label, str | int) or isinstance(label, bool):
                raise ValueError(
                    f"{place}: its label must be a name or a whole number. Received: {label!r:.60}"
                )
            rows.append(TextRow(place, text, str(label), split and decided(split, parts)))
    return rows


def rows_of_tfds(
    name: str, *, download: bool = False, data_dir: str | Path | None = None
) -> list[TextRow]:
    """List the texts of a TensorFlow Datasets classification set.

    Args:
        name: The set's name, such as `"ag_news_subset"`.
        download: Whether to download and prepare the set if it isn't prepared yet.
        data_dir: Where prepared sets live. Default: TFDS's own choice.

    Returns:
        The rows, with the set's `train`, `validation` and `test` splits.

    Raises:
        ValueError: The set isn't there and `download` is false, has no `train` split, or isn't
            about classifying texts.

    Example:

    >>> rows_of_tfds("ag_news_subset", data_dir="/no/such/folder")
    Traceback (most recent call last):
    ValueError: tfds:ag_news_subset isn't prepared in ...

    Reference:
        https://www.tensorflow.org/datasets
    """
    import tensorflow_datasets as tfds

    builder, splits = open_tfds(
        name, kind="text", loader="load_texts", download=download, data_dir=data_dir
    )
    keys, features = builder.info.supervised_keys, builder.info.features
    names = features[keys[1]].names
    rows, hidden = [], []
    for key, split in splits.items():
        for position, example in enumerate(tfds.as_numpy(builder.as_dataset(split=key))):
            # Sets of competitions keep the labels of their test data to themselves.
            if example[keys[1]] < 0:
                hidden.append(f"tfds:{name}/{key}[{position}]")
                continue
            text = bytes(example[keys[0]]).decode("utf-8", errors="replace")
            place = f"tfds:{name}/{key}[{position}]"
            chosen = decided(split, splits.values())
            rows.append(TextRow(place, text, names[int(example[keys[1]])], chosen))
    warn_of_hidden(name, hidden)
    return rows


def _add_once(parts: dict[str, Path], split: str, path: Path) -> None:
    if split in parts:
        raise ValueError(
            f"{path.parent} has {parts[split].name!r} and {path.name!r} for {split}. Keep one."
        )
    parts[split] = path


def _unlabelled(root: Path, classes: Mapping[str | None, Sequence[Path]]) -> set[str]:
    """Return folders of texts that have no class, as IMDB's reviews come with, and say so."""
    in_all = set.intersection(*({child.name for child in own} for own in classes.values()))
    everywhere = {child.name for own in classes.values() for child in own}
    unlabelled = {name for name in everywhere - in_all if name.lower() in _UNLABELLED}
    if unlabelled:
        warnings.warn(
            f"{root}: {', '.join(sorted(unlabelled))} holds texts without a class, which are left "
            "out. `load_unlabelled_texts` reads them.",
            stacklevel=4,
        )
    return unlabelled
