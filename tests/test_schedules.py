"""The schedule, against the curve in numpy."""

import keras
import numpy as np
import pytest
from linear_training import CYCLE, PEAK, STEPS, assert_kernels, fit, linear_model, sgd, train

from keras_practical.curves import one_cycle
from keras_practical.schedules import OneCycleSchedule

# Keras 3.15 with numpy 2.4, whenever a variable is read.
FORM = {"start_divisor": 5.0, "final_divisor": 3.0, "warmup_fraction": 0.4}


def rates(schedule, steps):
    return [float(schedule(step)) for step in steps]


@pytest.mark.parametrize("total_steps", [1, 2, 10, 300])
@pytest.mark.parametrize(
    "form",
    [
        {},
        FORM,
        {"warmup_fraction": 0.0},
        {"warmup_fraction": 1.0},
        {"warmup_fraction": 0.3, "start_divisor": 0.5, "final_divisor": 1e9},
    ],
    ids=["default", "form", "fall", "rise", "steep"],
)
def test_one_cycle_schedule_is_the_curve(total_steps, form):
    schedule = OneCycleSchedule(total_steps, max_learning_rate=0.3, **form)
    expected = one_cycle(total_steps, max_learning_rate=0.3, **form)
    np.testing.assert_allclose(rates(schedule, range(total_steps)), expected, rtol=1e-6)


def test_one_cycle_schedule_takes_an_array_of_steps():
    schedule = OneCycleSchedule(100_000, max_learning_rate=0.3)
    expected = one_cycle(100_000, max_learning_rate=0.3)
    np.testing.assert_allclose(np.asarray(schedule(np.arange(100_000))), expected, rtol=1e-6)


@pytest.mark.parametrize("warmup_fraction", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("step", [8, 9, 10_000])
def test_one_cycle_schedule_keeps_the_final_rate(warmup_fraction, step):
    schedule = OneCycleSchedule(
        8, max_learning_rate=1.0, final_divisor=10.0, warmup_fraction=warmup_fraction
    )
    assert float(schedule(step)) == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
def test_one_cycle_schedule_gives_a_float32_scalar_for_any_step(dtype):
    if dtype == "int64" and keras.backend.backend() == "jax":
        dtype = "uint32"  # JAX has no int64.
    rate = OneCycleSchedule(8, max_learning_rate=1.0)(keras.ops.cast(1, dtype))
    assert (keras.backend.standardize_dtype(rate.dtype), tuple(rate.shape)) == ("float32", ())
    assert float(rate) == pytest.approx(0.52, rel=1e-6)


def test_one_cycle_schedule_drives_an_optimizer():
    schedule = OneCycleSchedule(3 * STEPS, max_learning_rate=PEAK)
    model = linear_model(keras.optimizers.SGD(schedule), steps_per_execution=4)
    fit(model)
    assert_kernels(model, train(sgd(), CYCLE))


def test_one_cycle_schedule_survives_serialization():
    schedule = OneCycleSchedule(10, max_learning_rate=0.3, **FORM)
    config = keras.optimizers.schedules.serialize(schedule)
    again = keras.optimizers.schedules.deserialize(config)
    assert isinstance(again, OneCycleSchedule)
    assert again.get_config() == {"total_steps": 10, "max_learning_rate": 0.3, **FORM}
    assert rates(again, range(11)) == rates(schedule, range(11))


def test_one_cycle_schedule_survives_in_a_saved_model(tmp_path):
    schedule = OneCycleSchedule(3 * STEPS, max_learning_rate=PEAK)
    model = linear_model(keras.optimizers.SGD(schedule))
    fit(model, epochs=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    fit(loaded, epochs=2)
    assert_kernels(loaded, train(sgd(), CYCLE))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"total_steps": 0}, "`total_steps` must be a whole number >= 1"),
        ({"max_learning_rate": -1}, "`max_learning_rate` must be a number > 0"),
        ({"start_divisor": 0.0}, "`start_divisor` must be a number > 0"),
        ({"final_divisor": None}, "`final_divisor` must be a number > 0"),
        ({"warmup_fraction": -0.1}, "`warmup_fraction` must be a number from 0 to 1"),
    ],
)
def test_one_cycle_schedule_refuses_bad_arguments(arguments, text):
    with pytest.raises(ValueError, match=text):
        OneCycleSchedule(**{"total_steps": 4, "max_learning_rate": 1.0} | arguments)
