import ast
import os
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest
from shared_data import keras_home

from keras_practical import transfer
from keras_practical.models import backbones
from keras_practical.models.freezing import groups_of_backbone

# The module of keras.applications in which each family lives.
MODULES = {
    "ConvNeXt": "convnext",
    "DenseNet": "densenet",
    "EfficientNetB": "efficientnet",
    "EfficientNetV2": "efficientnet_v2",
    "InceptionResNetV2": "inception_resnet_v2",
    "InceptionV3": "inception_v3",
    "MobileNetV2": "mobilenet_v2",
    "MobileNetV3": "mobilenet_v3",
    "NASNet": "nasnet",
    "ResNet": "resnet",
    "VGG": "vgg16",
    "Xception": "xception",
}
SMALLEST = [
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Large",
    "MobileNetV3Small",
    "NASNetMobile",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "Xception",
]
LARGEST = ["InceptionV3", "InceptionResNetV2", "NASNetLarge"]


def module_of(name):
    if name == "MobileNet":
        return keras.applications.mobilenet
    if name.startswith("ResNet") and name.endswith("V2"):
        return keras.applications.resnet_v2
    (module,) = (module for start, module in MODULES.items() if name.startswith(start))
    return getattr(keras.applications, module)


def test_table_has_every_keras_application():
    constructors = {name for name in dir(keras.applications) if name[0].isupper()}
    assert set(backbones.BACKBONES) == constructors


@pytest.mark.parametrize("name", sorted(backbones.BACKBONES))
def test_preprocessing_equals_keras(name):
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 4, 4, 3)).astype("float32")
    expected = module_of(name).preprocess_input(pixels.copy())
    result = pixels
    for layer in backbones.preprocessing_layers(backbones.BACKBONES[name].preprocessing):
        result = layer(result)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(result), expected, atol=1e-4)


@pytest.mark.parametrize("mode", ["none", "minus_one_to_one", "caffe", "torch"])
def test_preprocessing_is_part_of_the_saved_model(mode, tmp_path):
    backbone = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 3)])
    model = transfer.classifier(backbone, 2, preprocessing=mode)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype("uint8")
    expected = model.predict(pixels, verbose=0)
    np.testing.assert_allclose(loaded.predict(pixels, verbose=0), expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SMALLEST, *LARGEST])
def test_every_family_builds_is_cut_in_three_and_predicts(name):
    size = 96 if name not in LARGEST else 139
    model = backbones.build_backbone(name, image_size=(size, size), weights=None)
    groups = groups_of_backbone(model)
    assert model.name == name
    assert [layer for group in groups for layer in group] == model.layers
    parameters = [
        sum(int(np.prod(w.shape)) for layer in group for w in layer.weights) for group in groups
    ]
    assert len(groups) == 3
    assert all(parameters)
    outer = transfer.classifier(model, 2, preprocessing=backbones.BACKBONES[name].preprocessing)
    assert outer.predict(np.zeros((1, size, size, 3), "uint8"), verbose=0).shape == (1, 2)
    keras.utils.clear_session()


def test_mobilenet_v2_is_cut_before_blocks_6_and_13():
    model = backbones.build_backbone("MobileNetV2", image_size=(32, 32), weights=None)
    groups = groups_of_backbone(model)
    assert [group[0].name for group in groups[1:]] == ["block_6_expand", "block_13_expand"]


def test_default_size_of_each_backbone_builds():
    assert backbones.BACKBONES["EfficientNetB7"].default_size == 600
    assert backbones.BACKBONES["Xception"].default_size == 299
    model = transfer.classifier("MobileNetV3Small", 2, weights=None)
    assert model.input_shape == (None, 224, 224, 3)


def test_weights_from_a_file(tmp_path):
    first = backbones.build_backbone("MobileNetV3Small", image_size=(64, 64), weights=None)
    first.save_weights(tmp_path / "my.weights.h5")
    second = backbones.build_backbone(
        "MobileNetV3Small", image_size=(96, 96), weights=tmp_path / "my.weights.h5"
    )
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_file_that_is_not_there():
    with pytest.raises(ValueError, match=r"no weights file 'gone.h5'"):
        backbones.build_backbone("MobileNetV2", image_size=(64, 64), weights="gone.h5")


def test_weights_that_cannot_be_downloaded_say_how_to_go_on(monkeypatch, tmp_path):
    address = "https://example.org/keras/mobilenet_v2_no_top.h5"

    def constructor(**options):
        raise Exception(f"URL fetch failure on {address}: None -- [Errno -2] Name not known")

    constructor.__name__ = "MobileNetV2"
    monkeypatch.setattr(keras.applications, "MobileNetV2", constructor)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(RuntimeError) as caught:
        backbones.build_backbone("MobileNetV2", image_size=(224, 224))
    text = str(caught.value)
    assert str(tmp_path / "models" / "mobilenet_v2_no_top.h5") in text
    assert f"asked {address}." in text
    assert "KERAS_HOME" in text
    assert "weights=None" in text


def test_imagenet_weights_other_errors_pass_through(monkeypatch):
    def constructor(**options):
        raise MemoryError("too large")

    monkeypatch.setattr(keras.applications, "VGG16", constructor)
    with pytest.raises(MemoryError):
        backbones.build_backbone("VGG16", image_size=(224, 224))


@pytest.mark.real_data
def test_imagenet_weights_come_from_one_file_for_all_sizes():
    # KERAS_HOME is read when Keras is imported, hence the process of its own.
    code = (
        "import numpy as np, keras_practical as kp; "
        "build = kp.models.build_backbone; "
        "small, full = (build('MobileNetV2', image_size=(s, s)) for s in (160, 224)); "
        "assert small.input_shape == (None, 160, 160, 3); "
        "pairs = zip(small.get_weights(), full.get_weights(), strict=True); "
        "assert all(np.array_equal(a, b) for a, b in pairs); "
        "print(repr(full.get_layer('Conv1').get_weights()[0].ravel()[:3].tolist()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_HOME": str(keras_home())},
    )
    assert done.returncode == 0, done.stderr
    file = next((keras_home() / "models").glob("mobilenet_v2*_1.0_224_no_top.h5"))
    with h5py.File(file) as weights:
        expected = weights["Conv1/Conv1/kernel"][()].ravel()[:3].tolist()
    assert ast.literal_eval(done.stdout) == pytest.approx(expected)
