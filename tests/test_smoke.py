"""Thirty quick checks of everything: what `.ci/versions` runs on the oldest and newest Keras."""

import keras
import numpy as np
import pytest
from tiny import blobs, tiny_backbone, tiny_data

import keras_practical as kp

pytestmark = pytest.mark.smoke


@pytest.fixture(scope="module")
def digits():
    return kp.load_images("digits", batch_size=64, verbose=False)


@pytest.fixture
def model():
    return kp.transfer.classifier(tiny_backbone(), 3, seed=0)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Lion", "RMSprop", "SGD", "Nadam"])
def test_one_cycle(name):
    options = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])
    optimizer = getattr(keras.optimizers, name)(1e-3, **options)
    model.compile(optimizer, "sparse_categorical_crossentropy", steps_per_execution=2)
    inputs, labels = np.ones((32, 4), "float32"), np.arange(32) % 2
    cycle = kp.OneCycle(1e-2)
    history = model.fit(inputs, labels, batch_size=8, epochs=2, verbose=0, callbacks=[cycle])
    np.testing.assert_allclose(history.history["learning_rate"], cycle.learning_rates[[3, 7]])


def test_find_lr(model):
    before = model.get_weights()
    assert len(kp.find_lr(model, tiny_data(), steps=20, verbose=False).losses)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_layerwise(model):
    kp.transfer.unfreeze(model)
    model.compile(kp.training.layerwise(keras.optimizers.AdamW(1e-3), model), model.loss)
    history = model.fit(*tiny_data(), verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize("preset", ["light", "standard", "strong", "documents", "top_down"])
def test_augmentation(preset, tmp_path):
    layers = getattr(kp.augment, preset)(seed=0)
    model = kp.transfer.classifier(tiny_backbone(), 3, augmentation=layers, seed=0)
    images, labels = tiny_data()
    model.fit(images, labels, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        again.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-5
    )
    plain = kp.augment.without_augmentation(model)
    np.testing.assert_allclose(
        plain.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-5
    )


def test_mixing(model):
    history = model.fit(*tiny_data(), verbose=0, callbacks=[kp.callbacks.BatchMixing()])
    assert np.isfinite(history.history["loss"]).all()


def test_load_images(digits):
    images, labels = next(iter(digits.train))
    assert images.shape == (64, 8, 8, 3)
    assert labels.shape == (64,)


@pytest.mark.parametrize("augmentation", [None, "digits"])
def test_fine_tune(digits, augmentation):
    layers = kp.augment.digits(seed=0) if augmentation else None
    model = kp.transfer.classifier(tiny_backbone(), digits.class_names, augmentation=layers, seed=0)
    history = kp.transfer.fine_tune(
        model,
        digits.train,
        validation_data=digits.validation,
        frozen_epochs=1,
        epochs=1,
        max_learning_rate="auto",
        verbose=0,
    )
    assert history.epoch == [0, 1]


def test_backup_and_restore(model, tmp_path):
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    history = kp.transfer.fine_tune(
        model, tiny_data(), frozen_epochs=1, epochs=1, callbacks=[backup], verbose=0
    )
    assert history.epoch == [0, 1]


def test_embed_and_probe(digits, tmp_path):
    found = kp.embed(tiny_backbone(), digits.validation, cache_dir=tmp_path, verbose=False)
    again = kp.embed(tiny_backbone(), digits.validation, cache_dir=tmp_path, verbose=False)
    assert (found.computed, again.computed) == (len(found), 0)
    assert kp.transfer.fit_probe(found).predict_proba(found.features).shape == (len(found), 10)


def test_linear_probe_saved_and_loaded(tmp_path):
    data = tiny_data(n=60)
    probe = kp.linear_probe(tiny_backbone(), data, strength=1.0, verbose=False)
    probe.save(tmp_path / "probe.keras")
    again = keras.models.load_model(tmp_path / "probe.keras")
    assert kp.evaluate(again, data, verbose=False).accuracy > 0.9


def test_evaluate_compare_and_calibrate(model):
    data = tiny_data(n=60)
    assert kp.evaluate(model, data, tta="flip", verbose=False).n == 60
    assert str(kp.compare(model, model, data, verbose=False))
    assert kp.evaluation.temperature_scaled(model, data, verbose=False).output_shape == (None, 3)
    assert kp.transfer.ensemble([model, model]).output_shape == (None, 3)


def test_cross_validate():
    found = kp.cross_validate(kp.transfer.fit_probe, blobs(), folds=2, verbose=False)
    assert found.accuracy > 0.5


def test_interpret_and_look(model, digits):
    images, _ = tiny_data()
    assert kp.grad_cam(model, images[0]).heat.shape == (8, 8)
    heat = kp.occlusion(model, images[0], patch_pixels=4, stride_pixels=4, verbose=False)
    assert heat.heat.shape == (8, 8)
    assert str(kp.interpret(model, tiny_data(n=60), verbose=False))


def test_audit_and_label_errors():
    assert len(kp.label_errors(blobs(), strength=1.0, verbose=False)) < 200


def test_resized(model):
    assert kp.resized(model, 16).input_shape == (None, 16, 16, 3)


def test_detection():
    images = [np.full((64, 64, 3), 20 * number, "uint8") for number in range(9)]
    annotated = [
        kp.detection.AnnotatedImage(image, np.array([[8, 8, 40, 40]]), [0], 64, 64)
        for image in images
    ]
    data = kp.detection.DetectionData(tuple(annotated), ("thing",))
    model = kp.detection.build("MobileNetV2", data, weights=None, verbose=False, seed=0)
    kp.detection.fine_tune(model, data, epochs=1, steps=1, batch_size=1, verbose=0)
    assert kp.detection.detect(model, images[0], verbose=False) is not None


def test_text():
    words = ("good and fine", "bad and poor")
    texts = [f"{words[number % 2]} number {number}" for number in range(40)]
    data = kp.text.load_texts((texts, [0, 1] * 20), verbose=False)
    model = kp.text.baseline(data.train)
    assert model.predict_proba(["fine"]).shape == (1, 2)


def test_characters():
    data = kp.text.character_datasets("abcd " * 400, sequence_length=10, batch_size=4)
    assert data.vocabulary.size > 4


def test_scans():
    encoder = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3)])
    model = kp.scans.classifier(encoder, 2, seed=0)
    assert model.predict(np.zeros((1, 3, 8, 8, 1), "float32"), verbose=0).shape == (1, 2)
