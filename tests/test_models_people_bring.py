"""Every helper on every shape of model that people bring: right, or a clear refusal."""

import keras
import numpy as np
import peoples_models
import pytest
from peoples_models import MODELS, data_for, images_and_labels, new_weights, pretrained_weights

import keras_practical as kp
from keras_practical.models.anatomy import anatomy_of

pytestmark = pytest.mark.any_backend
ALL = pytest.mark.parametrize("name", list(MODELS))
# No graph to take apart.
GRAPHLESS = {"subclassed"}


def moved(before, after):
    return {path for path in before if not np.array_equal(before[path], after[path])}


@ALL
def test_the_pretrained_part_is_known(name):
    model = MODELS[name]()
    anatomy = anatomy_of(model)
    seeds = {v.path for v in model.variables if "seed_generator" in v.path}
    pretrained = {v.path for layer in anatomy.backbone for v in layer.variables}
    new = {v.path for layer in anatomy.head for v in layer.variables} - seeds
    assert pretrained == set(pretrained_weights(model))
    assert new == {v.path for v in model.variables} - pretrained - seeds


@ALL
def test_fine_tune_leaves_what_is_frozen_and_trains_what_is_new(name, capsys):
    model, data = MODELS[name](), data_for(name)
    pretrained, new = pretrained_weights(model), new_weights(model)
    kp.transfer.fine_tune(model, data, frozen_epochs=1, epochs=0, verbose=2)
    assert moved(pretrained, pretrained_weights(model)) == set()
    assert moved(new, {v.path: np.asarray(v) for v in model.variables}) == set(new)
    assert "pretrained: " in capsys.readouterr().out
    kp.transfer.fine_tune(model, data, frozen_epochs=0, epochs=1, verbose=0)
    trained = moved(pretrained, pretrained_weights(model))
    assert any("_first/kernel" in path for path in trained)
    assert not any("_norm" in path for path in trained)


@ALL
def test_find_lr_searches_and_leaves_no_trace(name):
    model = MODELS[name]()
    before = model.get_weights()
    found = kp.find_lr(model, data_for(name), steps=20, verbose=False)
    assert np.isfinite(found.losses[0][:3]).all()
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@ALL
def test_one_cycle_and_layerwise_train(name):
    model, (inputs, labels) = MODELS[name](), data_for(name)
    kp.transfer.unfreeze(model)
    optimizer = kp.training.layerwise(keras.optimizers.SGD(0.1), model, earliest=1e-6)
    model.compile(optimizer, model.loss)
    before = pretrained_weights(model)
    new = new_weights(model)
    model.fit(inputs, labels, epochs=1, verbose=0, callbacks=[kp.OneCycle(0.1, momentum=None)])
    change = {
        path: np.abs(value - before[path]).max()
        for path, value in pretrained_weights(model).items()
        if "_first/kernel" in path
    }
    now = {v.path: np.asarray(v) for v in model.variables}
    largest = max(np.abs(now[path] - value).max() for path, value in new.items())
    assert max(change.values()) < 1e-3 * largest


@ALL
def test_embed_gives_features_and_not_probabilities(name):
    model, (images, labels) = MODELS[name](), images_and_labels()
    if name in GRAPHLESS:
        with pytest.raises(ValueError, match="no graph"):
            kp.embed(model, (images, labels), verbose=False)
        return
    found = kp.embed(model, (images, labels), verbose=False)
    base = model.get_layer("body").layers[0] if name.startswith("sequential") else None
    if base is None:
        names = [layer.name for layer in model.layers]
        if "pretrained" not in names:
            assert found.features.shape[1] > 2
            return
        base = model.get_layer("pretrained")
    given = images / 255.0 if name == "of_its_own_class" else images
    maps = keras.ops.convert_to_numpy(base(given, training=False))
    np.testing.assert_allclose(found.features, maps.mean((1, 2)), rtol=1e-4, atol=1e-5)


@ALL
def test_what_predicts_the_same_does(name):
    model, (images, _) = MODELS[name](), images_and_labels()
    makers = {
        "without_augmentation": kp.augment.without_augmentation,
        "with_temperature": lambda model: kp.evaluation.with_temperature(model, 1.0),
        "ensemble": lambda model: kp.transfer.ensemble([model, model]),
    }
    right = model.predict(images, verbose=0)
    for maker, make in makers.items():
        if name in GRAPHLESS or (name == "two_outputs" and maker != "without_augmentation"):
            with pytest.raises(ValueError, match=r"`model"):
                make(model)
            continue
        if name == "one_logit" and maker == "with_temperature":
            with pytest.raises(ValueError, match="must give probabilities"):
                make(model)
            continue
        found = make(model).predict(images, verbose=0)
        for output, expected in zip(
            keras.tree.flatten(found), keras.tree.flatten(right), strict=True
        ):
            np.testing.assert_allclose(output, expected, atol=1e-4)


def test_linear_probe_on_a_network_as_an_object():
    data = images_and_labels(40)
    probe = kp.linear_probe(peoples_models.network(), data, strength=1.0, verbose=False)
    assert kp.evaluate(probe, data, verbose=False).accuracy > 0.9


@ALL
def test_grad_cam_finds_a_map_or_says_what_is_missing(name):
    model, (images, _) = MODELS[name](), images_and_labels()
    if name == "of_its_own_class":
        with pytest.raises(ValueError, match="overrides predict_step"):
            kp.grad_cam(model, images[0])
        return
    if name in ("subclassed", "two_outputs"):
        with pytest.raises(ValueError, match="`model"):
            kp.grad_cam(model, images[0])
        return
    heat = kp.grad_cam(model, images[1])
    assert heat.heat.shape == (peoples_models.SIDE, peoples_models.SIDE)


def test_it_is_refused_where_it_is_not_clear():
    class Unordered(keras.Model):
        def __init__(self):
            super().__init__()
            self.out, self.conv = keras.layers.Dense(2), keras.layers.Conv2D(2, 3)
            self.flat = keras.layers.Flatten()

        def call(self, inputs):
            return self.out(self.flat(self.conv(inputs)))

    model = Unordered()
    model(np.zeros((1, 6, 6, 3), "float32"))
    model.compile("adam", "sparse_categorical_crossentropy")
    data = (np.zeros((4, 6, 6, 3), "float32"), np.array([0, 1, 0, 1]))
    trainable = [layer.trainable for layer in model.layers]
    optimizer = model.optimizer
    with pytest.raises(ValueError, match=r"isn't clear which part .* backbone="):
        kp.transfer.fine_tune(model, data, verbose=0)
    assert [layer.trainable for layer in model.layers] == trainable
    assert model.optimizer is optimizer
    kp.transfer.fine_tune(model, data, backbone="conv", frozen_epochs=1, epochs=0, verbose=0)


def test_new_layers_before_the_backbone_train_with_the_head():
    inputs = keras.Input((12, 12, 1))
    x = keras.layers.Conv2D(3, 3, padding="same", name="to_colours")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(peoples_models.network()(x))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax", name="out")(x))
    model.compile("sgd", "sparse_categorical_crossentropy")
    images, labels = images_and_labels()
    before, new = pretrained_weights(model), new_weights(model)
    kp.transfer.fine_tune(model, (images[..., :1], labels), frozen_epochs=1, epochs=0, verbose=0)
    assert moved(before, pretrained_weights(model)) == set()
    now = {v.path: np.asarray(v) for v in model.variables}
    assert moved(new, now) == set(new) >= {"to_colours/kernel"}


def test_what_was_told_by_the_weights_counts_in_both_phases():
    base = peoples_models.network()
    pooled = keras.layers.GlobalAveragePooling2D()(base.output)
    top = keras.layers.Dense(5, name="old_second")
    outputs = keras.layers.Dense(2, activation="softmax", name="out")(top(pooled))
    # A top that was trained with the network: its bias isn't the first one. By the structure
    # alone it would be new.
    top.bias.assign(np.arange(5) / 10)
    model = peoples_models.compiled(keras.Model(base.input, outputs))
    kernel = np.asarray(top.kernel).copy()
    kp.transfer.fine_tune(model, images_and_labels(), frozen_epochs=1, epochs=1, verbose=0)
    change = np.abs(np.asarray(top.kernel) - kernel).max()
    # Frozen, then at a hundredth of the head's rate: Adam's one step at 4e-5 of it is below 1e-6.
    assert 0 < change < 5e-6


def test_layers_frozen_by_hand_stay_frozen():
    model, data = MODELS["nested"](), images_and_labels()
    base = model.get_layer("pretrained")
    base.get_layer("pretrained_first").trainable = False
    before = pretrained_weights(model)
    kp.transfer.fine_tune(model, data, frozen_epochs=1, epochs=1, verbose=0)
    trained = moved(before, pretrained_weights(model))
    assert "pretrained_second/kernel" in trained
    assert not any("_first" in path for path in trained)


def test_kernels_under_lora_stay_frozen():
    model, data = MODELS["nested"](), images_and_labels()
    layer = model.get_layer("pretrained").get_layer("pretrained_second")
    layer.enable_lora(2)
    kernel = np.asarray(layer._kernel).copy()
    adapter = np.asarray(layer.lora_kernel_b).copy()
    model.compile("adam", "sparse_categorical_crossentropy")
    kp.transfer.fine_tune(model, data, frozen_epochs=1, epochs=1, verbose=0)
    np.testing.assert_array_equal(np.asarray(layer._kernel), kernel)
    assert not np.array_equal(np.asarray(layer.lora_kernel_b), adapter)


def test_refused_data_leave_the_model_as_it_was():
    model, (images, labels) = MODELS["nested"](), images_and_labels()
    flags = [layer.trainable for layer in model.layers]
    optimizer, weights = model.optimizer, model.get_weights()
    # Images of one channel, for a network of three.
    with pytest.raises(ValueError, match="expected axis -1 of input shape"):
        kp.transfer.fine_tune(model, (images[..., :1], labels), views=0, verbose=0)
    assert [layer.trainable for layer in model.layers] == flags
    assert model.optimizer is optimizer
    for old, new in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    kp.transfer.fine_tune(model, (images, labels), frozen_epochs=1, epochs=0, verbose=0)
