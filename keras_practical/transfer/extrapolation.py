"""How much would more photos help? Measured on fewer, and drawn on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from keras_practical.data.features import Embeddings
from keras_practical.data.groups import group_numbers
from keras_practical.data.labels import class_numbers
from keras_practical.transfer.probe import fit_probe
from keras_practical.utils.checks import check_between, check_count
from keras_practical.utils.drawing import BLUE, ORANGE, axes_or_new
from keras_practical.utils.intervals import independent_examples
from keras_practical.utils.progress import track

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LearningCurve", "PowerLaw", "fit_power_law", "learning_curve"]

_EXPONENTS = np.linspace(0.05, 1.5, 59)

_DRAWS = 500
# What doubling the images must be able to bring, in accuracy, to be worth it.
_WORTH = 0.005


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """Accuracy by the number of training images, and what more would bring; prints as text.

    Attributes:
        sizes: Training images of a class (on average), ascending, shape `(points,)`.
        accuracies: Of a probe on held-out images, shape `(repeats, points)`.
        n: Number of images there are.
        classes: Number of classes.
        law: The power law that was fitted to the error.
        laws: Power laws of resampled measurements, for the bands.
        independent: As how many independent images they count, where they come in groups; `None`
            as all of them.

    Example:

    >>> flat = LearningCurve(
    ...     sizes=np.array([10.0, 20.0]),
    ...     accuracies=np.full((3, 2), 0.9),
    ...     n=40,
    ...     classes=2,
    ...     law=PowerLaw(0.0, 1.0, 0.1),
    ...     laws=(PowerLaw(0.0, 1.0, 0.1),),
    ... )
    >>> round(flat.accuracy_at(1000)[0], 2)
    0.9
    """

    sizes: np.ndarray
    accuracies: np.ndarray
    n: int
    classes: int
    law: PowerLaw
    laws: tuple[PowerLaw, ...]
    independent: float | None = None

    @property
    def helps(self) -> bool:
        """Whether more images would help: half a point or more for doubling can't be ruled out."""
        return self.law.scale > 0 and self.gain(2.0)[2] >= _WORTH

    def accuracy_at(self, per_class: float) -> tuple[float, float, float]:
        """Return the accuracy to expect with so many images a class, and its 95 % band.

        The band holds the accuracy that one would measure on as many other images as there are
        now.
        """
        drawn = np.array([float(law.at(np.array(per_class))) for law in self.laws])
        error = float(self.law.at(np.array(per_class)))
        # The laws vary as what was measured; what will be is measured on so many images, too.
        n = self.independent or self.n
        spread = np.sqrt(max(error, 1 / n) * (1 - min(error, 0.5)) / n)
        noise = np.random.default_rng(0).normal(0, spread, (20, len(drawn)))
        low, high = np.quantile(1 - drawn + noise, [0.025, 0.975])
        return 1 - error, float(max(0.0, low)), float(min(1.0, high))

    def gain(self, factor: float) -> tuple[float, float, float]:
        """Return what `factor` times the images would add to the accuracy, and its 95 % band."""
        check_between("factor", factor, 1.0, 1000.0)
        now = self.sizes[-1]
        ends = np.array([now, factor * now])

        def added(law: PowerLaw) -> float:
            before, after = law.at(ends)
            return float(before - after)

        low, high = np.quantile([added(law) for law in self.laws], [0.025, 0.975])
        return added(self.law), float(low), float(high)

    def __str__(self) -> str:
        means, spreads = self.accuracies.mean(0), self._spreads()
        lines = [
            f"{size:7.0f} a class: accuracy {mean:.3f} ± {spread:.3f}"
            for size, mean, spread in zip(self.sizes, means, spreads, strict=True)
        ]
        gain, low, high = (100 * part for part in self.gain(2.0))
        double = 2 * self.sizes[-1]
        if not self.law.scale:
            lines.append("the accuracy doesn't rise with the number of images")
        lines.append(
            f"doubling to {double:.0f} a class would bring about {gain:+.1f} points "
            f"({low:.1f}–{high:.1f})"
        )
        if not self.helps:
            lines.append("more images of this kind won't help: try other features, or other labels")
        return "\n".join(lines)

    def _spreads(self) -> np.ndarray:
        """Return how far apart the repeats are at each size: their standard deviation."""
        return self.accuracies.std(0, ddof=1)

    def plot(self, *, factor: float = 4.0, ax: Axes | None = None) -> Axes:
        """Draw the curve up to `factor` times the images, with its band, and return the axes."""
        ax = axes_or_new(ax, (6, 3.8))
        ends = np.geomspace(self.sizes[0], factor * self.sizes[-1], 60)
        middle, low, high = np.array([self.accuracy_at(size) for size in ends]).T
        ax.fill_between(ends, low, high, color=BLUE, alpha=0.15, label="95 % band")
        ax.plot(ends, middle, "--", color=BLUE, label="power law")
        ax.errorbar(
            self.sizes,
            self.accuracies.mean(0),
            self._spreads(),
            fmt="o",
            capsize=3,
            color=ORANGE,
            label="measured",
        )
        ax.axvline(self.sizes[-1], color="grey", linewidth=0.8)
        ax.set_xscale("log")
        ticks = [*self.sizes[::2], factor * self.sizes[-1]]
        ax.set_xticks(ticks, [f"{size:.0f}" for size in ticks])
        ax.minorticks_off()
        ax.set_xlabel("training images a class")
        ax.set_ylabel("accuracy")
        ax.legend()
        return ax


def learning_curve(
    embeddings: Embeddings,
    *,
    points: int = 6,
    repeats: int = 10,
    test_fraction: float = 0.25,
    seed: int = 0,
    verbose: bool = True,
) -> LearningCurve:
    """Measure a probe on more and more of the images, and say what still more would bring.

    Use it before collecting photos: the answer is a number with a band, in seconds. It has no
    equivalent in plain Keras.

    Args:
        embeddings: All images there are. Those of one group (`load_images(groups=...)`) stay on one
            side of each division.
        points: Sizes of training set to measure, >= 4, from a sixteenth to all of the training
            part; each smaller set is part of the larger one.
        repeats: How often to divide anew into training and test images, >= 2.
        test_fraction: Part to judge by, in [0.05, 0.5].
        seed: Whole number >= 0; decides the divisions.
        verbose: Whether to show a progress bar.

    Returns:
        A `LearningCurve`; print it, `plot` it, ask it for `gain` or `accuracy_at`.

    Raises:
        ValueError: An argument is out of range, or there are too few images: at least 16 of each
            class, from as many groups as the held-out part goes into the whole.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(200) % 2
    >>> found = Embeddings(rng.normal(size=(200, 5)) + labels[:, None], labels, (), ("a", "b"))
    >>> curve = learning_curve(found, repeats=3, verbose=False)
    >>> curve.sizes.round().tolist()
    [5.0, 8.0, 14.0, 25.0, 43.0, 75.0]

    Reference:
        Cortes et al., *Learning Curves: Asymptotic Values and Rate of Convergence* (1993);
        Hestness et al. (2017), arXiv 1712.00409.
    """
    check_count("points", points, minimum=4)
    check_count("repeats", repeats, minimum=2)
    check_between("test_fraction", test_fraction, 0.05, 0.5)
    check_count("seed", seed, minimum=0)
    labels = class_numbers(embeddings.labels)
    classes = len(embeddings.class_names)
    counts = np.bincount(labels, minlength=classes)
    if counts.min() < 16:
        name = embeddings.class_names[int(counts.argmin())]
        raise ValueError(
            f"A learning curve needs 16 images of each class. Received: {counts.min()} of {name!r}"
        )
    fractions = np.geomspace(1 / 16, 1, points)
    grouping = group_numbers(None, len(labels), index=embeddings.index or ())
    if grouping is not None:
        parts = _parts(test_fraction)
        for label, name in enumerate(embeddings.class_names):
            own = len(np.unique(grouping[labels == label]))
            if own < parts:
                raise ValueError(
                    f"A learning curve that holds out 1 of {parts} parts needs {parts} groups of "
                    f"each class. Received: {own} of {name!r}"
                )
    # Whether each image was right, for each division and size; NaN where it was trained on.
    rights = np.full((repeats, points, len(labels)), np.nan)
    sizes = np.zeros(points)
    # One penalty throughout, the one that suits all of them: searching it anew for each size would
    # take most of the time, and on few images be mostly chance.
    strength = fit_probe(embeddings, seed=seed).strength
    for repeat in track(range(repeats), "Learning curve", repeats, show=verbose):
        rng = np.random.default_rng([seed, repeat])
        test, ordered = _divided(labels, grouping, test_fraction, rng)
        held_out = embeddings.take(test)
        for point, fraction in enumerate(fractions):
            chosen = np.concatenate(
                [members[: _share(len(members), fraction)] for members in ordered]
            )
            sizes[point] += len(chosen) / classes / repeats
            probe = fit_probe(embeddings.take(chosen), strength=strength)
            said = probe.predict_proba(held_out.features).argmax(1)
            rights[repeat, point, test] = said == held_out.labels
    return _curve(sizes, rights, classes, grouping, seed)


def _curve(
    sizes: np.ndarray,
    rights: np.ndarray,
    classes: int,
    grouping: np.ndarray | None,
    seed: int,
) -> LearningCurve:
    """Return the curve of what was right: shape `(repeats, points, n)`, NaN where not judged."""
    n = rights.shape[2]
    accuracies = np.nanmean(rights, axis=2)
    everyone = np.arange(n) if grouping is None else grouping
    [law], laws = (
        _staying(_fitted(sizes, 1 - rows), 1 - rows)
        for rows in (accuracies.mean(0)[None], _resampled(rights, everyone, seed))
    )
    judged = ~np.isnan(rights[:, -1]).all(0)
    share = independent_examples(
        np.nanmean(rights[:, -1, judged], axis=0), None if grouping is None else grouping[judged]
    )
    return LearningCurve(
        sizes=sizes,
        accuracies=accuracies,
        n=n,
        classes=classes,
        law=law,
        laws=laws,
        independent=n * share / int(judged.sum()),
    )


def _share(count: int, fraction: float) -> int:
    return max(2, round(count * fraction))


def _parts(test_fraction: float) -> int:
    """Return into how many parts groups are divided, one of which is held out."""
    return max(2, round(1 / test_fraction))


def _divided(
    labels: np.ndarray, grouping: np.ndarray | None, test_fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return test places, and the training places of each class in random order, groups whole."""
    if grouping is None:
        tests, ordered = [], []
        for label in np.unique(labels):
            indexes = rng.permutation(np.flatnonzero(labels == label))
            cut = max(1, round(len(indexes) * test_fraction))
            tests.append(indexes[:cut])
            ordered.append(indexes[cut:])
        return np.concatenate(tests), ordered
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(
        _parts(test_fraction), shuffle=True, random_state=int(rng.integers(2**31))
    )
    train, test = next(splitter.split(labels, labels, grouping))
    # Group after group, as they would be collected.
    turn = rng.permutation(int(grouping.max()) + 1)[grouping[train]]
    train = train[np.argsort(turn, kind="stable")]
    return test, [train[labels[train] == label] for label in np.unique(labels)]


def _resampled(rights: np.ndarray, grouping: np.ndarray, seed: int) -> np.ndarray:
    """Return accuracies of shape `(draws, points)` of divisions and groups drawn with replacement.

    The same images judge all sizes, and so a draw of images moves all of them together.
    """
    rng = np.random.default_rng(seed)
    repeats, groups = len(rights), int(grouping.max()) + 1
    tested = (~np.isnan(rights[:, 0])).astype("float64")
    hits = np.nan_to_num(rights)
    draws: list[np.ndarray] = []
    while len(draws) < _DRAWS:
        times = np.bincount(rng.integers(0, groups, groups), minlength=groups)[grouping]
        counts = tested @ times
        rows = rng.integers(0, repeats, repeats)
        if counts[rows].min() > 0:
            draws.append(((hits @ times)[rows] / counts[rows][:, None]).mean(0))
    return np.array(draws)


def _staying(laws: tuple[PowerLaw, ...], errors: np.ndarray) -> tuple[PowerLaw, ...]:
    """Return laws of which those that don't fall stay at what all the images give."""
    return tuple(
        law if law.scale > 0 else replace(law, floor=float(row[-1]))
        for law, row in zip(laws, errors, strict=True)
    )


@dataclass(frozen=True)
class PowerLaw:
    """A power law that falls to a floor: `scale * n ** -exponent + floor`.

    Attributes:
        scale: >= 0.
        exponent: > 0.
        floor: What remains however large `n` is, >= 0.

    Example:

    >>> PowerLaw(1.0, 0.5, 0.1).at(np.array([25.0])).round(3).tolist()
    [0.3]
    """

    scale: float
    exponent: float
    floor: float

    def at(self, n: np.ndarray) -> np.ndarray:
        """Return the values at `n`."""
        return self.scale * np.asarray(n, "float64") ** -self.exponent + self.floor


def fit_power_law(n: np.ndarray, values: np.ndarray) -> PowerLaw:
    """Fit a power law that falls to a floor, or stays, by least squares of the relative errors.

    Args:
        n: Numbers of examples, shape `(points,)`, > 0.
        values: What was measured with so many, shape `(points,)`, >= 0, such as error rates.

    Returns:
        The best `PowerLaw` with an exponent from 0.05 to 1.5. Values that don't fall have a scale
        of 0: they stay where they are.

    Example:

    >>> n = np.array([10.0, 20.0, 40.0, 80.0])
    >>> law = fit_power_law(n, 2 * n**-0.5)
    >>> round(law.exponent, 2), round(law.floor, 3)
    (0.5, 0.0)

    Reference:
        Hestness et al., *Deep Learning Scaling is Predictable, Empirically* (2017),
        arXiv 1712.00409.
    """
    [law] = _fitted(np.asarray(n, "float64"), np.asarray(values, "float64")[None])
    return law


def _fitted(n: np.ndarray, values: np.ndarray) -> tuple[PowerLaw, ...]:
    """Return the best law of each row of `values`, of shape `(rows, points)`."""
    squares = 1.0 / np.maximum(values, np.maximum(values.max(1, keepdims=True), 1e-12) * 0.05) ** 2
    total, level = squares.sum(1), (squares * values).sum(1)
    nothing = np.zeros(len(values))
    # What stays is among the candidates: for values that don't fall, nothing is better.
    best = np.stack([nothing, nothing + 1.0, level / total])
    least = (squares * (values - best[2][:, None]) ** 2).sum(1)
    for exponent in _EXPONENTS:
        shape = n**-exponent
        first, second = squares @ shape, squares @ shape**2
        product = (squares * values) @ shape
        spread = np.maximum(second * total - first**2, 1e-300)
        scale = (product * total - first * level) / spread
        floor = (level * second - first * product) / spread
        for scales, floors in ((scale, floor), (product / second, nothing)):
            gaps = scales[:, None] * shape + floors[:, None] - values
            error = (squares * gaps**2).sum(1)
            # By less than rounding, no law is better than another.
            better = (scales >= 0) & (floors >= 0) & (error < least * (1 - 1e-9))
            best[:, better] = np.stack([scales, nothing + exponent, floors])[:, better]
            least[better] = error[better]
    return tuple(PowerLaw(*map(float, law)) for law in best.T)
