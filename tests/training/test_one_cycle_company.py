"""`OneCycle` beside other callbacks, with train steps and optimizers of every kind."""

import keras
import numpy as np
import pytest

import keras_practical as kp

pytestmark = pytest.mark.any_backend
INPUTS = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
LABELS = (INPUTS[:, 0] > 0).astype("int64")


def model_with(optimizer="adam", **options):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(3, "relu"), keras.layers.Dense(2, "softmax")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile(optimizer, "sparse_categorical_crossentropy", **options)
    return model


def optimizers():
    """Return every optimizer of the installed Keras, with and without momentum."""
    for name in dir(keras.optimizers):
        kind = getattr(keras.optimizers, name)
        skipped = ("Optimizer", "LossScaleOptimizer", "MultiOptimizer")
        if name in skipped or not isinstance(kind, type):
            continue
        if issubclass(kind, keras.optimizers.Optimizer):
            yield pytest.param(kind, {}, id=name)
            if name in ("Muon", "RMSprop", "SGD"):
                yield pytest.param(kind, {"momentum": 0.9}, id=f"{name} with momentum")


@pytest.mark.parametrize(("kind", "options"), list(optimizers()))
def test_every_optimizer_trains_under_the_cycle(kind, options):
    model = model_with(kind(1e-3, **options))
    cycle = kp.OneCycle(1e-2)
    history = model.fit(INPUTS, LABELS, batch_size=8, epochs=2, verbose=0, callbacks=[cycle])
    assert np.isfinite(history.history["loss"]).all()
    np.testing.assert_allclose(history.history["learning_rate"], cycle.learning_rates[[7, 15]])
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) == pytest.approx(1e-3)


@pytest.mark.parametrize("first", [True, False])
def test_a_callback_that_sets_each_epochs_rate_is_refused(first):
    model = model_with(keras.optimizers.Adam(1e-3))
    before = model.get_weights()
    company = [kp.OneCycle(1e-2), keras.callbacks.LearningRateScheduler(lambda epoch: 5e-3)]
    company = company[::-1] if first else company
    with pytest.raises(ValueError, match="Another callback sets the learning rate"):
        model.fit(INPUTS, LABELS, batch_size=8, epochs=2, verbose=0, callbacks=company)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) == pytest.approx(1e-3)
    model.fit(INPUTS, LABELS, batch_size=8, verbose=0)


@pytest.mark.parametrize("first", [True, False])
def test_reduce_on_plateau_lowers_the_rest_of_the_cycle(first):
    model = model_with(keras.optimizers.Adam(1e-3))
    cycle = kp.OneCycle(1e-2)
    # No epoch improves by 100: halved after the second epoch and each one that follows.
    plateau = keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=100.0, factor=0.5)
    company = [plateau, cycle] if first else [cycle, plateau]
    history = model.fit(INPUTS, LABELS, batch_size=8, epochs=4, verbose=0, callbacks=company)
    rates = history.history["learning_rate"]
    if first:
        # Those of the epochs' last steps. After `OneCycle`, Keras's callback overwrites them in
        # the log by those of the steps to come.
        plain = cycle.learning_rates[[7, 15, 23, 31]]
        np.testing.assert_allclose(rates, plain * [1, 1, 0.5, 0.25], rtol=1e-5)
    else:
        plain = cycle.learning_rates[[8, 16, 24]]
        np.testing.assert_allclose(rates[:3], plain * [1, 1, 0.5], rtol=1e-5)
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) == pytest.approx(1e-3)


@pytest.mark.tf_only
@pytest.mark.parametrize("steps_per_execution", [1, 3])
def test_a_train_step_of_two_optimizer_steps_counts_as_one_batch(steps_per_execution):
    import tensorflow as tf

    class TwoSteps(keras.Model):
        def train_step(self, data):
            inputs, labels = data
            for _ in range(2):
                with tf.GradientTape() as tape:
                    loss = self.compute_loss(y=labels, y_pred=self(inputs, training=True))
                slopes = tape.gradient(loss, self.trainable_variables)
                self.optimizer.apply(slopes, self.trainable_variables)
            return {"loss": loss}

    inputs = keras.Input((4,))
    model = TwoSteps(inputs, keras.layers.Dense(2, activation="softmax")(inputs))
    model.compile(
        "adam", "sparse_categorical_crossentropy", steps_per_execution=steps_per_execution
    )
    cycle = kp.OneCycle(1e-2)
    history = model.fit(INPUTS, LABELS, batch_size=8, epochs=4, verbose=0, callbacks=[cycle])
    assert int(model.optimizer.iterations.numpy()) == 2 * 4 * 8
    np.testing.assert_allclose(
        history.history["learning_rate"], cycle.learning_rates[[7, 15, 23, 31]], rtol=1e-6
    )


def test_gradient_accumulation_skips_nothing():
    model = model_with(keras.optimizers.SGD(1e-3, gradient_accumulation_steps=4))
    cycle = kp.OneCycle(1e-2)
    history = model.fit(INPUTS, LABELS, batch_size=8, epochs=3, verbose=0, callbacks=[cycle])
    assert len(history.history["loss"]) == 3
    np.testing.assert_allclose(
        history.history["learning_rate"], cycle.learning_rates[[7, 15, 23]], rtol=1e-6
    )
