"""Normalization in inference mode as part of the convolution before it: same numbers, less work.

`conv(x, kernel) * scale + shift` equals `conv(x, kernel * scale) + shift`. Keras computes the first
form, which reads and writes the whole map several times; the kernel is small. Gradients are the
same too, and so is what trains: the kernel itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
from keras import ops

from keras_practical.utils.keras_internals.graph import replaced, steps_of
from keras_practical.utils.keras_internals.layers import every_layer
from keras_practical.utils.keras_internals.step import Overlay, put_on, take_off

# A convolution, and the normalization that follows it and nothing else does.
Pair = tuple[Any, Any]


class FoldedTraining(keras.callbacks.Callback):
    """Folds frozen normalization in the compiled steps of one `fit`, and in its validation.

    Only inside the steps: whatever else calls the model's layers meanwhile, another callback for
    instance, sees them as they are.
    """

    def __init__(self) -> None:
        super().__init__()
        self._overlay: Overlay | None = None
        self._fitted: keras.Model | None = None
        self._changed = ExitStack()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Put the folding into the steps before the first epoch."""
        if self._fitted is not None:
            return
        self._fitted = model = self.model
        strategy = getattr(model, "distribute_strategy", None)
        if getattr(strategy, "num_replicas_in_sync", 1) > 1:
            return  # Its replicas trace their steps in threads, on the same layers.
        pairs = [pair for pair in foldable(model) if not pair[1].trainable]
        if not pairs:
            return
        self._overlay = Overlay(undo=lambda: None, step=lambda step: _folding(step, pairs))
        put_on(model, self._overlay)
        test_step = _folding(model.test_step, pairs)
        self._changed.enter_context(replaced(model, "test_step", test_step))
        model.test_function = None

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Take it back; to be called after Ctrl-C too, which Keras leaves out."""
        model, self._fitted = self._fitted, None
        if model is None or self._overlay is None:
            return
        take_off(model, self._overlay)
        self._overlay = None
        self._changed.close()
        model.test_function = None


@contextmanager
def folded(pairs: list[Pair]) -> Iterator[None]:
    """Let convolutions do the work of the normalization behind them, which passes on its input.

    Whoever uses it sees to it that the normalization is in inference mode.
    """
    with ExitStack() as changed:
        for convolution, normalization in pairs:
            call = _convolution_with(convolution, normalization)
            changed.enter_context(replaced(convolution, "call", call))
            changed.enter_context(replaced(normalization, "call", _passed_on))
        yield


def foldable(model: keras.Model) -> list[Pair]:
    """Return the pairs of layers in a model's graphs that can be computed as one."""
    models = [layer for layer in every_layer(model) if isinstance(layer, keras.Model)]
    graphs = [(steps_of(each), each) for each in dict.fromkeys([model, *models])]
    uses = Counter(id(step.operation) for steps, _ in graphs for step in steps)
    pairs = []
    for steps, owner in graphs:
        readers = Counter(id(tensor) for step in steps for tensor in step.inputs)
        giver = {id(tensor): step.operation for step in steps for tensor in step.outputs}
        kept = {id(tensor) for tensor in owner.outputs} if steps else set()
        for step in steps:
            if not _is_normalization(step.operation):
                continue
            (tensor,) = step.inputs
            convolution = giver.get(id(tensor))
            alone = readers[id(tensor)] == 1 and id(tensor) not in kept
            once = uses[id(convolution)] == uses[id(step.operation)] == 1
            if alone and once and _is_convolution(convolution):
                pairs.append((convolution, step.operation))
    return pairs


def _is_convolution(layer: Any) -> bool:
    return (
        type(layer) in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
        and layer.built
        and layer.data_format == "channels_last"
        and layer.activation in (None, keras.activations.linear)
        and layer.activity_regularizer is None
        and _computes_plainly(layer)
    )


def _is_normalization(layer: Any) -> bool:
    return (
        type(layer) is keras.layers.BatchNormalization
        and layer.built
        and layer.axis in (-1, 3)
        and layer.activity_regularizer is None
        and _computes_plainly(layer)
    )


def _computes_plainly(layer: Any) -> bool:
    return layer.compute_dtype == "float32" and getattr(layer, "quantization_mode", None) is None


def _convolution_with(convolution: Any, normalization: Any) -> Callable[[Any], Any]:
    depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
    options = {
        "strides": convolution.strides,
        "padding": convolution.padding,
        "dilation_rate": convolution.dilation_rate,
        "data_format": "channels_last",
    }

    def call(inputs: Any) -> Any:
        deviation = ops.sqrt(normalization.moving_variance + normalization.epsilon)
        scale = (normalization.gamma if normalization.scale else 1.0) / deviation
        mean = normalization.moving_mean
        if convolution.use_bias:
            mean = mean - convolution.bias
        shift = (normalization.beta if normalization.center else 0.0) - mean * scale
        kernel = convolution.kernel
        if depthwise:
            kernel = kernel * ops.reshape(scale, (1, 1, *kernel.shape[2:]))
            return ops.depthwise_conv(inputs, kernel, **options) + shift
        return ops.conv(inputs, kernel * scale, **options) + shift

    return call


def _passed_on(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    return inputs


def _folding(step: Callable[..., Any], pairs: list[Pair]) -> Callable[..., Any]:
    def folding_step(*arguments: Any, **options: Any) -> Any:
        with folded(pairs):
            return step(*arguments, **options)

    return folding_step
