"""A Keras model as something that says which character comes next."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from keras_practical.text.characters.vocabulary import CharacterVocabulary
from keras_practical.utils.checks import check_count
from keras_practical.utils.keras_internals.recurrent import fresh_state, stateful_layers

_DEFAULT_CONTEXT = 100


@dataclass(frozen=True)
class CharacterModel:
    """What must be known of a model to let it read.

    Attributes:
        model: Numbers of shape `(rows, characters)` to `(rows, characters, vocabulary)` or, if
            `last_only`, to `(rows, vocabulary)`.
        vocabulary: What the numbers mean.
        rows: The fixed batch size, or `None`.
        length: The fixed number of characters, or `None`.
        last_only: Whether it answers at the end of the sequence only.
        stateful: Whether it goes on from where the batch before ended.
        from_logits: Whether its outputs are logits.
    """

    model: keras.Model
    vocabulary: CharacterVocabulary
    rows: int | None
    length: int | None
    last_only: bool
    stateful: bool
    from_logits: bool

    def context(self, context_length: int | None, *, default: int = _DEFAULT_CONTEXT) -> int:
        """Return how many characters to show at once."""
        if context_length is not None:
            check_count("context_length", context_length)
            if self.length not in (None, context_length):
                raise ValueError(
                    f"`context_length` must be {self.length}, the length of the model's input. "
                    f"Received: context_length={context_length}"
                )
        return self.length or context_length or default

    def probabilities(self, numbers: np.ndarray) -> np.ndarray:
        """Return the next character's probabilities, float64, for rows of numbers."""
        outputs = self.model.predict_on_batch(numbers)
        outputs = keras.ops.convert_to_numpy(outputs).astype("float64")
        if self.from_logits:
            outputs = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
            return outputs / outputs.sum(axis=-1, keepdims=True)
        if not np.isfinite(outputs).all():
            raise ValueError("The model's outputs must be finite numbers. Received: nan or inf")
        if outputs.min() < 0 or np.abs(outputs.sum(axis=-1) - 1.0).max() > 1e-2:
            raise ValueError(
                "The model's outputs must be probabilities: end it with activation='softmax', or "
                "pass from_logits=True if they are logits. "
                f"Received: outputs from {outputs.min():.3g} to {outputs.max():.3g}"
            )
        return outputs

    def check_looks_back_only(self, numbers: np.ndarray) -> None:
        """Raise `ValueError` if a prediction depends on characters that come after it."""
        half = numbers.shape[1] // 2
        if self.last_only or not half:
            return
        changed = numbers.copy()
        changed[:, half:] = changed[:, half:] % (self.vocabulary.size - 1) + 1
        with fresh_state(self.model):
            first = self.probabilities(numbers)
        with fresh_state(self.model):
            second = self.probabilities(changed)
        if np.abs(first - second)[:, :half].max() > 1e-5:
            raise ValueError(
                "The model must look back only, but what it predicts at one place depends on the "
                "characters after it. Leave out `Bidirectional`, use padding='causal' in "
                "convolutions and use_causal_mask=True in attention. "
                f"Received: model={self.model.name!r}"
            )


def character_model(
    model: keras.Model, vocabulary: CharacterVocabulary | None, from_logits: bool
) -> CharacterModel:
    """Check that a model reads and predicts characters, and return what is known of it."""
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a keras.Model. Received: {type(model).__name__}")
    vocabulary = vocabulary or CharacterVocabulary.of(model)
    if vocabulary is None:
        raise ValueError(
            "`vocabulary` must be given for a model without a `CharacterEmbedding` layer: "
            "character_datasets(...).vocabulary, or CharacterVocabulary.load(path)"
        )
    shapes = _shape(model, "input_shape"), _shape(model, "output_shape")
    expected = f"(rows, characters, {vocabulary.size}) or (rows, {vocabulary.size})"
    if len(shapes[0]) != 2 or len(shapes[1]) not in (2, 3) or shapes[1][-1] != vocabulary.size:
        raise ValueError(
            f"The model must take numbers of shape (rows, characters) and answer with {expected}: "
            f"one probability for each character of its vocabulary, and one for unknown ones. "
            f"Received: model={model.name!r}, {shapes[0]} to {shapes[1]}"
        )
    return CharacterModel(
        model=model,
        vocabulary=vocabulary,
        rows=shapes[0][0],
        length=shapes[0][1],
        last_only=len(shapes[1]) == 2,
        stateful=bool(stateful_layers(model)),
        from_logits=from_logits,
    )


def _shape(model: keras.Model, name: str) -> tuple[int | None, ...]:
    try:
        shape = getattr(model, name)
    except AttributeError as error:
        raise ValueError(
            "`model` must be a built Sequential or functional model: begin it with "
            f"keras.Input((None,)). Received: {model!r}"
        ) from error
    if not isinstance(shape, tuple) or (shape and isinstance(shape[0], tuple)):
        raise ValueError(f"`model` must have one input and one output. Received: {name}={shape}")
    return shape
