"""Probes, their penalty, and the Keras model made of them."""

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from tiny import blobs, tiny_backbone, tiny_data, weights_by_layer

import keras_practical as kp
from keras_practical.data.features import Embeddings
from keras_practical.transfer.probe import fit_probe

# Also run on JAX.
pytestmark = pytest.mark.any_backend

QUIET = {"verbose": False}


@pytest.mark.parametrize("classes", [2, 3])
def test_probe_equals_scikit_learn_on_standardized_features(classes):
    data = blobs(classes=classes)
    probe = fit_probe(data, strength=0.1)
    scale = StandardScaler().fit(data.features)
    model = LogisticRegression(C=0.1, max_iter=2000).fit(
        scale.transform(data.features), data.labels
    )
    np.testing.assert_allclose(
        probe.predict_proba(data.features),
        model.predict_proba(scale.transform(data.features)),
        atol=2e-3,
    )


def test_held_out_loss_is_that_of_the_folds():
    from sklearn.model_selection import StratifiedKFold

    data = blobs(n=90, distance=0.7)
    probe = fit_probe(data, seed=4)
    losses = []
    for train, test in StratifiedKFold(3, shuffle=True, random_state=4).split(
        data.features, data.labels
    ):
        taught = fit_probe(data.take(train), strength=probe.strength)
        chances = taught.predict_proba(data.features[test])
        losses.append(-np.log(chances[np.arange(len(test)), data.labels[test]]).mean())
    assert probe.held_out_loss == pytest.approx(np.mean(losses), rel=0.02)
    assert fit_probe(data, strength=0.1).held_out_loss is None


def test_penalty_is_chosen_by_held_out_loss():
    # With more features than examples a weak penalty overfits; with much data it doesn't.
    noisy = fit_probe(blobs(n=60, size=60, distance=0.1)).strength
    clear = fit_probe(blobs(n=1500, size=4, distance=1.0)).strength
    assert noisy < clear


def test_class_without_examples_is_never_said():
    data = blobs()
    part = data.take(np.flatnonzero(data.labels != 1))
    found = fit_probe(part).predict_proba(data.features)
    assert found.shape == (200, 3)
    assert found[:, 1].max() < 1e-6


def test_views_count_as_examples():
    data = blobs(n=30)
    rng = np.random.default_rng(1)
    views = np.stack([data.features + rng.normal(size=data.features.shape) for _ in range(3)])
    more = Embeddings(data.features, data.labels, (), data.class_names, views.astype("float32"))
    together = Embeddings(
        np.concatenate([data.features, *views]).astype("float32"),
        np.tile(data.labels, 4),
        (),
        data.class_names,
    )
    np.testing.assert_allclose(
        fit_probe(more, strength=0.1).kernel, fit_probe(together, strength=0.1).kernel, atol=1e-6
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_linear_probe_is_a_plain_model_that_predicts_the_same(tmp_path, classes):
    images, labels = tiny_data(n=90, classes=classes)
    model = kp.linear_probe(tiny_backbone(), (images, labels), **QUIET)
    embedded = kp.embed(tiny_backbone(), (images, labels), **QUIET)
    expected = fit_probe(embedded).predict_proba(embedded.features)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-4)
    model.save(tmp_path / "probe.keras")
    loaded = keras.models.load_model(tmp_path / "probe.keras")
    np.testing.assert_allclose(loaded.predict(images, verbose=0), expected, atol=1e-4)
    assert [layer.name for layer in model.layers][-1] == "probabilities"
    assert len(model.trainable_variables) == 2


def test_linear_probe_trains_on():
    images, labels = tiny_data(n=90)
    model = kp.linear_probe(tiny_backbone(), (images, labels), **QUIET)
    before = weights_by_layer(model)
    kp.transfer.fine_tune(model, (images, labels), frozen_epochs=0, epochs=1, verbose=0)
    moved = {
        path for path, value in weights_by_layer(model).items() if (value != before[path]).any()
    }
    assert {path.split("/")[-2] for path in moved} >= {"early", "middle", "late"}
    assert moved & {weight.path for weight in model.layers[-1].weights}


@pytest.mark.tf_only
def test_linear_probe_on_digits_says_what_it_chose(capsys):
    digits = kp.load_images("digits", **QUIET)
    layers = [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    model = kp.linear_probe(keras.Sequential(layers), digits.train)
    assert kp.evaluate(model, digits.validation, **QUIET).accuracy > 0.95
    assert "linear_probe: 1,930 coefficients from 1,438 images, C = " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("data", "options", "match"),
    [
        (blobs().take([0, 3, 6]), {}, "at least two classes"),
        (blobs(), {"strength": 0}, "`strength` must be"),
        (blobs(), {"folds": 1}, "`folds` must be"),
        (
            Embeddings(np.zeros((4, 2)), np.array([[1, 1], [0, 0]] * 2), (), ("a", "b")),
            {},
            "Some examples have 2 labels",
        ),
    ],
)
def test_bad_arguments_are_named(data, options, match):
    with pytest.raises(ValueError, match=match):
        fit_probe(data, **options)


def test_two_examples_a_class_are_enough():
    data = blobs(n=6)
    assert fit_probe(data).predict_proba(data.features).argmax(1).tolist() == data.labels.tolist()


def test_race_ranks_backbones_and_prints_a_table():
    images, labels = tiny_data(n=120)
    flat = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.AveragePooling2D(2), keras.layers.Flatten()],
        name="flat",
    )
    blind = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Rescaling(0.0), keras.layers.AveragePooling2D(4)],
        name="blind",
    )
    race = kp.compare_backbones((images, labels), [blind, flat], **QUIET)
    assert [result.name for result in race.results] == ["flat", "blind"]
    assert race.results[0].accuracy > 0.9
    low, high = race.results[1].accuracy_interval
    assert low < 1 / 3 < high
    assert race.n == 120
    assert str(race).splitlines()[1].startswith("flat ")
    assert len(race.plot().texts) == 2


def test_race_leaves_out_what_cannot_be_had(monkeypatch):
    from keras_practical.transfer import backbone_race

    make = backbone_race.feature_model

    def some(backbone, shape):
        if backbone == "VGG16":
            raise RuntimeError("The ImageNet weights of VGG16 are not at hand")
        return make(backbone, shape)

    monkeypatch.setattr(backbone_race, "feature_model", some)
    data = tiny_data(n=60)
    with pytest.warns(UserWarning, match="VGG16 is left out"):
        race = kp.compare_backbones(data, ["VGG16", tiny_backbone()], **QUIET)
    assert len(race.results) == 1
    with (
        pytest.raises(RuntimeError, match="VGG16 is left out"),
        pytest.warns(UserWarning, match="VGG16"),
    ):
        kp.compare_backbones(data, ["VGG16"], **QUIET)
    with pytest.raises(ValueError, match="at least one"):
        kp.compare_backbones(data, [], **QUIET)
