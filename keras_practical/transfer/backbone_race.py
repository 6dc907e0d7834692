"""Which backbone? Ask each for its features, and a probe what they are worth."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from keras_practical.data.pieces import pieces_of
from keras_practical.evaluation.cross_validation import cross_validate
from keras_practical.transfer.embedding import embed
from keras_practical.transfer.feature_network import feature_model
from keras_practical.transfer.probe import fit_probe
from keras_practical.utils.checks import check_count
from keras_practical.utils.drawing import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from keras_practical.utils.types import Data

__all__ = ["BackboneRace", "RaceResult", "compare_backbones"]


@dataclass(frozen=True, kw_only=True)
class RaceResult:
    """One backbone's showing.

    Attributes:
        name: The backbone's.
        accuracy: Of a probe on its features, cross-validated, in [0, 1].
        accuracy_interval: 95 % bounds.
        images_per_second: Embedding speed here; `nan` if all came from the cache.
        parameters: Number of weights.
        megabytes: Their size in float32.
        features: Length of its vectors.

    Example:

    >>> RaceResult(
    ...     name="tiny",
    ...     accuracy=0.9,
    ...     accuracy_interval=(0.8, 0.95),
    ...     images_per_second=1000.0,
    ...     parameters=500,
    ...     megabytes=0.002,
    ...     features=8,
    ... ).name
    'tiny'
    """

    name: str
    accuracy: float
    accuracy_interval: tuple[float, float]
    images_per_second: float
    parameters: int
    megabytes: float
    features: int

    def __str__(self) -> str:
        return (
            f"{self.name}: accuracy {self.accuracy:.3f} ({self.accuracy_interval[0]:.3f}–"
            f"{self.accuracy_interval[1]:.3f}), {self.images_per_second:.0f} images/s"
        )


@dataclass(frozen=True, kw_only=True)
class BackboneRace:
    """Backbones by accuracy, the best first; prints as a table.

    Attributes:
        results: One `RaceResult` a backbone.
        n: Number of images.

    Example:

    >>> print(
    ...     BackboneRace(
    ...         results=(
    ...             RaceResult(
    ...                 name="tiny",
    ...                 accuracy=0.9,
    ...                 accuracy_interval=(0.8, 0.95),
    ...                 images_per_second=1000.0,
    ...                 parameters=500,
    ...                 megabytes=0.002,
    ...                 features=8,
    ...             ),
    ...         ),
    ...         n=50,
    ...     )
    ... )
    backbone  accuracy             images/s  parameters    MB  features
    tiny      0.900 (0.800–0.950)      1000         500   0.0         8
    """

    results: tuple[RaceResult, ...]
    n: int

    def __str__(self) -> str:
        width = max(8, *(len(result.name) for result in self.results))
        header = f"{'backbone':<{width}}  accuracy             images/s  parameters    MB  features"
        lines = [header]
        for result in self.results:
            low, high = result.accuracy_interval
            cached = math.isnan(result.images_per_second)
            speed = "cached" if cached else f"{result.images_per_second:.0f}"
            lines.append(
                f"{result.name:<{width}}  {result.accuracy:.3f} ({low:.3f}–{high:.3f})  "
                f"{speed:>8}  {result.parameters:>10,}  {result.megabytes:>4.1f}  "
                f"{result.features:>8,}"
            )
        return "\n".join(lines)

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw accuracy, with its interval, against speed; return the axes."""
        ax = axes_or_new(ax, (6, 3.8))
        for result in self.results:
            low, high = result.accuracy_interval
            errors = [[result.accuracy - low], [high - result.accuracy]]
            cached = math.isnan(result.images_per_second)
            speed = 0.0 if cached else result.images_per_second
            ax.errorbar(speed, result.accuracy, errors, fmt="o", capsize=3)
            ax.annotate(
                f"{result.name} (from the cache)" if cached else result.name,
                (speed, result.accuracy),
                xytext=(6, 6),
                textcoords="offset points",
            )
        # Room for the fastest one's name.
        ax.set_xlim(0, 1.35 * max(ax.dataLim.x1, 1.0))
        ax.set_xlabel("images a second on this machine")
        ax.set_ylabel("accuracy of a probe (95 % interval)")
        ax.grid(alpha=0.3)
        return ax


def compare_backbones(
    data: Data,
    backbones: Sequence[str | keras.Model],
    *,
    folds: int = 5,
    cache_dir: str | Path | None = None,
    seed: int = 0,
    verbose: bool = True,
) -> BackboneRace:
    """Race backbones on your own images: accuracy of a probe, speed, size.

    Use it before choosing one: the ranking on ImageNet needn't be yours, and a difference within
    the intervals is none. In plain Keras one would fine-tune each of them.

    Args:
        data: As in `embed`.
        backbones: Names in `keras_practical.models.BACKBONES`, or models as `embed` takes them.
            One whose weights can't be had is left out, with a warning.
        folds: As in `cross_validate`.
        cache_dir: As in `embed`.
        seed: Decides the folds.
        verbose: Whether to show progress.

    Returns:
        A `BackboneRace`; print it, `plot` it.

    Raises:
        ValueError: As in `embed` or `cross_validate`, or there are no backbones.
        RuntimeError: The weights of none of them can be had.

    Example:

    >>> from keras_practical import load_images
    >>> digits = load_images("digits", verbose=False)
    >>> def network(width):
    ...     layers = [keras.Input((8, 8, 3)), keras.layers.AveragePooling2D(8 // width)]
    ...     return keras.Sequential([*layers, keras.layers.Flatten()], name=f"blurred_{width}")
    >>> race = compare_backbones(digits.train, [network(2), network(4)], verbose=False)
    >>> race.results[0].name
    'blurred_4'

    Reference:
        As for `fit_probe`.
    """
    check_count("folds", folds, minimum=2)
    backbones = [backbones] if isinstance(backbones, str | keras.Model) else list(backbones)
    if not backbones:
        raise ValueError("`backbones` must name at least one backbone.")
    shape = pieces_of(data, repeatable=False).shape
    results, problems, n = [], [], 0
    for backbone in backbones:
        try:
            network = feature_model(backbone, shape)
        except RuntimeError as error:
            problems.append(f"{backbone} is left out: {error}")
            warnings.warn(problems[-1], stacklevel=2)
            continue
        started = time.perf_counter()
        embeddings = embed(network, data, cache_dir=cache_dir, verbose=verbose)
        seconds = time.perf_counter() - started
        crossed = cross_validate(fit_probe, embeddings, folds=folds, seed=seed, verbose=verbose)
        n, parameters = len(embeddings), network.count_params()
        results.append(
            RaceResult(
                name=network.name,
                accuracy=crossed.accuracy,
                accuracy_interval=crossed.accuracy_interval,
                images_per_second=embeddings.computed / seconds
                if embeddings.computed
                else float("nan"),
                parameters=parameters,
                megabytes=4 * parameters / 1e6,
                features=embeddings.features.shape[1],
            )
        )
    if not results:
        raise RuntimeError("\n".join(problems))
    return BackboneRace(results=tuple(sorted(results, key=lambda r: -r.accuracy)), n=n)
