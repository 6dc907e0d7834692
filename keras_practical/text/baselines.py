"""The baseline that a text network has to beat: TF-IDF + logistic regression."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_practical.evaluation.metrics import Evaluation, evaluate_predictions
from keras_practical.text.loading import LabelledTexts, check_labelled
from keras_practical.text.units import LONGEST, UNITS, features_of, unit_of
from keras_practical.utils.checks import check_choice, check_positive

__all__ = ["TextBaseline", "baseline"]


@dataclass(frozen=True, kw_only=True)
class TextBaseline:
    """TF-IDF and a logistic regression, fitted; prints as a line.

    Attributes:
        class_names: One name a class.
        n: How many texts it was fitted to.
        vocabulary_size: How many different words these have; in scripts without spaces, runs of
            characters.
        unit: As in `baseline`.
        counted_in: What that came to: `"words"`, `"characters"` or `"words and characters"`.
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
    unit: str
    counted_in: str
    pipeline: Any = field(repr=False, compare=False)

    def __str__(self) -> str:
        units = self.counted_in.replace("characters", f"runs of 1 to {LONGEST} characters")
        return f"TF-IDF + logistic regression: {self.n:,} texts, {self.vocabulary_size:,} {units}"

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


def baseline(train: LabelledTexts, *, strength: float = 10.0, unit: str = "auto") -> TextBaseline:
    """Fit TF-IDF + logistic regression: the number to print beside every network's.

    Use it first, always. It takes a second, knows each word's weight by name, and on long texts
    with many labels it is hard to beat. scikit-learn's `TfidfVectorizer` and `LogisticRegression`
    do the work, and everything comes from `train` alone. Words are told apart by spaces and
    punctuation; where a script has no spaces between words, runs of one to three characters are
    counted instead, in one text too. Printed, the baseline says which.

    Args:
        train: Labelled texts, such as `load_texts(...).train`.
        strength: Inverse of the penalty on the coefficients, > 0, as scikit-learn's `C`.
        unit: What is counted. `"auto"`: characters in Chinese, Japanese, Thai, Lao, Khmer, Burmese
            and other scripts without spaces, words elsewhere. `"words"` or `"characters"`:
            everywhere, whatever the script.

    Returns:
        A `TextBaseline` with `predict_proba` and `evaluate`.

    Raises:
        ValueError: An argument is outside its range, or `train` has fewer than two classes, or no
            words.

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
    check_choice("unit", unit, UNITS)
    if not isinstance(train, LabelledTexts) or len(np.unique(train.labels)) < 2:
        received = train.counts() if isinstance(train, LabelledTexts) else type(train).__name__
        raise ValueError(
            f"`train` must be LabelledTexts of at least two classes. Received: {received}"
        )
    features = functools.partial(features_of, unit=unit)
    if not any(map(features, train.texts)):
        raise ValueError(
            "`train` must have texts with words; punctuation is counted with unit='characters' "
            f"only. Received: {train.texts[0]!r:.60} and others like it"
        )
    counts = TfidfVectorizer(analyzer=features, sublinear_tf=True)
    pipeline = make_pipeline(counts, LogisticRegression(C=strength, max_iter=2000))
    pipeline.fit(list(train.texts), train.labels)
    return TextBaseline(
        class_names=tuple(map(str, train.class_names)),
        n=len(train),
        vocabulary_size=len(counts.vocabulary_),
        unit=unit,
        counted_in=unit_of(train.texts, unit=unit),
        pipeline=pipeline,
    )
