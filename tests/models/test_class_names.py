"""The names of the classes travel with the model, and labels count by them."""

import json
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

import keras_practical as kp
from keras_practical.models import class_names_of, classifier, ensemble

COLORS = {"cats": (220, 40, 40), "dogs": (40, 40, 220), "horses": (40, 220, 40)}


def knowing(names, size=8):
    """Return a classifier that tells COLORS apart, for sure."""
    network = keras.Sequential([keras.Input((size, size, 3)), keras.layers.AveragePooling2D(size)])
    model = classifier(network, names, image_size=size, seed=0, verbose=False)
    # What a mean colour has of each class's colour, less what all have.
    kernel = np.array([COLORS[name] for name in names], "float32").T / 2000
    bias = -np.array([np.square(COLORS[name]).sum() for name in names]) / 4000
    model.layers[-1].set_weights([kernel, bias])
    return model


def photos(root, names, n=4):
    rng = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir(parents=True)
        for k in range(n):
            pixels = np.clip(rng.normal(COLORS[name], 20, (8, 8, 3)), 0, 255)
            Image.fromarray(pixels.astype("uint8")).save(root / name / f"{k}.png")
    return root


def load(root, **options):
    return kp.load_images(root, image_size=8, validation_fraction=0, verbose=False, **options).train


@pytest.mark.any_backend
@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_names_survive_all_that_happens_to_a_model(head, tmp_path):
    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
    names = ["golden retriever", "Welpe, müde", "c++"]
    model = classifier(network, names, image_size=8, head=head, verbose=False)
    model.save(tmp_path / "pets.keras")
    loaded = keras.models.load_model(tmp_path / "pets.keras", compile=False)
    loaded.save(tmp_path / "again.keras")
    again = keras.models.load_model(tmp_path / "again.keras", compile=False)
    other = keras.models.clone_model(model)
    for some in (model, loaded, again, other, ensemble([model, other])):
        assert class_names_of(some) == tuple(names)
    # Without this package, and without Keras.
    with zipfile.ZipFile(tmp_path / "again.keras") as file:
        layers = json.loads(file.read("config.json"))["config"]["layers"]
    [layer] = [layer for layer in layers if layer["config"]["name"] == "class_names"]
    assert layer["config"]["noise_shape"] == names
    # The layer changes nothing, also while training.
    images = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    layer = model.get_layer("class_names")
    np.testing.assert_array_equal(layer(images, training=True), images)


@pytest.mark.any_backend
def test_numbers_are_no_names():
    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    for classes in (2, ["0", "1"]):
        assert class_names_of(classifier(network, classes, image_size=8, verbose=False)) is None
    assert class_names_of(network) is None


def test_models_of_other_classes_have_no_names_together():
    inputs = keras.Input((8, 8, 3))
    both = []
    for names in (["a", "b"], ["b", "a"]):
        network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()], name=names[0])
        both.append(classifier(network, names, image_size=8, verbose=False)(inputs))
    assert class_names_of(keras.Model(inputs, keras.layers.Average()(both))) is None


@pytest.mark.tf_only
@pytest.mark.parametrize("order", [("cats", "dogs", "horses"), ("horses", "cats", "dogs")])
def test_fewer_classes_in_another_order_are_judged_by_name(order, tmp_path):
    model = knowing(order)
    data = load(photos(tmp_path, ["dogs", "horses"]))
    result = kp.evaluate(model, data, verbose=False)
    assert result.accuracy == 1.0
    assert result.class_names == order
    assert dict(zip(order, result.class_counts, strict=True)) == {"cats": 0, "dogs": 4, "horses": 4}
    found = kp.interpret(model, data, verbose=False)
    assert (found.probabilities.argmax(1) == found.labels).all()
    assert [found.index.class_names[label] for label in found.labels] == ["dogs"] * 4 + [
        "horses"
    ] * 4
    tta = kp.predict_with_tta(model, data, "flip", verbose=False)
    assert (tta[0].argmax(1) == tta[1]).all()


@pytest.mark.tf_only
def test_classes_that_the_model_does_not_know_are_refused_or_passed_over(tmp_path):
    model = knowing(("cats", "dogs"))
    photos(tmp_path, ["dogs", "horses"])
    with pytest.raises(ValueError, match="the class 'horses', which the model doesn't know"):
        kp.evaluate(model, load(tmp_path), verbose=False)
    with pytest.warns(UserWarning, match="no train image of cats"):
        data = load(tmp_path, class_names=class_names_of(model))
    result = kp.evaluate(model, data, verbose=False)
    assert (result.accuracy, list(result.class_counts)) == (1.0, [0, 4])


@pytest.mark.tf_only
def test_names_that_are_given_count_by_number(tmp_path):
    model = knowing(("cats", "dogs"))
    data = load(photos(tmp_path, ["dogs", "horses"]))
    result = kp.evaluate(model, data, class_names=["one", "other"], verbose=False)
    assert result.class_names == ("one", "other")


@pytest.mark.tf_only
def test_models_in_another_order_are_not_compared_by_number(tmp_path):
    data = load(photos(tmp_path, ["cats", "dogs"]))
    models = [knowing(("cats", "dogs")), knowing(("dogs", "cats"))]
    with pytest.raises(ValueError, match="tell the same classes apart, in one order"):
        kp.compare(*models, data, verbose=False)
