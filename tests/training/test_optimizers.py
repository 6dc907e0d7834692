"""Scaled learning rates, against the same training in numpy."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from linear_training import (
    CYCLE,
    MOMENTUMS,
    OPTIMIZERS,
    OWN_RATE,
    PEAK,
    STEPS,
    assert_kernels,
    fit,
    kernels,
    linear_model,
    optimizer_state,
    optimizer_state_elsewhere,
    sgd,
    train,
)

from keras_practical import OneCycle
from keras_practical.training.layer_rates import layerwise, scale_learning_rates

# Also run on JAX.
pytestmark = pytest.mark.any_backend

# Three kernels: the third is in no group.
MULTIPLIERS = np.array([0.1, 0.5, 1.0])


def scaled_model(optimizer, **compile_options):
    model = linear_model(optimizer, kernel_count=3, **compile_options)
    groups = [[variable] for variable in model.trainable_variables[:2]]
    assert scale_learning_rates(optimizer, groups, [0.1, 0.5]) is optimizer
    return model


def scaled(rates):
    return [rate * MULTIPLIERS for rate in rates]


@pytest.mark.parametrize("make", [keras.optimizers.SGD, keras.optimizers.Adam])
def test_scale_learning_rates_scales_the_first_step(make):
    # SGD's step is rate x gradient; Adam's first is the rate, whatever the gradient.
    model = linear_model(make(1.0), kernel_count=2)
    variables = model.trainable_variables
    scale_learning_rates(model.optimizer, [variables[:1]], [0.1])
    gradients = [keras.ops.ones((2, 1)), keras.ops.ones((2, 1))]
    model.optimizer.apply(gradients, variables)
    assert_kernels(model, np.full((2, 2), [0.5 - 0.1, 0.5 - 1.0]))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("nesterov", {}),
        ("adam", {"jit_compile": True}),
        ("adamw", {"steps_per_execution": 4}),
        ("schedule", {}),
        ("loss_scale", {}),
    ],
)
def test_scale_learning_rates_scales_every_step_and_weight_decay(name, options):
    optimizer, step = OPTIMIZERS[name]
    model = scaled_model(optimizer(), **options)
    fit(model, epochs=2)
    decay = 0.5 if name == "schedule" else 1.0
    rates = OWN_RATE * decay ** np.arange(2 * STEPS)
    assert_kernels(model, train(step(), scaled(rates), kernel_count=3))


@pytest.mark.parametrize("name", ["adamw", "loss_scale"])
def test_scale_learning_rates_works_with_one_cycle(name):
    optimizer, step = OPTIMIZERS[name]
    model = scaled_model(optimizer(), steps_per_execution=4)
    fit(model, OneCycle(PEAK))
    fit(model, epochs=1)
    rates = [*CYCLE, *[OWN_RATE] * STEPS]
    assert_kernels(model, train(step(), scaled(rates), MOMENTUMS, kernel_count=3))


def test_scale_learning_rates_works_with_learning_rate_callbacks():
    model = scaled_model(keras.optimizers.SGD(OWN_RATE))
    fit(model, keras.callbacks.LearningRateScheduler(lambda _, rate: rate / 2), epochs=2)
    rates = OWN_RATE * np.repeat([0.5, 0.25], STEPS)
    assert_kernels(model, train(sgd(), scaled(rates), kernel_count=3))
    assert float(model.optimizer.learning_rate) == pytest.approx(OWN_RATE / 4, rel=1e-6)


def test_scale_learning_rates_under_gradient_accumulation():
    optimizer = keras.optimizers.SGD(OWN_RATE, gradient_accumulation_steps=2)
    model = scaled_model(optimizer)
    fit(model, epochs=2)
    rates = scaled([OWN_RATE] * 2 * STEPS)
    assert_kernels(model, train(sgd(), rates, kernel_count=3, accumulation_steps=2))


def test_scale_learning_rates_respects_exclusion_from_weight_decay():
    optimizer = keras.optimizers.SGD(1.0, weight_decay=0.5)
    model = scaled_model(optimizer)
    optimizer.exclude_from_weight_decay(model.trainable_variables[2:])
    optimizer.apply([keras.ops.zeros((2, 1))] * 3, model.trainable_variables)
    assert_kernels(model, np.full((2, 3), [0.5 * 0.95, 0.5 * 0.75, 0.5]))


def test_scale_learning_rates_called_again_replaces_the_multipliers():
    optimizer = keras.optimizers.SGD(1.0, weight_decay=0.5)
    model = scaled_model(optimizer)
    scale_learning_rates(optimizer, [model.trainable_variables[:1]], [0.2])
    optimizer.apply([keras.ops.ones((2, 1))] * 3, model.trainable_variables)
    assert_kernels(model, np.full((2, 3), [0.5 * 0.9 - 0.2, 0.5 * 0.5 - 1, 0.5 * 0.5 - 1]))


@pytest.mark.parametrize("name", ["adamw", "loss_scale"])
def test_scale_learning_rates_changes_nothing_that_is_saved(name):
    model = scaled_model(OPTIMIZERS[name][0]())
    fit(model, epochs=1)
    plain = linear_model(OPTIMIZERS[name][0](), kernel_count=3)
    fit(plain, epochs=1)

    def without_names(config):
        return {
            key: without_names(value) if isinstance(value, dict) else value
            for key, value in config.items()
            if key != "name"
        }

    mine, others = optimizer_state(model.optimizer), optimizer_state(plain.optimizer)
    assert without_names(mine["config"]) == without_names(others["config"])
    assert np.shape(mine["variables"][-1]) == np.shape(others["variables"][-1])
    assert len(mine["variables"]) == len(others["variables"])


def test_scale_learning_rates_and_one_cycle_checkpoint_a_plain_optimizer(tmp_path):
    model, states = scaled_model(OPTIMIZERS["adamw"][0]()), []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: states.append(optimizer_state(model.optimizer))
    )
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    fit(model, OneCycle(PEAK), checkpoint, watch)
    assert optimizer_state_elsewhere(tmp_path / "2.keras") == states[1] != states[0]


@pytest.mark.parametrize(
    ("multipliers", "text"),
    [
        ([1.0], "must be of one length. Received: 2 groups, 1 multipliers"),
        ([1.0, 0.0], "`multipliers` must be a number > 0. Received: multipliers=0.0"),
        ([-1, 1.0], "`multipliers` must be a number > 0. Received: multipliers=-1.0"),
    ],
)
def test_scale_learning_rates_refuses_bad_arguments(multipliers, text):
    with pytest.raises(ValueError, match=text):
        scale_learning_rates(keras.optimizers.SGD(0.1), [[], []], multipliers)


def named_model(**options):
    inputs = keras.Input((2,))
    body = keras.layers.Dense(2, name="early")(inputs)
    body = keras.layers.Dense(2, name="middle")(keras.layers.BatchNormalization(name="norm")(body))
    return keras.Model(inputs, keras.layers.Dense(1, name="head")(body))


def by_number(layer):
    return {"early": 0, "norm": 0, "middle": 1, "head": 2}[layer.name]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (["early|norm", "middle"], {"early": 0.01, "norm": 0.01, "middle": 0.1, "head": 1.0}),
        (["early"], {"early": 0.01, "norm": 1.0, "middle": 1.0, "head": 1.0}),
        (by_number, {"early": 0.01, "norm": 0.01, "middle": 0.1, "head": 1.0}),
        # The last layer with weights is the head, thirds before it.
        (None, {"early": 0.01, "norm": 0.01 ** (2 / 3), "middle": 0.01 ** (1 / 3), "head": 1.0}),
    ],
    ids=["patterns", "one_pattern", "function", "model"],
)
@pytest.mark.parametrize("make", [keras.optimizers.SGD, keras.optimizers.Adam])
def test_layerwise_spaces_the_steps_geometrically(make, groups, expected):
    model = named_model()
    optimizer = layerwise(make(1.0), model, layer_groups=groups)
    before = [v.numpy().copy() for v in model.trainable_variables]
    ones = [keras.ops.ones(v.shape) for v in model.trainable_variables]
    optimizer.apply(ones, model.trainable_variables)
    for start, variable in zip(before, model.trainable_variables, strict=True):
        step = expected[variable.path.split("/")[-2]]
        np.testing.assert_allclose(start - variable.numpy(), step, rtol=1e-4, err_msg=variable.path)
    assert float(optimizer.learning_rate) == 1.0


def test_layerwise_may_leave_biases_and_normalization_out_of_weight_decay():
    model = named_model()
    optimizer = keras.optimizers.SGD(1.0, weight_decay=0.5)
    layerwise(optimizer, model, layer_groups=["early|norm", "middle"], decay_all=False)
    for variable in model.trainable_variables:
        variable.assign(keras.ops.ones(variable.shape))
    zeros = [keras.ops.zeros(v.shape) for v in model.trainable_variables]
    optimizer.apply(zeros, model.trainable_variables)
    left = {v.path: float(v.numpy().mean()) for v in model.trainable_variables}
    kernels = {"early": 0.995, "middle": 0.95, "head": 0.5}
    for path, value in left.items():
        layer, name = path.split("/")[-2:]
        assert value == pytest.approx(kernels[layer] if name == "kernel" else 1.0), path


def test_layerwise_goes_on_after_saving_and_loading(tmp_path):
    def spaced(model):
        return layerwise(model.optimizer, model, layer_groups=["^dense/", "^dense_1/"])

    def fresh():
        keras.backend.clear_session()
        model = linear_model(OPTIMIZERS["adamw"][0](), kernel_count=3)
        spaced(model)
        return model

    stopped, whole = fresh(), fresh()
    fit(stopped, epochs=1)
    stopped.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    spaced(loaded)
    fit(loaded, epochs=1)
    fit(whole, epochs=2)
    assert_kernels(loaded, kernels(whole))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"earliest": 0.0}, "`earliest` must be a number > 0"),
        (
            {"layer_groups": ["early", "nothing"]},
            "must match a variable's path .* Received: 'nothing'",
        ),
        ({"layer_groups": lambda layer: -1}, "`layer_groups` must be a whole number >= 0"),
    ],
)
def test_layerwise_refuses_bad_arguments(arguments, text):
    with pytest.raises(ValueError, match=text):
        layerwise(keras.optimizers.SGD(0.1), named_model(), **arguments)


MIRRORED = """
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras
from linear_training import *
from keras_practical import OneCycle
from test_optimizers import scaled, scaled_model

data = tf.data.Dataset.from_tensor_slices((INPUTS, TARGETS)).batch(BATCH_SIZE)
for name in ("adamw", "nesterov", "nadam"):
    optimizer, step = OPTIMIZERS[name]
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model = scaled_model(optimizer())
    history = fit(model, OneCycle(PEAK), x=data, y=None, batch_size=None)
    assert_kernels(model, train(step(), scaled(CYCLE), MOMENTUMS, kernel_count=3))
    np.testing.assert_allclose(history["learning_rate"], CYCLE[STEPS - 1 :: STEPS], rtol=1e-6)
    np.testing.assert_allclose(history["momentum"], MOMENTUMS[STEPS - 1 :: STEPS], rtol=1e-6)
"""


@pytest.mark.slow
@pytest.mark.tf_only
def test_scale_learning_rates_and_one_cycle_on_two_devices():
    command = [sys.executable, "-c", MIRRORED]
    root = Path(__file__).parents[2]
    folders = [root, root / "tests" / "support", Path(__file__).parent]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
