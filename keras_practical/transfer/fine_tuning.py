"""`fine_tune`: the head alone first, then the whole network, one cycle each."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from keras_practical.data.batches import fit_arguments
from keras_practical.data.origin import origin_of
from keras_practical.models.freezing import freeze_to, layer_groups, summary, unfreeze
from keras_practical.training.finder import LRFinderResult, find_lr
from keras_practical.training.layer_rates import geometric_multipliers, scale_learning_rates
from keras_practical.training.one_cycle import OneCycle
from keras_practical.training.resuming import SetEpoch
from keras_practical.transfer.frozen_phase import HeadTraining, head_training
from keras_practical.utils.checks import check_count, check_positive

if TYPE_CHECKING:
    from keras_practical.utils.types import Data

__all__ = ["fine_tune"]


def fine_tune(
    model: keras.Model,
    train: Data,
    *,
    validation_data: Data | None = None,
    epochs: int = 2,
    frozen_epochs: int = 2,
    max_learning_rate: float | str = 1e-3,
    frozen_learning_rate: float | None = None,
    backbone_multiplier: float = 0.01,
    train_batch_norm: bool = False,
    views: int | None = None,
    cache_dir: str | Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
) -> keras.callbacks.History:
    """Fine-tune a classifier: its head alone first, then the whole network, one cycle each.

    Use it on a model of `classifier`, or on any compiled model with a backbone inside. In the
    first phase the backbone is frozen and the new head learns at a high rate. In the second
    everything trains, the backbone much more slowly than the head and its earliest layers, which
    hold the most general features, most slowly. Each phase starts a fresh optimizer of the kind
    and configuration that the model was compiled with; loss and metrics stay. In plain Keras this
    is two rounds of setting `trainable`, compiling and `fit`, at one learning rate for all layers.

    The frozen backbone sees each image once, not once an epoch, where that gives the same
    result: with data of `load_images` or arrays and without random layers before the head. Then
    many frozen epochs cost hardly more than one. What is done is said.

    Ctrl-C leaves a usable model, with the weights so far and its optimizer's own learning rate.

    Args:
        model: A compiled classifier. It is trained in place and stays unfrozen.
        train: Training data: a batched `tf.data.Dataset` of images and integer labels, a
            `keras.utils.PyDataset`, or an `(images, labels)` tuple of arrays. It must know its
            length.
        validation_data: As in `fit`.
        epochs: Epochs of the second phase, >= 0.
        frozen_epochs: Epochs of the first phase, >= 0.
        max_learning_rate: Peak rate of the head in the second phase, > 0. `"auto"` runs `find_lr`
            in the first phase (100 steps), takes its rate for that phase and a tenth of it for
            the second, and says so. If the finder gives no answer, the default is lowered to
            where its curve supports it.
        frozen_learning_rate: Peak rate of the first phase, > 0. Default: ten times
            `max_learning_rate`, because nothing pretrained can be damaged there.
        backbone_multiplier: Learning rate of the backbone's last layer group in the second phase,
            as a part of the head's, > 0. It falls geometrically to a tenth of that for the first.
        train_batch_norm: As in `freeze_to`.
        views: For a model with augmentation inside: `embed` each training image and so many
            augmented views of it, >= 1, for the first phase; each epoch takes one of them. 0 never
            embeds. Default: embed where the result is the same.
        cache_dir: As in `embed`.
        callbacks: Keras callbacks for both phases; they see the epochs counted through. Other ones
            than Keras's that only look at the epochs' numbers make the backbone run each epoch.
        verbose: As in `fit`; 0 also silences the lines that say what each phase does.

    Returns:
        One `History` of both phases, `learning_rate` (the head's) included.

    Raises:
        ValueError: An argument is outside its range, the model isn't compiled, the data doesn't
            say how many batches it has, or with `"auto"` the loss explodes at every rate.

    Example:

    >>> from keras_practical import load_images
    >>> from keras_practical.models.classifiers import classifier
    >>> digits = load_images("digits", batch_size=256, verbose=False)
    >>> backbone = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(8, 3)])
    >>> model = classifier(backbone, digits.class_names, seed=0)
    >>> history = fine_tune(model, digits.train, frozen_epochs=1, epochs=1, verbose=0)
    >>> history.epoch
    [0, 1]

    Reference:
        Howard & Gugger, *fastai: A Layered API for Deep Learning* (2020), arXiv 2002.04688
        (`fine_tune`); rates by layer: arXiv 1801.06146. The backbone's rates are a tenth of
        fastai's: on two splits of the training photos of cats vs dogs (400 held out in each, 160
        pixels) they gave 98.1 %, fastai's 97.4 %, the head alone 97.1 %.
    """
    check_count("epochs", epochs, minimum=0)
    check_count("frozen_epochs", frozen_epochs, minimum=0)
    if max_learning_rate != "auto":
        check_positive("max_learning_rate", max_learning_rate)
    check_positive("backbone_multiplier", backbone_multiplier)
    if frozen_learning_rate is not None:
        check_positive("frozen_learning_rate", frozen_learning_rate)
    if views is not None:
        check_count("views", views, minimum=0)
    if not model.compiled:
        raise ValueError("`model` must be compiled: call model.compile(...) first.")
    tuning = _FineTuning(model, callbacks, verbose)
    peak = None if isinstance(max_learning_rate, str) else max_learning_rate
    if frozen_epochs:
        freeze_to(model, -1)
        tuning.prepare([1.0])
        embedded = head_training(
            model,
            train,
            validation_data=validation_data,
            callbacks=callbacks,
            views=views,
            cache_dir=cache_dir,
            verbose=bool(verbose),
        )
        phase: tuple[Any, ...] = (model, train, validation_data)
        if isinstance(embedded, HeadTraining):
            phase = (embedded.head, embedded.train, embedded.validation_data)
        if verbose:
            print(_frozen_announcement(embedded))
        frozen_peak = frozen_learning_rate
        if frozen_peak is None:
            frozen_peak = tuning.search(*phase[:2], default=1e-2) if peak is None else 10 * peak
            peak = frozen_peak / 10
        try:
            tuning.run(*phase, epochs=range(frozen_epochs), peak=frozen_peak, multipliers=[1.0])
        finally:
            if isinstance(embedded, HeadTraining):
                embedded.finish(model)
    if epochs and not model.stop_training:
        unfreeze(model, train_batch_norm=train_batch_norm)
        multipliers = _multipliers(model, backbone_multiplier)
        tuning.prepare(multipliers)
        if peak is None:
            peak = tuning.search(model, train, default=1e-3)
        all_epochs = range(frozen_epochs, frozen_epochs + epochs)
        tuning.run(
            model, train, validation_data, epochs=all_epochs, peak=peak, multipliers=multipliers
        )
    return tuning.history


class _FineTuning:
    """The steps that both phases of one `fine_tune` share."""

    def __init__(
        self,
        model: keras.Model,
        callbacks: Sequence[keras.callbacks.Callback],
        verbose: str | int,
    ) -> None:
        self._model = model
        self._callbacks = callbacks
        self._verbose = verbose
        self._optimizer = keras.optimizers.serialize(model.optimizer)
        self.history = keras.callbacks.History()
        self.history.set_model(model)
        self.history.epoch = []

    def prepare(self, multipliers: Sequence[float]) -> None:
        """Give the model a fresh optimizer, with a rate for each layer group."""
        # A copy, because a loss-scaling optimizer empties the description it is made from.
        self._model.optimizer = keras.optimizers.deserialize(copy.deepcopy(self._optimizer))
        if len(multipliers) > 1:
            variables = [
                [variable for layer in group for variable in layer.variables]
                for group in layer_groups(self._model)
            ]
            scale_learning_rates(self._model.optimizer, variables, multipliers)

    def search(self, trained: keras.Model, data: Data, *, default: float) -> float:
        """Ask the finder for a learning rate, and say which it is and why."""
        result = find_lr(trained, data, verbose=False)
        rate, reason = _supported_rate(result, default)
        if self._verbose:
            print(f"fine_tune: learning rate {rate:.2g}: {reason} ({result!r})")
        return rate

    def run(
        self,
        trained: keras.Model,
        data: Data,
        held_out: Data,
        *,
        epochs: range,
        peak: float,
        multipliers: Sequence[float],
    ) -> None:
        """Train for one cycle and add its epochs to the history."""
        if self._verbose:
            print(_announcement(self._model, len(epochs), peak, multipliers))
        cycle = OneCycle(peak, start_epoch=epochs.start)
        order = [SetEpoch(data)] if origin_of(data).orders else []
        try:
            done = trained.fit(
                **fit_arguments(data),
                validation_data=held_out,
                initial_epoch=epochs.start,
                epochs=epochs.stop,
                callbacks=[*self._callbacks, *order, cycle],
                verbose=self._verbose,
            )
        finally:
            cycle.on_train_end()  # Keras leaves it out after Ctrl-C.
        self.history.epoch += done.epoch
        for name, values in done.history.items():
            self.history.history.setdefault(name, []).extend(values)


def _frozen_announcement(embedded: HeadTraining | str) -> str:
    if isinstance(embedded, HeadTraining):
        return "fine_tune: the head trains on features that were computed once"
    return f"fine_tune: the frozen backbone runs in each epoch ({embedded})"


def _supported_rate(result: LRFinderResult, default: float) -> tuple[float, str]:
    """Return the finder's rate or, if it gives none, one that its curve supports; and why."""
    found = result.learning_rate
    if found is not None and result.supports(found):
        return found, "the finder's valley"
    rate = default
    while not result.supports(rate):
        rate /= 2.0
        if rate < default / 1e4:
            raise ValueError(
                'max_learning_rate="auto" found no rate to train with: '
                f"{result.problem or 'the loss rises at every rate'}. "
                "Check data and loss, or pass a number."
            )
    lowered = "" if rate == default else ", lowered to where the loss hasn't risen yet"
    return rate, f"the finder gives no trustworthy answer, so the default{lowered}"


def _multipliers(model: keras.Model, backbone_multiplier: float) -> list[float]:
    """Return each layer group's learning rate as a part of the head's."""
    backbone_groups = len(layer_groups(model)) - 1
    if not backbone_groups:
        return [1.0]
    relative = geometric_multipliers(backbone_groups, earliest=0.1)
    return [*(backbone_multiplier * relative).tolist(), 1.0]


def _announcement(
    model: keras.Model, epochs: int, peak: float, multipliers: Sequence[float]
) -> str:
    """Say in one line what the coming phase trains, and at which rates."""
    state = summary(model)
    rates = f"one cycle up to {peak:g}"
    if len(multipliers) > 1:
        rates += f" for the head, {peak * multipliers[0]:g} for the earliest layers"
    what = "the head" if len(multipliers) == 1 else "all layers"
    frozen = state.frozen_batch_norm_count
    batch_norm = f" ({frozen} BatchNormalization layers stay in inference mode)" if frozen else ""
    return (
        f"fine_tune: {epochs} epoch{'s' * (epochs != 1)} of {what}, {state.trainable_count:,} of "
        f"{state.total_count:,} parameters{batch_norm}, {rates}"
    )
