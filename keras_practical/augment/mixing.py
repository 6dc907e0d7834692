"""`BatchMixing`: MixUp and CutMix for models that are trained on integer labels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_practical.utils.checks import check_between, check_count
from keras_practical.utils.keras_internals.optimizer import step_counter
from keras_practical.utils.keras_internals.step import Overlay, put_on, take_off

if TYPE_CHECKING:
    from keras_practical.utils.types import Tensor

__all__ = ["BatchMixing"]


class BatchMixing(keras.callbacks.Callback):
    """Train on mixtures of two images each: MixUp, CutMix, or one of them by chance each batch.

    Add it to `fit` or `fine_tune` as a callback when images are few and epochs are many. Labels
    stay as they are, integers too: the loss of a mixture is the mixture of the losses on both
    labels, so that any loss, its label smoothing, and sample weights keep their meaning. Validation
    is untouched. The training metrics compare with the label of the larger part, and so read lower
    than on whole images. What is mixed depends on the seed and the optimizer's step only: a run
    that was killed goes on with the same mixtures. The plain-Keras equivalents,
    `keras.layers.MixUp` and `CutMix`, which do the mixing here, need one-hot labels, another loss
    and other metrics.

    Images are mixed before any augmentation inside the model. Labels that are masks of the images'
    size, one number or one-hot vector a pixel, are cut with the images by CutMix.

    Args:
        mixup: The Beta distribution's parameter for MixUp, in [0, 10]; 0 leaves MixUp out.
        cutmix: The same for CutMix.
        seed: Whole number >= 0, decides what is mixed.

    Raises:
        ValueError: An argument is outside its range; or, when `fit` starts, the inputs aren't one
            batch of images.

    Example:

    >>> model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()])
    >>> model.add(keras.layers.Dense(2, activation="softmax"))
    >>> model.compile("adam", loss="sparse_categorical_crossentropy")
    >>> images, labels = ops.ones((8, 4, 4, 3)), np.arange(8) % 2
    >>> _ = model.fit(images, labels, verbose=0, callbacks=[BatchMixing(mixup=0.4)])

    Reference:
        Zhang et al., *mixup* (2018), arXiv 1710.09412; Yun et al., *CutMix* (2019), arXiv
        1905.04899. The defaults are fastai's.
    """

    def __init__(self, *, mixup: float = 0.4, cutmix: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        check_between("mixup", mixup, 0.0, 10.0)
        check_between("cutmix", cutmix, 0.0, 10.0)
        check_count("seed", seed, minimum=0)
        if not mixup and not cutmix:
            raise ValueError("`mixup` and `cutmix` are both 0: there is nothing to mix.")
        self._generator = _StepSeed(seed)
        # In float32: Keras's layers fail in half precision.
        options = {"data_format": "channels_last", "dtype": "float32"}
        self._layers = []
        if mixup:
            self._layers.append(keras.layers.MixUp(alpha=mixup, **options))
        if cutmix:
            # A single number would be the upper end of a range.
            factor = (cutmix, cutmix)
            self._layers.append(keras.layers.CutMix(factor=factor, **options))
        self._now = threading.local()  # `tf.distribute` traces its replicas in threads.
        self._overlay: Overlay | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Put the mixing into the training step."""
        model: keras.Model = self.model
        vars(model)["compute_loss"] = self._mixed_loss(model.compute_loss)
        self._overlay = Overlay(
            undo=lambda: vars(model).pop("compute_loss", None), step=self._mixed_step
        )
        put_on(model, self._overlay)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Hand the model back as it was."""
        if self._overlay is not None:
            take_off(self.model, self._overlay)

    def _mixed_step(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def mixed(*arguments: Any) -> Tensor:
            *state, data = arguments
            images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
            if len(getattr(images, "shape", ())) != 4:
                raise ValueError(
                    "BatchMixing needs one batch of images, (batch, height, width, channels). "
                    f"Received: inputs of shape {getattr(images, 'shape', type(images).__name__)}"
                )
            mixed = self._mix(images, self._step(state))
            images, self._now.partners, self._now.share, self._now.box = mixed
            try:
                return step(*state, (images, labels, weights))
            finally:
                self._now.partners = None

        return mixed

    def _step(self, state: list[Any]) -> Tensor:
        """Return the optimizer's step counter, on JAX the one that comes with the state."""
        counter = step_counter(self.model.optimizer)
        if not state:
            return counter.value
        _, _, optimizer_values, _ = state[0]
        indexes = [variable is counter for variable in self.model.optimizer.variables]
        return optimizer_values[indexes.index(True)]

    def _mix(self, images: Tensor, step: Any) -> tuple[Any, ...]:
        """Return mixed images, each one's partner, the part that is its own, and the pixels cut."""
        self._generator.start(step)
        mixed = [self._mix_by(layer, images) for layer in self._layers]
        if len(mixed) == 1:
            return mixed[0]
        first = keras.random.uniform((), seed=self._generator) < 0.5
        return tuple(ops.where(first, one, other) for one, other in zip(*mixed, strict=True))

    def _mix_by(self, layer: Any, images: Tensor) -> tuple[Any, ...]:
        drawn = layer.get_random_transformation(images, training=True, seed=self._generator)
        if isinstance(layer, keras.layers.MixUp):
            # Its own part is the larger one: otherwise the metrics would mean nothing.
            drawn["mix_weight"] = ops.maximum(drawn["mix_weight"], 1.0 - drawn["mix_weight"])
        mixed = layer.transform_images(images, drawn, training=True)
        if not keras.backend.is_int_dtype(images.dtype):
            mixed = ops.cast(mixed, images.dtype)
        box = ops.zeros(ops.shape(images)[:3], "bool")
        share = ops.cast(ops.reshape(drawn["mix_weight"], (-1,)), "float32")
        if isinstance(layer, keras.layers.CutMix):
            # Counted in whole pixels, and zero where the box is too narrow to hold one.
            box = ops.cast(drawn["batch_masks"][..., 0], "bool")
            share = 1.0 - ops.mean(ops.cast(box, "float32"), axis=(1, 2))
        partners = ops.cast(drawn["permutation_order"], "int32")
        return mixed, partners, share, box

    def _mixed_loss(self, compute_loss: Callable[..., Any]) -> Callable[..., Any]:
        def _mixed(
            x: Any = None,
            y: Any = None,
            y_pred: Tensor | None = None,
            sample_weight: Any = None,
            training: bool = True,
        ) -> Tensor:
            partners = getattr(self._now, "partners", None)
            if partners is None or not training:
                return compute_loss(x, y, y_pred, sample_weight, training)

            def taken(values: Tensor) -> Tensor:
                return keras.tree.map_structure(lambda v: ops.take(v, partners, axis=0), values)

            def loss(labels: Tensor, weights: Tensor, part: Tensor) -> Tensor:
                part = _along(part, y_pred)
                weights = part if weights is None else part * ops.cast(weights, "float32")
                return compute_loss(x, labels, y_pred, weights, training)

            box, share, labels = self._now.box, self._now.share, y
            if _are_masks(y, box):
                # Cut with the images, labels need no weights; MixUp, which cuts nothing, does.
                labels = ops.where(_along(box, y, behind=True), taken(y), y)
                share = ops.where(ops.any(box, axis=(1, 2)), 1.0, share)
            own = loss(labels, sample_weight, share)
            theirs = None if sample_weight is None else taken(sample_weight)
            others = loss(taken(y), theirs, 1.0 - share)
            # The model's own losses, such as weight regularization, are in both.
            extra = sum(ops.sum(each) for each in self.model.losses)
            return own + others - extra

        return _mixed


def _are_masks(labels: Any, box: Tensor) -> bool:
    shape = tuple(getattr(labels, "shape", ()))
    return len(shape) >= 3 and shape[1:3] == tuple(box.shape)[1:3]


def _along(values: Tensor, others: Any, *, behind: bool = False) -> Tensor:
    """Give one value an example as many axes as the losses of `others` have, or as they have."""
    axes = len(getattr(others, "shape", ())) - (0 if behind else 1) - len(values.shape)
    for _ in range(axes):
        values = values[..., None]
    return values


class _StepSeed(keras.random.SeedGenerator):
    """Seeds that depend on a step counter and on nothing else: no state to save or to restore."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, name="mixing_seed")
        self._base = seed

    def start(self, step: Any) -> None:
        """Begin the random numbers of a step."""
        self._step = ops.cast(step, "uint32")
        self._calls = 0

    def next(self, ordered: bool = True) -> Tensor:
        """Return the seed of the next random number of this step."""
        self._calls += 1
        number = np.uint32((1000 * self._base + self._calls) % 2**32)
        return ops.stack([self._step, ops.full_like(self._step, number)])
