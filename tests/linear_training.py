"""A linear model in Keras and its training in plain numpy: the oracle of the optimizer tests."""

import json
import subprocess
import sys

import keras
import numpy as np

from keras_practical.curves import one_cycle

BATCH_SIZE = 2
STEPS = 7  # Batches in an epoch: no multiple of the `steps_per_execution` that tests use.
OWN_RATE = 0.03
PEAK = 0.2
CYCLE = one_cycle(3 * STEPS, max_learning_rate=PEAK)
_RNG = np.random.default_rng(7)
INPUTS = _RNG.normal(size=(STEPS * BATCH_SIZE, 2)).astype("float32")
TARGETS = _RNG.normal(size=(STEPS * BATCH_SIZE, 1)).astype("float32")


def linear_model(optimizer, kernel_count=1, **compile_options):
    """Return the compiled sum of `kernel_count` layers, whose kernels start at 0.5."""
    inputs = keras.Input((2,))
    ones = keras.initializers.Constant(0.5)
    layers = [
        keras.layers.Dense(1, use_bias=False, kernel_initializer=ones) for _ in range(kernel_count)
    ]
    outputs = [layer(inputs) for layer in layers]
    model = keras.Model(inputs, keras.layers.add(outputs) if kernel_count > 1 else outputs[0])
    model.compile(optimizer, loss="mse", **compile_options)
    return model


def sgd_model(**compile_options):
    """Return the linear model of one kernel, compiled with plain SGD."""
    return linear_model(keras.optimizers.SGD(OWN_RATE), **compile_options)


def assert_kernels(model, expected):
    """Fail unless the trained kernels are the `expected` columns."""
    np.testing.assert_allclose(kernels(model), expected, atol=1e-5)


class Interrupt(keras.callbacks.Callback):
    """Presses Ctrl-C in the second epoch, after 10 batches."""

    batch = 0

    def on_train_batch_end(self, batch, logs=None):
        self.batch += 1
        if self.batch == STEPS + 3:
            raise KeyboardInterrupt


def fit(model, *callbacks, epochs=3, **options):
    """Fit on the batches in their order and return the history's dictionary."""
    data = {"x": INPUTS, "y": TARGETS, "batch_size": BATCH_SIZE} | options
    callbacks = list(callbacks)
    return model.fit(**data, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks).history


def kernels(model):
    """Return the kernels as the columns of one array."""
    return np.concatenate(model.get_weights(), axis=1)


def train(step, rates, *, start=None, kernel_count=1, accumulation_steps=1):
    """Return the kernels after one batch a rate, trained by `step(kernels, gradient, rate)`."""
    weights = np.full((2, kernel_count), 0.5) if start is None else start
    gradients = []
    for index, rate in enumerate(rates):
        rows = slice(index % STEPS * BATCH_SIZE, (index % STEPS + 1) * BATCH_SIZE)
        error = INPUTS[rows] @ weights.sum(axis=1, keepdims=True) - TARGETS[rows]
        gradients.append(2 * INPUTS[rows].T @ error / BATCH_SIZE)
        if len(gradients) == accumulation_steps:
            weights = step(weights, np.mean(gradients, axis=0), rate)
            gradients = []
    return weights


def sgd(momentum=0.0, nesterov=False):
    """Return the step of `keras.optimizers.SGD`, with a memory of its own."""
    velocity = 0.0

    def step(weights, gradient, rate):
        nonlocal velocity
        velocity = momentum * velocity - rate * gradient
        return weights + (momentum * velocity - rate * gradient if nesterov else velocity)

    return step


def adam(weight_decay=0.0):
    """Return the step of `keras.optimizers.Adam` or `AdamW`, with a memory of its own."""
    mean, square, count = 0.0, 0.0, 0

    def step(weights, gradient, rate):
        nonlocal mean, square, count
        count += 1
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        size = rate * np.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        return weights * (1 - rate * weight_decay) - size * mean / (np.sqrt(square) + 1e-7)

    return step


def _decaying_rate():
    return keras.optimizers.schedules.ExponentialDecay(OWN_RATE, 1, 0.5)


# Makers of a Keras optimizer and of its numpy twin.
OPTIMIZERS = {
    "sgd": (lambda: keras.optimizers.SGD(OWN_RATE), sgd),
    "nesterov": (
        lambda: keras.optimizers.SGD(OWN_RATE, momentum=0.9, nesterov=True),
        lambda: sgd(0.9, nesterov=True),
    ),
    "adam": (lambda: keras.optimizers.Adam(OWN_RATE), adam),
    "adamw": (lambda: keras.optimizers.AdamW(OWN_RATE, weight_decay=0.4), lambda: adam(0.4)),
    "schedule": (lambda: keras.optimizers.SGD(_decaying_rate()), sgd),
    "loss_scale": (
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(OWN_RATE)),
        sgd,
    ),
}


def optimizer_state(optimizer):
    """Return all that a saved file should hold of an optimizer, as JSON has it."""
    variables = [value.numpy().tolist() for value in optimizer.variables]
    return {"config": keras.optimizers.serialize(optimizer), "variables": variables}


def optimizer_state_elsewhere(path):
    """Return the optimizer's state after loading `path` in a Python without `keras_practical`."""
    script = """
import json, sys, keras
optimizer = keras.models.load_model(sys.argv[1]).optimizer
assert "keras_practical" not in sys.modules
variables = [value.numpy().tolist() for value in optimizer.variables]
state = {"config": keras.optimizers.serialize(optimizer), "variables": variables}
print(json.dumps(state))
"""
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=path.parent)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
