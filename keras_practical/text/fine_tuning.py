"""Training a text classifier: the head at once, then the encoder, layer group by layer group."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import keras
import numpy as np

from keras_practical.data.batches import ShuffledBatches
from keras_practical.data.order import EpochOrder
from keras_practical.models.class_names import class_names_of
from keras_practical.text.classifiers import known_classes, named_by, predict_texts
from keras_practical.text.loading import LabelledTexts, check_labelled
from keras_practical.text.vocabulary import SubwordVocabulary
from keras_practical.training.layer_rates import scale_learning_rates
from keras_practical.training.one_cycle import OneCycle
from keras_practical.training.resuming import SetEpoch
from keras_practical.transfer.averaging import best_share, gain, judge
from keras_practical.utils.checks import check_count, check_positive
from keras_practical.utils.keras_internals.graph import outputs_in
from keras_practical.utils.regression import best_strength, linear_head

__all__ = ["fine_tune"]

# The encoder's layers in the order in which they are unfrozen: from the last to the first.
_GROUPS = (("states", "memory"), ("content", "gate"), ("vectors",))
# Of the penalty's inverse, for parts of length 1.
_STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)


def fine_tune(
    model: keras.Model,
    train: LabelledTexts,
    *,
    validation_data: LabelledTexts | None = None,
    epochs: int = 3,
    max_learning_rate: float = 1e-3,
    group_divisor: float = 2.6,
    head_strength: float | None = None,
    length: int = 512,
    batch_size: int = 16,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
) -> keras.callbacks.History:
    """Train a text classifier as ULMFiT does: its head first, then more and more of its encoder.

    The head is a logistic regression on what the frozen encoder makes of each text, which is
    computed once: it takes seconds, and needs neither a learning rate nor epochs. Then the encoder
    is unfrozen from the last layers to the first, one group an epoch, earlier groups with smaller
    steps, all under one cycle. With a few dozen labels the head alone is often as good
    (`epochs=0`). With `validation_data` the end isn't worse on them than the head alone: they
    choose between the weights then, those at the end, and three places between, and what it brought
    is said. In plain Keras these are a round of `predict`, and one of setting `trainable` and
    compiling for each group.

    Args:
        model: As `classifier` makes it. It is trained in place.
        train: Labelled texts, such as `load_texts(...).train`. Labels count by the names of their
            classes, in whatever order the texts list them, if the model has names.
        validation_data: Labelled texts to measure after each epoch. At the end they choose how
            much of the way from the head alone is kept, by log-loss, as in `transfer.fine_tune`; so
            a figure to report needs other texts. Their labels count by name too.
        epochs: Epochs after the head, >= 0. From the third one on, everything trains.
        max_learning_rate: Adam's rate for the head at the cycle's peak, > 0.
        group_divisor: How many times smaller each earlier group's steps are, > 0.
        head_strength: Inverse of the penalty on the head's coefficients, > 0. Default: chosen by
            cross-validation within `train`.
        length: Longer texts are cut after so many pieces, >= 2.
        batch_size: Texts a batch, >= 1.
        seed: Decides folds, order and dropout.
        callbacks: Further Keras callbacks, for the epochs.
        verbose: As in `fit`; 0 also silences the lines that say what is done.

    Returns:
        One `History` of all epochs; empty with `epochs=0`. Its `params` say the `share` of the way
        that is kept.

    Raises:
        ValueError: An argument is outside its range, `train` has one class only, `train` or
            `validation_data` has a class that the model doesn't know, or the model isn't one of
            `classifier`.

    Example:

    >>> from keras_practical.text.language_models import language_model
    >>> from keras_practical.text.vocabulary import build_vocabulary
    >>> from keras_practical.text.classifiers import classifier
    >>> from keras_practical.text.loading import load_texts
    >>> texts = [f"{noun} {n}" for n in range(9) for noun in ("rain", "goal")]
    >>> data = load_texts((texts, ["weather", "sports"] * 9), verbose=False)
    >>> vocabulary = build_vocabulary(texts, size=40, verbose=False)
    >>> model = classifier(language_model(vocabulary, texts=texts), data.class_names)
    >>> history = fine_tune(model, data.train, epochs=1, verbose=0)
    >>> predict_texts(model, data.validation.texts, verbose=False).argmax(1).tolist() == (
    ...     data.validation.labels.tolist()
    ... )
    True

    Reference:
        Howard & Ruder, *Universal Language Model Fine-tuning* (2018), arXiv 1801.06146: gradual
        unfreezing and discriminative rates, of which `group_divisor` is theirs; a head first and
        to the end: Kumar et al., *Fine-Tuning can Distort Pretrained Features* (2022).
    """
    check_count("epochs", epochs, minimum=0)
    check_positive("max_learning_rate", max_learning_rate)
    check_positive("group_divisor", group_divisor)
    if head_strength is not None:
        check_positive("head_strength", head_strength)
    check_count("length", length, minimum=2)
    check_count("batch_size", batch_size)
    check_count("seed", seed, minimum=0)
    encoder, head = _parts(model)
    check_labelled("train", train)
    if validation_data is not None:
        check_labelled("validation_data", validation_data)
    # A model without names takes those of its training texts, so that validation goes by them.
    classes = named_by(known_classes(model), train.class_names)
    unnamed = class_names_of(model) is None
    if len(np.unique(train.labels)) < 2 or (unnamed and len(train.class_names) != len(classes)):
        raise ValueError(
            f"`train` must have texts of at least two of the model's {len(classes)} classes. "
            f"Received: {train.counts()}"
        )
    train = train.renumbered(classes)
    if validation_data is not None:
        validation_data = validation_data.renumbered(classes)
        _warn_of_untrained(train, validation_data)
    strength = _fit_head(model, head, train, strength=head_strength, length=length, seed=seed)
    if verbose:
        print(
            f"fine_tune: the head, a logistic regression on {len(train):,} texts, C = {strength:g} "
            f"({'chosen by cross-validation' if head_strength is None else 'as given'})"
        )
    start = model.get_weights()
    history = keras.callbacks.History()
    history.set_model(model)
    history.epoch = []
    inputs, held_out = _inputs(model, train, length), None
    if validation_data is not None and epochs:
        held_out = (_inputs(model, validation_data, length), validation_data.labels)
    steps = -(-len(train) // batch_size) * epochs
    groups = [[v for n in names for v in encoder.get_layer(n).variables] for names in _GROUPS]
    rates = [group_divisor ** -(index + 1) for index in range(len(_GROUPS))]
    batches = ShuffledBatches(inputs, train.labels, batch_size, EpochOrder(len(train), seed))
    for first, last, count in _phases(epochs):
        _unfreeze(encoder, count)
        if verbose:
            which = f"epoch {last}" if last == first + 1 else f"epochs {first + 1} to {last}"
            print(
                f"fine_tune: {which} of {epochs}: the head and {count} of {len(_GROUPS)} groups "
                f"of the encoder train, at most at {max_learning_rate:g} and "
                f"{', '.join(f'{max_learning_rate * rate:.1g}' for rate in rates[:count])}"
            )
        # A fresh optimizer for what is unfrozen, at the cycle's place where the last one stopped.
        optimizer = keras.optimizers.Adam(max_learning_rate, clipnorm=1.0)
        scale_learning_rates(optimizer, groups, rates)
        model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        done = model.fit(
            batches,
            shuffle=False,
            validation_data=held_out,
            initial_epoch=first,
            epochs=last,
            callbacks=[
                *callbacks,
                SetEpoch(batches),
                OneCycle(max_learning_rate, total_steps=steps),
            ],
            verbose=verbose,
        )
        history.epoch += done.epoch
        for name, values in done.history.items():
            history.history.setdefault(name, []).extend(values)
        if model.stop_training:
            break
    share = 1.0
    if held_out is not None:
        share = _keep_what_helps(model, start, held_out, verbose=bool(verbose))
    history.params = {"epochs": len(history.epoch), "share": share}
    return history


def _keep_what_helps(
    model: keras.Model,
    start: Sequence[np.ndarray],
    held_out: tuple[np.ndarray, np.ndarray],
    *,
    verbose: bool,
) -> float:
    """Have held-out texts choose between the weights at the start and now; return the share."""
    share, before, after = best_share(
        model, start, at_start=None, measure=lambda: judge(model, held_out), otherwise=1.0
    )
    if verbose:
        print(
            f"fine_tune: {gain(before, after)}; {share:.0%} of the way from the head alone is kept"
        )
    return share


def _warn_of_untrained(train: LabelledTexts, held_out: LabelledTexts) -> None:
    """Warn of held-out classes that training has no texts of."""
    own = train.counts()
    untrained = [name for name, count in held_out.counts().items() if count and not own[name]]
    if untrained:
        warnings.warn(
            f"`validation_data` has texts of {', '.join(untrained)}, of which `train` has none: "
            "all of them will count as mistakes.",
            stacklevel=3,
        )


def _phases(epochs: int) -> list[tuple[int, int, int]]:
    """Return first epoch, end and number of unfrozen groups: one more each epoch, then all on."""
    gradual = [(e, e + 1, e + 1) for e in range(min(epochs, len(_GROUPS) - 1))]
    rest = (len(gradual), epochs, len(_GROUPS))
    return [*gradual, rest] if epochs > len(gradual) else gradual


def _parts(model: keras.Model) -> tuple[keras.Model, keras.layers.Dense]:
    names = [layer.name for layer in model.layers]
    if not {"encoder", "text", "head"} <= set(names):
        raise ValueError(
            "`model` must be made by `classifier`, with layers named encoder, text and head. "
            f"Received: {model.name!r} with {', '.join(names)}"
        )
    return model.get_layer("encoder"), model.get_layer("head")


def _inputs(model: keras.Model, texts: LabelledTexts, length: int) -> np.ndarray:
    """Return texts as numbers, cut to `length` and without columns of padding only."""
    numbers = SubwordVocabulary.of(model).encode(texts.texts, length=length)
    return numbers[:, : max(2, int((numbers != 0).any(0).sum()))]


def _unfreeze(encoder: keras.Model, count: int) -> None:
    """Let the last `count` groups train; weights of pieces stay as they were counted."""
    encoder.trainable = True
    unfrozen = {name for names in _GROUPS[:count] for name in names}
    for layer in encoder.layers:
        layer.trainable = layer.name in unfrozen


def _fit_head(
    model: keras.Model,
    head: keras.layers.Dense,
    train: LabelledTexts,
    *,
    strength: float | None,
    length: int,
    seed: int,
) -> float:
    """Set the head to a logistic regression on the encoder's features; return its strength."""
    from sklearn.model_selection import StratifiedKFold

    body = keras.Model(model.inputs, outputs_in(model)["text"][0])
    features = predict_texts(body, train.texts, length=length, verbose=False).astype("float64")
    fewest = int(np.bincount(train.labels)[np.unique(train.labels)].min())
    if strength is None:
        strength = 10.0
        if fewest >= 2:
            splitter = StratifiedKFold(min(5, fewest), shuffle=True, random_state=seed)
            folds = [
                (
                    (features[fit], train.labels[fit], None),
                    (features[judge], train.labels[judge], None),
                )
                for fit, judge in splitter.split(features, train.labels)
            ]
            strength, _ = best_strength(
                folds, head.units, strengths=_STRENGTHS, start=strength, scale=False
            )
    kernel, bias = linear_head(features, train.labels, head.units, strength=strength, scale=False)
    head.set_weights([kernel, bias])
    return float(strength)
