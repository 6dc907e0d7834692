"""A language model on subwords: what comes next, learnt from text without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_practical.text.counts import cooccurrence_vectors, inverse_document_frequency
from keras_practical.text.layers import NextPiece, PieceWeights, RunningMean
from keras_practical.text.vocabulary import PADDING, SubwordEmbedding, SubwordVocabulary
from keras_practical.training.layer_rates import scale_learning_rates
from keras_practical.training.one_cycle import OneCycle
from keras_practical.utils.checks import check_between, check_count, check_positive
from keras_practical.utils.progress import track

if TYPE_CHECKING:
    from keras_practical.utils.types import Tensor

__all__ = [
    "LanguageModelEvaluation",
    "evaluate_language_model",
    "language_model",
    "pretrain",
    "text_encoder",
]

_SHORTEST = 8  # Ends of long texts that are shorter than this teach little.


@dataclass(frozen=True, kw_only=True)
class LanguageModelEvaluation:
    """How well a language model foresees a text; prints as a line.

    Attributes:
        loss: Mean negative log-probability of the right next piece, in nats.
        perplexity: Its exponential: among how many equally likely pieces the model wavers.
        bits_per_character: The same in bits, shared out among the texts' characters, each counted
            once, spaces too: comparable between vocabularies.
        n: Number of pieces.
        unknown: How many characters the vocabulary doesn't have. They are among the characters;
            several in a row are one piece, which costs what the model gives the unknown piece.

    Example:

    >>> print(LanguageModelEvaluation(loss=0.693147, perplexity=2.0, bits_per_character=1.0, n=10))
    loss 0.693 nats a piece (perplexity 2.0), 1.000 bits a character, n=10 pieces
    """

    loss: float
    perplexity: float
    bits_per_character: float
    n: int
    unknown: int = 0

    def __str__(self) -> str:
        some = f"; {self.unknown:,} unknown character{'s' * (self.unknown > 1)}"
        return (
            f"loss {self.loss:.3f} nats a piece (perplexity {self.perplexity:.1f}), "
            f"{self.bits_per_character:.3f} bits a character, n={self.n:,} pieces"
            f"{some * bool(self.unknown)}"
        )


def language_model(
    vocabulary: SubwordVocabulary,
    *,
    texts: Sequence[str] | None = None,
    vector_size: int = 128,
    state_size: int = 256,
    dropout: float = 0.1,
    seed: int = 0,
) -> keras.Model:
    """Build a language model whose encoder a text classifier can be put on.

    Use it with `pretrain`, then `classifier`. At each place it sees the last three pieces
    through a causal convolution, and the mean of everything so far: the first knows grammar, the
    second what the text is about. Both are a few large matrix products, much faster on a laptop
    than a recurrent layer's many small ones; ULMFiT's LSTM would fit in as well, see Returns.

    With `texts` it doesn't start from nothing: the vectors of the pieces come from counting which
    ones occur together (`cooccurrence_vectors`), their weights and the head's biases from how
    often they occur.

    Args:
        vocabulary: As `build_vocabulary` makes it; it is stored inside the model.
        texts: Training and unlabelled texts to count in. Default: random vectors, equal weights.
        vector_size: Length of each piece's vector, >= 1.
        state_size: Length of the vector at each place, >= 1.
        dropout: Part of the inner values that training drops, in [0, 0.9].
        seed: Whole number >= 0; decides the random weights.

    Returns:
        A functional Keras model from numbers `(batch, length)` to log-probabilities
        `(batch, length, vocabulary.size)`. Its layer `"encoder"` is as `text_encoder`
        describes it; anything with these three outputs can stand in its place.

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> from keras_practical.text.vocabulary import build_vocabulary
    >>> texts = ["one fish, two fish", "red fish, blue fish"] * 9
    >>> model = language_model(build_vocabulary(texts, size=40, verbose=False), texts=texts)
    >>> sorted(model.get_layer("encoder").output)
    ['states', 'vectors', 'weights']

    Reference:
        Howard & Ruder, *Universal Language Model Fine-tuning* (2018), arXiv 1801.06146; Dauphin et
        al., *Language Modeling with Gated Convolutional Networks* (2017), arXiv 1612.08083;
        Mikolov & Zweig, *Context Dependent Recurrent Neural Network Language Model* (2012).
    """
    check_count("vector_size", vector_size)
    check_count("state_size", state_size)
    check_between("dropout", dropout, 0.0, 0.9)
    check_count("seed", seed, minimum=0)
    encoder = text_encoder(
        vocabulary, vector_size=vector_size, state_size=state_size, dropout=dropout, seed=seed
    )
    inputs = keras.Input((None,), dtype="int32", name="pieces")
    states = encoder(inputs)["states"]
    guess = keras.layers.Dense(vector_size, kernel_initializer=_glorot(seed + 7), name="guess")
    head = NextPiece(vocabulary.size, seed=seed, name="next_piece")
    model = keras.Model(inputs, head(guess(states)), name="language_model")
    if texts is not None:
        _start_from_counts(model, vocabulary.numbers(texts), seed)
    return model


def text_encoder(
    vocabulary: SubwordVocabulary,
    *,
    vector_size: int = 128,
    state_size: int = 256,
    dropout: float = 0.1,
    seed: int = 0,
) -> keras.Model:
    """Build the encoder of `language_model` with random weights, for comparison.

    Args:
        vocabulary: As in `language_model`.
        vector_size: As in `language_model`.
        state_size: As in `language_model`.
        dropout: As in `language_model`.
        seed: As in `language_model`.

    Returns:
        A functional Keras model from numbers `(batch, length)` to a dictionary: the pieces'
        `"vectors"` `(batch, length, vector_size)`, `"states"` `(batch, length, state_size)` and
        `"weights"` `(batch, length)`.

    Example:

    >>> from keras_practical.text.vocabulary import build_vocabulary
    >>> vocabulary = build_vocabulary(["one fish, two fish"] * 9, size=40, verbose=False)
    >>> encoder = text_encoder(vocabulary, vector_size=4, state_size=6)
    >>> found = encoder(vocabulary.encode(["fish"], length=5))
    >>> [tuple(found[name].shape) for name in ("vectors", "states", "weights")]
    [(1, 5, 4), (1, 5, 6), (1, 5)]
    """
    inputs = keras.Input((None,), dtype="int32", name="pieces")
    initial = keras.initializers.RandomNormal(stddev=0.1, seed=seed)
    vectors = SubwordEmbedding(
        vocabulary, vector_size, embeddings_initializer=initial, name="vectors"
    )(inputs)
    weights = PieceWeights(vocabulary.size, name="weights")(inputs)
    dropped = keras.layers.SpatialDropout1D(dropout, seed=seed)(vectors)
    parts = [
        keras.layers.Conv1D(
            state_size,
            3,
            padding="causal",
            activation=activation,
            kernel_initializer=_glorot(seed + number),
            name=name,
        )(dropped)
        for number, (name, activation) in enumerate((("content", None), ("gate", "sigmoid")), 1)
    ]
    local = keras.layers.Dropout(dropout, seed=seed)(keras.layers.Multiply()(parts))
    memory = keras.layers.Dense(
        state_size, activation="tanh", kernel_initializer=_glorot(seed + 3), name="memory"
    )(local)
    joined = keras.layers.Concatenate()([local, RunningMean(name="running_mean")(memory)])
    states = keras.layers.Dense(
        state_size, activation="tanh", kernel_initializer=_glorot(seed + 4), name="states"
    )(joined)
    return keras.Model(
        inputs, {"vectors": vectors, "states": states, "weights": weights}, name="encoder"
    )


def pretrain(
    model: keras.Model,
    texts: Sequence[str],
    *,
    epochs: int = 1,
    max_learning_rate: float = 3e-3,
    vector_multiplier: float = 0.1,
    length: int = 128,
    batch_size: int = 32,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
) -> keras.callbacks.History:
    """Train a language model to foresee each next piece of texts, with one cycle.

    Use it first on all the text there is, then, at a lower rate, on the task's own texts (their
    labels aren't needed): ULMFiT's first two steps. The plain-Keras equivalent is `fit` on shifted
    sequences with `SparseCategoricalCrossentropy` over the whole vocabulary; here some wrong
    pieces are drawn for each batch, which takes a fraction of the time.

    Args:
        model: As `language_model` makes it. It is trained in place.
        texts: Texts to learn from; never held-out ones. What is left of a long text behind its
            last whole sequence is passed over if it is shorter than 8 pieces.
        epochs: Times over the texts, >= 1.
        max_learning_rate: Adam's rate at the cycle's peak, > 0. For the second step take a third.
        vector_multiplier: Rate of the pieces' vectors as a part of that, > 0: counting has already
            placed them well.
        length: Pieces in a training sequence, >= 8.
        batch_size: Sequences a batch, >= 1.
        seed: Decides the order.
        callbacks: Further Keras callbacks.
        verbose: As in `fit`.

    Returns:
        Keras's `History`; its loss is that of drawn pieces. `evaluate_language_model` measures all.

    Raises:
        ValueError: An argument is outside its range, or the texts are too short to learn from.

    Example:

    >>> from keras_practical.text.vocabulary import build_vocabulary
    >>> texts = ["one fish, two fish, red fish, blue fish"] * 20
    >>> model = language_model(build_vocabulary(texts, size=40, verbose=False), texts=texts)
    >>> before = evaluate_language_model(model, texts, verbose=False).loss
    >>> history = pretrain(model, texts, epochs=10, verbose=0)
    >>> evaluate_language_model(model, texts, verbose=False).loss < before
    True

    Reference:
        Howard & Ruder (2018), arXiv 1801.06146, sections 3.1 and 3.2.
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        check_count(name, value)
    check_count("length", length, minimum=_SHORTEST)
    check_positive("max_learning_rate", max_learning_rate)
    check_positive("vector_multiplier", vector_multiplier)
    check_count("seed", seed, minimum=0)
    sequences = _sequences(SubwordVocabulary.of(model), texts, length, shortest=_SHORTEST)
    order = np.random.default_rng(seed).permutation(len(sequences))
    encoder, guess, head = (model.get_layer(n) for n in ("encoder", "guess", "next_piece"))
    inputs = keras.Input((length + 1,), dtype="int32")
    states = guess(encoder(inputs[:, :-1])["states"])
    trainer = keras.Model(inputs, _NextPieceLoss(head)([states, inputs[:, 1:]]))
    optimizer = keras.optimizers.Adam(max_learning_rate, clipnorm=1.0)
    vectors = encoder.get_layer("vectors").variables
    scale_learning_rates(optimizer, [vectors], [vector_multiplier])
    trainer.compile(optimizer, loss=_mean_over_pieces)
    return trainer.fit(
        sequences[order],
        (sequences[order][:, 1:] != PADDING).astype("float32"),
        batch_size=min(batch_size, len(sequences)),
        epochs=epochs,
        callbacks=[*callbacks, OneCycle(max_learning_rate)],
        verbose=verbose,
    )


def evaluate_language_model(
    model: keras.Model,
    texts: Sequence[str],
    *,
    length: int = 128,
    batch_size: int = 16,
    verbose: bool = True,
) -> LanguageModelEvaluation:
    """Measure a language model on held-out text, over the whole vocabulary.

    Each piece of each text counts once. A text is read in windows of `length` pieces, and each
    piece is foreseen from those before it in its window. In plain Keras one takes the mean of
    `SparseCategoricalCrossentropy` over whole batches, and padding or the last, short batch weighs
    too much.

    Args:
        model: As in `pretrain`.
        texts: Texts that it wasn't trained on; empty ones count for nothing.
        length: Pieces in a window, >= 8; what lies further back isn't seen.
        batch_size: Sequences at a time, >= 1.
        verbose: Whether to show progress.

    Returns:
        A `LanguageModelEvaluation`; print it.

    Raises:
        ValueError: An argument is outside its range, the texts are all empty, or the model answers
            with numbers that aren't finite.

    Example:

    >>> from keras_practical.text.vocabulary import build_vocabulary
    >>> texts = ["one fish, two fish, red fish, blue fish"] * 9
    >>> model = language_model(build_vocabulary(texts, size=40, verbose=False))
    >>> print(evaluate_language_model(model, texts))
    loss ... nats a piece (perplexity ...), ... bits a character, n=... pieces
    """
    check_count("batch_size", batch_size)
    check_count("length", length, minimum=_SHORTEST)
    vocabulary = SubwordVocabulary.of(model)
    sequences = _sequences(vocabulary, texts, length, shortest=2)
    total, count = 0.0, 0
    starts = range(0, len(sequences), batch_size)
    for start in track(starts, "Foreseeing", len(starts), show=verbose):
        rows = sequences[start : start + batch_size]
        chances = np.asarray(model.predict_on_batch(rows[:, :-1]), "float64")
        targets = rows[:, 1:]
        real = targets != PADDING
        chosen = np.take_along_axis(chances, targets[:, :, None], axis=2)[:, :, 0][real]
        if not np.isfinite(chosen).all():
            raise ValueError(
                "The model's log-probabilities must be finite numbers. Received: nan or inf. Look "
                "for weights that are no numbers, and for values that half precision can't hold."
            )
        total -= chosen.sum()
        count += len(chosen)
    characters, unknown = vocabulary.characters(texts)
    loss = float(total / count)
    with np.errstate(over="ignore"):
        perplexity = float(np.exp(loss))
    return LanguageModelEvaluation(
        loss=loss,
        perplexity=perplexity,
        bits_per_character=float(total / np.log(2) / characters),
        n=count,
        unknown=unknown,
    )


@keras.saving.register_keras_serializable(package="keras_practical")
class _NextPieceLoss(keras.layers.Layer):
    """The sampled loss at each place, as a layer, because it needs the head's weights."""

    def __init__(self, head: NextPiece, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.head = head

    def call(self, inputs: Tensor) -> Tensor:
        states, targets = inputs
        return self.head.sampled_loss(states, targets)


def _mean_over_pieces(real: Any, losses: Any) -> Tensor:
    return ops.sum(losses * real) / ops.maximum(ops.sum(real), 1.0)


def _sequences(
    vocabulary: SubwordVocabulary, texts: Sequence[str], length: int, *, shortest: int
) -> np.ndarray:
    """Cut texts into rows of `length` + 1 pieces, each row starting with the last one's end.

    Rows of fewer pieces than `shortest` are left out, except a text's first.
    """
    rows = []
    for text_numbers in vocabulary.numbers(texts):
        for start in range(0, max(len(text_numbers) - 1, 0), length):
            row = text_numbers[start : start + length + 1]
            if start == 0 or len(row) >= shortest:
                rows.append(np.pad(row, (0, length + 1 - len(row)), constant_values=PADDING))
    if not rows:
        raise ValueError(f"`texts` must hold text to learn from. Received: {len(texts)} texts")
    return np.stack(rows)


def _start_from_counts(model: keras.Model, numbers: Sequence[np.ndarray], seed: int) -> None:
    """Give vectors, weights and the head what counting says."""
    encoder, head = model.get_layer("encoder"), model.get_layer("next_piece")
    layer = encoder.get_layer("vectors")
    size, dimension = layer.embeddings.shape
    without_start = [text_numbers[1:] for text_numbers in numbers]
    vectors = cooccurrence_vectors(without_start, size, dimension, seed=seed)
    layer.embeddings.assign(vectors)
    head.kernel.assign(vectors)
    weights = inverse_document_frequency(without_start, size)
    # Something above zero: nothing but padding may weigh nothing.
    encoder.get_layer("weights").embeddings.assign(np.maximum(weights, 0.01)[:, None])
    head.set_counts(np.bincount(np.concatenate(without_start), minlength=size) + 1.0)


def _glorot(seed: int) -> keras.initializers.Initializer:
    return keras.initializers.GlorotUniform(seed=seed)
