"""A classifier on a language model's encoder, and what it says of texts."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from keras_practical.models.class_names import class_names_of, named_classes
from keras_practical.text.layers import ConcatPooling
from keras_practical.text.vocabulary import SubwordVocabulary
from keras_practical.utils.checks import check_between, check_count
from keras_practical.utils.progress import track

__all__ = ["classifier", "known_classes", "named_by", "predict_texts"]

_LENGTH = 512


def classifier(
    language_model: keras.Model,
    class_names: Sequence[str] | int,
    *,
    parts: Sequence[str] = ("mean", "max", "last"),
    dropout: float = 0.1,
    seed: int = 0,
) -> keras.Model:
    """Build a text classifier on a language model's encoder, compiled, its encoder frozen.

    Use it after `pretrain`, and train it with `fine_tune`. A text becomes one vector by concat
    pooling: of what was seen at its places (`parts`), and the weighted mean of its pieces' own
    vectors. The model is an ordinary functional Keras model, complete by itself: the vocabulary is
    inside, and a saved `.keras` file needs nothing but this package. In plain Keras one writes the
    same from an encoder, two pooling layers and a `Dense` layer, and keeps the vocabulary apart.

    Args:
        language_model: As `language_model` makes it, or an encoder as `text_encoder` makes it. The
            classifier gets a copy of the encoder: training it leaves the language model as it is.
        class_names: The classes' names, which the model keeps (`class_names_of`), or how many
            there are; at least two. Labels of texts then count by name.
        parts: As in `ConcatPooling`, of the states.
        dropout: Part of the pooled vector that training drops, in [0, 0.9].
        seed: Whole number >= 0; decides the head's weights.

    Returns:
        A compiled Keras model from numbers `(batch, length)` to probabilities `(batch, classes)`.
        `predict_texts` calls it with texts.

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> from keras_practical.text.language_models import language_model
    >>> from keras_practical.text.vocabulary import build_vocabulary
    >>> vocabulary = build_vocabulary(["one fish, two fish"] * 9, size=40, verbose=False)
    >>> model = classifier(language_model(vocabulary), ["animals", "numbers"])
    >>> predict_texts(model, ["one", "fish"], verbose=False).shape
    (2, 2)

    Reference:
        Howard & Ruder, *Universal Language Model Fine-tuning* (2018), arXiv 1801.06146.
    """
    check_between("dropout", dropout, 0.0, 0.9)
    check_count("seed", seed, minimum=0)
    if isinstance(class_names, str):
        raise ValueError(f"`class_names` must be a list of names. Received: {class_names!r}")
    if isinstance(class_names, np.integer):
        class_names = int(class_names)
    count = class_names if isinstance(class_names, int) else len(class_names)
    check_count("class_names", count, minimum=2)
    nested = [layer.name for layer in language_model.layers]
    original = language_model.get_layer("encoder") if "encoder" in nested else language_model
    encoder = keras.models.clone_model(original)
    encoder.set_weights(original.get_weights())
    encoder.trainable = False
    inputs = keras.Input((None,), dtype="int32", name="pieces")
    seen = encoder(inputs)
    pooled = keras.layers.Concatenate(name="text")(
        [
            ConcatPooling(("mean",), name="pooled_vectors")([seen["vectors"], seen["weights"]]),
            ConcatPooling(tuple(parts), name="pooled_states")([seen["states"], seen["weights"]]),
        ]
    )
    dropped = keras.layers.Dropout(dropout, seed=seed)(pooled)
    dropped = named_classes(dropped, class_names)
    # float32 also under mixed precision: half precision would round the probabilities.
    outputs = keras.layers.Dense(
        count,
        activation="softmax",
        dtype="float32",
        kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
        name="head",
    )(dropped)
    model = keras.Model(inputs, outputs, name="classifier")
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    # So that a saved file has the state that Keras looks for on loading.
    model.optimizer.build(model.trainable_variables)
    return model


def predict_texts(
    model: keras.Model,
    texts: Sequence[str],
    *,
    length: int = _LENGTH,
    batch_size: int = 32,
    verbose: bool = True,
) -> np.ndarray:
    """Return a model's answer to texts, which it turns into numbers by its own vocabulary.

    Use it on a model of `classifier`, also a loaded one, or on any other with a
    `SubwordEmbedding` inside. In plain Keras it is `model.predict(vocabulary.encode(texts))`; here
    texts of like length share a batch, so that short ones aren't padded to the longest.

    Args:
        model: A model from numbers `(batch, length)` to one row each.
        texts: Texts.
        length: Longer texts are cut after so many pieces, >= 2.
        batch_size: Texts at a time, >= 1.
        verbose: Whether to show progress.

    Returns:
        float32 of shape `(n, classes)`, in the order of the texts.

    Raises:
        ValueError: There are no texts, or the model has no vocabulary inside.

    Example:

    >>> from keras_practical.text.language_models import language_model
    >>> from keras_practical.text.vocabulary import build_vocabulary
    >>> vocabulary = build_vocabulary(["one fish, two fish"] * 9, size=40, verbose=False)
    >>> model = classifier(language_model(vocabulary), 2)
    >>> predict_texts(model, ["one fish"], verbose=False).sum().round(3)
    np.float32(1.0)
    """
    check_count("length", length, minimum=2)
    check_count("batch_size", batch_size)
    numbers = [text_numbers[:length] for text_numbers in SubwordVocabulary.of(model).numbers(texts)]
    if not numbers:
        raise ValueError("`texts` must hold at least one text. Received: none")
    order = np.argsort([len(text_numbers) for text_numbers in numbers], kind="stable")
    starts = range(0, len(order), batch_size)
    predicted: list[np.ndarray] = []
    for start in track(starts, "Reading", len(starts), show=verbose):
        indexes = order[start : start + batch_size]
        rows = _rows([numbers[index] for index in indexes], min(batch_size, len(numbers)))
        predicted.append(np.asarray(model.predict_on_batch(rows))[: len(indexes)])
    joined = np.concatenate(predicted).astype("float32")
    return joined[np.argsort(order, kind="stable")]


def known_classes(model: keras.Model) -> tuple[str, ...]:
    """Return the names of a text classifier's classes; numbers if it has none.

    Args:
        model: A model that gives one row of probabilities for each text.

    Returns:
        One name a class, in the order of the model's outputs.

    Example:

    >>> known_classes(keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]))
    ('0', '1', '2')
    """
    return class_names_of(model) or tuple(str(n) for n in range(model.output_shape[-1]))


def named_by(names: tuple[str, ...], given: Sequence[str]) -> tuple[str, ...]:
    """Return a model's class names, or as many given ones if it has only numbers.

    Args:
        names: As `known_classes` gives them.
        given: Names from elsewhere, such as the texts'.

    Returns:
        One name a class.

    Example:

    >>> named_by(("0", "1"), ["sports", "weather"]), named_by(("b", "a"), ["a", "b"])
    (('sports', 'weather'), ('b', 'a'))
    """
    numbers = tuple(str(number) for number in range(len(names)))
    given = tuple(map(str, given))
    return given if names == numbers and len(given) == len(names) else names


def _rows(numbers: Sequence[np.ndarray], batch_size: int) -> np.ndarray:
    """Pad to few different shapes: for each new one the backend compiles the model again."""
    longest = max(len(text_numbers) for text_numbers in numbers)
    rows = np.zeros((batch_size, max(64, 1 << (longest - 1).bit_length())), "int32")
    for row, text_numbers in zip(rows, numbers, strict=False):
        row[: len(text_numbers)] = text_numbers
    return rows
