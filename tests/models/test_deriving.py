"""Models made from a model: the user's own objects go along, classes keep what they override."""

import zipfile

import keras
import numpy as np
import pytest
from tiny import tiny_backbone, tiny_data

import keras_practical as kp
from keras_practical.models.deriving import check_prediction, derived_model

pytestmark = pytest.mark.any_backend


class OwnOptimizer(keras.optimizers.Adam):
    """Not registered with Keras."""


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Not registered with Keras."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, step):
        return self.rate

    def get_config(self):
        return {"rate": self.rate}


def own_loss(labels, outputs):
    return keras.losses.sparse_categorical_crossentropy(labels, outputs)


def model(**options):
    made = kp.transfer.classifier(tiny_backbone(), 3, augmentation=kp.augment.light(seed=0), seed=0)
    settings = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy"} | options
    made.compile(**settings)
    return made


OWN = {
    "optimizer": lambda: {"optimizer": OwnOptimizer(1e-3)},
    "schedule": lambda: {"optimizer": keras.optimizers.Adam(WarmUp(1e-3))},
    "loss": lambda: {"loss": own_loss},
    "metric": lambda: {"metrics": [own_loss]},
}


@pytest.mark.parametrize("what", list(OWN))
def test_objects_of_ones_own_go_along_everywhere(what):
    images, labels = tiny_data()
    options = OWN[what]()
    for derived in (
        kp.augment.without_augmentation(model(**options)),
        kp.resized(model(**options), 16),
    ):
        side = derived.input_shape[1]
        derived.fit(np.resize(images, (24, side, side, 3)), labels, verbose=0)
        assert derived.loss is options.get("loss", derived.loss)
    kp.find_lr(model(**OWN[what]()), (images, labels), steps=20, verbose=False)
    kp.transfer.fine_tune(
        model(**OWN[what]()), (images, labels), frozen_epochs=1, epochs=1, views=1, verbose=0
    )


def test_a_file_without_augmentation_needs_nothing_of_this_package(tmp_path):
    made = kp.transfer.classifier(
        tiny_backbone(), 3, augmentation=kp.augment.strong(), label_smoothing=0.1, seed=0
    )
    kp.augment.without_augmentation(made).save(tmp_path / "plain.keras")
    with zipfile.ZipFile(tmp_path / "plain.keras") as file:
        for name in ("config.json", "metadata.json"):
            assert b"keras_practical" not in file.read(name)


def test_a_class_that_overrides_call_is_refused():
    class Doubled(keras.Model):
        def call(self, inputs, training=None):
            return 2.0 * super().call(inputs, training=training)

    inputs = keras.Input((4,))
    doubled = Doubled(inputs, keras.layers.Softmax()(inputs))
    with pytest.raises(ValueError, match="Doubled overrides call"):
        derived_model(doubled, doubled.inputs, doubled.outputs)
    with pytest.raises(ValueError, match="Doubled overrides call"):
        kp.evaluation.with_temperature(doubled, 2.0)


def test_a_class_that_cannot_be_made_again_is_refused():
    class Odd(keras.Model):
        def __init__(self, inputs, outputs, *, needed, **options):
            super().__init__(inputs, outputs, **options)

        def predict_step(self, *arguments):
            return super().predict_step(*arguments)

    inputs = keras.Input((4,))
    odd = Odd(inputs, keras.layers.Softmax()(inputs), needed=1)
    with pytest.raises(ValueError, match="Odd overrides predict_step, and no model of that class"):
        kp.augment.without_augmentation(odd)


def test_what_differs_is_found():
    first = keras.Sequential([keras.Input((4,)), keras.layers.Softmax()])
    second = keras.Sequential([keras.Input((4,)), keras.layers.Rescaling(0.5)])
    with pytest.raises(ValueError, match="other outputs than it should"):
        check_prediction(second, first)
    check_prediction(first, first)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_of_several_labels_scales_each_by_itself(temperature):
    layers = [keras.layers.Dense(3, activation="sigmoid")]
    several = keras.Sequential([keras.Input((4,)), *layers])
    inputs = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    logits = inputs @ np.asarray(layers[0].kernel) + np.asarray(layers[0].bias)
    found = kp.evaluation.with_temperature(several, temperature).predict(inputs, verbose=0)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits / temperature)), atol=1e-5)
