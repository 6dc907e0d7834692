"""The baseline that a text network has to beat: TF-IDF + logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_practical.evaluation.metrics import Evaluation, evaluate_predictions
from keras_practical.text.loading import LabelledTexts, check_labelled
from keras_practical.text.normalization import normalize_text
from keras_practical.utils.checks import check_positive

__all__ = ["TextBaseline", "baseline"]

# A letter, digit or mark, and what joins them: `\\w` alone would cut words of India's scripts at
# their vowel signs.
_WORD = r"(?u)[^\s!-/:-@\[-`{-~\u060c\u061b\u061f\u06d4\u0964\u2010-\u2027\u3000-\u303f«»]+"


@dataclass(frozen=True, kw_only=True)
class TextBaseline:
    """TF-IDF and a logistic regression, fitted; prints as a line.

    Attributes:
        class_names: One name a class.
        n: How many texts it was fitted to.
        vocabulary_size: How many different words these have.
        pipeline: scikit-learn's `Pipeline`, from texts to probabilities.

    Raises:
        ValueError: From `predict_proba`, if it gets one text instead of a list; from `evaluate`, if
            a text's class is unknown.

    Example:

    >>> train = LabelledTexts(("rain", "goal"), np.array([1, 0]), ("sports", "weather"), ("a", "b"))
    >>> baseline(train).predict_proba(["a late goal"]).argmax(1).tolist()
    [0]
    """

    class_names: tuple[str, ...]
    n: int
    vocabulary_size: int
    pipeline: Any = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"TF-IDF + logistic regression: {self.n:,} texts, {self.vocabulary_size:,} words"

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """Return probabilities of shape `(n, classes)`; 0 for classes that weren't in training."""
        if isinstance(texts, str):
            raise ValueError(f"`texts` must be a list of texts. Received: one text {texts!r:.60}")
        probabilities = np.zeros((len(texts), len(self.class_names)))
        if len(texts):
            probabilities[:, self.pipeline.classes_] = self.pipeline.predict_proba(list(texts))
        return probabilities

    def evaluate(self, texts: LabelledTexts) -> Evaluation:
        """Measure it on held-out texts, with 95 % intervals; labels count by their names."""
        check_labelled("texts", texts)
        labels = texts.renumbered(self.class_names).labels
        chances = self.predict_proba(texts.texts)
        return evaluate_predictions(chances, labels, class_names=self.class_names)


def baseline(train: LabelledTexts, *, strength: float = 10.0) -> TextBaseline:
    """Fit TF-IDF + logistic regression: the number to print beside every network's.

    Use it first, always. It takes a second, knows each word's weight by name, and on long texts
    with many labels it is hard to beat. scikit-learn's `TfidfVectorizer` and `LogisticRegression`
    do the work; words are told apart by spaces and punctuation in any script, and everything comes
    from `train` alone.

    Args:
        train: Labelled texts, such as `load_texts(...).train`.
        strength: Inverse of the penalty on the coefficients, > 0, as scikit-learn's `C`.

    Returns:
        A `TextBaseline` with `predict_proba` and `evaluate`.

    Raises:
        ValueError: `strength` isn't positive, or `train` has fewer than two classes.

    Example:

    >>> train = LabelledTexts(("rain", "goal"), np.array([1, 0]), ("sports", "weather"), ("a", "b"))
    >>> print(baseline(train))
    TF-IDF + logistic regression: 2 texts, 2 words

    Reference:
        Salton & Buckley, *Term-weighting approaches in automatic text retrieval* (1988); as a
        baseline: Wang & Manning, *Baselines and Bigrams* (2012).
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    check_positive("strength", strength)
    if not isinstance(train, LabelledTexts) or len(np.unique(train.labels)) < 2:
        received = train.counts() if isinstance(train, LabelledTexts) else type(train).__name__
        raise ValueError(
            f"`train` must be LabelledTexts of at least two classes. Received: {received}"
        )
    words = TfidfVectorizer(
        token_pattern=_WORD, sublinear_tf=True, lowercase=False, preprocessor=_folded
    )
    pipeline = make_pipeline(words, LogisticRegression(C=strength, max_iter=2000))
    pipeline.fit(list(train.texts), train.labels)
    return TextBaseline(
        class_names=tuple(map(str, train.class_names)),
        n=len(train),
        vocabulary_size=len(words.vocabulary_),
        pipeline=pipeline,
    )


def _folded(text: str) -> str:
    return normalize_text(text, lowercase=True)
