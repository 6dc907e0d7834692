"""A Keras model as something that says which character comes next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import keras
import numpy as np

from keras_practical.text.characters.vocabulary import CharacterVocabulary
from keras_practical.utils.checks import check_count
from keras_practical.utils.keras_internals.graph import before_probabilities, final_activation
from keras_practical.utils.keras_internals.recurrent import fresh_state, stateful_layers

_DEFAULT_CONTEXT = 100
# The smallest number > 0 of each type.
_SMALLEST = {"float16": 2.0**-24, "bfloat16": 2.0**-133, "float32": 2.0**-149, "float64": 5e-324}


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
        outputs, _ = self._outputs(numbers)
        return np.exp(_log_softmax(outputs)) if self.from_logits else outputs

    def log_probabilities(self, numbers: np.ndarray) -> np.ndarray:
        """Return their logarithms; where a probability is 0, that of the smallest number > 0."""
        outputs, smallest = self._outputs(numbers)
        return _log_softmax(outputs) if self.from_logits else np.log(np.maximum(outputs, smallest))

    @contextmanager
    def before_softmax(self) -> Iterator[CharacterModel]:
        """Give, while the block runs, the same model by its logits, if it ends in a softmax.

        A sure model's probabilities are rounded to 0 and 1. In half precision the outputs stay what
        they are: there the logits are rounded too.
        """
        half = self.model.outputs[0].dtype in ("float16", "bfloat16")
        if self.from_logits or half or final_activation(self.model) != "softmax":
            yield self
            return
        with before_probabilities(self.model):
            # A model of its own, so that what is compiled for the block isn't used after it.
            inside = keras.Model(self.model.inputs[0], self.model.outputs[0], name=self.model.name)
            yield replace(self, model=inside, from_logits=True)

    def _outputs(self, numbers: np.ndarray) -> tuple[np.ndarray, float]:
        """Return a batch's outputs, float64, and the smallest number > 0 of their own type."""
        raw = keras.ops.convert_to_numpy(self.model.predict_on_batch(numbers))
        smallest = _SMALLEST.get(raw.dtype.name, _SMALLEST["float32"])
        outputs = raw.astype("float64")
        if not np.isfinite(outputs).all():
            raise ValueError("The model's outputs must be finite numbers. Received: nan or inf")
        if self.from_logits:
            return outputs, smallest
        if outputs.min() < 0 or np.abs(outputs.sum(axis=-1) - 1.0).max() > 1e-2:
            raise ValueError(
                "The model's outputs must be probabilities: end it with activation='softmax', or "
                "pass from_logits=True if they are logits. "
                f"Received: outputs from {outputs.min():.3g} to {outputs.max():.3g}"
            )
        return outputs, smallest

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


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    lower = logits - logits.max(axis=-1, keepdims=True)
    return lower - np.log(np.exp(lower).sum(axis=-1, keepdims=True))


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
