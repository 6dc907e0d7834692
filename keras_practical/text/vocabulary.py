"""Pieces of words as numbers, and the numbers' meaning stored inside the model."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_practical.text.layers import CheckedEmbedding
from keras_practical.text.normalization import FORMS, normalize_text
from keras_practical.text.units import unit_of, units_of
from keras_practical.utils.checks import check_choice, check_count
from keras_practical.utils.keras_internals.layers import every_layer

__all__ = ["PADDING", "SubwordEmbedding", "SubwordVocabulary", "build_vocabulary"]

PADDING, UNKNOWN, START = 0, 1, 2
_SPECIAL = 3


class SubwordVocabulary:
    """Frequent words whole, rare ones in pieces, each piece with its number.

    Number 0 is padding, 1 an unknown character, 2 the start of a text. Texts are brought into the
    same Unicode form that the vocabulary was built with, so a model reads text as it comes.
    `build_vocabulary` makes one; `SubwordVocabulary.of(model)` finds the one inside a model.

    Args:
        model: A sentencepiece model: its file's bytes.
        normalization: As `form` in `normalize_text`.
        lowercase: As in `normalize_text`.

    Raises:
        ValueError: `model` isn't a sentencepiece model with these three special pieces.
        ImportError: sentencepiece isn't installed; the text says how to get it.

    Example:

    >>> vocabulary = build_vocabulary(["one fish, two fish"] * 9, size=40, verbose=False)
    >>> vocabulary.decode(vocabulary.encode(["two  fish"])[0])
    'two fish'
    """

    def __init__(
        self, model: bytes, *, normalization: str = "NFKC", lowercase: bool = False
    ) -> None:
        check_choice("normalization", normalization, FORMS)
        self.model, self.normalization, self.lowercase = bytes(model), normalization, lowercase
        try:
            self._processor = _sentencepiece().SentencePieceProcessor(model_proto=self.model)
        except (RuntimeError, TypeError) as error:
            raise ValueError(f"`model` isn't a sentencepiece model: {error}") from error
        special = (self._processor.pad_id(), self._processor.unk_id(), self._processor.bos_id())
        if special != (PADDING, UNKNOWN, START):
            raise ValueError(
                "The vocabulary must number padding 0, unknown 1 and start 2, as "
                f"`build_vocabulary` does. Received: {special}"
            )

    @classmethod
    def of(cls, model: keras.Model) -> SubwordVocabulary:
        """Return the vocabulary inside a model; `ValueError` if it has none."""
        for layer in every_layer(model):
            if isinstance(layer, SubwordEmbedding):
                return layer.vocabulary
        raise ValueError(
            f"The model {model.name!r} has no vocabulary inside: it needs a SubwordEmbedding as "
            "its first layer, as `language_model` makes it."
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SubwordVocabulary:
        """Return the vocabulary that `get_config` described."""
        return cls(**{**config, "model": base64.b64decode(config["model"])})

    def get_config(self) -> dict[str, Any]:
        """Return all of the vocabulary as plain text, for a layer's own configuration."""
        return {
            "model": base64.b64encode(self.model).decode("ascii"),
            "normalization": self.normalization,
            "lowercase": self.lowercase,
        }

    @property
    def size(self) -> int:
        """How many pieces there are, the three special ones included."""
        return self._processor.get_piece_size()

    def __len__(self) -> int:
        return self.size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SubwordVocabulary) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash(self.model)

    def __repr__(self) -> str:
        return f"SubwordVocabulary({self.size:,} pieces, {self.normalization})"

    def numbers(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return each text's numbers, int32, as long as they come, each with a start before it."""
        return [np.array([START, *pieces], "int32") for pieces in self._split(texts, int)]

    def encode(self, texts: Sequence[str], *, length: int | None = None) -> np.ndarray:
        """Return texts as a model's input: int32 of shape `(n, length)`, padded with 0.

        Longer texts are cut at `length`. Default: the longest text's own.
        """
        numbered = self.numbers(texts)
        if length is None:
            length = max((len(text_numbers) for text_numbers in numbered), default=1)
        check_count("length", length, minimum=1)
        rows = np.full((len(numbered), length), PADDING, "int32")
        for row, text_numbers in zip(rows, numbered, strict=True):
            row[: len(text_numbers)] = text_numbers[:length]
        return rows

    def decode(self, numbers: Sequence[int] | np.ndarray) -> str:
        """Return the text of numbers, without padding and start."""
        return self._processor.decode([int(n) for n in numbers if n not in (PADDING, START)])

    def pieces(self, text: str) -> list[str]:
        """Return a text's pieces; ▁ marks where a word begins."""
        return self._split([text], str)[0]

    def characters(self, texts: Sequence[str]) -> tuple[int, int]:
        """Return how many characters texts have, and how many of them have no piece.

        They are counted in the Unicode form that the vocabulary reads, spaces included.
        """
        unknown = [
            len(piece)
            for pieces, numbers in zip(
                self._split(texts, str), self._split(texts, int), strict=True
            )
            for piece, number in zip(pieces, numbers, strict=True)
            if number == UNKNOWN
        ]
        return sum(map(len, self._plain(texts))), sum(unknown)

    def _split(self, texts: Sequence[str], kind: type) -> list[list[Any]]:
        return self._processor.encode(self._plain(texts), out_type=kind)

    def _plain(self, texts: Sequence[str]) -> list[str]:
        if isinstance(texts, str):
            raise ValueError(f"`texts` must be a list of texts. Received: one text {texts!r:.60}")
        form, lowercase = self.normalization, self.lowercase
        return [normalize_text(text, form=form, lowercase=lowercase) for text in texts]


def build_vocabulary(
    texts: Sequence[str],
    *,
    size: int = 8000,
    normalization: str = "NFKC",
    lowercase: bool = False,
    verbose: bool = True,
) -> SubwordVocabulary:
    """Learn which pieces of words are worth a number of their own.

    Use it for any language: nothing needs to be known of its words or its script. Build it from
    training and unlabelled texts only, never from held-out ones. `keras.layers.TextVectorization`
    is the plain-Keras equivalent for whole words: rare ones, most of them in a language with many
    endings, are all the same unknown word to it.

    Args:
        texts: What to learn from.
        size: Number of pieces, >= 16; fewer if the texts haven't that many. A few thousand serve
            where text is scarce: each piece must occur often enough to be learnt.
        normalization: As `form` in `normalize_text`.
        lowercase: As in `normalize_text`.
        verbose: Whether to say in one line what was built.

    Returns:
        A `SubwordVocabulary`.

    Raises:
        ValueError: There is no text, or `size` is too small for its letters.
        ImportError: sentencepiece isn't installed; the text says how to get it.

    Example:

    >>> vocabulary = build_vocabulary(["one fish, two fish"] * 9, size=40)
    build_vocabulary: ... pieces, ... a word
    >>> vocabulary.encode(["two fish"], length=8).shape
    (1, 8)

    Reference:
        Kudo, *Subword Regularization* (2018), arXiv 1804.10959: unigram language model, by the
        library sentencepiece (Kudo & Richardson 2018, arXiv 1808.06226).
    """
    check_count("size", size, minimum=16)
    check_choice("normalization", normalization, FORMS)
    if isinstance(texts, str):
        raise ValueError(f"`texts` must be a list of texts. Received: one text {texts!r:.60}")
    plain = [normalize_text(text, form=normalization, lowercase=lowercase) for text in texts]
    plain = [text for text in plain if text]
    if not plain:
        raise ValueError(f"`texts` must hold some text. Received: {len(texts)} empty texts")
    written = io.BytesIO()
    try:
        _sentencepiece().SentencePieceTrainer.train(
            sentence_iterator=iter(plain),
            model_writer=written,
            vocab_size=size,
            hard_vocab_limit=False,  # Fewer pieces where there aren't so many.
            model_type="unigram",
            character_coverage=0.9995,
            normalization_rule_name="identity",  # `normalize_text` has done it.
            max_sentence_length=max(100, *(len(text.encode()) for text in plain)),
            pad_id=PADDING,
            unk_id=UNKNOWN,
            bos_id=START,
            eos_id=-1,
            minloglevel=2,
        )
    except RuntimeError as error:
        letters = len(set("".join(plain)))
        raise ValueError(
            f"No vocabulary of {size} pieces can be built from {len(plain):,} texts with "
            f"{letters:,} different characters ({error}). Try a larger `size`, or more text."
        ) from error
    vocabulary = SubwordVocabulary(
        written.getvalue(), normalization=normalization, lowercase=lowercase
    )
    if verbose:
        some = plain[:: max(1, len(plain) // 200)]
        pieces = sum(len(text_numbers) - 1 for text_numbers in vocabulary.numbers(some))
        units = sum(len(units_of(text)) for text in some)
        each = unit_of(some).replace(" and ", " or ").replace("s", "")
        print(f"build_vocabulary: {vocabulary.size:,} pieces, {pieces / units:.2f} a {each}")
    return vocabulary


@keras.saving.register_keras_serializable(package="keras_practical")
class SubwordEmbedding(CheckedEmbedding):
    """A vector for each piece of a word, in a layer that holds the vocabulary.

    Make it the first layer of a model that reads text: the saved `.keras` file is then complete,
    text in and all, and holds no pickle. The plain-Keras equivalent is `keras.layers.Embedding`
    with a vocabulary file that must travel beside the model. A model with this layer needs
    `import keras_practical` before `keras.models.load_model`.

    Args:
        vocabulary: A `SubwordVocabulary`, or its configuration.
        output_dim: Length of each vector, >= 1.
        **kwargs: As in `keras.layers.Embedding`.

    Raises:
        ValueError: `vocabulary` is none.

    Example:

    >>> vocabulary = build_vocabulary(["one fish, two fish"] * 9, size=40, verbose=False)
    >>> tuple(SubwordEmbedding(vocabulary, 8)(vocabulary.encode(["two fish"], length=6)).shape)
    (1, 6, 8)

    Reference:
        Bengio et al., *A Neural Probabilistic Language Model* (2003), JMLR 3.
    """

    def __init__(
        self, vocabulary: SubwordVocabulary | dict[str, Any], output_dim: int, **kwargs: Any
    ) -> None:
        if isinstance(vocabulary, dict):
            vocabulary = SubwordVocabulary.from_config(vocabulary)
        if not isinstance(vocabulary, SubwordVocabulary):
            raise ValueError(
                f"`vocabulary` must be a SubwordVocabulary. Received: {type(vocabulary).__name__}"
            )
        super().__init__(vocabulary.size, output_dim, **kwargs)
        self.vocabulary = vocabulary

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, so that Keras can save and load the layer."""
        config = super().get_config()
        del config["input_dim"]
        return {**config, "vocabulary": self.vocabulary.get_config()}


def _sentencepiece() -> Any:
    try:
        import sentencepiece
    except ImportError as error:
        raise ImportError(
            "Subword vocabularies need sentencepiece. Install it with: "
            'pip install "keras-practical[text]"'
        ) from error
    return sentencepiece
