"""Keras's own test of a layer on every registered one; losses and schedules through files."""

import importlib
import pkgutil

import keras
import numpy as np
import pytest
from keras.src.testing import TestCase

import keras_practical as kp
from keras_practical.detection.outputs import HeatmapLoss, OffsetLoss, SizeLoss
from keras_practical.models.losses import SmoothedSparseCategoricalCrossentropy
from keras_practical.utils.keras_internals.layers import every_layer

pytestmark = pytest.mark.any_backend
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 255, (2, 8, 8, 3)).astype("float32")
MASKS = RNG.integers(0, 3, (2, 8, 8, 1)).astype("float32")

# For each registered layer: what it is made with, and each kind of input that it takes.
LAYERS = {
    "RandomGeometry": [
        ({"rotation": 20, "horizontal_flip": 0.5, "seed": 1}, {"input_data": IMAGES}),
        ({"zoom": 0.2, "image_size": 6, "seed": 1}, {"input_data": IMAGES}),
        (
            {"shear": 5, "data_format": "channels_first"},
            {"input_data": IMAGES.transpose(0, 3, 1, 2)},
        ),
    ],
    "RandomColor": [
        ({"brightness": 0.2, "saturation": 0.3, "hue": 0.1, "seed": 1}, {"input_data": IMAGES}),
        ({"gamma": 0.3, "space": "logit", "contrast": 0.2}, {"input_data": IMAGES}),
        ({"contrast": 0.2, "value_range": (0.0, 1.0)}, {"input_data": IMAGES / 255}),
    ],
    "RandomErasing": [({"factor": 0.5, "fill_value": 127.5, "seed": 1}, {"input_data": IMAGES})],
    "SlicesAsImages": [({"channels": 3}, {"input_shape": (2, 4, 8, 8, 1)})],
    "AttentionPooling": [
        ({"units": 5}, {"input_data": [RNG.random((8, 6), "float32"), np.zeros((2, 4, 8, 8, 1))]}),
    ],
    "RunningMean": [({}, {"input_shape": (2, 5, 3)})],
    "PieceWeights": [
        ({"input_dim": 9}, {"input_data": RNG.integers(0, 9, (2, 5)).astype("int32")})
    ],
    "ConcatPooling": [
        ({}, {"input_data": [RNG.random((2, 5, 3), "float32"), np.ones((2, 5), "float32")]}),
    ],
    "NextPiece": [({"vocabulary_size": 9, "negatives": 4}, {"input_shape": (2, 5, 4)})],
    "SubwordEmbedding": [
        (
            {"vocabulary": "made below", "output_dim": 4},
            {"input_data": RNG.integers(0, 9, (2, 5)).astype("int32")},
        ),
    ],
    "CharacterEmbedding": [
        (
            {"vocabulary": "abc", "output_dim": 4},
            {"input_data": RNG.integers(0, 4, (2, 5)).astype("int32")},
        ),
    ],
    "DetectionOutputs": [
        (
            {"class_names": ["a", "b"], "stride": 4, "smallest_pixels": 8, "largest_pixels": 64},
            {"input_shape": (2, 4, 4, 6)},
        ),
    ],
}
CASES = [
    pytest.param(name, *case, id=f"{name}-{number}")
    for name, cases in LAYERS.items()
    for number, case in enumerate(cases)
]


def registered(prefix="keras_practical>"):
    """Return all that this package registers with Keras, once everything is imported."""
    for module in pkgutil.walk_packages(kp.__path__, "keras_practical."):
        importlib.import_module(module.name)
    known = keras.saving.get_custom_objects()
    return {name.removeprefix(prefix): value for name, value in known.items() if prefix in name}


def test_every_registered_layer_has_a_case():
    layers = {
        value.__name__
        for name, value in registered().items()
        if issubclass(value, keras.layers.Layer) and not name.startswith("_")
    }
    assert layers == set(LAYERS) == set(kp.layers.__all__)


# Keras's test trains on a generator, of which it says that it can't be shuffled.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
@pytest.mark.parametrize(("name", "options", "inputs"), CASES)
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_layer_as_keras_tests_its_own(name, options, inputs, policy):
    if name == "SubwordEmbedding":
        words = ["a few words of a text"] * 9
        vocabulary = kp.text.build_vocabulary(words, size=30, verbose=False)
        options = {**options, "vocabulary": vocabulary}
    # Keras's test can't train on several inputs with TensorFlow.
    several = isinstance(inputs.get("input_data"), list)
    keras.mixed_precision.set_global_policy(policy)
    try:
        TestCase().run_layer_test(
            getattr(kp.layers, name),
            options,
            run_training_check=policy == "float32" and not several,
            run_mixed_precision_check=policy == "float32",
            **inputs,
        )
    finally:
        keras.mixed_precision.set_global_policy("float32")


LOSSES = {
    "smoothed": (SmoothedSparseCategoricalCrossentropy(0.1), np.array([0, 1]), (2, 3)),
    "heatmap": (HeatmapLoss(), RNG.random((2, 4, 4, 3), "float32"), (2, 4, 4, 2)),
    "size": (SizeLoss(), RNG.random((2, 4, 4, 3), "float32"), (2, 4, 4, 2)),
    "offset": (OffsetLoss(stride=4.0), RNG.random((2, 4, 4, 3), "float32"), (2, 4, 4, 2)),
}


@pytest.mark.parametrize("name", list(LOSSES))
def test_loss_survives_its_configuration(name):
    loss, labels, shape = LOSSES[name]
    outputs = RNG.random(shape, "float32")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    expected = float(keras.ops.convert_to_numpy(loss(labels, outputs)))
    assert np.isfinite(expected)
    assert float(keras.ops.convert_to_numpy(again(labels, outputs))) == pytest.approx(expected)


@pytest.mark.parametrize(
    "schedule",
    [
        kp.training.OneCycleSchedule(50, max_learning_rate=0.1),
        kp.training.FlatCosineSchedule(50, learning_rate=0.1),
        kp.training.CosineRestartsSchedule(50, max_learning_rate=0.1),
        kp.training.ThreePhaseSchedule(50, max_learning_rate=0.1),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_schedule_survives_a_saved_model(schedule, tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(schedule), "mse")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), batch_size=1, verbose=0)
    again.fit(np.ones((4, 2)), np.ones((4, 1)), batch_size=1, verbose=0)
    np.testing.assert_allclose(again.get_weights()[0], model.get_weights()[0], rtol=1e-6)


def test_augmentation_survives_a_copied_model():
    model = keras.Sequential([keras.Input((8, 8, 3)), *kp.augment.strong(seed=0)])
    copy = keras.models.clone_model(model)
    kinds = [type(layer) for layer in every_layer(copy, include_self=False)]
    assert kinds == [type(layer) for layer in every_layer(model, include_self=False)]
