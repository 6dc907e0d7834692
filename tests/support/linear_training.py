"""A linear model in Keras and its training in plain numpy: the oracle of the optimizer tests."""

import itertools
import json
import subprocess
import sys

import keras
import numpy as np

from keras_practical.training.curves import evaluate_segments, one_cycle

BATCH_SIZE = 2
STEPS = 7  # Batches in an epoch: no multiple of the `steps_per_execution` that tests use.
OWN_RATE = 0.03
PEAK = 0.2
_RNG = np.random.default_rng(7)
INPUTS = _RNG.normal(size=(STEPS * BATCH_SIZE, 2)).astype("float32")
TARGETS = _RNG.normal(size=(STEPS * BATCH_SIZE, 1)).astype("float32")


def cycle(total_steps, peak=PEAK, **form):
    """Return the learning rates of a one-cycle run."""
    return evaluate_segments(one_cycle(peak, **form), total_steps)


CYCLE = cycle(3 * STEPS)
MOMENTUM_FORM = {"peak": 0.85, "start_divisor": 0.85 / 0.95, "final_divisor": 0.85 / 0.95}
MOMENTUMS = cycle(3 * STEPS, **MOMENTUM_FORM)


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


def velocities(model):
    """Return the optimizer's memory of the gradients as the columns of one array."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    memory = [v.numpy() for v in optimizer.variables if v.path.endswith("momentum")]
    return np.concatenate(memory, axis=1)


def train(step, rates, momentums=(), *, start=None, kernel_count=1, accumulation_steps=1):
    """Return the kernels after one batch a rate, trained by `step`.

    `step(kernels, gradient, rate, momentum)` gets the momentum `None`, its own, where `momentums`
    has ended.
    """
    weights = np.full((2, kernel_count), 0.5) if start is None else start
    gradients = []
    for index, (rate, momentum) in enumerate(itertools.zip_longest(rates, momentums)):
        rows = slice(index % STEPS * BATCH_SIZE, (index % STEPS + 1) * BATCH_SIZE)
        error = INPUTS[rows] @ weights.sum(axis=1, keepdims=True) - TARGETS[rows]
        gradients.append(2 * INPUTS[rows].T @ error / BATCH_SIZE)
        if len(gradients) == accumulation_steps:
            weights = step(weights, np.mean(gradients, axis=0), rate, momentum)
            gradients = []
    return weights


def sgd(momentum=0.0, nesterov=False):
    """Return the step of `keras.optimizers.SGD`, with a memory of its own."""
    velocity = 0.0

    def step(weights, gradient, rate, moved=None):
        nonlocal velocity
        now = moved if moved is not None and momentum else momentum
        velocity = now * velocity - rate * gradient
        if momentum:
            step.velocity = velocity
        return weights + (now * velocity - rate * gradient if nesterov else velocity)

    return step


def adam(weight_decay=0.0):
    """Return the step of `keras.optimizers.Adam` or `AdamW`, with a memory of its own."""
    mean, square, count = 0.0, 0.0, 0

    def step(weights, gradient, rate, moved=None):
        nonlocal mean, square, count
        beta = 0.9 if moved is None else moved
        count += 1
        mean = beta * mean + (1 - beta) * gradient
        square = 0.999 * square + 0.001 * gradient**2
        step.velocity = mean
        size = rate * np.sqrt(1 - 0.999**count) / (1 - beta**count)
        return weights * (1 - rate * weight_decay) - size * mean / (np.sqrt(square) + 1e-7)

    return step


def nadam():
    """Return the step of `keras.optimizers.Nadam`, with a memory of its own."""
    mean, square, product, count = 0.0, 0.0, 1.0, 0

    def step(weights, gradient, rate, moved=None):
        nonlocal mean, square, product, count
        beta = 0.9 if moved is None else moved
        count += 1
        now, later = (beta * (1 - 0.5 * 0.96**n) for n in (count, count + 1))
        product *= now
        mean = beta * mean + (1 - beta) * gradient
        square = 0.999 * square + 0.001 * gradient**2
        step.velocity = mean
        ahead = later * mean / (1 - product * later) + (1 - now) * gradient / (1 - product)
        return weights - rate * ahead / (np.sqrt(square / (1 - 0.999**count)) + 1e-7)

    return step


def rmsprop(momentum=0.0):
    """Return the step of `keras.optimizers.RMSprop`, with a memory of its own."""
    square, velocity = 0.0, 0.0

    def step(weights, gradient, rate, moved=None):
        nonlocal square, velocity
        square = 0.9 * square + 0.1 * gradient**2
        change = rate * gradient / np.sqrt(square + 1e-7)
        if momentum:
            velocity = (momentum if moved is None else moved) * velocity + change
            step.velocity = velocity
        return weights - (velocity if momentum else change)

    return step


def lion():
    """Return the step of `keras.optimizers.Lion`, with a memory of its own."""
    mean = 0.0

    def step(weights, gradient, rate, moved=None):
        nonlocal mean
        beta = 0.9 if moved is None else moved
        change = np.sign(beta * mean + (1 - beta) * gradient)
        mean = 0.99 * mean + 0.01 * gradient
        step.velocity = mean
        return weights - rate * change

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
    "momentum": (lambda: keras.optimizers.SGD(OWN_RATE, momentum=0.9), lambda: sgd(0.9)),
    "adam": (lambda: keras.optimizers.Adam(OWN_RATE), adam),
    "adamw": (lambda: keras.optimizers.AdamW(OWN_RATE, weight_decay=0.4), lambda: adam(0.4)),
    "nadam": (lambda: keras.optimizers.Nadam(OWN_RATE), nadam),
    "lion": (lambda: keras.optimizers.Lion(OWN_RATE), lion),
    "rmsprop": (lambda: keras.optimizers.RMSprop(OWN_RATE), rmsprop),
    "rmsprop_momentum": (
        lambda: keras.optimizers.RMSprop(OWN_RATE, momentum=0.9),
        lambda: rmsprop(0.9),
    ),
    "schedule": (lambda: keras.optimizers.SGD(_decaying_rate()), sgd),
    "loss_scale": (
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(OWN_RATE, 0.9)),
        lambda: sgd(0.9),
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
