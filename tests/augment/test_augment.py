"""The presets, and the look at them."""

import subprocess
import sys

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from keras import ops

import keras_practical as kp
from keras_practical import augment

# Also run on JAX.
pytestmark = pytest.mark.any_backend

PRESETS = ("light", "standard", "strong", "documents", "medical_greyscale", "top_down", "digits")


@pytest.mark.parametrize("name", PRESETS)
def test_preset_changes_pictures_in_training_only(name):
    images = np.random.default_rng(0).uniform(0, 255, (3, 24, 24, 3)).astype("float32")
    layers = getattr(augment, name)(image_size=16, seed=0)
    model = keras.Sequential([keras.Input((24, 24, 3)), *layers])
    first, second = (np.asarray(model(images, training=True)) for _ in range(2))
    assert first.shape == (3, 16, 16, 3)
    assert np.abs(first - second).mean() > 1
    assert first.min() >= 0
    assert first.max() <= 256
    plain = model.predict(images, verbose=0)
    np.testing.assert_array_equal(plain, model.predict(images, verbose=0))


@pytest.mark.parametrize("name", PRESETS)
def test_preset_is_repeated_by_its_seed(name):
    images = np.random.default_rng(0).uniform(0, 255, (3, 16, 16, 3)).astype("float32")

    def run():
        found = images
        for layer in getattr(augment, name)(seed=3):
            found = layer(found, training=True)
        return np.asarray(found)

    np.testing.assert_array_equal(run(), run())


@pytest.mark.parametrize("name", ["documents", "medical_greyscale", "digits"])
def test_presets_for_things_with_a_left_and_a_right_never_mirror(name):
    geometry = getattr(augment, name)()[0]
    assert geometry.horizontal_flip == geometry.vertical_flip == 0.0
    assert max(geometry.rotation) <= 10


def test_grey_pictures_bear_their_presets():
    images = np.random.default_rng(0).uniform(0, 255, (3, 16, 16, 1)).astype("float32")
    for name in ("documents", "medical_greyscale", "digits"):
        for layer in getattr(augment, name)():
            assert layer(images, training=True).shape == images.shape


def test_preview_draws_each_picture_beside_its_views():
    images = np.random.default_rng(0).uniform(0, 255, (5, 12, 12, 3)).astype("float32")
    ax = augment.preview([(images, np.arange(5))], augment.light(image_size=8), n=3, views=4)
    drawn = ax.images[0].get_array()
    # 5 columns and 3 rows of 8 pixels with gaps of 2.
    assert drawn.shape[:2] == (3 * (8 + 2), 5 * (8 + 2))
    plt.close(ax.figure)


def test_preview_leaves_the_first_column_as_it_is():
    images = np.full((2, 8, 8, 3), 100, "float32")
    ax = augment.preview(
        [(images, [0, 1])], augment.RandomColor(brightness=(0.5, 0.5)), n=2, views=1
    )
    drawn = ax.images[0].get_array()[..., :3]
    assert (drawn[:8, :8] == 100).all()
    assert (drawn[:8, 10:18] == 228).all()
    plt.close(ax.figure)


def test_preview_refuses_bad_counts():
    with pytest.raises(ValueError, match="`views` must be a whole number >= 1"):
        augment.preview([], [], views=0)


def names(layers):
    return [type(layer).__name__ for layer in layers]


@pytest.mark.parametrize(
    ("images_per_class", "expected"),
    [
        (1, augment.strong),
        (10, augment.strong),
        (11, augment.light),
        (50, augment.light),
        (51, list),
    ],
)
def test_recommended_for_a_pretrained_network_goes_by_the_number_of_pictures(
    images_per_class, expected
):
    found = augment.recommended(images_per_class)
    assert names(found.augmentation) == names(expected())
    assert found.callbacks == []
    assert found.reason


@pytest.mark.parametrize("images_per_class", [5, 1000])
def test_recommended_from_scratch_is_all_there_is(images_per_class):
    found = augment.recommended(images_per_class, pretrained=False, image_size=32, seed=3)
    assert names(found.augmentation) == names(augment.strong())
    assert found.augmentation[0].image_size == (32, 32)
    assert names(found.callbacks) == ["BatchMixing"]


def test_recommended_refuses_no_pictures():
    with pytest.raises(ValueError, match="`images_per_class` must be a whole number >= 1"):
        augment.recommended(0)


LOAD_IN_PLAIN_KERAS = """
import sys, keras, numpy as np
model = keras.models.load_model(sys.argv[1])
assert not any(name.startswith("keras_practical") for name in sys.modules)
np.save(sys.argv[2], model.predict(np.load(sys.argv[3]), verbose=0))
"""


def test_without_augmentation_is_saved_for_plain_keras(tmp_path):
    backbone = keras.Sequential([keras.Input((12, 12, 3)), keras.layers.Conv2D(4, 3)])
    layers = augment.strong(image_size=12)
    model = keras.Sequential([keras.Input((16, 16, 3)), *layers, backbone])
    model.add(keras.layers.GlobalAveragePooling2D())
    model.add(keras.layers.Dense(2, activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    images = np.random.default_rng(0).uniform(0, 255, (3, 16, 16, 3)).astype("float32")
    plain = augment.without_augmentation(model)
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(plain.predict(images, verbose=0), expected, atol=1e-5)
    assert len(plain.evaluate(images, np.zeros(3), verbose=0)) == 2
    assert plain.layers[-1] is model.layers[-1]

    plain.save(tmp_path / "plain.keras")
    np.save(tmp_path / "images.npy", images)
    paths = [str(tmp_path / name) for name in ("plain.keras", "found.npy", "images.npy")]
    subprocess.run([sys.executable, "-c", LOAD_IN_PLAIN_KERAS, *paths], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, atol=1e-5)


def test_without_augmentation_of_a_classifier():
    model = kp.transfer.classifier(
        "MobileNetV2", 2, image_size=64, weights=None, augmentation=augment.light()
    )
    plain = augment.without_augmentation(model)
    assert not [layer for layer in plain.layers if type(layer).__name__.startswith("Random")]
    assert plain.count_params() == model.count_params()
    assert kp.transfer.summary(plain) == kp.transfer.summary(model)


@pytest.mark.parametrize("name", ["light", "standard", "strong", "top_down"])
def test_layers_of_a_preset_draw_independently(name):
    images = np.zeros((300, 8, 8, 3), "float32")
    geometry, color = getattr(augment, name)(seed=3)[:2]
    flipped = ops.convert_to_numpy(geometry.get_random_transformation(images)["matrices"])[:, 0, 0]
    for changes in color.get_random_transformation(images).values():
        correlation = np.corrcoef(flipped, ops.convert_to_numpy(changes))[0, 1]
        assert abs(correlation) < 0.2


def test_without_augmentation_refuses_what_it_would_leave_inside():
    inner = keras.Sequential([keras.Input((8, 8, 3)), augment.RandomColor(brightness=0.1)])
    model = keras.Sequential([keras.Input((8, 8, 3)), inner, keras.layers.Flatten()])
    with pytest.raises(ValueError, match=r"not in a model inside it\. Received: random_color"):
        augment.without_augmentation(model)
