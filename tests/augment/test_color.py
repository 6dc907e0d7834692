"""RandomColor: each change by hand, their product, and every place it may stand."""

import colorsys

import keras
import numpy as np
import pytest
from keras import ops

from keras_practical.augment import RandomColor

# Also run on JAX.
pytestmark = pytest.mark.any_backend

LUMA = np.array([0.2989, 0.5870, 0.1140])


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(60, 180, (3, 8, 10, 3)).astype("float32")


def apply(images, changes, **options):
    changes = {name: np.array(values, "float32") for name, values in changes.items()}
    return ops.convert_to_numpy(RandomColor(**options).transform_images(images, changes))


def each(values):
    return np.array(values)[:, None, None, None]


def test_brightness_is_added_and_cut(images):
    found = apply(images, {"brightness": [0.1, -0.5, 0.5]})
    expected = np.clip(images + 255 * each([0.1, -0.5, 0.5]), 0, 255)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert found.min() == 0
    assert found.max() == 255


def test_contrast_equals_keras(images):
    layer = keras.layers.RandomContrast(0.5, seed=0)
    drawn = layer.get_random_transformation(images, training=True)
    expected = np.clip(ops.convert_to_numpy(layer.transform_images(images, drawn)), 0, 255)
    factors = ops.convert_to_numpy(drawn["contrast_factor"]).reshape(-1)
    assert np.ptp(factors) > 0.05
    np.testing.assert_allclose(apply(images, {"contrast": factors}), expected, atol=1e-2)


def test_saturation_moves_away_from_grey(images):
    grey = (images @ LUMA)[..., None]
    found = apply(images, {"saturation": [0.0, 0.5, 1.5]})
    expected = np.clip(grey + (images - grey) * each([0.0, 0.5, 1.5]), 0, 255)
    np.testing.assert_allclose(found, expected, atol=0.05)
    np.testing.assert_allclose(found[0, ..., 0], found[0, ..., 1], atol=1e-3)


def test_grayscale_takes_all_colours(images):
    found = apply(images, {"grayscale": [1.0, 0.0, 1.0]})
    np.testing.assert_allclose(found[1], images[1], atol=1e-3)
    np.testing.assert_allclose(found[2], np.repeat((images[2] @ LUMA)[..., None], 3, -1), atol=0.05)


def test_hue_turns_colours_and_keeps_lightness(images):
    images = 110 + images / 10  # Nothing is cut.
    found = apply(images, {"hue": [0.0, 0.25, -0.1]})
    np.testing.assert_allclose(found[0], images[0], atol=1e-3)
    np.testing.assert_allclose(found @ LUMA, images @ LUMA, atol=0.1)
    red = np.full((1, 1, 1, 3), [180.0, 60, 60], "float32")
    turned = apply(red, {"hue": [1 / 3]})[0, 0, 0] / 255
    assert colorsys.rgb_to_hsv(*turned)[0] == pytest.approx(1 / 3, abs=0.06)


def test_gamma_bends_the_range(images):
    found = apply(images, {"gamma": [0.5, 1.0, 2.0]})
    np.testing.assert_allclose(found, 255 * (images / 255) ** each([0.5, 1.0, 2.0]), atol=1e-2)


def test_changes_follow_each_other_in_the_documented_order(images):
    changes = {
        "brightness": [0.1, 0.0, -0.1],
        "contrast": [0.7, 1.2, 1.0],
        "saturation": [0.5, 1.3, 1.0],
        "hue": [0.05, 0.0, -0.05],
        "gamma": [1.2, 0.8, 1.0],
    }
    expected = images
    for name, values in changes.items():
        expected = apply(expected, {name: values})
    np.testing.assert_allclose(apply(images, changes), expected, atol=0.1)


def test_logit_space_is_fastais(images):
    found = apply(
        images, {"brightness": [0.2, 0.0, -0.2], "contrast": [1.0, 1.2, 0.8]}, space="logit"
    )
    logits = np.log(images / 255 / (1 - images / 255))
    middle = each([0.6, 0.5, 0.4])
    moved = (logits + np.log(middle / (1 - middle))) * each([1.0, 1.2, 0.8])
    np.testing.assert_allclose(found, 255 / (1 + np.exp(-moved)), atol=0.05)
    extremes = np.array([0.0, 255.0], "float32").reshape(1, 1, 2, 1)
    np.testing.assert_allclose(
        apply(extremes, {"brightness": [0.3]}, space="logit"), extremes, atol=0.01
    )


def test_value_range(images):
    small = apply(images / 255, {"brightness": [0.1] * 3, "gamma": [1.5] * 3}, value_range=(0, 1))
    large = apply(images, {"brightness": [0.1] * 3, "gamma": [1.5] * 3})
    np.testing.assert_allclose(small * 255, large, atol=1e-2)


def test_drawn_values_and_probabilities():
    images = np.zeros((600, 2, 2, 3), "float32")
    layer = RandomColor(
        brightness=0.2, contrast=(0.5, 2.0), gamma=1.0, grayscale=0.3,
        probability={"brightness": 0.5}, seed=0,
    )  # fmt: skip
    drawn = layer.get_random_transformation(images)
    drawn = {name: ops.convert_to_numpy(values) for name, values in drawn.items()}
    assert 0.4 < (drawn["brightness"] != 0).mean() < 0.6
    assert 0.19 < np.abs(drawn["brightness"]).max() <= 0.2
    assert 0.5 <= drawn["contrast"].min() < 0.55 < 1.9 < drawn["contrast"].max() <= 2.0
    assert 0.5 <= drawn["gamma"].min() < 0.52 < 1.9 < drawn["gamma"].max() <= 2.0
    assert 0.24 < drawn["grayscale"].mean() < 0.36
    assert "hue" not in drawn


def test_every_way_gives_the_same_picture(images):
    from keras_practical.augment import color

    matrices = np.random.default_rng(1).normal(size=(3, 3, 4)).astype("float32")
    gamma = ops.convert_to_tensor(np.array([0.5, 1.0, 2.0], "float32"))
    tensor = ops.convert_to_tensor(images)
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the other way is TensorFlow's")
    matrices = ops.convert_to_tensor(matrices)
    with_opencv = color._apply_with_opencv(tensor, matrices, gamma, value_range=(0.0, 255.0))
    with_ops = color._apply_with_ops(tensor, matrices, gamma, value_range=(0.0, 255.0))
    np.testing.assert_allclose(with_opencv.numpy(), with_ops.numpy(), atol=0.02)


def test_same_seed_gives_same_pictures(images):
    def run(seed):
        layer = RandomColor(brightness=0.2, hue=0.1, grayscale=0.5, seed=seed)
        return ops.convert_to_numpy(layer(images, training=True))

    np.testing.assert_array_equal(run(5), run(5))
    assert np.abs(run(5) - run(6)).mean() > 1


def test_inference_leaves_pictures_alone(images):
    layer = RandomColor(brightness=0.2, space="logit")
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(images, training=False)), images)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "uint8"])
def test_types(images, dtype):
    found = RandomColor(brightness=(0.1, 0.1), dtype=dtype)(ops.cast(images, dtype), training=True)
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    found = ops.convert_to_numpy(ops.cast(found, "float32"))
    np.testing.assert_allclose(found, images + 25.5, atol=1.6)


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_other_numbers_of_channels(channels):
    images = np.random.default_rng(0).uniform(80, 120, (2, 4, 4, channels)).astype("float32")
    found = ops.convert_to_numpy(
        RandomColor(brightness=(0.1, 0.1), contrast=(2, 2))(images, training=True)
    )
    mean = images.mean((1, 2), keepdims=True)
    np.testing.assert_allclose(found, mean + 2 * (images - mean) + 25.5, atol=0.01)


def test_single_picture_and_saving(images, tmp_path):
    layer = RandomColor(contrast=0.3, saturation=0.2, probability={"contrast": 0.9}, seed=1)
    model = keras.Sequential([keras.Input((8, 10, 3)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].get_config() == layer.get_config()
    one = ops.convert_to_numpy(RandomColor(contrast=0.3, seed=1)(images[0], training=True))
    many = ops.convert_to_numpy(RandomColor(contrast=0.3, seed=1)(images[:1], training=True))
    np.testing.assert_array_equal(one, many[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"brightness": 2}, "`brightness` must be a number or a .low, high. pair, within -1 to 1"),
        ({"contrast": -2}, "`contrast` .* within 0 to 100"),
        ({"hue": (0.4, 0.6)}, "`hue` .* within -0.5 to 0.5"),
        ({"gamma": -1}, "`gamma` must be a number from 0 to 10"),
        ({"grayscale": 2}, "`grayscale` must be a number from 0 to 1"),
        ({"space": "hsv"}, "`space` must be one of 'linear', 'logit'"),
        ({"space": "logit", "contrast": 1.0}, "`contrast` must be < 1"),
        ({"value_range": (1, 0)}, "`value_range` must be"),
        ({"probability": {"flip": 1}}, "`probability` must be one of 'brightness'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandomColor(**arguments)


def test_colours_of_grey_pictures_are_refused():
    with pytest.raises(ValueError, match="need images of three channels"):
        RandomColor(hue=0.1)(np.zeros((1, 4, 4, 1), "float32"), training=True)


def test_contrast_in_logit_space_fills_its_range():
    images = np.zeros((600, 2, 2, 3), "float32")
    for given, low, high in ((0.2, 0.8, 1.25), ((0.9, 2.0), 0.9, 2.0)):
        layer = RandomColor(contrast=given, space="logit", seed=0)
        drawn = ops.convert_to_numpy(layer.get_random_transformation(images)["contrast"])
        np.testing.assert_allclose([drawn.min(), drawn.max()], [low, high], atol=0.02)
        again = RandomColor.from_config(layer.get_config())
        assert again.contrast == layer.contrast
