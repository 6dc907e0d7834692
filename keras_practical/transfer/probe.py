"""The ten-second baseline: logistic regression on a pretrained network's features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_practical.data.batches import weighted_batches_of
from keras_practical.data.features import Embeddings
from keras_practical.data.groups import group_numbers
from keras_practical.data.labels import class_numbers
from keras_practical.data.origin import origin_of
from keras_practical.data.pieces import pieces_of
from keras_practical.models.classifiers import classifier
from keras_practical.transfer.embedding import embed
from keras_practical.utils.checks import ImageSize, check_count, check_positive
from keras_practical.utils.regression import best_strength, linear_head, probabilities_of

if TYPE_CHECKING:
    from keras_practical.utils.types import Augmentation, Data

__all__ = ["Probe", "fit_probe", "linear_probe"]

# Of the penalty's inverse, for standardized features.
_STRENGTHS = (1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A logistic regression on features, as plain numbers.

    Attributes:
        kernel: float64 of shape `(features, classes)`.
        bias: float64 of shape `(classes,)`.
        strength: The inverse `C` of the penalty it was fitted with.
        held_out_loss: Log-loss on the folds that the penalty was chosen by, in nats, each part
            judged by what the others taught; `None` if none was chosen.

    Example:

    >>> probe = Probe(kernel=np.eye(2), bias=np.zeros(2), strength=1.0)
    >>> probe.predict_proba(np.log([[3.0, 1.0]])).round(2).tolist()
    [[0.75, 0.25]]
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float
    held_out_loss: float | None = None

    def __str__(self) -> str:
        return f"logistic regression of {self.kernel.shape[0]:,} features, C = {self.strength:g}"

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """Return probabilities of shape `(n, classes)`, as scikit-learn's classifiers do."""
        return probabilities_of(features, self.kernel, self.bias)


def fit_probe(
    embeddings: Embeddings,
    *,
    strength: float | None = None,
    folds: int = 3,
    class_weight: Mapping[int, float] | None = None,
    seed: int = 0,
) -> Probe:
    """Fit a logistic regression to embeddings, its penalty chosen by cross-validation.

    Use it with `cross_validate` and wherever seconds count; `linear_probe` makes a Keras model of
    it.

    Args:
        embeddings: What to learn from; augmented views count as further examples. Their
            `sample_weight` counts.
        strength: Inverse of the penalty on the coefficients of standardized features, > 0, as
            scikit-learn's `C`. Default: the one with the least log-loss on held-out folds; groups
            that `load_images` was given stay together there.
        folds: Parts for that choice, >= 2; fewer if a class has fewer examples.
        class_weight: As in `fit`: how much the examples of a class count, by its number.
        seed: Decides the folds.

    Returns:
        A `Probe`.

    Raises:
        ValueError: An argument is outside its range, there is one class, or labels are several in
            a row.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(60) % 2
    >>> found = Embeddings(rng.normal(size=(60, 3)) + 2 * labels[:, None], labels, (), ("a", "b"))
    >>> bool(fit_probe(found).predict_proba([[2.0, 2.0, 2.0]])[0, 1] > 0.9)
    True

    Reference:
        Kornblith, Shlens & Le, *Do Better ImageNet Models Transfer Better?* (2018),
        arXiv 1805.08974; `sklearn.linear_model.LogisticRegression`.
    """
    check_count("folds", folds, minimum=2)
    check_count("seed", seed, minimum=0)
    if strength is not None:
        check_positive("strength", strength)
    labels = class_numbers(embeddings.labels)
    embeddings = replace(embeddings, labels=labels)
    if class_weight is not None:
        own = embeddings.sample_weight
        weights = np.array([class_weight.get(int(label), 1.0) for label in labels])
        embeddings = replace(embeddings, sample_weight=weights if own is None else weights * own)
    classes = len(embeddings.class_names)
    counts = np.bincount(labels, minlength=classes) if labels.ndim == 1 else np.zeros(1)
    if labels.ndim != 1 or (counts > 0).sum() < 2:
        raise ValueError(
            "A probe needs one integer label each, of at least two classes. "
            f"Received: labels of shape {labels.shape}, examples by class {counts.tolist()}"
        )
    held_out_loss = None
    if strength is None:
        folds = int(min(folds, counts[counts > 0].min()))
        strength = 1e-2
        if folds > 1:
            strength, held_out_loss = _best_strength(embeddings, folds, seed)
    kernel, bias = linear_head(
        *embeddings.all_views(),
        classes,
        strength=strength,
        scale=True,
        sample_weight=embeddings.all_weights(),
    )
    return Probe(kernel=kernel, bias=bias, strength=strength, held_out_loss=held_out_loss)


def linear_probe(
    backbone: str | keras.Model,
    data: Data,
    *,
    image_size: ImageSize | None = None,
    preprocessing: str | None = None,
    augmentation: Augmentation | None = None,
    views: int = 1,
    strength: float | None = None,
    class_weight: Mapping[int, float] | None = None,
    cache_dir: str | Path | None = None,
    seed: int = 0,
    verbose: bool = True,
) -> keras.Model:
    """Return a classifier whose head is a logistic regression on the backbone's features.

    Start every project with it: one pass over the images, no learning rate, no epochs. What
    fine-tuning adds to it may not be worth the wait. In plain Keras one calls `predict` on the
    backbone, fits scikit-learn's `LogisticRegression`, and has two models to carry around.

    Args:
        backbone: As in `fine_tuning.classifier`.
        data: Training data, as in `embed`.
        image_size: As in `fine_tuning.classifier`. Default: the images' own.
        preprocessing: As in `fine_tuning.classifier`.
        augmentation: A Keras layer, or a list of them: each image is learnt as it is and in
            `views` augmented views. They aren't part of the model.
        views: As in `embed`.
        strength: As in `fit_probe`.
        class_weight: As in `fit_probe`.
        cache_dir: As in `embed`.
        seed: Decides what the augmentation draws and how the penalty is chosen.
        verbose: Whether to show progress and say what was chosen.

    Returns:
        A plain Keras model, compiled, pixels in, probabilities out, its backbone frozen: a good
        start for `fine_tune(model, data, frozen_epochs=0)`.

    Raises:
        ValueError: As in `embed`, `fit_probe` or `fine_tuning.classifier`.
        RuntimeError: The ImageNet weights can't be had; the text says how to go on offline.

    Example:

    >>> from keras_practical import load_images
    >>> digits = load_images("digits", verbose=False)
    >>> layers = [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    >>> model = linear_probe(keras.Sequential(layers), digits.train, verbose=False)
    >>> model.output_shape
    (None, 10)

    Reference:
        As for `fit_probe`.
    """
    shape = pieces_of(data, repeatable=False).shape
    names: Sequence[str] | None = origin_of(data).class_names
    if names is None:
        parts = [labels for _, labels, _ in weighted_batches_of(data, 256)[0]]
        labels = class_numbers(np.concatenate(parts))
        names = [str(label) for label in range(int(labels.max()) + 1)]
    model = classifier(
        backbone,
        names,
        image_size=image_size or (shape[0], shape[1]),
        preprocessing=preprocessing,
        dropout=0.0,
        seed=seed,
        verbose=verbose,
    )
    embeddings = embed(
        model,
        data,
        augmentation=augmentation,
        views=views,
        cache_dir=cache_dir,
        seed=seed,
        verbose=verbose,
    )
    probe = fit_probe(embeddings, strength=strength, class_weight=class_weight, seed=seed)
    model.layers[-1].set_weights([probe.kernel, probe.bias])
    # So that a saved file has the state that Keras looks for on loading.
    model.optimizer.build(model.trainable_variables)
    if verbose:
        print(
            f"linear_probe: {probe.kernel.size + probe.bias.size:,} coefficients from "
            f"{len(embeddings):,} images, C = {probe.strength:g} "
            f"({'chosen by cross-validation' if strength is None else 'as given'})"
        )
    return model


def _best_strength(embeddings: Embeddings, folds: int, seed: int) -> tuple[float, float]:
    """Return the strength with the least log-loss on held-out folds, groups whole, and that."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    labels = embeddings.labels
    groups = group_numbers(None, len(labels), index=embeddings.index) if embeddings.index else None
    kind = StratifiedKFold
    if groups is not None:
        # Patients on both sides would ask for a penalty under which they can be recognised.
        pairs = set(zip(labels.tolist(), groups.tolist(), strict=True))
        fewest = min(Counter(label for label, _ in pairs).values())
        if fewest > 1:
            kind, folds = StratifiedGroupKFold, min(folds, fewest)
    splitter = kind(folds, shuffle=True, random_state=seed)
    parts = splitter.split(
        embeddings.features, labels, groups if kind is StratifiedGroupKFold else None
    )
    examples = []
    for train, test in parts:
        fitted, judged = embeddings.take(train), embeddings.take(test)
        examples.append(
            (
                (*fitted.all_views(), fitted.all_weights()),
                (judged.features, judged.labels, judged.sample_weight),
            )
        )
    classes = len(embeddings.class_names)
    return best_strength(examples, classes, strengths=_STRENGTHS, start=1e-2, scale=True)
