"""Find a learning rate before training: a short ramp through all rates, then everything undone."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_practical.data.batches import fit_arguments
from keras_practical.data.origin import origin_of
from keras_practical.training import finder_rules
from keras_practical.training.curves import Segment
from keras_practical.training.schedules import SegmentSchedule
from keras_practical.utils.checks import check_count, check_positive
from keras_practical.utils.keras_internals.optimizer import (
    innermost,
    steer,
    steps_taken,
    twin_with_own_state,
)
from keras_practical.utils.keras_internals.snapshot import snapshot
from keras_practical.utils.progress import progress_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from keras_practical.utils.types import Data

__all__ = ["LRFinderResult", "find_lr"]

RULES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "valley": finder_rules.valley,
    "steepest": finder_rules.steepest,
    "minimum": finder_rules.minimum,
    "slide": finder_rules.slide,
}
# A tenth of the ramp at its start, where the average is still settling, and the last few steps,
# where the loss explodes, tell nothing. As in fastai.
_SKIPPED_END = 5
_FEWEST_STEPS = 10


@dataclass(frozen=True, repr=False, kw_only=True)
class LRFinderResult:
    """What a learning-rate finder saw, and what it suggests.

    Attributes:
        learning_rates: The rates tried: array of shape `(steps,)`.
        losses: Each batch's own loss: array of shape `(repeats, steps)`, NaN after a ramp's end.
        smoothed: Their moving averages, of the same shape.
        suggestions: From a rule's name to its learning rate, the geometric mean over the repeats;
            empty if the curve gives no trustworthy answer.
        spreads: From a rule's name to the largest over the smallest suggestion of the repeats.
        problem: Why there is no trustworthy answer; `None` if there is one.
        trained_steps: Number of training steps that the search cost.
        seconds: Time that it took.

    Example:

    >>> rates = np.geomspace(1e-6, 1.0, 50)
    >>> losses = np.where(rates < 0.1, 2.0 - np.log10(rates / 1e-6) / 5, 9.0)[None]
    >>> LRFinderResult.of(rates, losses, seconds=1.0)
    learning rate 0.000494 (valley); steepest 0.0596, ... 50 steps, 1.0 s
    """

    learning_rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestions: Mapping[str, float]
    spreads: Mapping[str, float]
    problem: str | None
    trained_steps: int
    seconds: float

    @classmethod
    def of(
        cls, learning_rates: np.ndarray, losses: np.ndarray, *, seconds: float
    ) -> LRFinderResult:
        """Smooth the losses and apply the rules.

        Args:
            learning_rates: Array of shape `(steps,)`, rising.
            losses: Array of shape `(repeats, steps)`, NaN after a ramp's end.
            seconds: Time that the ramps took.

        Returns:
            The result.
        """
        smoothed = np.full_like(losses, np.nan)
        found: dict[str, list[float]] = {name: [] for name in RULES}
        problem = None
        for row, values in enumerate(losses):
            count = int(np.isfinite(values).sum())
            smoothed[row, :count] = finder_rules.smooth(values[:count])
            problem = problem or _problem(values[:count], smoothed[row, :count])
            if problem is None:
                kept = slice(len(values) // 10, max(count - _SKIPPED_END, _FEWEST_STEPS // 2))
                for name, rule in RULES.items():
                    found[name].append(rule(learning_rates[kept], smoothed[row, kept]))
        if problem is None:
            spreads = {name: max(rates) / min(rates) for name, rates in found.items()}
            means = {name: float(np.exp(np.log(rates).mean())) for name, rates in found.items()}
        else:
            spreads, means = {}, {}
        steps = int(np.isfinite(losses).sum())
        return cls(
            learning_rates=learning_rates,
            losses=losses,
            smoothed=smoothed,
            suggestions=means,
            spreads=spreads,
            problem=problem,
            trained_steps=steps,
            seconds=seconds,
        )

    @property
    def learning_rate(self) -> float | None:
        """The suggestion of the rule `valley`; `None` if there is no trustworthy answer."""
        return self.suggestions.get("valley")

    def supports(self, learning_rate: float) -> bool:
        """Say whether no ramp's loss had risen above its start at `learning_rate`.

        Args:
            learning_rate: A rate, > 0.

        Returns:
            Whether training may go up to that rate.
        """
        step = int(np.searchsorted(self.learning_rates, learning_rate))
        if step >= len(self.learning_rates):
            return False
        # One easy batch says little: the start is the highest of what the first tenth gives, where
        # the rates are too small to matter.
        early = max(len(self.learning_rates) // 10, 1)
        start = self.smoothed[:, :early].max(1)
        before = self.smoothed[:, : step + 1]
        return bool(np.isfinite(before).all() and (before[:, -1] <= start).all())

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the curve, each ramp's and their mean, and mark the suggestions.

        Args:
            ax: Where to draw. Default: a new figure.

        Returns:
            The axes.
        """
        from keras_practical.training.plots import learning_rate_finder

        return learning_rate_finder(
            self.learning_rates, self.smoothed, self.suggestions, problem=self.problem, ax=ax
        )

    def __repr__(self) -> str:
        cost = f"{self.trained_steps} steps, {self.seconds:.1f} s"
        if self.problem is not None:
            return f"no learning rate: {self.problem}; {cost}"
        valley, *others = (f"{name} {rate:.3g}" for name, rate in self.suggestions.items())
        spread = ""
        if len(self.losses) > 1:
            ratio = self.spreads["valley"]
            spread = f", a factor of {ratio:.1f} between {len(self.losses)} ramps"
        return f"learning rate {valley.split()[1]} (valley{spread}); {', '.join(others)}; {cost}"


def find_lr(
    model: keras.Model,
    data: Data,
    *,
    start_learning_rate: float = 1e-7,
    end_learning_rate: float = 10.0,
    steps: int = 100,
    repeats: int = 1,
    stop_factor: float = 4.0,
    batch_size: int | None = None,
    class_weight: Mapping[int, float] | None = None,
    verbose: bool = True,
) -> LRFinderResult:
    """Find a good peak learning rate: train while the rate rises until the loss explodes.

    Use it before `fit` on a new problem, then look at `result.plot()`. The model comes back exactly
    as it was: weights, `BatchNormalization` statistics, optimizer, random seeds, metrics, compiled
    functions; also after Ctrl-C or an error. Training afterwards gives the same numbers as without
    it, provided that reading the data doesn't change them (`tf.data`'s `shuffle` goes on to its
    next order). Plain Keras has nothing like it.

    Args:
        model: A built and compiled model, with any `train_step` that returns a `loss`.
        data: What `fit` takes: a batched `tf.data.Dataset`, a `keras.utils.PyDataset`, or a tuple
            of arrays `(inputs, targets)` or `(inputs, targets, sample_weights)`. Data shorter than
            the ramp is read again.
        start_learning_rate: The first rate, > 0.
        end_learning_rate: The rate that the ramp leads to, > `start_learning_rate`.
        steps: Number of batches in a ramp, >= 10.
        repeats: Number of ramps, >= 1, each from the same weights, on other batches if the data
            are arrays or shuffle themselves. One ramp's suggestion varies; the result tells by how
            much.
        stop_factor: A ramp ends when the smoothed loss is this many times its lowest, > 1.
        batch_size: For arrays, as in `fit`.
        class_weight: As in `fit`.
        verbose: Whether to show progress and print the result.

    Returns:
        An `LRFinderResult`.

    Raises:
        ValueError: An argument is outside its range, the model isn't built and compiled, the data
            can be read only once, or `train_step` returns no `loss`.

    Example:

    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> inputs = np.random.default_rng(0).normal(size=(256, 2))
    >>> result = find_lr(model, (inputs, inputs.sum(1)), verbose=False)
    >>> 1e-4 < result.learning_rate < 1.0
    True

    Reference:
        Smith, *Cyclical Learning Rates* (2017), arXiv 1506.01186, section 3.3; ramp, stop rule and
        smoothing are fastai's.
    """
    check_positive("start_learning_rate", start_learning_rate)
    check_positive("end_learning_rate", end_learning_rate)
    check_count("steps", steps, minimum=_FEWEST_STEPS)
    check_count("repeats", repeats)
    check_positive("stop_factor", stop_factor)
    if end_learning_rate <= start_learning_rate:
        raise ValueError(
            "`end_learning_rate` must be greater than `start_learning_rate`. Received: "
            f"end_learning_rate={end_learning_rate}, start_learning_rate={start_learning_rate}"
        )
    _check(model, data)
    ramp = SegmentSchedule(
        steps, [Segment(1.0, start_learning_rate, end_learning_rate, "exponential")]
    )
    options = {"batch_size": batch_size, "class_weight": class_weight}
    losses = np.full((repeats, steps), np.nan)
    began = time.perf_counter()
    with (
        progress_bar("Finding a learning rate", repeats * steps, show=verbose) as advance,
        snapshot(model, origin_of(data).orders) as restore_variables,
    ):
        optimizer = model.optimizer
        for repeat, row in enumerate(losses):
            # An optimizer of the ramp's own, which starts with what the model's has learnt.
            model.optimizer = twin_with_own_state(optimizer, model.trainable_variables)
            batches = _reordered(data, repeat)
            _run_ramp(model, batches, _Ramp(ramp, row, stop_factor, advance), options)
            restore_variables()
    fraction = np.arange(steps) / steps
    rates = start_learning_rate * (end_learning_rate / start_learning_rate) ** fraction
    result = LRFinderResult.of(rates, losses, seconds=time.perf_counter() - began)
    if verbose:
        print(f"find_lr: {result!r}")
    return result


def _check(model: keras.Model, data: Data) -> None:
    if not model.built or not model.compiled:
        raise ValueError(
            "`model` must be built and compiled. Give it a keras.Input or call it on one batch, "
            "and call model.compile(...)."
        )
    if hasattr(data, "__next__"):
        raise ValueError(
            "`data` can be read only once, so that training afterwards would miss what the search "
            "has read. Pass a tf.data.Dataset, a keras.utils.PyDataset or arrays. Received: "
            f"{type(data).__name__}"
        )


def _reordered(data: Data, repeat: int) -> Any:
    """Return arrays in another order for each repeat: under a global seed, `fit` has but one."""
    if repeat == 0 or not isinstance(data, tuple | list):
        return data
    count = len(keras.tree.flatten(data)[0])
    order = np.random.RandomState(repeat).permutation(count)
    return keras.tree.map_structure(lambda array: np.asarray(array)[order], data)


def _run_ramp(model: keras.Model, data: Data, ramp: _Ramp, options: dict[str, Any]) -> None:
    optimizer = innermost(model.optimizer)
    first = steps_taken(optimizer)
    steer(optimizer, learning_rate=lambda step: ramp.schedule(ops.cast(step, "int32") - first))
    model.steps_per_execution = 1  # The loss of each batch is wanted.
    # JAX may reuse what it traced for an equal function: let it trace one that equals no other.
    model.train_step = functools.partial(model.train_step)
    model.make_train_function(force=True)
    with warnings.catch_warnings():
        # Of data whose length isn't known, at their end: they are read again.
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        model.fit(
            **fit_arguments(data),
            **options,
            epochs=len(ramp.losses),  # As often as it takes: the ramp ends by itself.
            callbacks=[ramp],
            verbose=0,
        )


class _Ramp(keras.callbacks.Callback):
    """Notes each batch's own loss, and ends when it explodes."""

    def __init__(
        self,
        schedule: SegmentSchedule,
        losses: np.ndarray,
        stop_factor: float,
        advance: Callable[[int], None],
    ) -> None:
        super().__init__()
        self.schedule = schedule
        self.losses = losses
        self._stop_factor = stop_factor
        self._advance = advance
        self._step = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        if "loss" not in logs:
            raise ValueError(
                "The model's `train_step` must return a dictionary with `loss`. "
                f"Received: {sorted(logs)}"
            )
        self.losses[self._step] = float(logs["loss"])
        self._step += 1
        self._advance(1)
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        # What Keras reports is the mean since the last reset.
        self.model.reset_metrics()
        smoothed = finder_rules.smooth(self.losses[: self._step])
        exploded = not smoothed[-1] <= self._stop_factor * np.abs(smoothed).min()
        if exploded or self._step == len(self.losses):
            self.model.stop_training = True


def _problem(losses: np.ndarray, smoothed: np.ndarray) -> str | None:
    """Say why a curve gives no trustworthy answer; `None` if it does."""
    if len(losses) < _FEWEST_STEPS:
        return (
            f"the loss exploded after {len(losses)} steps; try a smaller start_learning_rate, and "
            "check the data for NaN and the labels for their range"
        )
    early = max(len(losses) // 10, 1)
    start, lowest = float(smoothed[early]), float(smoothed[early:].min())
    # From loss to loss, while the rates are too small to matter; the average at the start is over
    # few of them.
    noise = float(np.diff(losses[: len(losses) // 2]).std()) / np.sqrt(2.0 * (early + 1))
    if start - lowest < max(3.0 * noise, 0.01 * abs(start)):
        return (
            f"the loss never falls clearly (from {start:.3g} to {lowest:.3g}); is anything left to "
            "learn, and does the model's output fit the loss?"
        )
    return None
