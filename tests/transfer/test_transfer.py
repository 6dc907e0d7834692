import re

import keras
import numpy as np
import pytest
from linear_training import cycle
from tiny import tiny_backbone, tiny_data, weights_by_layer

from keras_practical import LRFinderResult, find_lr, transfer
from keras_practical.models.losses import SmoothedSparseCategoricalCrossentropy
from keras_practical.transfer.rates import supported_rate

# Also run on JAX.
pytestmark = pytest.mark.any_backend


def tiny_classifier(**options):
    return transfer.classifier(tiny_backbone(), 3, seed=0, **options)


def test_classifier_is_a_plain_keras_model_that_loads_without_this_package(tmp_path):
    model = tiny_classifier(augmentation=keras.layers.RandomFlip(), head="mlp")
    images, labels = tiny_data()
    transfer.fine_tune(model, (images, labels), epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert "keras_practical" not in model.to_json()
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(loaded.predict(images, verbose=0), expected, atol=1e-6)


def test_classifier_takes_uint8_and_float_alike():
    model = tiny_classifier()
    images, _ = tiny_data()
    as_bytes = model.predict(images, verbose=0)
    np.testing.assert_allclose(model.predict(images.astype("float32"), verbose=0), as_bytes)
    np.testing.assert_allclose(as_bytes.sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("head", "units"), [("linear", 6 * 3 + 3), ("mlp", 12 * 4 + 12 * 512 + 512 * 4 + 512 * 3 + 3)]
)
def test_classifier_heads_have_the_expected_parameters(head, units):
    name, _, count, _ = transfer.summary(tiny_classifier(head=head)).rows[-1]
    assert (name, count) == ("head", units)


def test_classifier_linear_head_is_pooling_and_softmax():
    model = tiny_classifier()
    images, _ = tiny_data()
    features = model.get_layer("tiny").predict(images, verbose=0).mean(axis=(1, 2))
    kernel, bias = model.get_layer("probabilities").get_weights()
    logits = features @ kernel + bias
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=1e-4)


@pytest.mark.parametrize("shape", [(16,), (5, 16)])
def test_classifier_takes_backbones_that_give_vectors(shape):
    flat = 16 if len(shape) == 1 else 80
    layers = [keras.layers.Flatten(), keras.layers.Dense(flat), keras.layers.Reshape(shape)]
    backbone = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    for head in ("linear", "mlp"):
        assert transfer.classifier(backbone, 3, head=head).output_shape == (None, 3)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_classifier_gives_float32_probabilities_under_mixed_precision(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = tiny_classifier()
        images, labels = tiny_data()
        transfer.fine_tune(model, (images, labels), epochs=1, verbose=0)
        assert model.output.dtype == "float32"
        assert model.predict(images, verbose=0).dtype == "float32"
    finally:
        keras.config.set_dtype_policy(before)


def test_classifier_augments_in_training_only():
    shift = keras.layers.RandomBrightness((0.5, 0.5), value_range=(0, 255))
    model, plain = tiny_classifier(augmentation=[shift]), tiny_classifier()
    images, _ = tiny_data()
    expected = plain.predict(images, verbose=0)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=1e-5)
    trained = keras.ops.convert_to_numpy(model(images, training=True))
    assert np.abs(trained - expected).max() > 1e-3


def test_classifier_same_seed_same_weights():
    first, second = (tiny_classifier(head="mlp").get_weights() for _ in range(2))
    other = transfer.classifier(tiny_backbone(), 3, head="mlp", seed=1).get_weights()
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_classifier_smooths_labels_when_asked():
    loss = tiny_classifier(label_smoothing=0.1).loss
    assert isinstance(loss, SmoothedSparseCategoricalCrossentropy)
    assert loss.label_smoothing == 0.1
    assert tiny_classifier().loss == "sparse_categorical_crossentropy"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_names": ["one"]}, "`class_names` must be a whole number >= 2"),
        ({"head": "deep"}, "`head` must be one of 'linear', 'mlp'. Received: head='deep'"),
        ({"dropout": 1.5}, "`dropout` must be a number from 0"),
        ({"label_smoothing": -0.1}, "`label_smoothing` must be a number from 0"),
        ({"backbone": "MobileNetV9"}, "`backbone` must be one of .*MobileNetV2"),
        ({"backbone": keras.layers.Dense(1)}, "a keras.Model of .* Received: Dense"),
        ({"preprocessing": "tf"}, "`preprocessing` must be one of 'none'"),
        ({"image_size": 0}, "`image_size` must be a whole number"),
    ],
)
def test_classifier_names_the_bad_argument(arguments, message):
    arguments = {"backbone": tiny_backbone(), "class_names": 3, **arguments}
    with pytest.raises(ValueError, match=message):
        transfer.classifier(arguments.pop("backbone"), arguments.pop("class_names"), **arguments)


def test_classifier_refuses_a_backbone_that_does_not_take_images():
    backbone = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"one batch of images.*\(None, 4\)"):
        transfer.classifier(backbone, 2)


def test_fine_tune_trains_the_head_first_and_then_everything():
    model, frozen = tiny_classifier(), []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            frozen.append((epoch, transfer.summary(self.model).trainable_count))

    before = weights_by_layer(model.get_layer("tiny"))
    history = transfer.fine_tune(
        model, tiny_data(), frozen_epochs=2, epochs=1, callbacks=[Watch()], verbose=0
    )
    assert frozen == [(0, 21), (1, 21), (2, 503)]
    assert history.epoch == [0, 1, 2]
    assert {len(values) for values in history.history.values()} == {3}
    after = weights_by_layer(model.get_layer("tiny"))
    moved = {path for path in before if not np.array_equal(before[path], after[path])}
    assert {path.split("/")[-2] for path in moved} == {"early", "middle", "late"}


def test_fine_tune_leaves_a_frozen_backbone_alone():
    model = tiny_classifier()
    before = weights_by_layer(model.get_layer("tiny"))
    transfer.fine_tune(model, tiny_data(), frozen_epochs=2, epochs=0, verbose=0)
    for path, value in weights_by_layer(model.get_layer("tiny")).items():
        np.testing.assert_array_equal(value, before[path])


def test_fine_tune_steps_by_group_equal_numpy():
    """With plain SGD, each group moves by its own rate times the gradient, to 1e-5."""
    model = tiny_classifier(dropout=0.0)
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    images, labels = tiny_data(n=8)
    before = weights_by_layer(model)
    transfer.fine_tune(
        model, (images, labels), frozen_epochs=0, epochs=1, max_learning_rate=0.25, verbose=0
    )
    after = weights_by_layer(model)

    # The same single step, its gradient taken from a copy that moves at rate 1.
    twin = tiny_classifier(dropout=0.0)
    transfer.unfreeze(twin)
    twin.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
    twin.fit(images, labels, batch_size=8, shuffle=False, verbose=0)
    unit = weights_by_layer(twin)
    rate = cycle(1, 0.25)[0]
    scale = {"early": 0.001, "middle": 0.001 * 10**0.5, "late": 0.01, "probabilities": 1.0}
    for path, start in before.items():
        layer = path.split("/")[-2]
        expected = start + (unit[path] - start) * rate * scale.get(layer, 1.0)
        np.testing.assert_allclose(after[path], expected, atol=1e-6, err_msg=path)


def test_fine_tune_runs_one_cycle_in_each_phase():
    model = tiny_classifier()
    history = transfer.fine_tune(
        model, tiny_data(n=64), frozen_epochs=2, epochs=3, max_learning_rate=0.01, verbose=0
    )
    frozen = cycle(4, 0.1)[[1, 3]]
    thawed = cycle(6, 0.01)[[1, 3, 5]]
    np.testing.assert_allclose(history.history["learning_rate"], [*frozen, *thawed], rtol=1e-5)


def test_fine_tune_auto_takes_the_finders_rate_and_says_so(capsys):
    model = tiny_classifier(dropout=0.0)
    images, labels = tiny_data(n=96)
    found = find_lr(model, (images, labels), verbose=False).learning_rate
    history = transfer.fine_tune(
        model,
        (images, labels),
        frozen_epochs=1,
        epochs=1,
        max_learning_rate="auto",
        views=0,
        verbose=2,
    )
    out = capsys.readouterr().out
    rate = float(re.search("learning rate ([^:]+): the finder's valley", out)[1])
    assert rate == pytest.approx(found, rel=0.9)  # Another order of the pictures.
    peaks = [float(peak) for peak in re.findall(r"one cycle up to (\S+)", out)]
    assert peaks == pytest.approx([rate, rate / 10], rel=0.05)
    last = [cycle(3, peak)[2] for peak in peaks]
    np.testing.assert_allclose(history.history["learning_rate"], last, rtol=1e-4)


def test_fine_tune_auto_searches_among_all_layers_without_a_frozen_phase(capsys):
    images, labels = tiny_data(n=96)
    transfer.fine_tune(
        tiny_classifier(dropout=0.0),
        (images, labels),
        frozen_epochs=0,
        epochs=1,
        max_learning_rate="auto",
        verbose=2,
    )
    out = capsys.readouterr().out
    rate = float(re.search("fine_tune: learning rate ([^:]+): ", out)[1])
    assert float(re.search(r"up to (\S+) for the head", out)[1]) == pytest.approx(rate, rel=0.05)


def curve(losses):
    rates = np.geomspace(1e-7, 10, 101)[:-1]
    return LRFinderResult.of(rates, np.array(losses, "float64")[None], seconds=0.0)


def test_fine_tune_auto_lowers_the_default_to_what_an_unclear_curve_supports():
    # Flat up to 1e-3, above its start from there on; 1e-2 / 2^4 is the first below.
    rates = curve(np.ones(100)).learning_rates
    result = curve(np.where(rates < 1e-3, 1.0, 1.5))
    assert result.learning_rate is None
    rate, reason = supported_rate(result, 1e-2)
    assert rate == pytest.approx(1e-2 / 2**4)
    assert "lowered" in reason
    assert supported_rate(curve(np.ones(100)), 1e-2)[0] == 1e-2


def test_fine_tune_auto_refuses_to_train_where_every_rate_explodes():
    with pytest.raises(ValueError, match=r"found no rate to train with: the loss exploded after 2"):
        supported_rate(curve([1.0, 9.0, *[np.nan] * 98]), 1e-2)


def test_fine_tune_keeps_the_kind_of_optimizer_and_its_own_rate(tmp_path):
    model = tiny_classifier()
    model.compile(keras.optimizers.AdamW(0.02, weight_decay=0.3), "sparse_categorical_crossentropy")
    transfer.fine_tune(model, tiny_data(), epochs=1, verbose=0)
    assert type(model.optimizer) is keras.optimizers.AdamW
    assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(0.02)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for kept, saved in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(kept.numpy(), saved.numpy())


def test_fine_tune_interrupted_leaves_a_usable_model(tmp_path):
    class CtrlC(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    model = tiny_classifier()
    with pytest.raises(KeyboardInterrupt):
        transfer.fine_tune(model, tiny_data(), callbacks=[CtrlC()], verbose=0)
    assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(1e-3)
    model.save(tmp_path / "model.keras")
    images, labels = tiny_data()
    model.fit(images, labels, verbose=0)
    assert model.predict(images, verbose=0).shape == (24, 3)


def test_fine_tune_stops_when_a_callback_says_so():
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    history = transfer.fine_tune(
        tiny_classifier(), tiny_data(), frozen_epochs=3, epochs=3, callbacks=[Stop()], verbose=0
    )
    assert history.epoch == [0]


def test_fine_tune_takes_a_data_set_and_validates_on_another():
    tf = pytest.importorskip("tensorflow")
    images, labels = tiny_data()
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)
    history = transfer.fine_tune(
        tiny_classifier(), dataset, validation_data=dataset, frozen_epochs=1, epochs=1, verbose=0
    )
    assert len(history.history["val_accuracy"]) == 2


def test_fine_tune_learns():
    model = tiny_classifier()
    images, labels = tiny_data(n=96)
    transfer.fine_tune(
        model,
        (images, labels),
        epochs=20,
        max_learning_rate=0.02,
        backbone_multiplier=1.0,
        verbose=0,
    )
    new_images, new_labels = tiny_data(n=96, seed=1)
    assert (model.predict(new_images, verbose=0).argmax(axis=1) == new_labels).mean() > 0.9


def test_fine_tune_says_what_it_does(capsys):
    transfer.fine_tune(tiny_classifier(), tiny_data(), frozen_epochs=1, epochs=1, verbose=2)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("fine_tune")]
    assert lines[0] == (
        "fine_tune: pretrained: 'tiny' (5 layers); new: 'probabilities' (the nested model; else "
        "say backbone=)"
    )
    assert lines[1] == "fine_tune: the head trains on features that were computed once"
    assert lines[2] == (
        "fine_tune: 1 epoch of the head, 21 of 535 parameters (2 BatchNormalization layers stay "
        "in inference mode), one cycle up to 0.01"
    )
    assert lines[3] == (
        "fine_tune: 1 epoch of all layers, 503 of 535 parameters (2 BatchNormalization layers stay "
        "in inference mode), one cycle up to 0.0001, gently, as how good its head is isn't known"
    )
    assert lines[4] == "fine_tune: with validation_data it would say what this brought"


def test_a_rate_of_ones_own_is_the_heads(capsys):
    transfer.fine_tune(
        tiny_classifier(),
        tiny_data(),
        frozen_epochs=0,
        epochs=1,
        max_learning_rate=1e-3,
        verbose=2,
    )
    out = capsys.readouterr().out
    assert "one cycle up to 0.001 for the head, 1e-06 for the earliest layers\n" in out


@pytest.mark.parametrize(
    "arguments",
    [
        {"epochs": -1},
        {"frozen_epochs": 1.5},
        {"max_learning_rate": 0},
        {"frozen_learning_rate": 0},
        {"backbone_multiplier": 0},
    ],
)
def test_fine_tune_names_the_bad_argument(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        transfer.fine_tune(tiny_classifier(), tiny_data(), **arguments)


def test_fine_tune_needs_a_compiled_model():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="must be compiled"):
        transfer.fine_tune(model, tiny_data())
