"""Which images are likely to have the wrong label, for a person to look at."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_practical.data.decisions import ReviewItem, apply_decisions, write_decisions
from keras_practical.data.features import Embeddings
from keras_practical.data.groups import group_numbers
from keras_practical.data.image_set import ImageFinder, PixelSource
from keras_practical.data.index import ImageIndex, ImageRecord
from keras_practical.data.loading import ImageData
from keras_practical.data.origin import origin_of
from keras_practical.data.pixel_store import PixelStore
from keras_practical.data.plots import contact_sheet
from keras_practical.evaluation.cross_validation import CrossValidation, cross_validate
from keras_practical.transfer.probe import fit_probe
from keras_practical.utils.checks import ImageSize, check_choice, check_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from keras_practical.utils.types import Data


__all__ = ["LabelError", "LabelErrors", "label_errors"]

_ROWS_SHOWN = 20

_NONE = np.empty((0, 0, 0), "float32")
_FILTERS = (
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
    "low_normalized_margin",
    "low_self_confidence",
)


def label_errors(
    embeddings: Embeddings | Sequence[Embeddings],
    *,
    data: Data | None = None,
    folds: int = 5,
    repeats: int = 1,
    groups: Sequence[Hashable] | Callable[[ImageRecord], Hashable] | None = None,
    strength: float | None = None,
    method: str = "low_self_confidence",
    passes: int = 2,
    seed: int = 0,
    verbose: bool = True,
) -> LabelErrors:
    """Find labels that are likely to be wrong, by confident learning on cached features.

    Use it before tuning anything: some labels of nearly every data set are wrong, and those of the
    validation images set a ceiling that no model can reach. Each image is judged by a logistic
    regression on the others' features; where its probabilities and the label disagree by more than
    the classes' usual confusion explains, a person should look (`review`, `to_csv`). No label is
    changed here. In plain Keras one would look at the training images with the highest loss,
    which a network has often learnt by heart, wrong label included.

    Args:
        embeddings: What `embed` gave; or several, such as of the training and of the validation
            images, which are then judged together.
        data: What `embeddings` were computed from: what `load_images` returned, one of its data
            sets, or an `(images, labels)` pair; to find the images for `plot` and `review` where
            they aren't files, and so that `apply` returns an index of everything in it.
        folds: Parts, >= 2; each is judged by a model of the rest.
        repeats: How often to divide anew, >= 1; the probabilities are averaged.
        groups: What belongs together and must not be torn apart, as in `cross_validate`. Default:
            the groups that `load_images` was given, if it was.
        strength: As in `fit_probe`. Default: chosen in each pass, by cross-validation on all that
            is believed.
        method: What counts as an error: `filter_by` of cleanlab's `find_label_issues`; an image
            whose own class is the likeliest never does. The default misses some and is seldom
            wrong.
        passes: How often to judge, >= 1: from the second time on, by models that haven't learnt
            from what the time before suspected. They know the classes better.
        seed: Whole number >= 0; decides the parts.
        verbose: Whether to show a progress bar and say what was found.

    Returns:
        `LabelErrors`; print it.

    Raises:
        ValueError: An argument is out of range, labels aren't one integer each of at least two
            classes, features have NaN, a class has fewer images than there are folds, or `data`
            lacks an image.

    Example:

    >>> from keras_practical import load_images, embed
    >>> import keras
    >>> digits = load_images("digits", verbose=False)
    >>> pixels = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    >>> features = embed(pixels, digits.train, verbose=False)
    >>> found = label_errors(features, data=digits, strength=1e-3, verbose=False)
    >>> found.probabilities.shape, len(found) < 30, len(found.index)
    ((1438, 10), True, 1797)

    Reference:
        Northcutt, Jiang & Chuang, *Confident Learning: Estimating Uncertainty in Dataset Labels*
        (2021), arXiv 1911.00068; `cleanlab.filter.find_label_issues`.
    """
    from cleanlab.filter import find_label_issues

    check_choice("method", method, _FILTERS)
    check_count("passes", passes)
    features = _checked(embeddings)
    index, images = _behind(features, data)
    if groups is not None:
        features = _with_groups(features, groups)
    # cleanlab wants classes that have examples, numbered from 0.
    present, labels = np.unique(features.labels, return_inverse=True)
    suspects: frozenset[str] = frozenset()
    for _ in range(passes):
        believed = _without(features, suspects)
        fitted = fit_probe(believed, seed=seed).strength if strength is None else strength
        crossed = cross_validate(
            _Fit(fitted, suspects),
            features,
            folds=folds,
            repeats=repeats,
            seed=seed,
            verbose=verbose,
        )
        _check_folds(crossed, features)
        probabilities = crossed.probabilities.mean(0)
        known = probabilities[:, present] / probabilities[:, present].sum(1, keepdims=True)
        wrong = find_label_issues(labels, known, filter_by=method, n_jobs=1)
        # What the models find likelier than any other class is no error, however unsure they are.
        wrong &= known.argmax(1) != labels
        suspects = frozenset(features.index[position].name for position in np.flatnonzero(wrong))
    scores = known[np.arange(len(labels)), labels]
    ranked = [position for position in np.argsort(scores, kind="stable") if wrong[position]]
    result = LabelErrors(
        errors=tuple(_error(features, known, present, position) for position in ranked),
        probabilities=probabilities,
        scores=scores,
        names=tuple(record.name for record in features.index),
        cross_validation=crossed,
        index=index,
        images=images,
    )
    if verbose:
        print(f"label_errors: {str(result).splitlines()[0]}")
    return result


@dataclass(frozen=True)
class _Fit:
    """Fits a probe, without learning from suspects; importable, so that other processes can."""

    strength: float
    suspects: frozenset[str]

    def __call__(self, part: Embeddings) -> Any:
        return fit_probe(_without(part, self.suspects), strength=self.strength)


def _without(part: Embeddings, suspects: frozenset[str]) -> Embeddings:
    """Return a part without suspects, except for classes that would have nothing left."""
    believed = np.array([record.name not in suspects for record in part.index])
    for label in np.setdiff1d(part.labels, part.labels[believed]):
        believed |= part.labels == label
    return part.take(np.flatnonzero(believed))


def _checked(embeddings: Embeddings | Sequence[Embeddings]) -> Embeddings:
    """Return all embeddings as one, each image with a name of its own."""
    parts = [embeddings] if isinstance(embeddings, Embeddings) else list(embeddings)
    if not parts or not all(isinstance(part, Embeddings) for part in parts):
        raise ValueError(
            "`embeddings` must be what `embed` returned, or several of them. "
            f"Received: {embeddings!r:.200}"
        )
    if any(part.class_names != parts[0].class_names for part in parts):
        raise ValueError(
            "All embeddings must be of the same classes. "
            f"Received: {', '.join(str(part.class_names) for part in parts)}"
        )
    for part in parts:
        if part.labels.ndim != 1 or part.labels.dtype.kind not in "iu":
            raise ValueError(
                "Each image must have one integer label. Received: labels of shape "
                f"{part.labels.shape}, {part.labels.dtype}"
            )
        if len(part) and not 0 <= part.labels.min() <= part.labels.max() < len(part.class_names):
            raise ValueError(
                f"Labels must be from 0 to {len(part.class_names) - 1}, one for each class name. "
                f"Received: {part.labels.min()} to {part.labels.max()}"
            )
        if not np.isfinite(part.features).all():
            bad = int(np.flatnonzero(~np.isfinite(part.features).all(1))[0])
            raise ValueError(f"Features must be finite. Received: NaN or infinity for image {bad}")
    parts = [part if part.index else _named(part) for part in parts]
    index = tuple(chain.from_iterable(part.index for part in parts))
    labels = np.concatenate([part.labels for part in parts])
    if len(np.unique(labels)) < 2:
        raise ValueError(
            "Images of at least two classes are needed. "
            f"Received: {len(labels)} images of {len(np.unique(labels))} class"
        )
    copies = min(len(part.views) for part in parts)
    if len(parts) > 1 and len({record.name for record in index}) < len(index):
        raise ValueError(
            "Embeddings that are judged together must be of different images, by their names."
        )
    return replace(
        parts[0],
        features=np.concatenate([part.features for part in parts]),
        labels=labels,
        index=tuple(
            replace(record, label=int(label)) for record, label in zip(index, labels, strict=True)
        ),
        views=np.concatenate([part.views[:copies] for part in parts], axis=1) if copies else _NONE,
    )


def _named(part: Embeddings) -> Embeddings:
    return replace(part, index=_named_records(part.labels))


def _named_records(labels: Any) -> tuple[ImageRecord, ...]:
    """Return records of images named by place, as `embed` names those of arrays."""
    labels = np.asarray(labels).reshape(-1)
    return tuple(ImageRecord(f"images[{index}]", int(n)) for index, n in enumerate(labels))


def _with_groups(
    features: Embeddings, groups: Sequence[Any] | Callable[[ImageRecord], Any]
) -> Embeddings:
    """Return the embeddings with groups in their records, where `fit_probe` sees them too."""
    numbers = group_numbers(groups, len(features), index=features.index)
    names = range(len(features)) if numbers is None else numbers.tolist()
    pairs = zip(features.index, names, strict=True)
    index = tuple(replace(record, group=str(name)) for record, name in pairs)
    return replace(features, index=index)


def _behind(features: Embeddings, data: Data) -> tuple[ImageIndex, ImageFinder]:
    """Return the index that decisions will change, and what fetches its images."""
    index = ImageIndex(features.index, features.class_names)
    source = origin_of(data).source
    if isinstance(data, ImageData):
        index, sources = data.index, data.sources
    elif source is not None:
        index, sources = ImageIndex(source.records, source.class_names), [source]
    elif isinstance(data, tuple | list) and len(data) == 2:
        store = PixelStore(list(np.asarray(data[0])), (1, 1), aspect="pad", color_mode="rgb")
        positions = np.arange(len(data[0]))
        index = ImageIndex(_named_records(data[1]), features.class_names)
        sources = [PixelSource(store, positions, positions, index.records, index.class_names, 1)]
    elif data is None:
        sources = []
    else:
        raise ValueError(
            "`data` must be what `load_images` returned, one of its data sets or an "
            f"(images, labels) pair. Received: {type(data).__name__}"
        )
    labels = {record.name: record.label for record in index}
    for record in features.index:
        if labels.get(record.name) != record.label:
            raise ValueError(
                f"`data` has no image {record.name!r} with the label that it has in "
                "`embeddings`. Give what the embeddings were computed from."
            )
    return index, ImageFinder(index, sources)


def _check_folds(crossed: CrossValidation, features: Embeddings) -> None:
    """Refuse folds whose models can't know a class that they judge: all of it would be an error."""
    for folds in crossed.folds:
        for fold in np.unique(folds):
            judged, rest = features.labels[folds == fold], features.labels[folds != fold]
            missing = np.setdiff1d(judged, rest)
            if len(missing):
                raise ValueError(
                    f"All images of class {features.class_names[missing[0]]!r} are in one fold, "
                    "because they belong to too few groups. Take more folds, or leave it out."
                )


def _error(features: Embeddings, known: np.ndarray, present: np.ndarray, index: int) -> LabelError:
    label, chances = features.labels[index], known[index].copy()
    chances[present == label] = -1.0
    best = int(chances.argmax())
    return LabelError(
        name=features.index[index].name,
        label=features.class_names[label],
        suggestion=features.class_names[present[best]],
        confidence=float(chances[best]),
        split=features.index[index].split,
    )


@dataclass(frozen=True, kw_only=True)
class LabelError:
    """An image whose label is likely to be wrong.

    Attributes:
        name: The image's name in its index.
        label: The class that it has.
        suggestion: The class that it is more likely to belong to.
        confidence: The suggestion's probability, by models that haven't seen the image, in
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

    def __str__(self) -> str:
        return f"{self.name}: {self.label}, or rather {self.suggestion}? ({self.confidence:.2f})"


@dataclass(frozen=True, kw_only=True)
class LabelErrors:
    """Images that are likely to have the wrong label, the likeliest first; prints as a table.

    Attributes:
        errors: One `LabelError` each.
        probabilities: For each image that was judged, by models that haven't seen it: shape
            `(n, classes)`.
        scores: The probability of each image's own label, by the same models: shape `(n,)`.
        names: The names of the images that were judged, `n` of them.
        cross_validation: How good those models are, by the labels as they are: if they are poor,
            so are the findings.
        index: The images, to be changed by `apply`.
        images: Fetches an image by its name.

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
    images: ImageFinder

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
        """Return what `review` shows: the same images in the same order."""
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
            columns: Images in a row, >= 1.
            image_size: Pixels of each.
            ax: Where to draw. Default: a new figure.

        Returns:
            The axes.
        """
        check_count("n", n)
        drawn = [self.images(error.name, image_size=image_size) for error in self.errors[:n]]
        titles = [f"{e.label}, or rather\n{e.suggestion}?" for e in self.errors[:n]]
        if all(image is None for image in drawn):
            raise ValueError(
                "There is nothing to draw: no label error was found."
                if not self.errors
                else "The images can't be found. Pass label_errors(..., data=...) what the "
                "embeddings were computed from."
            )
        return contact_sheet(drawn, titles, image_size=image_size, columns=columns, ax=ax)

    def to_csv(self, file: str | Path) -> Path:
        """Write a table that a person fills in, for `apply`; a file of this name is replaced.

        Its columns are `name`, `decision` (empty: write keep, relabel or delete), `label` (the
        suggestion, which `relabel` gives the image), `given` (the label it has) and `confidence`.

        Args:
            file: Where to.

        Returns:
            The file's path.
        """
        rows = (
            {
                "name": error.name,
                "label": error.suggestion,
                "given": error.label,
                "confidence": f"{error.confidence:.4f}",
            }
            for error in self.errors
        )
        return write_decisions(file, rows, more=("given", "confidence"))

    def apply(self, decisions: str | Path) -> ImageIndex:
        """Return a new index with what a person decided, from a CSV file; see `apply_decisions`."""
        return apply_decisions(self.index, decisions)
