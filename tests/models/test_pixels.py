"""What networks of keras.applications expect of their pixels, and what they get."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

import keras_practical as kp
from keras_practical.models.backbones import BACKBONES, architecture_of
from keras_practical.models.opening import open_backbone
from keras_practical.models.pixels import expected_preprocessing, warn_of_pixels

pytestmark = pytest.mark.any_backend
# One of each family; the others have the same layers' names.
FAMILIES = [
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "MobileNetV3Large",
    "NASNetMobile",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "Xception",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_architecture_is_known_by_its_layers_whatever_it_is_called(name):
    network = getattr(keras.applications, name)(
        weights=None, include_top=False, input_shape=(96, 96, 3)
    )
    network.name = "renamed"
    row = architecture_of(keras.Sequential([keras.Input((96, 96, 3)), network]))
    assert row.preprocessing == BACKBONES[name].preprocessing
    assert row.group_starts == BACKBONES[name].group_starts
    assert open_backbone(network).preprocessing == BACKBONES[name].preprocessing


def test_a_network_of_ones_own_is_no_architecture():
    network = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3, name="block1_conv1")])
    assert architecture_of(network) is None
    assert expected_preprocessing(network) is None
    assert open_backbone(network).preprocessing == "none"


def mobilenet():
    return keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(96, 96, 3))


def test_scaling_that_is_there_already_is_seen():
    network = mobilenet()
    inputs = keras.Input((96, 96, 3))
    by_layer = keras.Model(inputs, network(layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)))
    by_arithmetic = keras.Model(inputs, network(inputs / 127.5 - 1.0))
    assert expected_preprocessing(network) == ("MobileNetV2", "minus_one_to_one")
    assert expected_preprocessing(by_layer) == ("MobileNetV2", "none")
    assert expected_preprocessing(by_arithmetic) == ("MobileNetV2", "none")


def test_classifier_on_an_object_scales_as_on_its_name():
    images = np.random.default_rng(0).integers(0, 255, (2, 96, 96, 3)).astype("float32")
    by_name = kp.transfer.classifier("MobileNetV2", 2, image_size=96, weights=None, seed=0)
    network = mobilenet()
    network.set_weights(by_name.get_layer("MobileNetV2").get_weights())
    by_object = kp.transfer.classifier(network, 2, seed=0)
    np.testing.assert_allclose(
        by_object.predict(images, verbose=0), by_name.predict(images, verbose=0), atol=1e-5
    )


@pytest.mark.parametrize(
    ("factor", "offset", "right"), [(1.0, 0.0, False), (1 / 255, 0.0, False), (1 / 127.5, -1, True)]
)
def test_pretrained_weights_that_get_other_pixels_are_warned_of(factor, offset, right):
    network = mobilenet()
    # As if trained: another distribution than the initializer's.
    network.get_layer("Conv1").kernel.assign_add(np.full((3, 3, 3, 32), 0.5))
    images = np.random.default_rng(0).integers(0, 255, (4, 96, 96, 3)) * factor + offset
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        warn_of_pixels(network, images, what="embed")
    texts = [str(each.message) for each in caught if each.category is UserWarning]
    assert bool(texts) is not right
    assert right or "expect pixels in [-1, 1]" in texts[0]


def test_embed_of_an_object_gives_the_features_that_its_weights_were_made_for():
    network = mobilenet()
    images = np.random.default_rng(0).integers(0, 255, (3, 96, 96, 3)).astype("float32")
    labels = np.array([0, 1, 0])
    found = kp.embed(network, (images, labels), verbose=False).features
    maps = keras.ops.convert_to_numpy(network(images / 127.5 - 1.0, training=False))
    np.testing.assert_allclose(found, maps.mean((1, 2)), rtol=1e-3, atol=1e-4)
    scaled = kp.embed(network, (images / 127.5 - 1.0, labels), verbose=False).features
    np.testing.assert_allclose(scaled, found, rtol=1e-3, atol=1e-4)


def test_what_was_assumed_is_said(capsys):
    images = np.random.default_rng(0).integers(0, 255, (2, 96, 96, 3)).astype("float32")
    kp.transfer.classifier(mobilenet(), 2, seed=0)
    kp.embed(mobilenet(), (images, np.array([0, 1])))
    lines = [line for line in capsys.readouterr().out.splitlines() if "MobileNetV2 by its" in line]
    assert [line.split(":")[0] for line in lines] == ["classifier", "embed"]
    kp.transfer.classifier(mobilenet(), 2, preprocessing="none", seed=0)
    assert "MobileNetV2" not in capsys.readouterr().out
