"""Characters as numbers, and the numbers' meaning stored with the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_practical.text.layers import CheckedEmbedding
from keras_practical.utils.keras_internals.layers import every_layer

__all__ = ["CharacterEmbedding", "CharacterVocabulary"]

UNKNOWN = 0


@dataclass(frozen=True)
class CharacterVocabulary:
    """The characters that a model knows, each with its number.

    Number 0 stands for every other character. Use it to turn text into a model's inputs and a
    model's outputs into text; plain Keras has `keras.layers.StringLookup` for this, which needs
    TensorFlow's strings inside the model.

    Attributes:
        characters: The known characters, in the order of their numbers: the first has number 1.

    Raises:
        ValueError: `characters` isn't text, is empty, or has a character twice.

    Example:

    >>> vocabulary = CharacterVocabulary.from_text("banana")
    >>> vocabulary.characters, vocabulary.size
    ('abn', 4)
    >>> vocabulary.encode("bank", allow_unknown=True)
    array([2, 1, 3, 0], dtype=int32)
    >>> vocabulary.decode([2, 1, 3])
    'ban'
    """

    characters: str

    def __post_init__(self) -> None:
        check_text("characters", self.characters)
        if not self.characters:
            raise ValueError("`characters` must have at least one character. Received: ''")
        if len(set(self.characters)) < len(self.characters):
            twice = next(c for c in self.characters if self.characters.count(c) > 1)
            raise ValueError(f"`characters` must be different ones. Received twice: {twice!r}")

    @classmethod
    def from_text(cls, text: str) -> CharacterVocabulary:
        """Return the vocabulary of all characters in `text`, in Unicode order.

        Take the training text's, not that of what is held out.
        """
        check_text("text", text)
        if not text:
            raise ValueError("`text` must have at least one character. Received: text=''")
        return cls("".join(sorted(set(text))))

    @classmethod
    def of(cls, model: keras.Model) -> CharacterVocabulary | None:
        """Return the vocabulary of a model's `CharacterEmbedding`, or `None` if it has none."""
        layers = every_layer(model)
        return next((la.vocabulary for la in layers if isinstance(la, CharacterEmbedding)), None)

    @classmethod
    def load(cls, path: str | Path) -> CharacterVocabulary:
        """Read a vocabulary that `save` wrote."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(content["characters"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"`path` must be a file that CharacterVocabulary.save wrote. Received: {path}: "
                f"{error}"
            ) from error

    def save(self, path: str | Path) -> None:
        """Write the characters to a JSON file, to lie beside a model without them."""
        Path(path).write_text(json.dumps({"characters": self.characters}), encoding="utf-8")

    @property
    def size(self) -> int:
        """How many numbers there are: one more than characters."""
        return len(self.characters) + 1

    def encode(self, text: str, *, allow_unknown: bool = False) -> np.ndarray:
        """Return the characters' numbers, int32 of shape `(len(text),)`.

        `allow_unknown` makes other characters 0; otherwise the first ones are named in an error.
        """
        check_text("text", text)
        number = {character: i for i, character in enumerate(self.characters, start=1)}
        numbers = np.array([number.get(c, UNKNOWN) for c in text], "int32")
        if not allow_unknown and not numbers.all():
            unknown = sorted({c for c in text if c not in number})
            named = ", ".join(f"{c!r} (U+{ord(c):04X})" for c in unknown[:5])
            raise ValueError(
                f"The model knows {len(self.characters)} characters. Received {len(unknown)} that "
                f"it doesn't know: {named}{', ...' if len(unknown) > 5 else ''}"
            )
        return numbers

    def decode(self, numbers: Sequence[int] | np.ndarray) -> str:
        """Return the text of numbers from 0 to `size` - 1; 0 becomes U+FFFD, the mark for a gap."""
        table = "\N{REPLACEMENT CHARACTER}" + self.characters
        numbers = np.asarray(numbers, "int64").reshape(-1)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < self.size:
            raise ValueError(
                f"`numbers` must lie between 0 and {self.size - 1}. "
                f"Received: {numbers.min()} to {numbers.max()}"
            )
        return "".join(table[number] for number in numbers)

    def __str__(self) -> str:
        return f"{len(self.characters)} characters: {self.characters!r}"


@keras.saving.register_keras_serializable(package="keras_practical")
class CharacterEmbedding(CheckedEmbedding):
    """A vector for each character, in a layer that remembers which characters they are.

    Make it the first layer of a model that reads characters: the saved model then knows its own
    vocabulary, and `generate` asks for nothing else. The plain-Keras equivalent is
    `keras.layers.Embedding(vocabulary.size, output_dim)` with `vocabulary.save(...)` beside the
    model. A model with this layer needs `import keras_practical` before `keras.models.load_model`.

    Args:
        vocabulary: A `CharacterVocabulary`, such as `character_datasets(...).vocabulary`, or the
            characters as text.
        output_dim: Length of each vector, >= 1.
        **kwargs: As in `keras.layers.Embedding`.

    Example:

    >>> layer = CharacterEmbedding("abc", 8)
    >>> tuple(layer(np.array([[1, 3, 0]])).shape)
    (1, 3, 8)
    >>> layer.vocabulary.characters
    'abc'

    Reference:
        Bengio et al., *A Neural Probabilistic Language Model* (2003), JMLR 3.
    """

    def __init__(
        self, vocabulary: CharacterVocabulary | str, output_dim: int, **kwargs: Any
    ) -> None:
        if not isinstance(vocabulary, CharacterVocabulary):
            vocabulary = CharacterVocabulary(vocabulary)
        super().__init__(vocabulary.size, output_dim, **kwargs)
        self.vocabulary = vocabulary

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, so that Keras can save and load the layer."""
        config = super().get_config()
        del config["input_dim"]
        return {**config, "vocabulary": self.vocabulary.characters}


def check_text(name: str, value: Any) -> None:
    """Raise `ValueError` unless `value` is a `str`."""
    if not isinstance(value, str):
        hint = " Decode it first: text.decode('utf-8')." if isinstance(value, bytes) else ""
        raise ValueError(f"`{name}` must be a str.{hint} Received: {type(value).__name__}")
