"""The smoothed loss, against Keras's own on one-hot labels."""

import keras
import numpy as np
import pytest

from keras_practical.models.losses import SmoothedSparseCategoricalCrossentropy

# Also run on JAX.
pytestmark = pytest.mark.any_backend

LABELS = np.array([0, 2, 1, 1, 0])
LOGITS = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
WEIGHTS = np.array([1.0, 0.0, 2.0, 0.5, 3.0], "float32")


def test_smoothed_loss_by_hand():
    # The target is (0.9, 0.1): 0.8 on the label and half of 0.2 on each class.
    loss = SmoothedSparseCategoricalCrossentropy(0.2)
    expected = -(0.9 * np.log(0.75) + 0.1 * np.log(0.25))
    assert float(loss([0], [[0.75, 0.25]])) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("sample_weight", [None, WEIGHTS], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None].astype("float32")], ids=["n", "n_1"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(
    ("outputs", "from_logits"), [(PROBABILITIES, False), (LOGITS, True)], ids=["p", "logits"]
)
def test_smoothed_loss_equals_kerass_of_one_hot_labels(
    outputs, from_logits, label_smoothing, labels, sample_weight
):
    options = {"label_smoothing": label_smoothing, "from_logits": from_logits}
    mine = SmoothedSparseCategoricalCrossentropy(**options)
    theirs = keras.losses.CategoricalCrossentropy(**options)
    expected = float(theirs(np.eye(3)[LABELS], outputs, sample_weight))
    assert float(mine(labels, outputs, sample_weight)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("from_logits", [False, True])
def test_smoothed_loss_without_smoothing_is_the_plain_one(from_logits):
    outputs = LOGITS if from_logits else PROBABILITIES
    mine = SmoothedSparseCategoricalCrossentropy(0.0, from_logits=from_logits)
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    expected = float(theirs(LABELS, outputs))
    assert float(mine(LABELS, outputs)) == pytest.approx(expected, rel=1e-6)


def test_smoothed_loss_gives_one_number_an_example():
    loss = SmoothedSparseCategoricalCrossentropy(0.2, from_logits=True, reduction=None)
    log_probabilities = np.log(PROBABILITIES)
    expected = -0.8 * log_probabilities[np.arange(5), LABELS] - 0.2 * log_probabilities.mean(axis=1)
    np.testing.assert_allclose(np.asarray(loss(LABELS, LOGITS)), expected, rtol=1e-5)


def test_smoothed_loss_survives_serialization():
    loss = SmoothedSparseCategoricalCrossentropy(0.3, from_logits=True, reduction="sum", name="s")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(again, SmoothedSparseCategoricalCrossentropy)
    assert again.get_config() == loss.get_config()
    assert (again.label_smoothing, again.from_logits, again.name) == (0.3, True, "s")
    assert float(again(LABELS, LOGITS)) == float(loss(LABELS, LOGITS))


def test_smoothed_loss_trains_and_evaluates_as_kerass_does(tmp_path):
    def trained(loss, labels):
        dense = keras.layers.Dense(3, kernel_initializer="ones")
        model = keras.Sequential([keras.Input((3,)), dense])
        model.compile(keras.optimizers.SGD(0.5), loss=loss)
        model.fit(LOGITS, labels, batch_size=2, epochs=2, shuffle=False, verbose=0)
        return model

    options = {"label_smoothing": 0.1, "from_logits": True}
    mine = trained(SmoothedSparseCategoricalCrossentropy(**options), LABELS)
    one_hot = np.eye(3, dtype="float32")[LABELS]
    theirs = trained(keras.losses.CategoricalCrossentropy(**options), one_hot)
    np.testing.assert_allclose(mine.get_weights()[0], theirs.get_weights()[0], atol=1e-6)
    expected = theirs.evaluate(LOGITS, one_hot, verbose=0)
    assert mine.evaluate(LOGITS, LABELS, verbose=0) == pytest.approx(expected, rel=1e-5)
    mine.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(LOGITS, LABELS, verbose=0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("label_smoothing", [-0.1, 1.1, None, "0.1", float("nan")])
def test_smoothed_loss_refuses_bad_smoothing(label_smoothing):
    with pytest.raises(ValueError, match="`label_smoothing` must be a number from 0 to 1"):
        SmoothedSparseCategoricalCrossentropy(label_smoothing)


def test_smoothed_loss_refuses_one_hot_labels():
    with pytest.raises(ValueError, match="must have the same shape"):
        SmoothedSparseCategoricalCrossentropy()(np.eye(3)[LABELS], PROBABILITIES)
