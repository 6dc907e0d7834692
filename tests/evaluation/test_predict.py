"""Test-time augmentation and resized models."""

import keras
import numpy as np
import pytest

import keras_practical as kp
from keras_practical.augment import RandomGeometry

# Also run on JAX.
pytestmark = pytest.mark.any_backend

IMAGES = np.random.default_rng(0).uniform(0, 1, (7, 8, 8, 3)).astype("float32")
LABELS = np.arange(7) % 3


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    layers = [keras.Input((8, 8, 3)), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(3, activation="softmax")])


def predict(model, images):
    return model.predict(images, verbose=0).astype("float64")


def test_flip_is_the_mean_of_both_views_in_order(model):
    found, _ = kp.predict_with_tta(model, (IMAGES, LABELS), "flip", batch_size=3, verbose=False)
    expected = (predict(model, IMAGES) + predict(model, IMAGES[:, :, ::-1])) / 2
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_ten_crops_are_corners_and_middle_and_their_mirror_images(model):
    found, _ = kp.predict_with_tta(model, (IMAGES, LABELS), "ten_crop", verbose=False)
    views = []
    for top, left in ((0, 0), (0, 1), (1, 0), (1, 1), (0, 0)):
        crop = IMAGES[:, top : top + 7, left : left + 7]
        whole = np.asarray(keras.ops.image.resize(crop, (8, 8)))
        views += [predict(model, whole), predict(model, whole[:, :, ::-1])]
    np.testing.assert_allclose(found, np.mean(views, axis=0), atol=1e-6)


class Darker(keras.layers.Layer):
    """Darkens by 0.1, 0.2, ... of the value at each call."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def call(self, images, training=False):
        assert training
        self.calls += 1
        return images * (1 - 0.1 * self.calls)


@pytest.mark.parametrize("beta", [0.25, None])
def test_random_views_follow_fastais_rule_or_count_equally(model, beta):
    found, _ = kp.predict_with_tta(
        model, (IMAGES, LABELS), [Darker()], n=3, beta=beta, verbose=False
    )
    views = [predict(model, IMAGES * (1 - 0.1 * k)) for k in (1, 2, 3)]
    # One of four views counts a quarter too.
    expected = 0.25 * predict(model, IMAGES) + 0.75 * np.mean(views, axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_beta_weighs_the_picture_itself(model):
    plain, _ = kp.predict_with_tta(model, (IMAGES, LABELS), Darker(), n=2, beta=1.0, verbose=False)
    np.testing.assert_allclose(plain, predict(model, IMAGES), atol=1e-6)


def test_logits_are_averaged_as_probabilities(model):
    logits = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    logits.add(keras.layers.Dense(3))
    logits.build()
    logits.set_weights(model.get_weights())
    one, _ = kp.predict_with_tta(logits, (IMAGES, LABELS), "flip", from_logits=True, verbose=False)
    other, _ = kp.predict_with_tta(model, (IMAGES, LABELS), "flip", verbose=False)
    np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.tf_only
def test_tta_of_data_sets_keeps_labels_beside_them(model):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).shuffle(7, seed=0).batch(2)
    found, labels = kp.predict_with_tta(model, data, "flip", verbose=False)
    known, _ = kp.predict_with_tta(model, (IMAGES, LABELS), "flip", verbose=False)
    for row, label in zip(found, labels, strict=True):
        match = np.abs(known - row).max(1).argmin()
        np.testing.assert_allclose(known[match], row, atol=1e-6)
        assert label == LABELS[match]


def test_evaluate_with_tta_judges_the_averaged_probabilities(model):
    found = kp.evaluate(model, (IMAGES, LABELS), tta="flip", verbose=False)
    probabilities, _ = kp.predict_with_tta(model, (IMAGES, LABELS), "flip", verbose=False)
    assert found.accuracy == (probabilities.argmax(1) == LABELS).mean()
    assert found.loss == pytest.approx(-np.log(probabilities[np.arange(7), LABELS]).mean())


def test_geometry_as_tta(model):
    layer = RandomGeometry(horizontal_flip=1.0)
    found, _ = kp.predict_with_tta(model, (IMAGES, LABELS), layer, n=1, beta=0.5, verbose=False)
    expected, _ = kp.predict_with_tta(model, (IMAGES, LABELS), "flip", verbose=False)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"augmentation": "rotate"}, "`augmentation` must be one of 'flip', 'ten_crop'"),
        ({"n": 0}, "`n` must be a whole number >= 1"),
        ({"beta": 2}, "`beta` must be a number from 0 to 1"),
    ],
)
def test_bad_arguments(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        kp.predict_with_tta(model, (IMAGES, LABELS), **({"augmentation": "flip"} | arguments))


def test_tta_of_what_is_no_picture_is_refused(model):
    with pytest.raises(ValueError, match="needs images of shape"):
        kp.predict_with_tta(model, (np.ones((2, 5)), [0, 1]), "flip")


def network(**options):
    inputs = keras.Input((16, 16, 3))
    body = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3, 2), keras.layers.BatchNormalization()],
        name="body",
    )
    features = RandomGeometry(rotation=5, image_size=16)(inputs)
    features = keras.layers.GlobalAveragePooling2D()(body(features))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(features), **options)


def test_resized_keeps_weights_and_takes_the_new_size():
    small = network(name="net")
    small.get_layer("body").trainable = False
    small.compile(
        keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    large = kp.resized(small, (24, 32))
    assert large.input_shape == (None, 24, 32, 3)
    assert large.name == "net"
    for one, other in zip(small.get_weights(), large.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [v.path for v in large.trainable_variables] == [
        v.path for v in small.trainable_variables
    ]
    history = large.fit(np.ones((4, 24, 32, 3)), np.zeros(4), verbose=0)
    assert "accuracy" in history.history
    assert float(large.optimizer.learning_rate) == pytest.approx(0.02)
    # Copies: training the one leaves the other alone.
    assert np.abs(large.get_weights()[-1] - small.get_weights()[-1]).max() > 0


def test_resized_back_predicts_the_same():
    model = network()
    images = np.random.default_rng(0).uniform(0, 1, (2, 16, 16, 3)).astype("float32")
    again = kp.resized(kp.resized(model, 32), 16)
    np.testing.assert_array_equal(
        again.predict(images, verbose=0), model.predict(images, verbose=0)
    )


def test_resized_classifier_on_a_real_backbone():
    model = kp.transfer.classifier("MobileNetV2", 2, image_size=64, weights=None)
    large = kp.resized(model, 96)
    assert large.input_shape == (None, 96, 96, 3)
    assert kp.transfer.summary(large).trainable_count == kp.transfer.summary(model).trainable_count


def test_resized_refuses_weights_that_depend_on_the_size(model):
    with pytest.raises(ValueError, match=r"can't take images of 16 x 16 pixels: .* pooling"):
        kp.resized(model, 16)


class Positions(keras.layers.Layer):
    """Adds a learnt image: a weight of the image's size."""

    def build(self, shape):
        self.position = self.add_weight(shape=shape[1:])

    def call(self, images):
        return images + self.position


def test_resized_names_the_weight_that_depends_on_the_size():
    positional = keras.Sequential([keras.Input((8, 8, 3)), Positions(name="where")])
    with pytest.raises(
        ValueError, match=r"weight '.*where/.*' depends on the size .* \(16, 16, 3\)"
    ):
        kp.resized(positional, 16)


def test_resized_refuses_models_without_a_fixed_size():
    free = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(1, 1)])
    with pytest.raises(ValueError, match="must take images of one fixed size"):
        kp.resized(free, 16)


def test_sample_weights_that_would_not_count_are_refused(model):
    with pytest.raises(ValueError, match="sample weights wouldn't count"):
        kp.evaluate(model, (IMAGES, LABELS, np.ones(len(LABELS))), verbose=False)
