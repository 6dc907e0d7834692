"""`load_texts`: from wherever labelled texts are to parts that a network can be trained on."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_practical.data.sources import Listing, source_kind
from keras_practical.data.splitting import decide_splits
from keras_practical.data.tables import TABLES, read_table, read_text
from keras_practical.models.class_names import numbers_by_name
from keras_practical.text.normalization import FORMS, normalize_text
from keras_practical.text.problems import TextProblem, check_labels, unusable
from keras_practical.text.sources import (
    TextRow,
    rows_of_arrays,
    rows_of_folder,
    rows_of_table,
    rows_of_tfds,
)
from keras_practical.text.units import unit_of, units_of
from keras_practical.utils.checks import check_between, check_choice, check_count

if TYPE_CHECKING:
    from keras_practical.utils.types import Arrays

__all__ = [
    "LabelledTexts",
    "TextData",
    "check_labelled",
    "load_texts",
    "load_unlabelled_texts",
]


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with their labels, in order.

    Attributes:
        texts: The texts, normalized.
        labels: int64 of shape `(n,)`.
        class_names: One name a class.
        places: Where each text came from: file and line, file, or `source[position]`.

    Raises:
        ValueError: From `renumbered`, if a text's class is unknown.

    Example:

    >>> found = LabelledTexts(("rain", "goal"), np.array([1, 0]), ("sports", "weather"), ("a", "b"))
    >>> len(found), found.take([1]).texts
    (2, ('goal',))
    >>> found.renumbered(["weather", "news", "sports"]).labels
    array([0, 2])
    """

    texts: tuple[str, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]
    places: tuple[str, ...]

    def __str__(self) -> str:
        return f"{len(self):,} texts, {len(self.class_names)} classes"

    def __len__(self) -> int:
        return len(self.texts)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield each text with its class's name."""
        for text, label in zip(self.texts, self.labels, strict=True):
            yield text, self.class_names[label]

    def take(self, positions: Sequence[int] | np.ndarray) -> LabelledTexts:
        """Return the texts at `positions` only, in that order."""
        positions = np.asarray(positions, "int64")
        return replace(
            self,
            texts=tuple(self.texts[position] for position in positions),
            labels=self.labels[positions],
            places=tuple(self.places[position] for position in positions),
        )

    def renumbered(self, class_names: Sequence[str]) -> LabelledTexts:
        """Return the same texts with labels that count in the order of `class_names`.

        Labels go by the names of their classes. Use it before comparing them with a model's
        answers: a set that was loaded by itself may list its classes in another order, or lack
        some. `baseline`, `fine_tune` and `confident_mistakes` do it by themselves.

        Args:
            class_names: A model's class names, in the order of its outputs. Plain numbers, counted
                from 0, stand for classes without names: labels then stay as they are.

        Returns:
            The texts in the same order.

        Raises:
            ValueError: A text's class isn't among them; the text names it.
        """
        names, given = tuple(map(str, class_names)), tuple(map(str, self.class_names))
        remedy = (
            "Correct its spelling, leave its texts out (`take`), or train a model with texts of it."
        )
        labels = np.asarray(self.labels, "int64")
        present = np.unique(labels).tolist()
        numbers = numbers_by_name(names, given, present=present, remedy=remedy)
        if numbers is not None:
            labels = numbers[labels]
        elif present and present[-1] >= len(names):
            raise ValueError(
                f"The model has {len(names)} classes, which are {', '.join(names)}. "
                f"Received: texts of the class {given[present[-1]]!r}. {remedy}"
            )
        elif len(given) != len(names) and names == tuple(map(str, range(len(names)))):
            raise ValueError(
                f"The model knows its {len(names)} classes by number only, which says nothing of "
                f"{len(given)} classes with names: {', '.join(given)}. Build it with their names, "
                "such as classifier(model, data.class_names)."
            )
        return replace(self, labels=labels, class_names=names)

    def counts(self) -> dict[str, int]:
        """Return the number of texts of each class."""
        counted = np.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, counted.tolist(), strict=True))


def check_labelled(name: str, texts: Any) -> None:
    """Raise `ValueError` unless `texts` are `LabelledTexts`.

    Args:
        name: The argument's name, for the error.
        texts: What was given.

    Raises:
        ValueError: It is something else.

    Example:

    >>> check_labelled("train", ["rain", "goal"])
    Traceback (most recent call last):
    ValueError: `train` must be LabelledTexts, such as load_texts(...).train. Received: list
    """
    if not isinstance(texts, LabelledTexts):
        raise ValueError(
            f"`{name}` must be LabelledTexts, such as load_texts(...).train. "
            f"Received: {type(texts).__name__}"
        )


@dataclass(frozen=True, kw_only=True)
class TextData:
    """Labelled texts for training and judging a classifier.

    Attributes:
        train: Texts to train on.
        validation: Texts to judge by, `None` if none were asked for.
        test: Texts for the final word, `None` if the source has none.
        class_names: One name a class.
        problems: What was left out, and why.

    Example:

    >>> texts = ["rain and wind", "a late goal", "sun all day", "two goals"]
    >>> data = load_texts((texts, ["weather", "sports"] * 2), verbose=False)
    >>> len(data.train), len(data.validation), data.class_names
    (2, 2, ('sports', 'weather'))
    """

    train: LabelledTexts
    validation: LabelledTexts | None
    test: LabelledTexts | None
    class_names: tuple[str, ...]
    problems: tuple[TextProblem, ...] = ()

    def __str__(self) -> str:
        return (
            f"{len(self.train):,} training texts, "
            f"{len(self.validation) if self.validation else 0:,} for validation, "
            f"{len(self.class_names)} classes"
        )


def load_texts(
    source: str | Path | Arrays | Mapping[str, Arrays],
    *,
    validation_fraction: float = 0.2,
    seed: int = 0,
    columns: Mapping[str, str | int | Sequence[str]] | None = None,
    class_names: Sequence[str] | None = None,
    encoding: str | None = None,
    normalization: str = "NFKC",
    on_error: str = "skip",
    download: bool = False,
    data_dir: str | Path | None = None,
    verbose: bool = True,
) -> TextData:
    """Load labelled texts for training: normalized, each once, split class by class.

    Use it instead of `keras.utils.text_dataset_from_directory`, the plain-Keras equivalent for
    folders: that one reads no tables, takes a misspelt label for a class, trains on copies of the
    texts that it judges by, and hands out TensorFlow strings, which other backends can't use.

    Empty texts are left out, and of several copies of a text all but one. If one of them is held
    out, the one in training goes: a network that has seen a text needn't understand it. A text
    with two different labels is left out altogether.

    Args:
        source: A `.tsv` or `.csv` file with the columns `text` and `label` (and perhaps `title`
            and `split`); a folder of such tables named `train`, `validation` and `test`; a folder
            of class folders, one text a file, with or without `train/`, `validation/` and `test/`
            above; `(texts, labels)`, or a mapping from split to such pairs; `"tfds:NAME"`.
        validation_fraction: Part of each class held out, in [0, 0.9], where the source has no
            validation split. At least one text a class; 0 for no validation data.
        seed: Whole number >= 0; decides the split.
        columns: A table's own names for `text`, `label` and `split`; several text columns are
            joined, such as `{"text": ["title", "body"], "label": "topic"}`.
        class_names: The classes, in the order of their numbers. Default: the labels that training
            has, sorted; a rare one that looks like a misspelling is then an error.
        encoding: The files' encoding, such as `"cp1256"`. Default: as a byte-order mark says,
            otherwise UTF-8.
        normalization: As `form` in `normalize_text`.
        on_error: `"skip"` leaves unusable texts out, with one warning that lists them; `"raise"`
            stops.
        download: Whether `"tfds:..."` may be fetched from the network.
        data_dir: Where TensorFlow Datasets keeps prepared sets. Default: its own choice.
        verbose: Whether to say in one line what was loaded.

    Returns:
        A `TextData` with `train`, `validation`, `test` and `class_names`.

    Raises:
        ValueError: An argument or the source is wrong: the text says which file, line, column or
            class, and what to do.

    Example:

    >>> texts = ["rain and wind", "a late goal", "sun all day", "two goals"]
    >>> data = load_texts((texts, ["weather", "sports"] * 2), seed=0)
    load_texts: 2 training and 2 validation texts, 2 classes, 3 words each (median)

    Reference:
        Unicode Standard Annex 15; on copies across splits: Lee et al., *Deduplicating Training
        Data Makes Language Models Better* (2022), arXiv 2107.06499.
    """
    check_between("validation_fraction", validation_fraction, 0.0, 0.9)
    check_count("seed", seed, minimum=0)
    check_choice("normalization", normalization, FORMS)
    check_choice("on_error", on_error, ("skip", "raise"))
    rows = [
        replace(
            row,
            text=normalize_text(row.text, form=normalization),
            label=normalize_text(row.label, form="NFC"),
        )
        for row in _list(source, columns, encoding, download, data_dir)
    ]
    problems = unusable(rows)
    _report(problems, len(rows), on_error)
    rows = [row for position, row in enumerate(rows) if position not in problems]
    names = check_labels(rows, class_names)
    splits = _splits(rows, names, validation_fraction, seed)
    train, validation, test = (
        _part(rows, splits, split, names) for split in ("train", "validation", "test")
    )
    if verbose:
        print(_summary((train, validation, test), names))
    assert train is not None  # Each class has a training text, or `check_labels` has stopped.
    return TextData(
        train=train,
        validation=validation,
        test=test,
        class_names=names,
        problems=tuple(problems.values()),
    )


def load_unlabelled_texts(
    source: str | Path | Sequence[str],
    *,
    column: str | None = None,
    encoding: str | None = None,
    normalization: str = "NFKC",
    verbose: bool = True,
) -> tuple[str, ...]:
    """Load texts without labels, for pretraining a language model.

    Use it for whatever text there is in the language: news, Wikipedia, books, and the unlabelled
    part of the task's own texts. The plain equivalent is `Path.read_text().splitlines()`.

    Args:
        source: A text file, perhaps `.gz`, with one text a line; a `.tsv` or `.csv` file with
            `column`; a folder of text files, one text each; or the texts.
        column: A table's column.
        encoding: As in `load_texts`.
        normalization: As in `load_texts`.
        verbose: Whether to say in one line what was loaded.

    Returns:
        The texts, normalized, without empty and repeated ones, in order.

    Raises:
        ValueError: The source isn't there, isn't text, or has none.

    Example:

    >>> load_unlabelled_texts(["One  text", "", "One text", "another"])
    load_unlabelled_texts: 2 texts, 3 words; left out 1 empty and 1 repeated
    ('One text', 'another')
    """
    check_choice("normalization", normalization, FORMS)
    found = [normalize_text(text, form=normalization) for text in _plain(source, column, encoding)]
    texts = tuple(dict.fromkeys(text for text in found if text))
    if not texts:
        raise ValueError(f"There are no texts in {source!r:.100}.")
    if verbose:
        empty = sum(not text for text in found)
        units = sum(len(units_of(text)) for text in texts)
        print(
            f"load_unlabelled_texts: {len(texts):,} texts, {units:,} {unit_of(texts)}; "
            f"left out {empty:,} empty and {len(found) - empty - len(texts):,} repeated"
        )
    return texts


def _list(
    source: Any,
    columns: Mapping[str, str | int | Sequence[str]] | None,
    encoding: str | None,
    download: bool,
    data_dir: str | Path | None,
) -> list[TextRow]:
    """Choose the kind of source."""
    kind = source_kind(source, tables=TABLES)
    if kind == "arrays":
        return rows_of_arrays(source)
    if kind in ("unknown", "index"):
        raise ValueError(
            "`source` must be a table, a folder, a (texts, labels) tuple, a mapping from split to "
            f'such tuples or "tfds:NAME". Received: {type(source).__name__}'
        )
    if kind == "tfds":
        return rows_of_tfds(str(source)[5:], download=download, data_dir=data_dir)
    if kind == "csv":
        rows = rows_of_table(source, columns=columns, encoding=encoding)
        given = {row.split for row in rows}
        open_training = "validation" not in given
        return [
            replace(row, split=None) if open_training and row.split == "train" else row
            for row in rows
        ]
    return rows_of_folder(source, columns=columns, encoding=encoding)


def _plain(source: Any, column: str | None, encoding: str | None) -> list[str]:
    if not isinstance(source, str | Path):
        texts = list(source)
        wrong = next((text for text in texts if not isinstance(text, str)), None)
        if wrong is not None:
            raise ValueError(f"`source` must hold strings. Received: {wrong!r:.60}")
        return texts
    path = Path(source)
    if path.is_dir():
        files = sorted(f for f in path.rglob("*") if f.is_file() and not f.name.startswith("."))
        return [read_text(file, encoding=encoding) for file in files]
    if column is not None:
        table = read_table(path, encoding=encoding, strip=False, prose=True)
        if column not in table.columns:
            raise ValueError(f"{path} has no column {column!r}, only {', '.join(table.columns)}.")
        return [cells[column] for _, cells in table.rows]
    return read_text(path, encoding=encoding).split("\n")


def _report(problems: Mapping[int, TextProblem], total: int, on_error: str) -> None:
    if not problems:
        return
    problem_list = list(problems.values())
    listed = "\n".join(f"  {problem}" for problem in problem_list[:20])
    more = f"\n  ... and {len(problem_list) - 20} more, in `problems`" * (len(problem_list) > 20)
    text = f"{len(problem_list)} of {total} texts can't be used:\n{listed}{more}"
    if on_error == "raise":
        raise ValueError(f'{text}\nMend or remove them, or pass on_error="skip".')
    warnings.warn(f"{text}\nThey are left out.", stacklevel=3)


def _splits(rows: Sequence[TextRow], names: Sequence[str], fraction: float, seed: int) -> list[str]:
    """Hold texts out, class by class, where the source doesn't say which."""
    undecided = Counter(row.label for row in rows if row.split is None)
    for name, count in undecided.items():
        if fraction and count < 2:
            raise ValueError(
                f"Class {name!r} has one text, which can't serve for both training and "
                "validation. Add texts, or pass validation_fraction=0."
            )
    texts = [row.text for row in rows]
    # By the texts themselves: neither a file's place nor a row's number decides.
    labels = [names.index(row.label) for row in rows]
    listing = Listing(texts, texts, labels, [row.split for row in rows], tuple(names))
    return decide_splits(listing, fraction, seed)


def _part(
    rows: Sequence[TextRow], splits: Sequence[str], split: str, names: tuple[str, ...]
) -> LabelledTexts | None:
    chosen = [row for row, own_split in zip(rows, splits, strict=True) if own_split == split]
    if not chosen:
        return None
    labels = np.array([names.index(row.label) for row in chosen], "int64")
    texts, indexes = zip(*((row.text, row.place) for row in chosen), strict=True)
    return LabelledTexts(texts, labels, names, indexes)


def _summary(parts: Sequence[LabelledTexts | None], names: Sequence[str]) -> str:
    kinds = ("training", "validation", "test")
    counts = [f"{len(p):,} {kind}" for p, kind in zip(parts, kinds, strict=True) if p]
    texts = [text for part in parts if part for text in part.texts]
    lengths = [len(units_of(text)) for text in texts]
    return (
        f"load_texts: {' and '.join(counts)} texts, {len(names)} classes, "
        f"{np.median(lengths):,.0f} {unit_of(texts)} each (median)"
    )
