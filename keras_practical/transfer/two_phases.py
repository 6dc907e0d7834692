"""The two phases of one `fine_tune`: the head, then all layers, as one training."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_practical.data.batches import ShuffledBatches, fit_arguments, weighted_batches_of
from keras_practical.data.order import EpochOrder
from keras_practical.data.origin import origin_of
from keras_practical.models.anatomy import Anatomy
from keras_practical.models.backbones import architecture_of
from keras_practical.models.freezing import freeze_to, layer_groups, summary, unfreeze
from keras_practical.models.pixels import warn_of_pixels
from keras_practical.training.finder import find_lr
from keras_practical.training.layer_rates import scale_learning_rates
from keras_practical.training.one_cycle import OneCycle
from keras_practical.training.resuming import SetEpoch
from keras_practical.transfer.averaging import Judged, best_share, gain, judge, set_between
from keras_practical.transfer.budget import affordable_epochs, seconds_per_step, steps_in
from keras_practical.transfer.frozen_phase import HeadTraining, head_training
from keras_practical.transfer.one_training import OneTraining, TrainingBackup
from keras_practical.transfer.policy import Recipe, recipe, share_of_the_way
from keras_practical.transfer.rates import multipliers_by_group, supported_rate
from keras_practical.transfer.starting_head import solve, why_not_solvable
from keras_practical.utils.keras_internals.folding import FoldedTraining
from keras_practical.utils.keras_internals.layers import innermost_layers, learns
from keras_practical.utils.keras_internals.optimizer import (
    fresh_optimizer,
    innermost,
    momentum_name,
)
from keras_practical.utils.keras_internals.overrides import overridden

if TYPE_CHECKING:
    from keras_practical.utils.types import BackbonePart, Data

__all__ = ["TwoPhases"]

_WORDS = {0.0: "none", 0.25: "a quarter", 0.5: "half", 0.75: "three quarters", 1.0: "all"}
# Epochs of a head that can't be solved for, and its peak rate.
_FROZEN_EPOCHS = 2
_FROZEN_RATE = 1e-2
# Of a rate that was asked for, which is the head's.
_BACKBONE_MULTIPLIER = 0.01


class TwoPhases:
    """The steps of one `fine_tune`, and what its two phases share.

    Args:
        model: As in `fine_tune`.
        train: As there.
        held_out: As `validation_data` there.
        callbacks: As there.
        verbose: As there.
        class_weight: As there.
        anatomy: What of the model is pretrained.
        mixed_precision: As there.

    Raises:
        ValueError: As in `fine_tune`.

    Example:

    >>> from keras_practical.models.anatomy import anatomy_of
    >>> from keras_practical.models.classifiers import classifier
    >>> network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3)])
    >>> model = classifier(network, 2)
    >>> images, labels = np.zeros((4, 8, 8, 3)), np.array([0, 1, 0, 1])
    >>> phases = TwoPhases(
    ...     model,
    ...     (images, labels),
    ...     None,
    ...     callbacks=(),
    ...     verbose=0,
    ...     class_weight=None,
    ...     anatomy=anatomy_of(model),
    ...     mixed_precision=False,
    ... )
    >>> phases.first_epoch
    0
    """

    def __init__(
        self,
        model: keras.Model,
        train: Data,
        held_out: Data | None,
        *,
        callbacks: Sequence[keras.callbacks.Callback],
        verbose: str | int,
        class_weight: Mapping[int, float] | None,
        anatomy: Anatomy,
        mixed_precision: bool,
    ) -> None:
        self._began = time.perf_counter()
        self._model = model
        self._train = train
        self._held_out = held_out
        self._verbose = verbose
        self._class_weight = None if class_weight is None else dict(class_weight)
        # Told once: after the first phase, the head's weights no longer tell that it is new.
        self._backbone = list(anatomy.backbone) or None
        self._by_hand = _frozen_by_hand(anatomy)
        self._optimizer = model.optimizer
        self._mixed_precision = mixed_precision
        self._at_start: Judged | None = None
        self._wanted: tuple[int | None, float | str | None] = (None, None)
        self._backup = TrainingBackup(callbacks)
        self._training = OneTraining(
            self._backup.others, model, epochs=0, after_epoch=self._after_epoch
        )
        self.history = keras.callbacks.History()
        self.history.set_model(model)
        self.history.epoch = []
        self._settings = self._backup.read() or {}
        # Once for this call: what an earlier `fit` was stopped by doesn't count.
        model.stop_training = False
        self._resumed = bool(self._settings)
        if self._resumed:
            self.history.epoch = list(self._settings["epochs"])
            self.history.history = dict(self._settings["history"])
            self._say(f"goes on after epoch {self.first_epoch} of a run that ended early")
        self._seed = self._settings.setdefault("seed", random.getrandbits(31))

    @property
    def first_epoch(self) -> int:
        """The epoch to begin with, counted through: above 0 in a run that goes on."""
        return int(self._settings.get("next_epoch", 0))

    @property
    def _frozen_epochs(self) -> int:
        """Epochs of the first phase; a head that was solved counts as one."""
        return int(self._settings["frozen_epochs"])

    def begin(
        self,
        *,
        frozen_epochs: int | None,
        epochs: int | None,
        max_learning_rate: float | str | None,
        frozen_learning_rate: float | None,
        views: int | None,
        cache_dir: str | Path | None,
    ) -> None:
        """Solve or train the head, and decide how everything will train."""
        options = {"views": views, "cache_dir": cache_dir}
        reason: str | None = None
        self._wanted = (epochs, max_learning_rate)
        if "frozen_epochs" not in self._settings:
            if frozen_epochs is None:
                reason = self._solve_head(options)
            if reason is not None:
                self._say(f"the head is trained, not solved: {reason}")
            if frozen_epochs is not None or reason is not None:
                first = _FROZEN_EPOCHS if frozen_epochs is None else frozen_epochs
                self._settings |= {"frozen_epochs": first, "solved": False}
        if self.first_epoch < self._frozen_epochs:
            self._train_head(options, peak=frozen_learning_rate)
        elif not self._frozen_epochs:
            _look_at_pixels(self._model, self._train)

    def go_on(
        self,
        *,
        minutes: float | None,
        backbone_multiplier: float | None,
        train_batch_norm: bool,
    ) -> None:
        """Train all layers, if a second phase follows, whatever ended the first."""
        plan = self._plan()
        stopped_by = self._training.stopped_by
        if isinstance(stopped_by, keras.callbacks.EarlyStopping):
            self._model.stop_training = False
        if self._wanted[0] is None and not plan.epochs:
            self._say(f"it stays with the head, {plan.reason}")
        if self._model.stop_training or not plan.epochs:
            self._restore(self._model, self._frozen_epochs)
            return
        unfreeze(self._model, train_batch_norm=train_batch_norm, backbone=self._backbone)
        _freeze(self._by_hand)
        data = self._with_own_order(self._train)
        if backbone_multiplier is None and self._wanted[1] is not None:
            backbone_multiplier = _BACKBONE_MULTIPLIER
        multipliers = multipliers_by_group(self._model, backbone_multiplier, self._backbone)
        self._prepare(multipliers)
        epochs = self._settings.get("affordable", plan.epochs)
        if minutes is not None and "affordable" not in self._settings:
            epochs = self._within(60.0 * minutes, data, plan.epochs, multipliers)
            self._settings["affordable"] = epochs
        elif self._settings.get("last_groups"):
            self._freeze_first_groups(int(self._settings["last_groups"]), multipliers)
        if not epochs:
            self._restore(self._model, self._frozen_epochs)
            return
        peak = plan.max_learning_rate
        if isinstance(self._wanted[1], str):
            # A first phase that was trained has found it.
            peak = self._settings.get("peak") or self._search(self._model, data, default=peak)
        self._settings["peak"] = peak
        self._restore(self._model, self._frozen_epochs)
        if self._backup.start is None:
            self._backup.start = self._model.get_weights()
        self._training.epochs = self._frozen_epochs + epochs
        self._run(
            self._model,
            data,
            self._held_out,
            epochs=range(self._frozen_epochs, self._frozen_epochs + epochs),
            peak=peak,
            multipliers=multipliers,
            reason=plan.reason,
        )

    def finish(self, share: float | None) -> None:
        """End the training for the callbacks, choose among the weights, and say what it brought."""
        self._training.finish()
        start = self._backup.start
        if start is not None:
            share, said = self._average(start, share)
            self._say(said)
        if self._mixed_precision:
            self._model.optimizer = innermost(self._model.optimizer)
        self.history.params = {
            "epochs": len(self.history.epoch),
            "frozen_epochs": self._frozen_epochs,
            "solved_head": bool(self._settings["solved"]),
            "max_learning_rate": self._settings.get("peak"),
            "share": share if start is not None else 0.0,
        }
        self._backup.remove()

    def _solve_head(self, options: dict[str, Any]) -> str | None:
        """Make the head a logistic regression, which counts as epoch 0; or say why not."""
        reason = why_not_solvable(self._model)
        if reason is not None:
            return reason
        freeze_to(self._model, -1, backbone=self._backbone)
        _freeze(self._by_hand)
        self._prepare([1.0])
        embedded = self._embedded(options, solving=True)
        if isinstance(embedded, str):
            return embedded
        found = embedded.embeddings
        probe = solve(embedded.head, found, class_weight=self._class_weight)
        if isinstance(probe, str):
            return probe
        self._settings |= {
            "frozen_epochs": 1,
            "solved": True,
            "head_loss": probe.held_out_loss,
        }
        logs = embedded.head.evaluate(
            found.features,
            found.labels,
            sample_weight=found.sample_weight,
            verbose=0,
            return_dict=True,
        )
        said = f"the head is solved, not trained: {probe}, on {len(found):,} images"
        if embedded.validation_data is not None:
            x, y, *weights = embedded.validation_data
            held_out = embedded.head.evaluate(
                x, y, sample_weight=weights[0] if weights else None, verbose=0, return_dict=True
            )
            logs |= {f"val_{name}": value for name, value in held_out.items()}
            self._at_start = judge(
                embedded.head, embedded.validation_data, like=self._held_out, verbose=False
            )
        logs["learning_rate"] = 0.0
        if momentum_name(self._optimizer) is not None:
            logs["momentum"] = 0.0
        shown = {k: v for k, v in logs.items() if k not in ("learning_rate", "momentum")}
        self._say(f"{said} (epoch 0: {', '.join(f'{k} {v:.4g}' for k, v in shown.items())})")
        self._training.epochs = 1 + self._plan().epochs
        self._training.show_epoch(embedded.head, 0, logs)
        embedded.finish(self._model)
        self._model.optimizer.build(self._model.trainable_variables)
        return None

    def _train_head(self, options: dict[str, Any], *, peak: float | None) -> None:
        """Run the first phase, on features that are computed once where that is the same."""
        freeze_to(self._model, -1, backbone=self._backbone)
        _freeze(self._by_hand)
        self._prepare([1.0])
        embedded = self._embedded(options)
        phase: tuple[Any, ...] = (
            self._model,
            self._with_own_order(self._train),
            self._held_out,
        )
        if isinstance(embedded, HeadTraining):
            phase = (embedded.head, embedded.train, embedded.validation_data)
        else:
            _look_at_pixels(self._model, self._train)
        self._say(_frozen_announcement(embedded))
        _, rate = self._wanted
        peak = peak or self._settings.get("frozen_peak")
        if peak is None:
            if isinstance(rate, str):
                peak = self._search(*phase[:2], default=_FROZEN_RATE)
                self._settings["peak"] = peak / 10
            else:
                peak = _FROZEN_RATE if rate is None else 10 * rate
        self._settings["frozen_peak"] = peak
        self._training.epochs = self._frozen_epochs + self._plan().epochs
        self._restore(phase[0], 0)
        self._run(
            *phase, epochs=range(self._frozen_epochs), peak=peak, multipliers=[1.0], reason=""
        )
        if isinstance(embedded, HeadTraining):
            embedded.finish(self._model)

    def _embedded(self, options: dict[str, Any], *, solving: bool = False) -> HeadTraining | str:
        return head_training(
            self._model,
            self._train,
            validation_data=self._held_out,
            verbose=bool(self._verbose),
            backbone=self._backbone,
            seed=self._seed,
            solving=solving,
            **options,
        )

    def _plan(self) -> Recipe:
        """Return how all layers train: what was asked for, and the recipe where nothing was."""
        epochs, rate = self._wanted
        found = recipe(
            steps_in(self._train) or 1,
            head_loss=self._settings.get("head_loss"),
            held_out=self._held_out is not None,
        )
        asked = epochs is not None and rate is not None
        return Recipe(
            epochs=found.epochs if epochs is None else epochs,
            max_learning_rate=rate if isinstance(rate, float | int) else found.max_learning_rate,
            reason="" if asked else found.reason,
        )

    def _within(self, seconds: float, data: Data, epochs: int, multipliers: Sequence[float]) -> int:
        """Return how many epochs the budget allows, of the last layers only if it must be."""
        groups = len(layer_groups(self._model, backbone=self._backbone))
        steps, held_out = steps_in(data), steps_in(self._held_out) or 0
        for last in dict.fromkeys((groups, max(2, groups // 2))):
            if last < groups:
                self._freeze_first_groups(last, multipliers)
            step = seconds_per_step(self._model, data, class_weight=self._class_weight)
            left = seconds - (time.perf_counter() - self._began)
            fitting = affordable_epochs(
                left, steps=steps or 1, held_out_steps=held_out, seconds_per_step=step
            )
            what = "all layers" if last == groups else f"the last {last} of {groups} layer groups"
            said = (
                f"an epoch of {what} takes some {step * (steps or 1):.0f} s, and of "
                f"minutes={seconds / 60:g} {max(left, 0):.0f} s are left"
            )
            if fitting:
                self._settings["last_groups"] = last if last < groups else 0
                chosen = min(fitting, epochs)
                self._say(f"{said}: {chosen} of {epochs} epochs")
                return chosen
        self._say(f"{said}: too little for one epoch, so nothing more is trained")
        freeze_to(self._model, -1, backbone=self._backbone)
        _freeze(self._by_hand)
        self._prepare([1.0])
        return 0

    def _freeze_first_groups(self, last: int, multipliers: Sequence[float]) -> None:
        """Leave only the last layer groups to train."""
        freeze_to(self._model, -last, backbone=self._backbone)
        _freeze(self._by_hand)
        self._prepare(multipliers)

    def _average(self, start: list[np.ndarray], share: float | None) -> tuple[float, str]:
        """Choose among the weights between the start and now; return the share, and what to say."""
        otherwise = share_of_the_way(
            solved=bool(self._settings["solved"]), head_loss=self._settings.get("head_loss")
        )
        if self._held_out is None:
            end = self._model.get_weights()
            if share is None and not all(np.isfinite(weight).all() for weight in end):
                set_between(self._model, start, end, 0.0)
                return 0.0, "the training diverged (weights are NaN), so the start is kept"
            share = otherwise if share is None else share
            set_between(self._model, start, end, share)
            kept = "" if share == 1.0 else f"{_words(share)} of the way from the start is kept; "
            return share, f"{kept}with validation_data it would say what this brought"

        def measure() -> Judged:
            return judge(self._model, self._held_out, verbose=bool(self._verbose))

        share, before, after = best_share(
            self._model,
            start,
            at_start=self._at_start,
            measure=measure,
            otherwise=otherwise,
            share=share,
        )
        return share, f"{gain(before, after)}; {_words(share)} of the way from the start is kept"

    def _with_own_order(self, data: Data) -> Data:
        """Return arrays as batches that a run which goes on gets in the same order."""
        if not isinstance(data, tuple | list) or not all(hasattr(part, "shape") for part in data):
            return data
        # A `fit` of the model's own class, as keras-hub's, may take arrays only.
        if overridden(self._model, ("fit",)):
            return data
        inputs, labels, *weights = map(np.asarray, data)
        return ShuffledBatches(
            inputs,
            labels,
            32,
            EpochOrder(len(inputs), self._seed),
            sample_weight=weights[0] if weights else None,
        )

    def _prepare(self, multipliers: Sequence[float]) -> None:
        """Give the model a fresh optimizer, with a rate for each layer group."""
        optimizer = fresh_optimizer(self._optimizer)
        if self._mixed_precision and optimizer is innermost(optimizer):
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        self._model.optimizer = optimizer
        if any(factor != 1.0 for factor in multipliers):
            variables = [
                [variable for layer in group for variable in layer.variables]
                for group in layer_groups(self._model, backbone=self._backbone)
            ]
            scale_learning_rates(self._model.optimizer, variables, multipliers)

    def _search(self, trained: keras.Model, data: Data, *, default: float) -> float:
        """Ask the finder for a learning rate, and say which it is and why."""
        result = find_lr(trained, data, verbose=False)
        rate, reason = supported_rate(result, default)
        self._say(f"learning rate {rate:.2g}: {reason} ({result!r})")
        return rate

    def _restore(self, trained: keras.Model, begins: int) -> None:
        """Have a run that goes on in the phase that begins at an epoch go on from its backup."""
        if not self._resumed:
            return
        self._resumed = False
        optimizer = trained.optimizer if self.first_epoch > begins else None
        if optimizer is not None:
            optimizer.build(trained.trainable_variables)
        self._backup.restore(self._model, optimizer, self._training)

    def _run(
        self,
        trained: keras.Model,
        data: Data,
        held_out: Data,
        *,
        epochs: range,
        peak: float,
        multipliers: Sequence[float],
        reason: str,
    ) -> None:
        """Train for one cycle and add its epochs to the history."""
        said = _announcement(self._model, len(epochs), peak, multipliers, self._backbone)
        self._say(f"{said}{', ' if reason else ''}{reason}")
        first = max(epochs.start, self.first_epoch)
        cycle, folding = OneCycle(peak, start_epoch=epochs.start), FoldedTraining()
        order = [SetEpoch(data)] if origin_of(data).orders else []
        try:
            trained.fit(
                **fit_arguments(data),
                validation_data=held_out,
                initial_epoch=first,
                epochs=epochs.stop,
                class_weight=self._class_weight,
                # The cycle first: its numbers are in the logs that the others get.
                callbacks=[*order, cycle, folding, self._training],
                verbose=self._verbose,
            )
        finally:
            for callback in (folding, cycle):
                callback.on_train_end()  # Keras leaves it out after Ctrl-C.

    def _after_epoch(self, epoch: int, logs: Mapping[str, Any]) -> None:
        self.history.epoch.append(epoch)
        for name, value in logs.items():
            self.history.history.setdefault(name, []).append(value)
        self._settings |= {
            "next_epoch": epoch + 1,
            "epochs": self.history.epoch,
            "history": {
                name: [float(value) for value in values]
                for name, values in self.history.history.items()
            },
        }
        optimizer = self._training.model.optimizer
        self._backup.write(self._settings, self._model, optimizer, self._training)

    def _say(self, text: str) -> None:
        if self._verbose:
            print(f"fine_tune: {text}")


def _frozen_by_hand(anatomy: Anatomy) -> list[keras.layers.Layer]:
    """Return the layers that are frozen while others of their part train."""
    chosen = []
    for part in (anatomy.backbone, anatomy.head):
        layers = [
            inner
            for layer in part
            for inner in innermost_layers(layer)
            if learns(inner) and not isinstance(inner, keras.layers.BatchNormalization)
        ]
        frozen = [layer for layer in layers if not layer.trainable]
        # All of them frozen is how every transfer learning starts.
        if part is anatomy.head or len(frozen) < len(layers):
            chosen += frozen
    return chosen


def _look_at_pixels(model: keras.Model, train: Data) -> None:
    """Warn if a network of `keras.applications` gets pixels that its weights weren't made for."""
    if architecture_of(model) is None or len(getattr(model, "inputs", None) or ()) != 1:
        return
    source = origin_of(train).source
    if source is not None:
        images = source.store.read(source.rows[:8])[0]
    else:
        images = next(iter(weighted_batches_of(train, 8)[0]))[0]
    warn_of_pixels(model, images, what="fine_tune")


def _freeze(layers: Sequence[keras.layers.Layer]) -> None:
    for layer in layers:
        layer.trainable = False


def _frozen_announcement(embedded: HeadTraining | str) -> str:
    if isinstance(embedded, HeadTraining):
        return "the head trains on features that were computed once"
    return f"the frozen backbone runs in each epoch ({embedded})"


def _announcement(
    model: keras.Model,
    epochs: int,
    peak: float,
    multipliers: Sequence[float],
    backbone: BackbonePart | None,
) -> str:
    """Say in one line what the coming phase trains, and at which rates."""
    state = summary(model, backbone=backbone)
    rates = f"one cycle up to {peak:g}"
    if len(multipliers) > 1:
        rates += f" for the head, {peak * multipliers[0]:g} for the earliest layers"
    frozen_first = state.rows[-1][3] == state.trainable_count
    partly = any(row[2] and not row[3] for row in state.rows)
    what = "the head" if frozen_first else "the last layers" if partly else "all layers"
    frozen = state.frozen_batch_norm_count
    batch_norm = f" ({frozen} BatchNormalization layers stay in inference mode)" if frozen else ""
    return (
        f"{epochs} epoch{'s' * (epochs != 1)} of {what}, {state.trainable_count:,} of "
        f"{state.total_count:,} parameters{batch_norm}, {rates}"
    )


def _words(share: float) -> str:
    return _WORDS.get(share, f"{share:.2g}")
