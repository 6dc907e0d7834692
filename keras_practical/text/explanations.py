"""Why a text got its class: which words mattered, and where the surest mistakes are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_practical.models.class_names import numbers_by_name
from keras_practical.text.baselines import TextBaseline
from keras_practical.text.classifiers import known_classes, named_by, predict_texts
from keras_practical.text.loading import LabelledTexts, check_labelled
from keras_practical.text.right_to_left import isolated, shown_text
from keras_practical.text.units import UNITS, units_of
from keras_practical.utils.checks import check_choice, check_count
from keras_practical.utils.cross_entropy import clipped
from keras_practical.utils.drawing import BLUE, ORANGE, axes_or_new, text_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["TextExplanation", "TextMistake", "confident_mistakes", "explain_text"]


@dataclass(frozen=True, kw_only=True)
class TextExplanation:
    """Which words of a text spoke for a class; prints as a list.

    Attributes:
        words: The text's words, in order; characters where its script has no spaces between words.
        importances: For each word, by how much the class's log-odds fall without it. Above zero it
            speaks for the class, below zero against it.
        class_name: The class.
        probability: What the model gives it, in [0, 1].

    Example:

    >>> found = TextExplanation(
    ...     words=("a", "late", "goal"),
    ...     importances=(0.0, 0.1, 1.5),
    ...     class_name="sports",
    ...     probability=0.9,
    ... )
    >>> found.strongest(1)
    (('goal', 1.5),)
    """

    words: tuple[str, ...]
    importances: tuple[float, ...]
    class_name: str
    probability: float

    def strongest(self, count: int) -> tuple[tuple[str, float], ...]:
        """Return the `count` words that mattered most, each summed over the text."""
        check_count("count", count)
        sums: dict[str, float] = {}
        for word, importance in zip(self.words, self.importances, strict=True):
            sums[word] = sums.get(word, 0.0) + importance
        return tuple(sorted(sums.items(), key=lambda item: -abs(item[1]))[:count])

    def __str__(self) -> str:
        said = ", ".join(f"{isolated(word)} {value:+.2f}" for word, value in self.strongest(8))
        return f"{self.class_name} ({self.probability:.2f}): {said}"

    def plot(self, *, count: int = 10, ax: Axes | None = None) -> Axes:
        """Draw the words that mattered most as bars, for the class to the right.

        Args:
            count: How many words, >= 1.
            ax: Where to draw. Default: a new figure.

        Returns:
            The axes.
        """
        strongest = self.strongest(count)[::-1]
        ax = axes_or_new(ax, (6.0, 0.6 + 0.32 * len(strongest)))
        values = [value for _, value in strongest]
        places = range(len(strongest))
        ax.barh(places, values, color=[BLUE if value > 0 else ORANGE for value in values])
        ax.set_yticks(places)
        ax.set_yticklabels([word for word, _ in strongest])
        ax.axvline(0.0, color=text_color(), linewidth=0.8)
        ax.set_xlabel(f"speaks for {self.class_name}, log-odds")
        ax.set_title(f"{self.class_name}: {self.probability:.2f}")
        for text in (ax.title, ax.xaxis.label, *ax.get_yticklabels()):
            text.set_parse_math(False)
            shown_text(text)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
        return ax


@dataclass(frozen=True, kw_only=True)
class TextMistake:
    """A held-out text that the model got wrong, and how sure it was.

    Attributes:
        place: Where the text came from.
        text: The text.
        predicted: The class that the model gave.
        truth: The class that it has.
        probability: What the model gave its own answer, in [0, 1].

    Example:

    >>> print(
    ...     TextMistake(
    ...         place="news.tsv, line 7",
    ...         text="rain stops play",
    ...         predicted="weather",
    ...         truth="sports",
    ...         probability=0.98,
    ...     )
    ... )
    news.tsv, line 7: said weather (0.98), is sports: ⁨rain stops play⁩
    """

    place: str
    text: str
    predicted: str
    truth: str
    probability: float

    def __str__(self) -> str:
        beginning = self.text if len(self.text) <= 80 else self.text[:80] + " …"
        # Between words, where there are spaces between them.
        if len(self.text) > 80 and " " in self.text[60:80]:
            beginning = self.text[:80].rsplit(" ", 1)[0] + " …"
        return (
            f"{self.place}: said {self.predicted} ({self.probability:.2f}), is {self.truth}: "
            f"{isolated(beginning)}"
        )


def explain_text(
    model: keras.Model | TextBaseline,
    text: str,
    *,
    class_name: str | None = None,
    class_names: Sequence[str] | None = None,
    words_at_once: int = 1,
    unit: str | None = None,
    verbose: bool = True,
) -> TextExplanation:
    """Find out which words of a text spoke for a class, by leaving each one out.

    Use it on single texts, and above all on mistakes: a network that knows sports by the name of a
    newspaper will fail elsewhere. It works alike for network and baseline, so that their reasons
    can be compared. Every word costs a prediction; for long texts leave out several at once.

    Args:
        model: A model of `classifier`, or a `TextBaseline`.
        text: The text.
        class_name: The class to explain. Default: the most probable one.
        class_names: One name a class, for a model that knows its classes by number only. Default:
            the model's own names, or numbers.
        words_at_once: How many neighbouring words are left out together, >= 1; each gets an equal
            share.
        unit: What counts as a word, as in `baseline`: with `"auto"`, each character in scripts that
            put no spaces between words. Default: the baseline's own, or `"auto"`.
        verbose: Whether to show progress.

    Returns:
        A `TextExplanation`; print it, or `.plot()`.

    Raises:
        ValueError: The text has no words, or there is no such class.

    Example:

    >>> from keras_practical.text.baselines import baseline
    >>> train = LabelledTexts(("rain", "goal"), np.array([1, 0]), ("sports", "weather"), ("a", "b"))
    >>> explain_text(baseline(train), "a late goal").strongest(1)[0][0]
    'goal'

    Reference:
        Li, Monroe & Jurafsky, *Understanding Neural Networks through Representation Erasure*
        (2016), arXiv 1612.08220.
    """
    check_count("words_at_once", words_at_once)
    if unit is None:
        unit = model.unit if isinstance(model, TextBaseline) else "auto"
    check_choice("unit", unit, UNITS)
    units = units_of(text, unit=unit) if isinstance(text, str) else ()
    if not units:
        raise ValueError(f"`text` must have at least one word. Received: {text!r:.60}")
    words = [found.strip() for found in units]
    predict, names = _predictor(model, verbose)
    if class_names is not None:
        given, own = tuple(map(str, class_names)), names
        names = named_by(own, given)
        remedy = "Leave `class_names` out."
        if names is own and given != own and numbers_by_name(own, given, remedy=remedy) is None:
            raise ValueError(f"The model has {len(own)} classes. Received: {len(given)} names")
    starts = range(0, len(words), words_at_once)
    without = ["".join(units[:s] + units[s + words_at_once :]) for s in starts]
    chances = predict(["".join(units), *without])
    if class_name is not None and class_name not in names:
        raise ValueError(f"There is no class {class_name!r}, only {', '.join(names)}.")
    label = int(chances[0].argmax()) if class_name is None else names.index(class_name)
    chance = chances[:, label]
    odds = np.log(clipped(chance)) - np.log(clipped(1 - chance))
    importances = np.repeat((odds[0] - odds[1:]) / words_at_once, words_at_once)[: len(words)]
    rest = len(words) % words_at_once
    if rest:
        importances[-rest:] *= words_at_once / rest
    return TextExplanation(
        words=tuple(words),
        importances=tuple(importances.tolist()),
        class_name=names[label],
        probability=float(chances[0, label]),
    )


def confident_mistakes(
    model: keras.Model | TextBaseline,
    texts: LabelledTexts,
    *,
    count: int = 10,
    verbose: bool = True,
) -> tuple[TextMistake, ...]:
    """Return the held-out texts on which a model was wrong and surest of itself.

    Use it before trusting a number: some of these are wrong labels, others show what training
    lacks. Labels count by the names of their classes, if the model has names.

    Args:
        model: As in `explain_text`.
        texts: Held-out texts with their labels.
        count: How many at most, >= 1.
        verbose: Whether to show progress.

    Returns:
        The mistakes, the surest first.

    Raises:
        ValueError: There are no texts, or one has a class that the model doesn't know.

    Example:

    >>> from keras_practical.text.baselines import baseline
    >>> train = LabelledTexts(("rain", "goal"), np.array([1, 0]), ("sports", "weather"), ("a", "b"))
    >>> held_out = LabelledTexts(("goal",), np.array([1]), ("sports", "weather"), ("c",))
    >>> [mistake.predicted for mistake in confident_mistakes(baseline(train), held_out)]
    ['sports']
    """
    check_count("count", count)
    check_labelled("texts", texts)
    if not len(texts):
        raise ValueError("`texts` must hold at least one text. Received: none")
    predict, names = _predictor(model, verbose)
    names = named_by(names, texts.class_names)
    texts = texts.renumbered(names)
    chances = predict(texts.texts)
    answers = chances.argmax(1)
    wrong = np.flatnonzero(answers != texts.labels)
    surest = wrong[np.argsort(-chances[wrong, answers[wrong]], kind="stable")][:count]
    return tuple(
        TextMistake(
            place=texts.places[place],
            text=texts.texts[place],
            predicted=names[answers[place]],
            truth=names[texts.labels[place]],
            probability=float(chances[place, answers[place]]),
        )
        for place in surest.tolist()
    )


def _predictor(
    model: keras.Model | TextBaseline, verbose: bool
) -> tuple[Callable[[Any], np.ndarray], tuple[str, ...]]:
    if isinstance(model, TextBaseline):
        return model.predict_proba, model.class_names
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"`model` must be a Keras model or a TextBaseline. Received: {type(model).__name__}"
        )

    def predict(texts: Any) -> np.ndarray:
        return predict_texts(model, texts, verbose=verbose).astype("float64")

    return predict, known_classes(model)
