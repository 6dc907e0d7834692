"""The frozen phase on cached features does what the ordinary one does."""

import keras
import numpy as np
import pytest
from tiny import tiny_backbone, tiny_data

import keras_practical as kp
from keras_practical.data.features import Embeddings
from keras_practical.data.order import EpochOrder
from keras_practical.transfer.frozen_phase import FeatureBatches

# Also run on JAX.
pytestmark = pytest.mark.any_backend


def photos(n=90, seed=0, batch_size=16):
    images, labels = tiny_data(n=n)
    return kp.load_images((images, labels), seed=seed, batch_size=batch_size, verbose=False)


def trained(data, *, views, head="linear", optimizer="adam", steps=1, **options):
    model = kp.transfer.classifier(tiny_backbone(), 3, head=head, seed=3)
    model.compile(
        optimizer,
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=steps,
    )
    history = kp.transfer.fine_tune(
        model, data.train, frozen_epochs=4, views=views, verbose=0, **options
    )
    return model, history


@pytest.mark.tf_only
@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize("steps", [1, 3])
def test_cached_phase_equals_the_ordinary_one(head, steps):
    """Dropout, batch normalization in the head, order of the batches: all as in the plain fit."""
    options = {"head": head, "steps": steps, "epochs": 0}
    model, history = trained(photos(), views=None, **options)
    plain, plain_history = trained(photos(), views=0, **options)
    for ours, theirs in zip(model.weights, plain.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, err_msg=ours.path)
    for name, values in plain_history.history.items():
        np.testing.assert_allclose(history.history[name], values, atol=1e-5, err_msg=name)
    for ours, theirs in zip(model.optimizer.variables, plain.optimizer.variables, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.tf_only
def test_whole_fine_tune_is_the_same():
    data = photos()
    options = {"epochs": 2, "validation_data": data.validation}
    model, history = trained(data, views=None, **options)
    plain, plain_history = trained(photos(), views=0, **options)
    images, _ = tiny_data(n=8, seed=5)
    np.testing.assert_allclose(
        model.predict(images, verbose=0), plain.predict(images, verbose=0), atol=1e-4
    )
    assert history.epoch == plain_history.epoch == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(
        history.history["val_loss"], plain_history.history["val_loss"], atol=1e-4
    )


@pytest.mark.tf_only
def test_cached_phase_leaves_a_model_that_saves_and_trains_on(tmp_path):
    data = photos()
    model, _ = trained(data, views=None, epochs=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images, _ = tiny_data(n=8, seed=5)
    np.testing.assert_allclose(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-6
    )
    model.fit(data.train, epochs=1, verbose=0, shuffle=False)


def augmented_classifier():
    flip = keras.layers.RandomFlip("horizontal", seed=1)
    return kp.transfer.classifier(tiny_backbone(), 3, augmentation=flip, seed=3)


@pytest.mark.tf_only
def test_augmentation_is_not_cached_by_itself(capsys):
    kp.transfer.fine_tune(
        augmented_classifier(), photos().train, frozen_epochs=1, epochs=0, verbose=2
    )
    assert "the frozen backbone runs in each epoch ('random_flip" in capsys.readouterr().out


@pytest.mark.tf_only
def test_copies_train_on_augmented_views(capsys):
    data = photos()
    kp.transfer.fine_tune(
        augmented_classifier(), data.train, frozen_epochs=3, epochs=0, views=2, verbose=2
    )
    out = capsys.readouterr().out
    assert f"{len(data.train.source)} images and 2 views of each" in out
    assert "features that were computed once" in out


def test_feature_batches_take_each_picture_once_an_epoch_in_turn_of_views():
    n, copies = 10, 2
    features = np.arange(n)[:, None] + 0.0
    views = np.stack([features + 100 * (copy + 1) for copy in range(copies)])
    found = Embeddings(features, np.arange(n), (), ("a",), views)
    batches = FeatureBatches(found, 4, EpochOrder(n, 0))
    seen = []
    for _ in range(1 + copies):
        epoch = [batches[number] for number in range(len(batches))]
        values, labels = (np.concatenate(part) for part in zip(*epoch, strict=True))
        np.testing.assert_array_equal(values[:, 0] % 100, labels)
        assert sorted(labels) == list(range(n))
        assert len({int(value) // 100 for value in values[:, 0]}) == 3
        seen += values[:, 0].tolist()
    assert len(set(seen)) == n * (1 + copies)


def dropout_backbone():
    backbone = tiny_backbone()
    return keras.Sequential([backbone, keras.layers.SpatialDropout2D(0.2)], name="with_dropout")


@pytest.mark.tf_only
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"views": 0}, "views=0"),
        ({"train": "mapped"}, "isn't known"),
        ({"backbone": "dropout"}, "draws anew in each epoch"),
    ],
)
def test_phase_that_would_differ_runs_as_usual_and_says_why(change, reason, capsys):
    backbone = dropout_backbone() if change.pop("backbone", None) else tiny_backbone()
    train = photos().train
    if change.pop("train", None):
        train = train.map(lambda images, labels: (images / 2, labels))
    model = kp.transfer.classifier(backbone, 3, seed=3)
    kp.transfer.fine_tune(model, train, frozen_epochs=1, epochs=0, verbose=2, **change)
    assert reason in capsys.readouterr().out


@pytest.mark.tf_only
def test_early_stopping_stops_each_phase_by_itself():
    stop = keras.callbacks.EarlyStopping(monitor="loss", patience=0, min_delta=10.0)
    _, history = trained(photos(), views=None, epochs=2, callbacks=[stop])
    # 4 frozen epochs were asked for; the second phase stops at its first epoch without progress.
    assert history.epoch == [0, 1, 4]


def test_arrays_train_on_features_too(capsys):
    images, labels = tiny_data(n=60)
    model = kp.transfer.classifier(tiny_backbone(), 3, seed=3)
    history = kp.transfer.fine_tune(model, (images, labels), frozen_epochs=9, epochs=0, verbose=2)
    assert "embed: 60 images" in capsys.readouterr().out
    assert history.history["loss"][-1] < history.history["loss"][0]


@pytest.mark.tf_only
def test_cache_dir_serves_the_next_run(tmp_path, capsys):
    for _ in range(2):
        model = kp.transfer.classifier(tiny_backbone(), 3, seed=3)
        kp.transfer.fine_tune(
            model, photos().train, frozen_epochs=1, epochs=0, cache_dir=tmp_path, verbose=2
        )
    assert "72 from the cache" in capsys.readouterr().out


@pytest.mark.tf_only
def test_interrupted_head_leaves_its_weights():
    stop = keras.callbacks.TerminateOnNaN()

    def interrupt(batch, logs=None):
        if batch == 2:
            raise KeyboardInterrupt

    stop.on_batch_end = interrupt
    model = kp.transfer.classifier(tiny_backbone(), 3, seed=3)
    before = model.layers[-1].get_weights()[0].copy()
    with pytest.raises(KeyboardInterrupt):
        kp.transfer.fine_tune(model, photos().train, callbacks=[stop], verbose=0)
    assert not np.array_equal(model.layers[-1].get_weights()[0], before)
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) == pytest.approx(1e-3)


@pytest.mark.tf_only
def test_finder_asks_the_cached_features(capsys):
    data = photos(n=300)
    model = kp.transfer.classifier(tiny_backbone(), 3, dropout=0.0, seed=3)
    kp.transfer.fine_tune(
        model, data.train, frozen_epochs=2, epochs=1, max_learning_rate="auto", verbose=2
    )
    out = capsys.readouterr().out
    assert out.index("computed once") < out.index("fine_tune: learning rate")
    assert data.train.source.order.epoch == 3  # As after the ordinary phases.
