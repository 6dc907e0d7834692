"""`generate`: a model of characters goes on writing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import keras
import numpy as np

from keras_practical.text.characters.model import CharacterModel, character_model
from keras_practical.text.characters.vocabulary import UNKNOWN, CharacterVocabulary, check_text
from keras_practical.utils.checks import check_between, check_count
from keras_practical.utils.keras_internals.recurrent import fresh_state
from keras_practical.utils.progress import track

__all__ = ["generate", "sampling_probabilities"]


def generate(
    model: keras.Model,
    prompt: str,
    *,
    length: int = 200,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    vocabulary: CharacterVocabulary | None = None,
    context_length: int | None = None,
    from_logits: bool = False,
    verbose: bool = True,
) -> str:
    """Let a model of characters continue a text, one drawn character after the other.

    Use it to see what a model has learnt, beside the number of `evaluate_characters`. A stateful
    model reads the prompt from an empty state and then each character that was drawn; afterwards
    its own state is as it was, so that training can go on. Another model sees the last
    `context_length` characters anew for each one. In plain Keras this is a loop around `predict`
    and `numpy.random.choice`, with the state to take care of.

    Args:
        model: Numbers of shape `(rows, characters)` to the probabilities of the next character, of
            shape `(rows, characters, vocabulary)` or `(rows, vocabulary)`. A stateful one may have
            any batch size, but no fixed number of characters other than 1.
        prompt: How the text begins: at least one character, all of them known to the model.
        length: Characters to write, >= 0.
        temperature: As in `sampling_probabilities`: below 1 careful, above 1 daring, 0 always the
            most probable.
        top_p: As in `sampling_probabilities`: leave out the least probable characters.
        seed: Decides the draws: the same model, arguments and seed give the same text.
        vocabulary: What the numbers mean. Default: that of the model's `CharacterEmbedding`.
        context_length: Characters that a stateless model looks back, >= 1. Default: the model's
            input length; else 100, or the prompt's length for a model that answers only at the end.
        from_logits: Whether the model's outputs are logits rather than probabilities.
        verbose: Whether to show a progress bar.

    Returns:
        What was written after the prompt, `length` characters.

    Raises:
        ValueError: An argument is outside its range, the prompt is empty, too short for the model
            or has unknown characters, or the model doesn't predict this vocabulary's characters,
            or is sure of an unknown one.

    Example:

    >>> model = keras.Sequential([keras.Input((None,)), keras.layers.Embedding(3, 3)])
    >>> model.add(keras.layers.Softmax())
    >>> model.layers[0].set_weights([np.log([[0.1, 0.1, 0.8], [0.1, 0.1, 0.8], [0.1, 0.5, 0.4]])])
    >>> generate(model, "a", length=6, temperature=0, vocabulary=CharacterVocabulary("ab"))
    'bababa'

    Reference:
        Sutskever et al., *Generating Text with Recurrent Neural Networks* (2011).
    """
    reader = character_model(model, vocabulary, from_logits)
    check_text("prompt", prompt)
    check_count("length", length, minimum=0)
    check_count("seed", seed, minimum=0)
    check_sampling(temperature, top_p)
    if not prompt:
        raise ValueError("`prompt` must have at least one character. Received: prompt=''")
    numbers = reader.vocabulary.encode(prompt).tolist()
    next_probabilities = (
        _reading_on(reader) if reader.stateful else _looking_back(reader, numbers, context_length)
    )
    rng = np.random.default_rng(seed)
    with fresh_state(model) if reader.stateful else nullcontext():
        for _ in track(range(length), "writing", length, show=verbose):
            probabilities = next_probabilities(numbers)
            probabilities[UNKNOWN] = 0.0  # It can't be written.
            total = probabilities.sum()
            if not total > 0:
                raise ValueError(
                    "The model gives every character of its vocabulary the probability 0 after "
                    f"{reader.vocabulary.decode(numbers[-20:])!r}: it expects an unknown one, "
                    "which can't be written. Train it with a vocabulary of all the characters "
                    "that its texts have"
                )
            probabilities = sampling_probabilities(
                probabilities / total, temperature=temperature, top_p=top_p
            )
            numbers.append(int(rng.choice(len(probabilities), p=probabilities)))
    return reader.vocabulary.decode(numbers[len(prompt) :])


def _reading_on(reader: CharacterModel) -> Callable[[list[int]], np.ndarray]:
    """Return what gives a stateful model the characters that it hasn't read yet."""
    if reader.length not in (None, 1):
        raise ValueError(
            "A stateful model must take sequences of any length to write character by character: "
            f"begin it with keras.Input((None,), batch_size={reader.rows}). "
            f"Received: model={reader.model.name!r} with sequences of {reader.length}"
        )
    done = 0

    def next_probabilities(numbers: list[int]) -> np.ndarray:
        nonlocal done
        for number in numbers[done:]:
            outputs = reader.probabilities(np.full((reader.rows or 1, 1), number, "int32"))
        done = len(numbers)
        return outputs[0].reshape(-1)

    return next_probabilities


def _looking_back(
    reader: CharacterModel, prompt: list[int], context_length: int | None
) -> Callable[[list[int]], np.ndarray]:
    """Return what shows a stateless model the end of the text."""
    # One that answers at the end only can't be given less than a full window.
    default = {"default": min(len(prompt), 100)} if reader.last_only else {}
    context = reader.context(context_length, **default)
    if reader.last_only and len(prompt) < context:
        raise ValueError(
            f"`prompt` must have at least {context} characters: so far does this model look back. "
            f"Received: {len(prompt)}"
        )
    checked = False

    def next_probabilities(numbers: list[int]) -> np.ndarray:
        nonlocal checked
        window = numbers[-context:]
        # Padded after its end, where a model that looks back doesn't see it.
        padded = np.zeros((reader.rows or 1, context), "int32")
        padded[:, : len(window)] = window
        if not checked:
            reader.check_looks_back_only(padded)
            checked = True
        outputs = reader.probabilities(padded)[0]
        return outputs.copy() if reader.last_only else outputs[len(window) - 1].copy()

    return next_probabilities


def sampling_probabilities(
    probabilities: np.ndarray, *, temperature: float = 1.0, top_p: float = 1.0
) -> np.ndarray:
    """Change the probabilities from which the next character is drawn.

    Use it to see what `generate`'s options do. `temperature` divides the logits, as in
    `keras.ops.softmax(logits / temperature)`; then `top_p` (nucleus sampling) keeps the fewest most
    probable characters that together have at least that probability, and drops the rest, where a
    model's many small mistakes add up. Keras itself has neither.

    Args:
        probabilities: Non-negative numbers of shape `(characters,)` that sum to 1.
        temperature: Below 1 the probable become more probable, above 1 all more alike; in
            [0, 100]. 0 leaves only the most probable one, the first of several.
        top_p: In (0, 1]; 1 keeps all.

    Returns:
        Probabilities of the same shape, float64, that sum to 1.

    Raises:
        ValueError: An argument is outside its range, or `probabilities` aren't probabilities.

    Example:

    >>> sampling_probabilities(np.array([0.5, 0.3, 0.2]), top_p=0.6)
    array([0.625, 0.375, 0.   ])
    >>> sampling_probabilities(np.array([0.8, 0.2]), temperature=0.5).round(3)  # 16 to 1
    array([0.941, 0.059])

    Reference:
        Holtzman et al., *The Curious Case of Neural Text Degeneration* (2020), arXiv 1904.09751.
    """
    check_sampling(temperature, top_p)
    probabilities = np.asarray(probabilities, "float64")
    if (
        probabilities.ndim != 1
        or not (probabilities >= 0).all()
        or abs(probabilities.sum() - 1.0) > 1e-3
    ):
        raise ValueError(
            "`probabilities` must be one row of numbers >= 0 that sum to 1. Received: shape "
            f"{probabilities.shape}, from {probabilities.min(initial=np.inf):.3g}, "
            f"sum {probabilities.sum():.3g}"
        )
    if temperature == 0:
        changed = np.zeros_like(probabilities)
        changed[probabilities.argmax()] = 1.0
        return changed
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities) / temperature
    changed = np.exp(logits - logits.max())
    changed /= changed.sum()
    if top_p < 1:
        order = np.argsort(-changed, kind="stable")
        # Kept: whoever isn't preceded by enough already. Sums are rounded; .3 + .3 is to reach .6.
        before = np.cumsum(changed[order]) - changed[order]
        # The most probable one always stays.
        changed[order[1:][before[1:] >= top_p - 1e-9]] = 0.0
        changed /= changed.sum()
    return changed


def check_sampling(temperature: float, top_p: float) -> None:
    """Raise `ValueError` unless both are within their ranges."""
    check_between("temperature", temperature, 0.0, 100.0)
    check_between("top_p", top_p, 0.0, 1.0)
    if top_p == 0:
        raise ValueError("`top_p` must be a number > 0. Received: top_p=0")
