"""Labels that are likely to be wrong: as a table, as pictures, for a person to decide on."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_practical import plots
from keras_practical._validation import ImageSize, check_count
from keras_practical.cross_validation import CrossValidation
from keras_practical.decisions import apply_decisions, spreadsheet_cell
from keras_practical.index import ImageIndex
from keras_practical.review_items import PictureFinder, ReviewItem

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LabelError", "LabelErrors"]

_ROWS_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class LabelError:
    """A picture whose label is likely to be wrong.

    Attributes:
        name: The picture's name in its index.
        label: The class that it has.
        suggestion: The class that it is more likely to belong to.
        confidence: The suggestion's probability, by models that haven't seen the picture, in
            [0, 1].
        split: The part of the data that it is in.

    Example:

    >>> LabelError(name="a.jpg", label="cats", suggestion="dogs", confidence=0.98).split
    'train'
    """

    name: str
    label: str
    suggestion: str
    confidence: float
    split: str = "train"


@dataclass(frozen=True, kw_only=True)
class LabelErrors:
    """Pictures that are likely to have the wrong label, the likeliest first; prints as a table.

    Attributes:
        errors: One `LabelError` each.
        probabilities: For each picture that was judged, by models that haven't seen it: shape
            `(n, classes)`.
        scores: The probability of each picture's own label, by the same models: shape `(n,)`.
        names: The names of the pictures that were judged, `n` of them.
        cross_validation: How good those models are, by the labels as they are: if they are poor,
            so are the findings.
        index: The pictures, to be changed by `apply`.
        pictures: Fetches a picture by its name.

    Raises:
        ValueError: From `apply`, if a line of the file is wrong; from `plot`, if there is nothing
            to draw.

    Example:

    >>> from keras_practical import Embeddings, label_errors
    >>> labels = np.arange(100) % 2
    >>> features = np.random.default_rng(0).normal(size=(100, 3)) + 4 * labels[:, None]
    >>> labels[7] = 0
    >>> found = label_errors(Embeddings(features, labels, (), ("cats", "dogs")), verbose=False)
    >>> print(found)
    1 of 100 labels may be wrong (1.0 %); the models that say so agree with 99.0 % of all labels
    label  suggestion   sure  name
    cats   dogs        100 %  images[7]
    """

    errors: tuple[LabelError, ...]
    probabilities: np.ndarray
    scores: np.ndarray
    names: tuple[str, ...]
    cross_validation: CrossValidation
    index: ImageIndex
    pictures: PictureFinder

    def __len__(self) -> int:
        return len(self.errors)

    def __iter__(self) -> Iterator[LabelError]:
        return iter(self.errors)

    def __str__(self) -> str:
        judged = len(self.names)
        lines = [
            f"{len(self.errors):,} of {judged:,} labels may be wrong "
            f"({100 * len(self.errors) / judged:.1f} %); the models that say so agree with "
            f"{100 * self.cross_validation.accuracy:.1f} % of all labels"
        ]
        shown = self.errors[:_ROWS_SHOWN]
        if shown:
            first = max(len(text) for text in ("label", *(error.label for error in shown)))
            second = max(len(text) for text in ("suggestion", *(e.suggestion for e in shown)))
            lines.append(f"{'label':<{first}}  {'suggestion':<{second}}   sure  name")
            lines += [
                f"{error.label:<{first}}  {error.suggestion:<{second}}  "
                f"{100 * error.confidence:3.0f} %  {error.name}"
                for error in shown
            ]
        if len(self.errors) > len(shown):
            lines.append(f"... and {len(self.errors) - len(shown):,} more")
        return "\n".join(lines)

    def review_items(self) -> tuple[ReviewItem, ...]:
        """Return what `review` shows: the same pictures in the same order."""
        return tuple(
            ReviewItem(
                name=error.name,
                finding="label error",
                evidence=f"looks like {error.suggestion}, not like {error.label}",
                label=error.label,
                split=error.split,
                suggestion=error.suggestion,
                confidence=error.confidence,
            )
            for error in self.errors
        )

    def plot(
        self, *, n: int = 12, columns: int = 6, image_size: ImageSize = 160, ax: Axes | None = None
    ) -> Axes:
        """Draw the likeliest errors with their labels and the suggestions below them.

        Args:
            n: How many, >= 1.
            columns: Pictures in a row, >= 1.
            image_size: Pixels of each.
            ax: Where to draw. Default: a new figure.

        Returns:
            The axes.
        """
        check_count("n", n)
        drawn, titles = [], []
        for error in self.errors[:n]:
            picture = self.pictures(error.name, image_size=image_size)
            if picture is not None:
                drawn.append(picture)
                titles.append(f"{error.label}, or rather\n{error.suggestion}?")
        if not drawn:
            raise ValueError(
                "There is nothing to draw: no label error was found."
                if not self.errors
                else "The pictures can't be found. Pass label_errors(..., data=...) what the "
                "embeddings were computed from."
            )
        return plots.show_images(drawn, titles, columns=columns, ax=ax)

    def to_csv(self, file: str | Path) -> Path:
        """Write a table that a person fills in, for `apply`; a file of this name is replaced.

        Its columns are `name`, `decision` (empty: write keep, relabel or delete), `label` (the
        suggestion, which `relabel` gives the picture), `given` (the label it has) and `confidence`.

        Args:
            file: Where to.

        Returns:
            The file's path.
        """
        path = Path(file)
        with path.open("w", newline="", encoding="utf-8-sig") as stream:
            writer = csv.writer(stream)
            writer.writerow(("name", "decision", "label", "given", "confidence"))
            for error in self.errors:
                texts = (error.name, "", error.suggestion, error.label)
                writer.writerow([*map(spreadsheet_cell, texts), f"{error.confidence:.4f}"])
        return path

    def apply(self, decisions: str | Path) -> ImageIndex:
        """Return a new index with what a person decided, from a CSV file; see `apply_decisions`."""
        return apply_decisions(self.index, decisions)
