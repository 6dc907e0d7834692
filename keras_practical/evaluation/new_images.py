"""`predict`: what a classifier says of images that nobody has labelled."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_practical.data.folders import files_below
from keras_practical.data.plots import show_images
from keras_practical.data.reading import read_image
from keras_practical.evaluation.outputs import probabilities_of
from keras_practical.models.class_names import class_names_of
from keras_practical.utils.checks import ImageSize, check_between, check_choice, check_count
from keras_practical.utils.progress import track

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Predictions", "predict"]

_UNSURE = "unsure"
_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What a model says of images, in their order; prints as a table.

    Attributes:
        names: What each image is called: its path in the folder, its file, or its place.
        probabilities: float64 of shape `(n, classes)`.
        class_names: One name a class.
        threshold: The probability from which the model answers; `None` if it always does.
        problems: What couldn't be read, and why: one line a file.
        sources: Where each image can be read again.

    Raises:
        ValueError: From `submission`, if rows would be missing.

    Example:

    >>> found = Predictions(
    ...     names=("a.jpg", "b.jpg"),
    ...     probabilities=np.array([[0.9, 0.1], [0.45, 0.55]]),
    ...     class_names=("cat", "dog"),
    ...     threshold=0.8,
    ... )
    >>> found.labels
    ('cat', 'unsure')
    """

    names: tuple[str, ...]
    probabilities: np.ndarray
    class_names: tuple[str, ...]
    threshold: float | None = None
    problems: tuple[str, ...] = ()
    sources: tuple[Any, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.names)

    def __str__(self) -> str:
        width = max([5, *map(len, self.names[:_SHOWN])])
        lines = [
            f"{name:<{width}}  {label}  {100 * confidence:.1f} %"
            for name, label, confidence in zip(
                self.names[:_SHOWN], self.labels, self.confidences, strict=False
            )
        ]
        if len(self) > _SHOWN:
            lines.append(f"... and {len(self) - _SHOWN:,} more")
        lines += [f"not read: {problem}" for problem in self.problems]
        return "\n".join(lines)

    @property
    def confidences(self) -> np.ndarray:
        """The largest probability of each image: float64 of shape `(n,)`."""
        return np.asarray(self.probabilities.max(1))

    @property
    def labels(self) -> tuple[str, ...]:
        """The likeliest class of each image; `"unsure"` where that is below the threshold."""
        best = self.probabilities.argmax(1)
        sure = self.confidences >= (self.threshold or 0.0)
        return tuple(
            self.class_names[number] if known else _UNSURE
            for number, known in zip(best, sure, strict=True)
        )

    def to_csv(self, path: str | Path) -> None:
        """Write a table: the image, the label, and the probability of each class.

        Args:
            path: The file to write; one that is there is replaced.
        """
        rows = zip(self.names, self.labels, self.probabilities, strict=True)
        _write(
            path,
            ["image", "label", *self.class_names],
            ([name, label, *(f"{p:.6g}" for p in row)] for name, label, row in rows),
        )

    def to_dataframe(self) -> Any:
        """Return the same table for pandas.

        Returns:
            A data frame with one row an image.
        """
        import pandas as pd  # type: ignore[import-untyped]

        table = pd.DataFrame(self.probabilities, columns=list(self.class_names))
        table.insert(0, "label", list(self.labels))
        table.insert(0, "image", list(self.names))
        return table

    def submission(
        self,
        path: str | Path,
        *,
        id_column: str = "id",
        label_column: str = "label",
        probability_of: str | None = None,
        suffix: bool = False,
    ) -> None:
        """Write a table as competitions ask for: an image's id and what it is.

        Args:
            path: The file to write; one that is there is replaced.
            id_column: What the column of ids is called.
            label_column: What the other one is called.
            probability_of: A class whose probability is written. Default: the likeliest class's
                name, whatever the threshold.
            suffix: Whether ids keep the files' suffix, such as `.jpg`.

        Raises:
            ValueError: There is no such class; or an image couldn't be read, so that the table
                would lack a row.
        """
        if self.problems:
            raise ValueError(
                f"{len(self.problems)} images couldn't be read, so the table would lack their "
                f"rows: {self.problems[0]}. Mend or remove them."
            )
        if probability_of is not None:
            check_choice("probability_of", probability_of, self.class_names)
            number = self.class_names.index(probability_of)
            answers = [f"{p:.6g}" for p in self.probabilities[:, number]]
        else:
            answers = [self.class_names[number] for number in self.probabilities.argmax(1)]
        ids = [name if suffix else str(Path(name).with_suffix("")) for name in self.names]
        _write(path, [id_column, label_column], zip(ids, answers, strict=True))

    def plot(self, *, count: int = 12) -> Axes:
        """Show the first images with what the model says of them.

        Args:
            count: How many, >= 1.

        Returns:
            The axes.
        """
        check_count("count", count)
        titles = [
            f"{label} ({100 * confidence:.0f} %)"
            for label, confidence in zip(self.labels[:count], self.confidences, strict=False)
        ]
        return show_images([read_image(s, image_size=160) for s in self.sources[:count]], titles)


def predict(
    model: keras.Model,
    images: Any,
    *,
    class_names: Sequence[str] | None = None,
    threshold: float | None = None,
    image_size: ImageSize | None = None,
    aspect: str = "crop",
    from_logits: bool = False,
    batch_size: int = 32,
    verbose: bool = True,
) -> Predictions:
    """Ask a classifier about new images: a folder, files, arrays or images of Pillow's.

    Use it once the model is trained, on photos that nobody has labelled. Files are read as
    `load_images` reads them, at the size that the model takes, a batch at a time; one that can't be
    read is named and left out. In plain Keras one reads and resizes each file by hand, calls
    `predict`, and looks the classes' names up somewhere else.

    Args:
        model: A classifier from images of shape `(batch, height, width, channels)`.
        images: A folder, whose images are taken with all folders below it, in the order of their
            paths; a file; an array of shape `(height, width, channels)` or `(n, height, width,
            channels)` with values in [0, 255]; an image of Pillow's; or a list of files, arrays and
            images.
        class_names: One name a class, in the order of the outputs. Default: those that the model
            keeps; otherwise their numbers.
        threshold: Below this probability the label is `"unsure"`, in [0, 1], such as
            `dont_know_threshold` finds. Default: the model always answers.
        image_size: Pixels, one number or `(height, width)`. Default: the model's own.
        aspect: As in `load_images`; as in training.
        from_logits: Whether the model gives logits.
        batch_size: Images at a time, >= 1.
        verbose: Whether to show a progress bar.

    Returns:
        `Predictions`; print them.

    Raises:
        ValueError: An argument is outside its range, there is no image, none can be read, the
            model's inputs aren't images, or names and outputs differ in number.

    Example:

    >>> model = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten()])
    >>> model.add(keras.layers.Dense(2, activation="softmax", kernel_initializer="zeros"))
    >>> found = predict(model, np.zeros((3, 4, 4, 3)), class_names=["cat", "dog"], verbose=False)
    >>> found.names, found.probabilities[0].tolist()
    (('images[0]', 'images[1]', 'images[2]'), [0.5, 0.5])

    Reference:
        `keras.Model.predict`.
    """
    check_count("batch_size", batch_size)
    if threshold is not None:
        check_between("threshold", threshold, 0.0, 1.0)
    size, color_mode = _expected(model, image_size)
    names, sources = _listed(images)
    probabilities, kept, problems = [], [], []
    starts = range(0, len(sources), batch_size)
    for start in track(starts, "Predicting", len(starts), show=verbose):
        batch = []
        for place in range(start, min(start + batch_size, len(sources))):
            try:
                pixels = read_image(
                    sources[place], image_size=size, aspect=aspect, color_mode=color_mode
                )
            except (ValueError, OSError) as error:
                problems.append(f"{names[place]}: {error}")
                continue
            batch.append(pixels)
            kept.append(place)
        if batch:
            # Always of one size, so that the model's function is compiled once.
            full = np.stack([*batch, *[batch[-1]] * (min(batch_size, len(sources)) - len(batch))])
            outputs = np.asarray(model.predict_on_batch(full))[: len(batch)]
            probabilities.append(probabilities_of(outputs, from_logits=from_logits))
    if not probabilities:
        raise ValueError(f"None of the {len(sources)} images can be read: {problems[0]}")
    if problems:
        warnings.warn(
            f"{len(problems)} of {len(sources)} images can't be read and are left out: "
            + "; ".join(problems[:3])
            + (" ..." if len(problems) > 3 else ""),
            stacklevel=2,
        )
    joined = np.concatenate(probabilities)
    return Predictions(
        names=tuple(names[place] for place in kept),
        probabilities=joined,
        class_names=_names(model, class_names, joined.shape[1]),
        threshold=threshold,
        problems=tuple(problems),
        sources=tuple(sources[place] for place in kept),
    )


def _expected(model: keras.Model, image_size: ImageSize | None) -> tuple[ImageSize, str]:
    """Return the size and the kind of colours that a model takes."""
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[-1] not in (1, 3, None):
        raise ValueError(
            "`model` must take images of shape (batch, height, width, channels), of 1 or 3 "
            f"channels. Received: a model with input shape {shape}"
        )
    own = shape[1:3]
    if image_size is None:
        if None in own:
            raise ValueError(
                "`model` takes images of any size: say image_size=, the one it was trained with."
            )
        image_size = own
    return image_size, "grayscale" if shape[-1] == 1 else "rgb"


def _listed(images: Any) -> tuple[list[str], list[Any]]:
    """Return names and sources of all images, in order."""
    from PIL import Image

    if isinstance(images, str | Path):
        path = Path(images)
        if path.is_dir():
            files = list(files_below(path).files)
            if not files:
                raise ValueError(f"There is no image in the folder {path}.")
            return [file.relative_to(path).as_posix() for file in files], files
        return [path.as_posix()], [path]
    if isinstance(images, Image.Image):
        return ["images[0]"], [images]
    if isinstance(images, np.ndarray) and images.ndim in (2, 3):
        return ["images[0]"], [images]
    if not isinstance(images, np.ndarray | Sequence):
        raise ValueError(
            "`images` must be a folder, a file, an array, an image of Pillow's, or a list of them. "
            f"Received: {type(images).__name__}"
        )
    if not len(images):
        raise ValueError("`images` is empty.")
    names = [
        Path(each).as_posix() if isinstance(each, str | Path) else f"images[{place}]"
        for place, each in enumerate(images)
    ]
    return names, list(images)


def _names(model: keras.Model, given: Sequence[str] | None, classes: int) -> tuple[str, ...]:
    names = given if given is not None else class_names_of(model)
    if names is None:
        return tuple(map(str, range(classes)))
    if len(names) != classes:
        raise ValueError(
            f"`class_names` must be one name for each of the model's {classes} outputs. "
            f"Received: {len(names)} names"
        )
    return tuple(map(str, names))


def _write(path: str | Path, header: list[str], rows: Any) -> None:
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
