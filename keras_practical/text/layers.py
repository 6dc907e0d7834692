"""The layers of a text network that Keras lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_practical.utils.checks import check_count, check_positive

if TYPE_CHECKING:
    from keras_practical.utils.types import Shape, Tensor

__all__ = ["CheckedEmbedding", "ConcatPooling", "NextPiece", "PieceWeights", "RunningMean"]

_FAR = -1e9


class CheckedEmbedding(keras.layers.Embedding):
    """An `Embedding` whose gradient Keras's loss scaling can check for overflow.

    Under `mixed_float16` a step whose gradient is infinite must be left out. On TensorFlow, Keras
    3.15 looks at one place only of all those where a piece occurs, and lets the others through: one
    overflow, and the vectors are `nan` for good. As a whole table the gradient is checked.

    Args:
        input_dim: As in `keras.layers.Embedding`.
        output_dim: As in `keras.layers.Embedding`.
        **kwargs: As in `keras.layers.Embedding`.

    Example:

    >>> tuple(CheckedEmbedding(3, 2)(np.array([[1, 2, 0]])).shape)
    (1, 3, 2)
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Return vectors of shape `(*inputs.shape, output_dim)`."""
        if self.compute_dtype != "float16":
            return super().call(inputs)
        # The gradient of a product is a whole table, that of the lookup alone a list of rows.
        table = ops.multiply(self.embeddings, 1.0)
        found = ops.take(table, ops.cast(inputs, "int32"), axis=0)
        return ops.cast(found, self.compute_dtype)


@keras.saving.register_keras_serializable(package="keras_practical")
class RunningMean(keras.layers.Layer):
    """The mean of everything so far, at each place of a sequence.

    Use it as a memory of the whole text: it costs one cumulative sum, where a recurrent layer
    takes its steps one after the other. In plain Keras it is `ops.cumsum` over the counts.

    Args:
        **kwargs: As in `keras.layers.Layer`.

    Example:

    >>> RunningMean()(np.array([[[2.0], [4.0], [6.0]]])).numpy().ravel().tolist()
    [2.0, 3.0, 4.0]
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def call(self, sequence: Tensor) -> Tensor:
        """Return the means, of the shape of `sequence`: `(batch, length, size)`."""
        # Half precision can't count the places of a long text.
        wide = ops.cast(sequence, "float32")
        counts = ops.cumsum(ops.ones_like(wide[:, :, :1]), axis=1)
        return ops.cast(ops.cumsum(wide, axis=1) / counts, self.compute_dtype)


@keras.saving.register_keras_serializable(package="keras_practical")
class PieceWeights(keras.layers.Embedding):
    """A weight for each piece of a text, fixed; none for padding.

    Use it with `inverse_document_frequency`, so that a mean over a text weights rare, informative
    pieces more than frequent ones. In plain Keras it is an `Embedding` of length 1 with 0 for
    padding.

    Args:
        input_dim: Number of pieces, >= 1.
        **kwargs: As in `keras.layers.Layer`.

    Example:

    >>> layer = PieceWeights(3)
    >>> layer(np.array([[1, 2, 0]])).numpy().tolist()
    [[1.0, 1.0, 0.0]]
    """

    def __init__(self, input_dim: int, **kwargs: Any) -> None:
        kwargs = {"embeddings_initializer": "ones", "trainable": False, **kwargs}
        super().__init__(input_dim, 1, **kwargs)

    def call(self, numbers: Tensor) -> Tensor:
        """Return weights of shape `(batch, length)`."""
        weights = ops.squeeze(super().call(numbers), -1)
        return ops.where(numbers != 0, weights, 0.0)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config = super().get_config()
        del config["output_dim"]
        return config


@keras.saving.register_keras_serializable(package="keras_practical")
class ConcatPooling(keras.layers.Layer):
    """A text as one vector: the mean, the maximum and the last of what was seen at its places.

    Use it between an encoder of texts and a head. The parts are brought to equal lengths, so that
    none drowns the others, and together to length 1, so that long texts count as short ones do.
    Padding takes no part. In plain Keras
    one concatenates `GlobalAveragePooling1D`, `GlobalMaxPooling1D` and the last place; the maximum
    and the last place then see padding.

    Args:
        parts: Some of `"mean"`, `"max"` and `"last"`.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: `parts` has others, or none.

    Example:

    >>> sequence, weights = np.array([[[3.0], [-1.0], [9.0]]]), np.array([[1.0, 3.0, 0.0]])
    >>> found = ConcatPooling(("max", "last"))([sequence, weights])
    >>> bool(np.allclose(found, [[0.5**0.5, -(0.5**0.5)]]))
    True

    Reference:
        Howard & Ruder, *Universal Language Model Fine-tuning* (2018), arXiv 1801.06146, section
        3.3; weighted means: Arora, Liang & Ma, *A Simple but Tough-to-Beat Baseline for Sentence
        Embeddings* (2017).
    """

    def __init__(self, parts: tuple[str, ...] = ("mean", "max", "last"), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not parts or isinstance(parts, str) or set(parts) - {"mean", "max", "last"}:
            raise ValueError(
                f"`parts` must be some of 'mean', 'max' and 'last'. Received: parts={parts!r}"
            )
        self.parts = tuple(parts)

    def call(self, inputs: Tensor) -> Tensor:
        """Pool a sequence `(batch, length, size)` by weights `(batch, length)`, 0 for padding."""
        # Half precision can't count the places of a long text, nor square small numbers.
        sequence, weights = (ops.cast(part, "float32") for part in inputs)
        real = weights > 0
        pooled = []
        for part in self.parts:
            if part == "mean":
                found = ops.sum(sequence * weights[:, :, None], axis=1)
            elif part == "max":
                found = ops.max(ops.where(real[:, :, None], sequence, _FAR), axis=1)
                found = ops.where(ops.any(real, axis=1)[:, None], found, 0.0)
            else:
                indexes = ops.cumsum(ops.ones_like(weights), axis=1)
                indexes = ops.where(real, indexes, 0.0)
                last = ops.logical_and(real, indexes == ops.max(indexes, axis=1, keepdims=True))
                found = ops.sum(sequence * ops.cast(last, sequence.dtype)[:, :, None], axis=1)
            pooled.append(found / ops.sqrt(ops.sum(found**2, axis=1, keepdims=True) + 1e-12))
        joined = ops.concatenate(pooled, axis=-1) / len(pooled) ** 0.5
        return ops.cast(joined, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "parts": list(self.parts)}


@keras.saving.register_keras_serializable(package="keras_practical")
class NextPiece(keras.layers.Layer):
    """The head of a language model: how probable each piece is as the next one.

    Called, it is `Dense(vocabulary_size)` with log-probabilities out, in float32 also under mixed
    precision. `sampled_loss` is what makes training fit on a laptop: the right piece is told apart
    from some drawn ones, instead of from all.

    Args:
        vocabulary_size: Number of pieces, >= 2.
        negatives: How many pieces are drawn for each batch, >= 1.
        seed: Decides what is drawn.
        **kwargs: As in `keras.layers.Layer`.

    Example:

    >>> layer = NextPiece(5, negatives=4, seed=0)
    >>> tuple(layer(np.zeros((1, 3, 2))).shape)
    (1, 3, 5)

    Reference:
        Jean et al., *On Using Very Large Target Vocabulary for Neural Machine Translation* (2015),
        arXiv 1412.2007.
    """

    def __init__(
        self, vocabulary_size: int, *, negatives: int = 1024, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        check_count("vocabulary_size", vocabulary_size, minimum=2)
        check_count("negatives", negatives)
        self.vocabulary_size, self.negatives, self.seed = vocabulary_size, negatives, seed
        self._generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Shape) -> None:
        """Make a vector and a bias for each piece, and how often each is drawn."""
        size = input_shape[-1]
        shape = (self.vocabulary_size,)
        self.kernel = self.add_weight(shape=(*shape, size), name="kernel")
        self.bias = self.add_weight(shape=shape, initializer="zeros", name="bias")
        uniform = keras.initializers.Constant(1.0 / self.vocabulary_size)
        self.frequency = self.add_weight(
            shape=shape, initializer=uniform, trainable=False, name="frequency"
        )

    def set_counts(self, counts: np.ndarray) -> None:
        """Start from how often each piece occurs: in the bias, and in what is drawn."""
        for count in counts:
            check_positive("counts", float(count))
        shares = np.asarray(counts, "float64") / np.sum(counts)
        self.bias.assign(np.log(shares))
        # Flattened, so that rarer pieces are met too.
        drawn = shares**0.75
        self.frequency.assign(drawn / drawn.sum())

    def call(self, states: Tensor) -> Tensor:
        """Return log-probabilities of shape `(batch, length, vocabulary_size)`."""
        logits = ops.matmul(states, ops.transpose(self.kernel)) + self.bias
        return ops.cast(ops.log_softmax(logits, axis=-1), self.compute_dtype)

    def sampled_loss(self, states: Tensor, targets: Tensor) -> Tensor:
        """Return the loss at each place, 0 for padding: `(batch, length)`, about the full one."""
        ones = ops.cast(ops.reshape(targets, (-1,)), "int32")
        flat = ops.cast(ops.reshape(states, (-1, self.kernel.shape[-1])), "float32")
        frequency, bias = (ops.cast(part, "float32") for part in (self.frequency, self.bias))
        steps = ops.cumsum(frequency)
        drawn = keras.random.uniform((self.negatives,), seed=self._generator)
        drawn = ops.minimum(ops.searchsorted(steps, drawn), self.vocabulary_size - 1)
        drawn = ops.cast(drawn, "int32")
        # What is drawn often must not seem less probable for it.
        offset = bias - ops.log(frequency * self.negatives)
        kernel = ops.cast(self.kernel, "float32")
        right = ops.sum(flat * ops.take(kernel, ones, axis=0), axis=-1)
        right = right + ops.take(bias, ones)
        wrong = ops.matmul(flat, ops.transpose(ops.take(kernel, drawn, axis=0)))
        wrong = wrong + ops.take(offset, drawn)
        wrong = ops.where(ones[:, None] == drawn[None, :], _FAR, wrong)
        both = ops.concatenate([right[:, None], wrong], axis=1)
        losses = ops.reshape(ops.logsumexp(both, axis=1) - right, ops.shape(targets))
        return ops.where(targets != 0, losses, 0.0)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "negatives": self.negatives,
            "seed": self.seed,
        }
