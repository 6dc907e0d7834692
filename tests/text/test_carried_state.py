"""The state of recurrent layers: carried from batch to batch, and reset where it must be."""

import keras
import numpy as np
import pytest
from reading_models import recurrent, state_of, with_weights_of

from keras_practical.text.characters.data import character_datasets
from keras_practical.text.characters.state import CarriedState
from keras_practical.training.finder import find_lr
from keras_practical.training.one_cycle import OneCycle
from keras_practical.utils.keras_internals.recurrent import fresh_state, reset

# Also run on JAX.
pytestmark = pytest.mark.any_backend

TEXT = "".join(np.random.default_rng(0).choice(list("abcd"), 300))
LAYERS = ["SimpleRNN", "GRU", "LSTM"]


def data_of(text=TEXT, **options):
    return character_datasets(text, 5, 3, verbose=False, **options)


def compiled(model, rate=0.0, **options):
    """Compile; at the rate of zero every batch sees the same weights."""
    model.compile(keras.optimizers.SGD(rate), loss="sparse_categorical_crossentropy", **options)
    return model


class Watching(keras.callbacks.Callback):
    """Note the state around validation, and at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_test_begin(self, logs=None):
        self.seen.append(("before validation", state_of(self.model)))

    def on_test_end(self, logs=None):
        self.seen.append(("after validation", state_of(self.model)))

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(("epoch ends", state_of(self.model)))


def long_pass(model, dataset):
    """Return loss and final state of one pass over whole rows, in a stateless model."""
    rows, targets = (
        np.concatenate([batch[i] for batch in dataset.as_numpy_iterator()], axis=1) for i in (0, 1)
    )
    inputs = keras.Input((None,))
    features = model.layers[0](inputs)
    config = model.layers[1].get_config() | {"stateful": False, "return_state": True}
    layer = type(model.layers[1]).from_config(config)
    outputs, *states = layer(features)
    whole = keras.Model(inputs, [model.layers[2](outputs), *states])
    layer.set_weights(model.layers[1].get_weights())
    probabilities, *states = whole.predict(rows, verbose=0)
    chosen = np.take_along_axis(probabilities, targets[..., None], axis=-1)
    return -np.log(chosen).mean(), np.concatenate(states)


@pytest.mark.parametrize("layer", LAYERS)
def test_carried_state_equals_one_long_pass(layer):
    data = data_of()
    model = compiled(recurrent(5, layer, rows=3, stateful=True))
    watching = Watching()
    history = model.fit(
        data.train,
        shuffle=False,
        validation_data=data.validation,
        epochs=2,
        verbose=0,
        callbacks=[watching, CarriedState()],
    )
    expected_loss, expected_state = long_pass(model, data.train)
    expected_validation, validation_state = long_pass(model, data.validation)
    # The second epoch gives the same as the first: it doesn't start from the text's end, and
    # validation, from zero too, hasn't left anything behind.
    assert history.history["loss"] == pytest.approx([expected_loss] * 2, abs=1e-5)
    assert history.history["val_loss"] == pytest.approx([expected_validation] * 2, abs=1e-5)
    assert [name for name, _ in watching.seen[:3]] == [
        "before validation",
        "after validation",
        "epoch ends",
    ]
    # `watching` comes before the callback in the list: it sees what is there at either end.
    before, after, end = (state for _, state in watching.seen[:3])
    np.testing.assert_allclose(before, expected_state, atol=1e-5)
    np.testing.assert_allclose(after, validation_state, atol=1e-5)
    np.testing.assert_allclose(end, expected_state, atol=1e-5)
    assert not state_of(model).any()  # A saved model starts clean.


def test_without_the_callback_the_numbers_differ():
    data = data_of()

    def validation_loss(callbacks):
        model = compiled(recurrent(5, rows=3, stateful=True))
        history = model.fit(
            data.train,
            shuffle=False,
            validation_data=data.validation,
            verbose=0,
            callbacks=callbacks,
        )
        return history.history["val_loss"][0]

    carried, plain = validation_loss([CarriedState()]), validation_loss([])
    if keras.backend.backend() == "tensorflow":
        assert abs(carried - plain) > 1e-4  # From training's state.
    expected, _ = long_pass(recurrent(5, rows=3, stateful=True), data.validation)
    assert carried == pytest.approx(expected, abs=1e-5)


def test_the_compiled_step_carries_the_state_under_steps_per_execution():
    data = data_of(TEXT[:61], validation_fraction=0.0)  # four batches
    model = compiled(recurrent(5, rows=3, stateful=True), steps_per_execution=4)
    history = model.fit(data.train, shuffle=False, verbose=0, callbacks=[CarriedState()])
    expected, _ = long_pass(model, data.train)
    assert history.history["loss"] == pytest.approx([expected], abs=1e-5)


def test_the_gradient_stops_at_the_border_of_a_batch():
    # One step of SGD on the second batch, whose state came from the first: what counts is the
    # state's value. By hand: the same step on a stateless layer given that value as a constant.
    data = data_of(TEXT[:31], validation_fraction=0.0)  # two batches
    model = recurrent(5, "SimpleRNN", rows=3, stateful=True)
    compiled(model, 0.5)
    first, second = data.train.as_numpy_iterator()
    with fresh_state(model):
        model.predict_on_batch(first[0])
        carried = state_of(model)
    by_hand = recurrent(5, "SimpleRNN", rows=3)
    inputs, state = keras.Input((5,), batch_size=3), keras.Input((5,), batch_size=3)
    outputs = by_hand.layers[1](by_hand.layers[0](inputs), initial_state=state)
    constant_state = compiled(keras.Model([inputs, state], by_hand.layers[2](outputs)), 0.5)
    constant_state.train_on_batch([second[0], carried], second[1])

    reset(model)
    model.predict_on_batch(first[0])
    model.train_on_batch(*second)
    for trained, expected in zip(model.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_allclose(trained, expected, atol=1e-5)


def test_one_cycle_and_the_finder_go_with_carried_state():
    data = data_of()
    model = compiled(recurrent(5, rows=3, stateful=True), 0.1)
    before = [value.copy() for value in model.get_weights()]
    find_lr(model, data.train, steps=30, verbose=False)
    for value, kept in zip(model.get_weights(), before, strict=True):
        assert np.array_equal(value, kept)
    losses = model.fit(
        data.train, shuffle=False, epochs=4, verbose=0, callbacks=[CarriedState(), OneCycle(0.3)]
    ).history["loss"]
    assert losses[-1] < losses[0]


def test_evaluate_takes_the_callback_and_leaves_the_state_alone():
    data = data_of()
    model = compiled(recurrent(5, rows=3, stateful=True))
    reset(model)
    model.predict_on_batch(next(data.train.as_numpy_iterator())[0])
    before = state_of(model)
    assert before.any()
    first = model.evaluate(data.validation, verbose=0, callbacks=[CarriedState()])
    assert np.array_equal(state_of(model), before)
    again = model.evaluate(data.validation, verbose=0, callbacks=[CarriedState()])
    assert first == pytest.approx(again, abs=1e-7)


def test_a_model_trained_with_carried_state_is_an_ordinary_file(tmp_path):
    data = data_of()
    model = compiled(recurrent(5, "LSTM", rows=3, stateful=True), 0.1)
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "checkpoint.keras")
    model.fit(data.train, shuffle=False, verbose=0, callbacks=[CarriedState(), checkpoint])
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    other = recurrent(5, "LSTM", rows=1, stateful=True, seed=1)  # another batch size
    other.load_weights(tmp_path / "model.weights.h5")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    saved = keras.models.load_model(tmp_path / "checkpoint.keras")
    for found in (other, loaded, saved):
        for weight, expected in zip(found.get_weights(), model.get_weights(), strict=True):
            assert np.array_equal(weight, expected)
        assert not state_of(found).any()


def test_an_interrupted_fit_starts_from_zero_the_next_time():
    data = data_of()
    model = compiled(recurrent(5, rows=3, stateful=True))

    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(data.train, shuffle=False, verbose=0, callbacks=[CarriedState(), Interrupt()])
    history = model.fit(data.train, shuffle=False, verbose=0, callbacks=[CarriedState()])
    expected, _ = long_pass(model, data.train)
    assert history.history["loss"] == pytest.approx([expected], abs=1e-5)


def test_fresh_state_puts_the_state_back_after_an_error():
    model = recurrent(5, rows=2, stateful=True)
    reset(model)
    model.predict_on_batch(np.ones((2, 3), "int32"))
    before = state_of(model)

    def fail():
        with fresh_state(model):
            assert not state_of(model).any()
            model.predict_on_batch(np.ones((2, 3), "int32"))
            raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        fail()
    assert np.array_equal(state_of(model), before)


def test_nested_stateful_layers_are_found():
    inner = recurrent(5, rows=3, stateful=True)
    model = compiled(keras.Sequential([keras.Input((None,), batch_size=3), inner]))
    data = data_of()
    history = model.fit(data.train, shuffle=False, epochs=2, verbose=0, callbacks=[CarriedState()])
    expected, _ = long_pass(inner, data.train)
    assert history.history["loss"] == pytest.approx([expected] * 2, abs=1e-5)


def test_carried_state_refuses_a_model_that_has_none():
    model = compiled(with_weights_of(recurrent(5), recurrent(5)))
    with pytest.raises(ValueError, match="needs a model with a recurrent layer that has"):
        model.fit(data_of().train, shuffle=False, verbose=0, callbacks=[CarriedState()])
