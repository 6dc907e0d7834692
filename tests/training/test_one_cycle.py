"""OneCycle through compiled fits, against the same training in numpy."""

import keras
import numpy as np
import pytest
from linear_training import (
    BATCH_SIZE,
    CYCLE,
    INPUTS,
    MOMENTUMS,
    OPTIMIZERS,
    OWN_RATE,
    PEAK,
    STEPS,
    TARGETS,
    Interrupt,
    assert_kernels,
    cycle,
    fit,
    kernels,
    linear_model,
    sgd,
    sgd_model,
    train,
    velocities,
)

from keras_practical import OneCycle

# Also run on JAX.
pytestmark = pytest.mark.any_backend

# Neither `velocity` in numpy nor `momentum` in the history.
WITHOUT_MOMENTUM = ("sgd", "rmsprop", "schedule")


def dataset():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((INPUTS, TARGETS)).batch(BATCH_SIZE)


def always(*_):
    return True


@pytest.mark.parametrize("jit_compile", [False, True], ids=["plain", "jit"])
@pytest.mark.parametrize("steps_per_execution", [1, 4])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_cycle_moves_rate_and_momentum_at_each_step(name, steps_per_execution, jit_compile):
    optimizer, make_step = OPTIMIZERS[name]
    options = {"steps_per_execution": steps_per_execution, "jit_compile": jit_compile}
    model, step = linear_model(optimizer(), **options), make_step()
    history = fit(model, OneCycle(PEAK))
    assert_kernels(model, train(step, CYCLE, MOMENTUMS))
    assert history["learning_rate"] == pytest.approx(CYCLE[STEPS - 1 :: STEPS], rel=1e-6)
    assert ("momentum" in history) == hasattr(step, "velocity") == (name not in WITHOUT_MOMENTUM)
    if name not in WITHOUT_MOMENTUM:
        np.testing.assert_allclose(velocities(model), step.velocity, atol=1e-5)
        assert history["momentum"] == pytest.approx(MOMENTUMS[STEPS - 1 :: STEPS], rel=1e-6)


@pytest.mark.parametrize("name", ["nesterov", "adam"])
def test_one_cycle_is_exact_when_run_eagerly(name):
    optimizer, step = OPTIMIZERS[name]
    model = linear_model(optimizer(), run_eagerly=True, jit_compile=False)
    fit(model, OneCycle(PEAK))
    assert_kernels(model, train(step(), CYCLE, MOMENTUMS))


@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_one_cycle_may_leave_the_momentum_alone(name):
    optimizer, step = OPTIMIZERS[name]
    still, moving = linear_model(optimizer()), linear_model(optimizer())
    assert "momentum" not in fit(still, OneCycle(PEAK, momentum=None))
    fit(moving, OneCycle(PEAK))
    assert_kernels(still, train(step(), CYCLE))
    # Were the momentum frozen when the step is traced, the two would be equal.
    assert np.abs(kernels(still) - kernels(moving)).max() > 1e-3


def test_one_cycle_moves_the_momentum_between_its_two_values():
    model, make_step = linear_model(OPTIMIZERS["momentum"][0]()), OPTIMIZERS["momentum"][1]
    fit(model, OneCycle(PEAK, momentum=(0.9, 0.5), warmup_fraction=0.5), epochs=2)
    moved = cycle(2 * STEPS, 0.5, start_divisor=5 / 9, final_divisor=5 / 9, warmup_fraction=0.5)
    assert moved[[0, STEPS]].tolist() == pytest.approx([0.9, 0.5])
    assert_kernels(model, train(make_step(), cycle(2 * STEPS, warmup_fraction=0.5), moved))


def test_one_cycle_says_that_an_optimizer_has_no_momentum(capsys):
    model = linear_model(OPTIMIZERS["rmsprop"][0]())
    model.fit(INPUTS, TARGETS, verbose=2, callbacks=[OneCycle(PEAK)])
    expected = "OneCycle: this RMSprop has no momentum; only the learning rate moves."
    assert expected in capsys.readouterr().out


def test_one_cycle_shows_its_curves():
    callback = OneCycle(PEAK)
    with pytest.raises(ValueError, match="only once `fit` has started"):
        callback.plot()
    fit(sgd_model(), callback)
    np.testing.assert_allclose(callback.learning_rates, CYCLE)
    np.testing.assert_allclose(callback.momentums, MOMENTUMS)
    ax = callback.plot()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), CYCLE)


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="newer Keras only")
def test_one_cycle_refuses_a_multi_optimizer():
    model = sgd_model()
    model.optimizer = keras.optimizers.MultiOptimizer({".*": keras.optimizers.SGD(OWN_RATE)})
    # What `fit` does first; on JAX, Keras 3.15 itself stumbles over this optimizer later.
    with pytest.raises(ValueError, match="MultiOptimizer has no learning rate of its own"):
        OneCycle(PEAK).set_model(model)


def test_one_cycle_takes_the_form_of_its_arguments():
    model = sgd_model()
    form = {"start_divisor": 5.0, "final_divisor": 10.0, "warmup_fraction": 0.5}
    fit(model, OneCycle(PEAK, **form), epochs=2)
    assert_kernels(model, train(sgd(), cycle(2 * STEPS, **form)))


def test_one_cycle_knows_the_length_of_a_tf_dataset():
    model = sgd_model(steps_per_execution=4)
    fit(model, OneCycle(PEAK), x=dataset(), y=None, batch_size=None)
    assert_kernels(model, train(sgd(), CYCLE, MOMENTUMS))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_one_cycle_under_gradient_accumulation_moves_with_the_updating_batch(momentum):
    # Keras updates with every second batch, and a schedule counts batches.
    optimizer = keras.optimizers.SGD(OWN_RATE, momentum, gradient_accumulation_steps=2)
    model = linear_model(optimizer)
    fit(model, OneCycle(PEAK))
    assert_kernels(model, train(sgd(momentum), CYCLE, MOMENTUMS, accumulation_steps=2))


def test_one_cycle_isnt_disturbed_by_validation():
    model = sgd_model()
    history = fit(model, OneCycle(PEAK), validation_data=(INPUTS[:3], TARGETS[:3]))
    assert_kernels(model, train(sgd(), CYCLE, MOMENTUMS))
    assert history["learning_rate"] == pytest.approx(CYCLE[STEPS - 1 :: STEPS], rel=1e-6)
    assert len(history["val_loss"]) == 3


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_one_cycle_of_a_dataset_of_unknown_length():
    # With `steps_per_execution=1`, Keras on TensorFlow counts a step too many where such data end.
    model = sgd_model(steps_per_execution=4)
    data = {"x": dataset().filter(always), "y": None, "batch_size": None}
    fit(model, OneCycle(PEAK, total_steps=3 * STEPS), epochs=1, **data)
    fit(model, OneCycle(PEAK, total_steps=3 * STEPS), initial_epoch=1, **data)
    assert_kernels(model, train(sgd(), CYCLE, MOMENTUMS))


def test_one_cycle_of_endless_data_has_the_steps_of_the_fit():
    model = sgd_model()
    data = {"x": dataset().repeat(), "y": None, "batch_size": None}
    fit(model, OneCycle(PEAK), steps_per_epoch=STEPS, **data)
    assert_kernels(model, train(sgd(), CYCLE, MOMENTUMS))


def test_one_cycle_refuses_a_dataset_of_unknown_length():
    with pytest.raises(ValueError, match=r"how many batches it has.*total_steps=<batches per"):
        fit(sgd_model(), OneCycle(PEAK), x=dataset().filter(always), y=None, batch_size=None)


@pytest.mark.parametrize("name", ["nesterov", "loss_scale"])
def test_one_cycle_continues_after_initial_epoch(name):
    optimizer, step = OPTIMIZERS[name]
    model = linear_model(optimizer(), steps_per_execution=4)
    fit(model, OneCycle(PEAK, total_steps=3 * STEPS), epochs=1)
    history = fit(model, OneCycle(PEAK), initial_epoch=1)
    assert_kernels(model, train(step(), CYCLE, MOMENTUMS))
    assert history["learning_rate"] == pytest.approx(CYCLE[2 * STEPS - 1 :: STEPS], rel=1e-6)


def test_one_cycle_continues_where_backup_and_restore_does(tmp_path):
    optimizer, step = OPTIMIZERS["nesterov"]
    first, second = linear_model(optimizer()), linear_model(optimizer())
    with pytest.raises(KeyboardInterrupt):
        fit(first, OneCycle(PEAK), keras.callbacks.BackupAndRestore(tmp_path / "b"), Interrupt())
    history = fit(second, OneCycle(PEAK), keras.callbacks.BackupAndRestore(tmp_path / "b"))
    assert len(history["loss"]) == 2
    assert_kernels(second, train(step(), CYCLE, MOMENTUMS))


def test_one_cycle_starts_at_start_epoch():
    model = sgd_model()
    fit(model, OneCycle(PEAK, start_epoch=2), initial_epoch=2, epochs=5)
    assert_kernels(model, train(sgd(), CYCLE, MOMENTUMS))


@pytest.mark.parametrize(("initial_epoch", "start_epoch"), [(0, 1), (2, 3), (0, 4)])
def test_one_cycle_refuses_a_start_epoch_outside_the_fit(initial_epoch, start_epoch):
    model = sgd_model()
    with pytest.raises(ValueError, match=f"`start_epoch` must.* start_epoch={start_epoch}, "):
        fit(model, OneCycle(PEAK, start_epoch=start_epoch), initial_epoch=initial_epoch)
    assert_kernels(model, np.full((2, 1), 0.5))


def test_one_cycle_the_last_of_two_wins():
    model = sgd_model()
    history = fit(model, OneCycle(1.0), OneCycle(PEAK))
    assert_kernels(model, train(sgd(), CYCLE, MOMENTUMS))
    assert history["learning_rate"] == pytest.approx(CYCLE[STEPS - 1 :: STEPS], rel=1e-6)


def test_one_cycle_outlived_keeps_the_final_rate_and_warns_once():
    model = sgd_model()
    with pytest.warns(UserWarning, match="of 6 steps ended before epoch 2: the") as warned:
        fit(model, OneCycle(PEAK, total_steps=6, final_divisor=10.0))
    assert len([warning for warning in warned if warning.category is UserWarning]) == 1
    falling = cycle(6, final_divisor=10.0)
    assert_kernels(model, train(sgd(), [*falling, *[PEAK / 10] * (3 * STEPS - 6)]))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"max_learning_rate": 0}, "`max_learning_rate` must be a number > 0"),
        ({"start_divisor": -1.0}, "`start_divisor` must be a number > 0"),
        ({"final_divisor": "x"}, "`final_divisor` must be a number > 0"),
        ({"warmup_fraction": 1.5}, "`warmup_fraction` must be a number from 0 to 1"),
        ({"momentum": 0.9}, "`momentum` must be a pair, .* or None. Received: momentum=0.9"),
        ({"momentum": (0.95, 1.0)}, "between 0 and 1, without .* momentum=.0.95, 1.0"),
        ({"start_epoch": -1}, "`start_epoch` must be a whole number >= 0"),
        ({"total_steps": 0}, "`total_steps` must be a whole number >= 1"),
    ],
)
def test_one_cycle_refuses_bad_arguments(arguments, text):
    with pytest.raises(ValueError, match=text):
        OneCycle(**{"max_learning_rate": 1.0} | arguments)
