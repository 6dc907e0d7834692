"""How much would more photos help? Measured on fewer, and drawn on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_practical.data.features import Embeddings
from keras_practical.data.labels import class_numbers
from keras_practical.transfer.probe import fit_probe
from keras_practical.utils.checks import check_between, check_count
from keras_practical.utils.drawing import BLUE, ORANGE, axes_or_new
from keras_practical.utils.progress import track

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LearningCurve", "PowerLaw", "fit_power_law", "learning_curve"]

_EXPONENTS = np.linspace(0.05, 1.5, 59)

_DRAWS = 500


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

    def accuracy_at(self, per_class: float) -> tuple[float, float, float]:
        """Return the accuracy to expect with so many images a class, and its 95 % band.

        The band holds the accuracy that one would measure on as many other images as there are
        now.
        """
        drawn = np.array([float(law.at(np.array(per_class))) for law in self.laws])
        error = float(self.law.at(np.array(per_class)))
        # What was measured and what will be are both measured on so many images only.
        spread = np.sqrt(2 * max(error, 1 / self.n) * (1 - min(error, 0.5)) / self.n)
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
        lines.append(
            f"doubling to {double:.0f} a class would bring about {gain:+.1f} points "
            f"({low:.1f}–{high:.1f})"
        )
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
        embeddings: All images there are.
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
            class.

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
    accuracies = np.zeros((repeats, points))
    sizes = np.zeros(points)
    # One penalty throughout, the one that suits all of them: searching it anew for each size would
    # take most of the time, and on few images be mostly chance.
    strength = fit_probe(embeddings, seed=seed).strength
    for repeat in track(range(repeats), "Learning curve", repeats, show=verbose):
        rng = np.random.default_rng([seed, repeat])
        test, ordered = _divided(labels, test_fraction, rng)
        held_out = embeddings.take(test)
        for point, fraction in enumerate(fractions):
            chosen = np.concatenate(
                [members[: _share(len(members), fraction)] for members in ordered]
            )
            sizes[point] = len(chosen) / classes
            probe = fit_probe(embeddings.take(chosen), strength=strength)
            said = probe.predict_proba(held_out.features).argmax(1)
            accuracies[repeat, point] = (said == held_out.labels).mean()
    laws = _resampled(sizes, accuracies, seed)
    law = fit_power_law(sizes, 1 - accuracies.mean(0))
    return LearningCurve(
        sizes=sizes, accuracies=accuracies, n=len(labels), classes=classes, law=law, laws=laws
    )


def _share(count: int, fraction: float) -> int:
    return max(2, round(count * fraction))


def _divided(
    labels: np.ndarray, test_fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return test places, and the training places of each class in random order."""
    tests, ordered = [], []
    for label in np.unique(labels):
        indexes = rng.permutation(np.flatnonzero(labels == label))
        cut = max(1, round(len(indexes) * test_fraction))
        tests.append(indexes[:cut])
        ordered.append(indexes[cut:])
    return np.concatenate(tests), ordered


def _resampled(sizes: np.ndarray, accuracies: np.ndarray, seed: int) -> tuple[PowerLaw, ...]:
    """Return laws of repeats drawn with replacement."""
    rng = np.random.default_rng(seed)
    repeats = len(accuracies)
    drawn = [rng.integers(0, repeats, repeats) for _ in range(_DRAWS)]
    return tuple(fit_power_law(sizes, 1 - accuracies[rows].mean(0)) for rows in drawn)


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
    n, values = np.asarray(n, "float64"), np.asarray(values, "float64")
    weights = 1.0 / np.maximum(values, max(values.max(), 1e-12) * 0.05)
    squares = weights**2
    constant = float(squares @ values / squares.sum())
    best, least = PowerLaw(0.0, 1.0, constant), float(squares @ (constant - values) ** 2)
    for exponent in _EXPONENTS:
        shape = n**-exponent
        for scale, floor in _candidates(shape, values, weights):
            error = float(squares @ (scale * shape + floor - values) ** 2)
            # By less than rounding, nothing is better than what stays.
            if scale >= 0 and floor >= 0 and error < least * (1 - 1e-9):
                best, least = PowerLaw(scale, float(exponent), floor), error
    return best


def _candidates(
    shape: np.ndarray, values: np.ndarray, weights: np.ndarray
) -> list[tuple[float, float]]:
    """Return the best scale and floor, and the best scale without a floor."""
    columns = np.stack([shape, np.ones_like(shape)], axis=1) * weights[:, None]
    scale, floor = np.linalg.lstsq(columns, values * weights, rcond=None)[0]
    alone = float((columns[:, 0] @ (values * weights)) / (columns[:, 0] @ columns[:, 0]))
    return [(float(scale), float(floor)), (alone, 0.0)]
