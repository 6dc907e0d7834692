"""Losses that Keras lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_practical.utils.checks import check_between

if TYPE_CHECKING:
    from keras_practical.utils.types import Tensor

__all__ = ["SmoothedSparseCategoricalCrossentropy"]


@keras.saving.register_keras_serializable(package="keras_practical")
class SmoothedSparseCategoricalCrossentropy(keras.losses.Loss):
    """Cross-entropy with label smoothing, for integer labels.

    Use it where some labels may be wrong or the model should be less sure of itself. Plain Keras
    smooths only one-hot labels: `keras.losses.CategoricalCrossentropy(label_smoothing=...)` gives
    the same numbers. A model saved with this loss needs `import keras_practical` before
    `keras.models.load_model`, or `load_model(..., compile=False)`.

    Args:
        label_smoothing: Part of the target spread evenly over all classes, in [0, 1].
        from_logits: Whether the model's outputs are logits rather than probabilities.
        reduction: As in `keras.losses.Loss`.
        name: The loss's name in logs.

    Raises:
        ValueError: `label_smoothing` is outside [0, 1].

    Example:

    >>> loss = SmoothedSparseCategoricalCrossentropy(label_smoothing=0.2)
    >>> round(float(loss([0], [[0.9, 0.1]])), 4)  # -(0.9 log 0.9 + 0.1 log 0.1)
    0.3251

    Reference:
        Szegedy et al., *Rethinking the Inception Architecture* (2016), arXiv 1512.00567, section 7.
    """

    def __init__(
        self,
        label_smoothing: float = 0.1,
        *,
        from_logits: bool = False,
        reduction: str = "sum_over_batch_size",
        name: str = "smoothed_sparse_categorical_crossentropy",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, **kwargs)
        check_between("label_smoothing", label_smoothing, 0.0, 1.0)
        self.label_smoothing = label_smoothing
        self.from_logits = from_logits

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return each example's loss, of shape `(batch,)`."""
        y_pred = ops.convert_to_tensor(y_pred)
        class_count = y_pred.shape[-1]
        labels = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        one_hot = ops.one_hot(labels, class_count, dtype=y_pred.dtype)
        target = one_hot * (1.0 - self.label_smoothing) + self.label_smoothing / class_count
        return ops.categorical_crossentropy(target, y_pred, from_logits=self.from_logits)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, so that Keras can save and load the loss."""
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "from_logits": self.from_logits,
        }
