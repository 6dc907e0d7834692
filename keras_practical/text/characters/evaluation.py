"""How surprised a model is by a text that it hasn't seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras
import numpy as np

from keras_practical.data.batches import pad
from keras_practical.text.characters.model import CharacterModel, character_model
from keras_practical.text.characters.vocabulary import UNKNOWN, CharacterVocabulary, check_text
from keras_practical.utils.intervals import mean_interval
from keras_practical.utils.keras_internals.recurrent import fresh_state
from keras_practical.utils.progress import track

__all__ = ["CharacterEvaluation", "evaluate_characters"]

# Neighbouring characters are hard together, so that the interval is of long stretches.
_STRETCHES = 30
_WINDOWS_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class CharacterEvaluation:
    """How well a model predicts a text; prints as one line.

    Attributes:
        nats: Mean cross-entropy of a character, in nats (natural logarithm), as `fit` reports it.
        interval: 95 % interval of `nats`, from the means of 30 consecutive stretches of the text.
        n: Characters that were predicted: all but the first ones, before which there is nothing.
        unknown: How many of them the vocabulary doesn't have. They are counted as its number 0.

    Example:

    >>> print(CharacterEvaluation(nats=math.log(4), interval=(1.3, 1.5), n=1000, unknown=0))
    1.386 nats a character (95 % interval 1.300–1.500, n=1,000) = 2.000 bits; perplexity 4.00
    """

    nats: float
    interval: tuple[float, float]
    n: int
    unknown: int

    @property
    def bits(self) -> float:
        """Bits a character: to what a perfect compressor with this model would bring the text."""
        return self.nats / math.log(2)

    @property
    def perplexity(self) -> float:
        """Among how many equally likely characters the model is left to guess."""
        with np.errstate(over="ignore"):
            return float(np.exp(self.nats))

    def __str__(self) -> str:
        some = f"; {self.unknown} unknown character{'s' * (self.unknown > 1)}"
        unknown = some if self.unknown else ""
        return (
            f"{self.nats:.3f} nats a character (95 % interval {self.interval[0]:.3f}–"
            f"{self.interval[1]:.3f}, n={self.n:,}) = {self.bits:.3f} bits; "
            f"perplexity {self.perplexity:.2f}{unknown}"
        )


def evaluate_characters(
    model: keras.Model,
    text: str,
    *,
    vocabulary: CharacterVocabulary | None = None,
    context_length: int | None = None,
    from_logits: bool = False,
    verbose: bool = True,
) -> CharacterEvaluation:
    """Measure how well a model predicts each character of a text from those before it.

    Use it on held-out text, never on the training text: a loss in training only says how well that
    was learnt by heart. A stateful model reads the text in as many rows as its batch has, each from
    an empty state, and its own state stays as it was. Another model gets overlapping windows and is
    judged by the second half of each, so that every character has something before it.
    A final softmax is seen through, so that a probability that is rounded to 0 costs what its logit
    says. In plain Keras, `model.evaluate` starts from whatever state training left, leaves its own,
    and leaves out what doesn't fill a batch.

    Args:
        model: Numbers of shape `(rows, characters)` to the probabilities of the next character, of
            shape `(rows, characters, vocabulary)` or `(rows, vocabulary)`.
        text: At least two characters.
        vocabulary: What the numbers mean. Default: that of the model's `CharacterEmbedding`.
        context_length: Characters to show at once, >= 1. Default: the model's input length or 100.
            A stateful model's answer doesn't depend on it.
        from_logits: Whether the model's outputs are logits rather than probabilities.
        verbose: Whether to show a progress bar.

    Returns:
        A `CharacterEvaluation`; print it.

    Raises:
        ValueError: The text is too short, the model doesn't predict this vocabulary's characters,
            its outputs aren't probabilities, or it looks at the characters that it predicts.

    Example:

    >>> model = keras.Sequential([keras.Input((None,)), keras.layers.Embedding(3, 3)])
    >>> model.add(keras.layers.Softmax())
    >>> model.layers[0].set_weights([np.log([[0.1, 0.1, 0.8], [0.1, 0.1, 0.8], [0.1, 0.5, 0.4]])])
    >>> result = evaluate_characters(model, "abab", vocabulary=CharacterVocabulary("ab"))
    >>> round(result.nats, 4), result.n  # -(log .8 + log .5 + log .8) / 3
    (0.3798, 3)

    Reference:
        Graves, *Generating Sequences With Recurrent Neural Networks* (2013), arXiv 1308.0850.
    """
    reader = character_model(model, vocabulary, from_logits)
    check_text("text", text)
    # One that answers at the end only reads on from character to character.
    one_by_one = reader.stateful and reader.last_only and reader.length is None
    context = 1 if one_by_one else reader.context(context_length)
    numbers = reader.vocabulary.encode(text, allow_unknown=True)
    needed = context + 1 if reader.last_only and not reader.stateful else 2
    if len(numbers) < needed:
        raise ValueError(f"`text` must have at least {needed} characters. Received: {len(numbers)}")
    read = _read_on if reader.stateful else _read_windows
    with reader.before_softmax() as inner:
        losses = read(inner, numbers, context, verbose)
    scored = ~np.isnan(losses)
    values = losses[scored]
    stretches = [part.mean() for part in np.array_split(values, min(_STRETCHES, len(values)))]
    return CharacterEvaluation(
        nats=float(values.mean()),
        interval=mean_interval(np.array(stretches)),
        n=len(values),
        unknown=int((numbers[1:][scored] == UNKNOWN).sum()),
    )


def _read_on(
    reader: CharacterModel, numbers: np.ndarray, context: int, verbose: bool
) -> np.ndarray:
    """Return the loss of each character but the first, each row carrying its state."""
    predicted = len(numbers) - 1
    rows = reader.rows or 1
    row_length = -(-predicted // rows)
    steps = -(-row_length // context)
    # Padded at the end, where it can't do harm: a step of another shape would be compiled anew.
    padded = np.zeros(rows * row_length + steps * context + 1, "int32")
    padded[: len(numbers)] = numbers
    starts = np.arange(rows)[:, None] * row_length
    losses = np.full(predicted, np.nan)
    with fresh_state(reader.model):
        for step in track(range(steps), "reading", steps, show=verbose):
            in_row = np.arange(step * context, (step + 1) * context)
            found = reader.log_probabilities(padded[starts + in_row])
            if reader.last_only:
                in_row = in_row[-1:]
                found = found[:, None]
            indexes = starts + in_row
            ours = (in_row < row_length) & (indexes < predicted)
            losses[indexes[ours]] = _losses(found, padded[indexes + 1])[ours]
    reader.check_looks_back_only(padded[starts + np.arange(context)])
    return losses


def _read_windows(
    reader: CharacterModel, numbers: np.ndarray, context: int, verbose: bool
) -> np.ndarray:
    """Return the loss of each character but the first, each judged in one of many windows."""
    predicted = len(numbers) - 1
    rows = reader.rows or _WINDOWS_AT_ONCE
    stride = 1 if reader.last_only else max(1, context // 2)
    last = max(0, predicted - context)
    starts = np.arange(0, last + stride, stride)
    if reader.last_only:
        starts = np.arange(last + 1)
    padded = np.zeros(starts[-1] + context + 1, "int32")
    padded[: len(numbers)] = numbers
    losses = np.full(predicted, np.nan)
    batches = range(0, len(starts), rows)
    for first in track(batches, "reading", len(batches), show=verbose):
        some = starts[first : first + rows]
        indexes = some[:, None] + np.arange(context)
        inputs = pad(padded[indexes], rows)
        found = reader.log_probabilities(inputs)[: len(some)]
        if first == 0:
            reader.check_looks_back_only(inputs)
        if reader.last_only:
            indexes, found = indexes[:, -1:], found[:, None]
        found = _losses(found, padded[indexes + 1])
        fresh = indexes < predicted
        if not reader.last_only:
            fresh &= (indexes - some[:, None] >= context - stride) | (some[:, None] == 0)
        losses[indexes[fresh]] = found[fresh]
    return losses


def _losses(log_probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the cross-entropy of each target, in nats."""
    return -np.take_along_axis(log_probabilities, targets[..., None], axis=-1)[..., 0]
