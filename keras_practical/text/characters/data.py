"""A text as batches that continue each other, for stateful training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_practical.text.characters.vocabulary import CharacterVocabulary, check_text
from keras_practical.utils.checks import check_between, check_count

__all__ = ["CharacterData", "character_datasets"]


@dataclass(frozen=True, kw_only=True)
class CharacterData:
    """A text's training part and held-out end; prints as one line.

    Attributes:
        train: `tf.data.Dataset` of `(inputs, targets)` batches, int32 of shape
            `(batch_size, sequence_length)`; row `i` of a batch continues row `i` of the one before.
        validation: The same of the held-out end, or `None`.
        vocabulary: The training part's characters.
        sequence_length: Characters in a row.
        batch_size: Rows in a batch.
        train_text: The text that `train` was made of.
        validation_text: The held-out end, for `evaluate_characters`.

    Example:

    >>> character_datasets("to be or not to be. " * 50, 8, 4, verbose=False)
    CharacterData(900 characters to learn from, 8 different ones; 4 rows, 28 batches of 8; the last
    100 held out)
    """

    train: Any
    validation: Any
    vocabulary: CharacterVocabulary
    sequence_length: int
    batch_size: int
    train_text: str = field(repr=False)
    validation_text: str = field(repr=False)

    def __repr__(self) -> str:
        unknown = sum(c not in self.vocabulary.characters for c in self.validation_text)
        held_out = f"the last {len(self.validation_text):,} held out" * bool(self.validation_text)
        unseen = f", {unknown} of them of a kind not seen in training" if unknown else ""
        return (
            f"CharacterData({len(self.train_text):,} characters to learn from, "
            f"{len(self.vocabulary.characters)} different ones; {self.batch_size} rows, "
            f"{int(self.train.cardinality())} batches of {self.sequence_length}"
            f"{'; ' * bool(held_out)}{held_out}{unseen})"
        )


def character_datasets(
    text: str,
    sequence_length: int,
    batch_size: int,
    *,
    validation_fraction: float = 0.1,
    vocabulary: CharacterVocabulary | None = None,
    verbose: bool = True,
) -> CharacterData:
    """Cut a text into batches from which a stateful network reads it from beginning to end.

    Use it to train a `stateful=True` network on one long text, with `CarriedState` in `fit`. The
    text is laid out as `batch_size` long rows; batch `k` is the `k`-th piece of all rows, so that
    row `i` of batch `k + 1` continues row `i` of batch `k`. Targets are the inputs, one character
    further. The end of the text is held out: it was written last, and no sequence straddles the
    border. What doesn't fill a batch at the end of each part is left out.
    `keras.utils.timeseries_dataset_from_array` makes overlapping windows instead, which continue
    nothing.

    Args:
        text: The text. It is taken as it is: neither lowercased nor normalised.
        sequence_length: Characters in a row of a batch, >= 1: how far back the gradient reaches.
        batch_size: Rows in a batch, >= 1; also the batch size in the model's `keras.Input`.
        validation_fraction: Part of the text, at its end, to hold out, in [0, 1).
        vocabulary: The characters to know. Default: those of the training part, so that nothing is
            known of what is held out; others become number 0.
        verbose: Whether to print what was made.

    Returns:
        A `CharacterData`.

    Raises:
        ValueError: An argument is outside its range, or a part of the text is shorter than one
            batch.

    Example:

    >>> data = character_datasets("abcdefghijklm", 3, 2, validation_fraction=0.0, verbose=False)
    >>> for inputs, targets in data.train:
    ...     print([data.vocabulary.decode(row) for row in inputs.numpy()])
    ['abc', 'ghi']
    ['def', 'jkl']

    Reference:
        Karpathy, *The Unreasonable Effectiveness of Recurrent Neural Networks* (2015).
    """
    check_text("text", text)
    check_count("sequence_length", sequence_length)
    check_count("batch_size", batch_size)
    check_between("validation_fraction", validation_fraction, 0.0, 1.0)
    border = round(len(text) * (1.0 - validation_fraction))
    train_text, validation_text = text[:border], text[border:]
    needed = sequence_length * batch_size + 1
    for name, part in (("training", train_text), ("held-out", validation_text)):
        if len(part) < needed and (part or name == "training"):
            raise ValueError(
                f"The {name} part of `text` must have at least {needed} characters: "
                "sequence_length x batch_size + 1. "
                f"Received: {len(part)} of {len(text)} characters, with "
                f"sequence_length={sequence_length}, batch_size={batch_size}, "
                f"validation_fraction={validation_fraction:g}"
            )
    if vocabulary is None:
        vocabulary = CharacterVocabulary.from_text(train_text)

    def dataset(part: str) -> Any:
        numbers = vocabulary.encode(part, allow_unknown=True)
        return _contiguous(numbers, sequence_length, batch_size)

    data = CharacterData(
        train=dataset(train_text),
        validation=dataset(validation_text) if validation_text else None,
        vocabulary=vocabulary,
        sequence_length=sequence_length,
        batch_size=batch_size,
        train_text=train_text,
        validation_text=validation_text,
    )
    if verbose:
        print(data)
    return data


def _contiguous(numbers: np.ndarray, sequence_length: int, batch_size: int) -> Any:
    """Return `(inputs, targets)` batches in reading order, each row going on in the next batch."""
    import tensorflow as tf

    steps = (len(numbers) - 1) // (sequence_length * batch_size)
    used = steps * sequence_length * batch_size

    def batches(start: int) -> np.ndarray:
        rows = numbers[start : start + used].reshape(batch_size, steps, sequence_length)
        return rows.swapaxes(0, 1)

    return tf.data.Dataset.from_tensor_slices((batches(0), batches(1)))
