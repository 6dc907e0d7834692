"""What OneCycle leaves behind in the model, its optimizer and its files: nothing."""

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
    Interrupt,
    adam,
    assert_kernels,
    cycle,
    fit,
    linear_model,
    sgd,
    sgd_model,
    train,
)

from keras_practical import OneCycle

# Also run on JAX.
pytestmark = pytest.mark.any_backend


def test_one_cycle_used_again_starts_a_new_cycle():
    model, callback = sgd_model(), OneCycle(PEAK)
    fit(model, callback)
    fit(model, callback, epochs=2)
    shorter = cycle(2 * STEPS)
    assert_kernels(model, train(sgd(), np.append(CYCLE, shorter)))


def test_one_cycle_used_again_after_recompiling_starts_a_new_cycle():
    model, callback = sgd_model(), OneCycle(PEAK)
    fit(model, callback)
    model.compile(keras.optimizers.Adam(OWN_RATE), loss="mse")
    fit(model, callback)
    assert_kernels(model, train(adam(), CYCLE, MOMENTUMS, start=train(sgd(), CYCLE)))


@pytest.mark.parametrize("name", ["adamw", "schedule", "loss_scale"])
def test_one_cycle_leaves_the_optimizer_as_it_was(name):
    model = linear_model(OPTIMIZERS[name][0]())
    optimizer = model.optimizer
    fit(model, epochs=1)  # Builds the optimizer.
    inner = getattr(optimizer, "inner_optimizer", optimizer)

    def seen():
        variables = [(v.path, v.shape, v.dtype) for v in optimizer.variables]
        return optimizer.get_config(), variables

    middle, before = [], seen()
    attributes = set(vars(inner)), set(vars(optimizer)), set(vars(model))
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: middle.append(seen()))
    fit(model, OneCycle(PEAK), watch, epochs=2)
    assert middle == [before, before]
    assert seen() == before
    assert (set(vars(inner)), set(vars(optimizer)), set(vars(model))) == attributes
    own = OWN_RATE * 0.5 ** (3 * STEPS) if name == "schedule" else OWN_RATE
    assert float(optimizer.learning_rate) == pytest.approx(own, rel=1e-6)


def test_one_cycle_is_gone_in_the_next_fit():
    optimizer, step = OPTIMIZERS["adamw"]
    model = linear_model(optimizer())
    fit(model, OneCycle(PEAK))
    fit(model, epochs=1)
    assert_kernels(model, train(step(), [*CYCLE, *[OWN_RATE] * STEPS], MOMENTUMS))


def test_one_cycle_is_exact_while_older_compiled_steps_are_kept():
    # JAX reuses what it traced for an equal function as long as that function lives.
    kept = []
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: kept.append(model.train_function))
    model = sgd_model()
    fit(model, keep, epochs=1)
    fit(model, OneCycle(PEAK), keep)
    fit(model, keep, epochs=1)
    fit(model, OneCycle(PEAK), keep)
    own = [OWN_RATE] * STEPS
    assert_kernels(model, train(sgd(), [*own, *CYCLE, *own, *CYCLE]))


@pytest.mark.parametrize("rates", [[OWN_RATE] * STEPS, CYCLE], ids=["plain", "cycle"])
def test_one_cycle_is_gone_after_an_interrupted_fit(rates):
    model, callback = sgd_model(), OneCycle(PEAK)
    with pytest.raises(KeyboardInterrupt):
        fit(model, callback, Interrupt())
    interrupted = train(sgd(), CYCLE[: STEPS + 3])
    assert_kernels(model, interrupted)
    fit(model, *([callback] if len(rates) > STEPS else []), epochs=len(rates) // STEPS)
    assert_kernels(model, train(sgd(), rates, start=interrupted))
    assert float(model.optimizer.learning_rate) == pytest.approx(OWN_RATE, rel=1e-6)


def test_one_cycle_interrupted_and_used_on_another_model_leaves_both_plain():
    first, second, callback = sgd_model(), sgd_model(), OneCycle(PEAK)
    with pytest.raises(KeyboardInterrupt):
        fit(first, callback, Interrupt())
    fit(second, callback)
    assert_kernels(second, train(sgd(), CYCLE, MOMENTUMS))
    fit(first, epochs=1)
    expected = train(sgd(), [OWN_RATE] * STEPS, start=train(sgd(), CYCLE[: STEPS + 3]))
    assert_kernels(first, expected)


def test_one_cycle_stopped_early_is_gone():
    model = sgd_model()
    stop = keras.callbacks.EarlyStopping(monitor="loss", min_delta=1e9, patience=1)
    history = fit(model, OneCycle(PEAK), stop)
    assert len(history["learning_rate"]) == 2
    fit(model, epochs=1)
    assert_kernels(model, train(sgd(), [*CYCLE[: 2 * STEPS], *[OWN_RATE] * STEPS]))


@pytest.mark.parametrize(
    ("callback", "factors"),
    [
        (lambda: keras.callbacks.LearningRateScheduler(lambda e, rate: rate / 2), [0.5, 0.25]),
        (
            lambda: keras.callbacks.ReduceLROnPlateau("loss", 0.5, patience=1, min_delta=1e9),
            [1, 1, 0.5],
        ),
    ],
    ids=["scheduler", "plateau"],
)
def test_one_cycle_leaves_the_rate_to_learning_rate_callbacks(callback, factors):
    model = sgd_model()
    fit(model, OneCycle(PEAK))
    fit(model, callback(), epochs=len(factors))
    assert_kernels(model, train(sgd(), [*CYCLE, *np.repeat(factors, STEPS) * OWN_RATE]))
