"""Cross-validation: nobody judges what it has seen, groups stay together, order is kept."""

import warnings

import joblib
import keras
import numpy as np
import pytest
from tiny import blobs, tiny_backbone, tiny_data

import keras_practical as kp
from keras_practical.data.index import ImageRecord
from keras_practical.transfer.probe import fit_probe

# Also run on JAX.
pytestmark = pytest.mark.any_backend

QUIET = {"verbose": False}


class Memory:
    """Says 1.0 for class 1 if it has seen the very example, 0.0 otherwise."""

    def __init__(self, inputs, labels):
        self.seen = set(inputs[:, 0].tolist())

    def predict_proba(self, inputs):
        seen = np.array([value in self.seen for value in inputs[:, 0]], "float64")
        return np.stack([1 - seen, seen], axis=1)


def numbered(n=60, classes=2):
    return np.arange(float(n))[:, None], np.arange(n) % classes


def test_no_example_is_judged_by_a_model_that_has_seen_it():
    found = kp.cross_validate(lambda part: Memory(*part), numbered(), folds=4, repeats=3, **QUIET)
    assert found.probabilities.shape == (3, 60, 2)
    assert found.probabilities[:, :, 1].max() == 0.0
    for repeat in range(3):
        sizes = [
            np.bincount(found.labels[found.folds[repeat] == fold], minlength=2).tolist()
            for fold in range(4)
        ]
        assert all(sum(size) == 15 and max(size) <= 8 for size in sizes)
    assert not np.array_equal(found.folds[0], found.folds[1])


def test_every_example_is_trained_on_in_all_other_folds():
    sizes = []

    def build(part):
        sizes.append(len(part[1]))
        return Memory(*part)

    kp.cross_validate(build, numbered(), folds=5, **QUIET)
    assert sizes == [48] * 5


def test_groups_are_not_torn_apart():
    data = blobs(n=120)
    groups = np.arange(120) // 6
    found = kp.cross_validate(fit_probe, data, groups=groups, **QUIET)
    for group in range(20):
        assert len(set(found.folds[0][groups == group])) == 1


def test_groups_by_name_and_a_leak_that_they_stop():
    """Images of one patient are alike; their labels have nothing to do with what they show."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 5)
    features = rng.normal(size=(40, 80))[patients] + 0.01 * rng.normal(size=(200, 80))
    labels = rng.integers(0, 2, 40)[patients]
    index = tuple(ImageRecord(f"patient_{p}_{i}.png", 0) for i, p in enumerate(patients))
    data = kp.Embeddings(features.astype("float32"), labels, index, ("ill", "well"))
    leaky = kp.cross_validate(lambda part: fit_probe(part, strength=10.0), data, **QUIET)
    honest = kp.cross_validate(
        lambda part: fit_probe(part, strength=10.0),
        data,
        groups=lambda record: record.name.split("_")[1],
        **QUIET,
    )
    assert leaky.accuracy > 0.9
    assert honest.accuracy < 0.7
    assert np.diff(honest.accuracy_interval) > 2 * np.diff(leaky.accuracy_interval)


def test_probabilities_keep_the_index():
    data = blobs(n=60)
    index = tuple(
        ImageRecord(f"{place}.jpg", int(label)) for place, label in enumerate(data.labels)
    )
    data = kp.Embeddings(data.features, data.labels, index, data.class_names)
    found = kp.cross_validate(fit_probe, data, **QUIET)
    assert found.index == index
    assert found.evaluation.class_names == ("a", "b", "c")
    assert found.evaluation.accuracy == pytest.approx(found.accuracy)
    fold = found.folds[0] == 2
    by_hand = fit_probe(data.take(np.flatnonzero(~fold))).predict_proba(data.features[fold])
    np.testing.assert_allclose(found.probabilities[0, fold], by_hand, atol=1e-12)


def test_line_says_what_was_measured():
    text = str(kp.cross_validate(fit_probe, blobs(n=60), repeats=2, **QUIET))
    assert "in 5 folds, 2 times, from " in text
    assert "n=60" in text


@pytest.mark.tf_only
def test_data_of_load_images_train_keras_models_by_fold():
    images, labels = tiny_data(n=60)
    photos = kp.load_images((images, labels), **QUIET)
    seen = []

    def build(train):
        seen.append({record.name for record in train.source.records})
        model = kp.transfer.classifier(tiny_backbone(), train.class_names, seed=0)
        kp.transfer.fine_tune(model, train, frozen_epochs=1, epochs=0, verbose=0)
        return model

    found = kp.cross_validate(build, photos, folds=3, **QUIET)
    assert len(found.labels) == 60  # Training and validation pictures together.
    names = [record.name for record in found.index]
    assert len(set(names)) == 60
    for fold, trained_on in enumerate(seen):
        held_out = {names[place] for place in np.flatnonzero(found.folds[0] == fold)}
        assert not held_out & trained_on
        assert len(held_out | trained_on) == 60
    assert found.evaluation.class_names == photos.class_names


def test_keras_models_on_arrays():
    data = blobs(n=90)

    def build(part):
        inputs, labels = part
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, activation="softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(inputs, labels, epochs=1, verbose=0)
        return model

    found = kp.cross_validate(build, (data.features, data.labels), folds=3, **QUIET)
    np.testing.assert_allclose(found.probabilities.sum(2), 1.0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["processes", "dask"])
def test_folds_in_other_processes_give_the_same(how):
    data = blobs(n=120)
    alone = kp.cross_validate(fit_probe, data, **QUIET)
    with warnings.catch_warnings():
        # Of joblib's and dask's own making, in starting processes.
        warnings.simplefilter("ignore")
        if how == "processes":
            found = kp.cross_validate(fit_probe, data, jobs=2, **QUIET)
        else:
            from distributed import Client, LocalCluster

            cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
            with cluster, Client(cluster), joblib.parallel_config(backend="dask"):
                found = kp.cross_validate(fit_probe, data, **QUIET)
    np.testing.assert_allclose(found.probabilities, alone.probabilities, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"folds": 1}, "`folds` must be"),
        ({"folds": 40}, "30 images in the smallest class"),
        ({"repeats": 0}, "`repeats` must be"),
        ({"groups": [1, 2]}, "Received: 2 for 60"),
        ({"groups": np.arange(60) % 3}, "3 groups"),
        ({"seed": -1}, "`seed` must be"),
    ],
)
def test_bad_arguments_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        kp.cross_validate(lambda part: Memory(*part), numbered(), **options, **QUIET)


def test_wrong_data_are_named():
    with pytest.raises(ValueError, match="`data` must be Embeddings"):
        kp.cross_validate(fit_probe, "photos/", **QUIET)
    with pytest.raises(ValueError, match="one label for each input"):
        kp.cross_validate(fit_probe, (np.zeros((3, 2)), [0, 1]), **QUIET)


def test_class_in_one_group_is_named_for_models_that_learn_only_what_they_see():
    from sklearn.linear_model import LogisticRegression

    inputs, labels = numbered(60, classes=3)
    groups = np.where(labels == 2, 0, np.arange(60))
    with pytest.raises(ValueError, match=r"too few groups.*\[2, 3\] classes"):
        kp.cross_validate(
            lambda part: LogisticRegression().fit(*part), (inputs, labels), groups=groups, **QUIET
        )


def test_a_model_that_trains_on_from_another_fold_is_refused():
    rng = np.random.default_rng(0)
    inputs, labels = rng.normal(size=(40, 5)).astype("float32"), rng.integers(0, 2, 40)
    shared = keras.Sequential([keras.Input((5,)), keras.layers.Dense(8, "relu")], name="shared")

    def build(part, *, frozen=False, again=None):
        shared.trainable = not frozen
        model = again or keras.Sequential([shared, keras.layers.Dense(2, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(*part, verbose=0)
        return model

    one = build((inputs[:4], labels[:4]))
    for options in ({}, {"again": one}):
        with pytest.raises(ValueError, match="has trained on from an earlier fold's"):
            kp.cross_validate(
                lambda part, options=options: build(part, **options),
                (inputs, labels),
                folds=2,
                verbose=False,
            )
    # A backbone that doesn't train has seen nothing.
    kp.cross_validate(
        lambda part: build(part, frozen=True), (inputs, labels), folds=2, verbose=False
    )
