"""`fine_tune` as it comes: a solved head, a rate that follows from it, no end below the start."""

import random

import keras
import numpy as np
import pytest
from tiny import tiny_backbone, tiny_data

import keras_practical as kp
from keras_practical.transfer.averaging import Judged, best_share, gain, judge, set_between
from keras_practical.transfer.budget import affordable_epochs
from keras_practical.transfer.policy import recipe, share_of_the_way

# Also run on JAX.
pytestmark = pytest.mark.any_backend


def classifier(**options):
    return kp.transfer.classifier(tiny_backbone(), 3, seed=3, **options)


def noisy_data(n=60, seed=0):
    """Return images whose class shows, but not always."""
    images, labels = tiny_data(n=n, seed=seed)
    wrong = np.random.default_rng(seed).random(n) < 0.2
    return images, np.where(wrong, (labels + 1) % 3, labels)


def tuned(model=None, data=None, **options):
    keras.utils.set_random_seed(5)
    random.seed(5)
    model = model or classifier()
    history = kp.transfer.fine_tune(model, data or noisy_data(), verbose=0, **options)
    return model, history


def softmax(logits):
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


def test_the_head_is_the_probe_and_the_backbone_as_it_was():
    images, labels = noisy_data()
    model, history = tuned(epochs=0, validation_data=noisy_data(seed=1))
    before, after = tiny_backbone().get_weights(), model.get_layer("tiny").get_weights()
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)
    probe = kp.transfer.fit_probe(kp.embed(tiny_backbone(), (images, labels), verbose=False))
    features = model.get_layer("tiny").predict(images, verbose=0).mean((1, 2))
    expected = softmax(features @ probe.kernel + probe.bias)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-4)
    assert history.epoch == [0]
    assert history.params["solved_head"]
    measured = model.evaluate(*noisy_data(seed=1), verbose=0, return_dict=True)
    assert history.history["val_loss"][0] == pytest.approx(measured["loss"], rel=1e-4)
    assert history.history["val_accuracy"][0] == pytest.approx(measured["accuracy"])
    own = model.evaluate(images, labels, verbose=0, return_dict=True)
    assert history.history["loss"][0] == pytest.approx(own["loss"], rel=1e-4)


def test_history_has_the_probe_as_epoch_0_and_all_columns_alike():
    _, history = tuned(epochs=2, validation_data=noisy_data(seed=1))
    assert history.epoch == [0, 1, 2]
    assert {len(values) for values in history.history.values()} == {3}
    assert history.history["learning_rate"][0] == 0.0


def headed(units, activation, loss):
    backbone = tiny_backbone()
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.outputs[0])
    head = keras.layers.Dense(units, activation=activation)(pooled)
    model = keras.Model(backbone.inputs, head)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


@pytest.mark.parametrize(
    ("units", "activation", "loss", "labels_of"),
    [
        (3, "softmax", "sparse_categorical_crossentropy", lambda labels: labels),
        (3, "softmax", "sparse_categorical_crossentropy", lambda labels: labels[:, None]),
        (3, "softmax", "categorical_crossentropy", lambda labels: np.eye(3)[labels]),
        (
            3,
            None,
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            lambda labels: labels,
        ),
        (1, "sigmoid", "binary_crossentropy", lambda labels: (labels > 0).astype("float32")),
        (
            1,
            None,
            keras.losses.BinaryCrossentropy(from_logits=True),
            lambda labels: (labels > 0).astype("float32")[:, None],
        ),
    ],
    ids=["softmax", "column", "one-hot", "logits", "sigmoid", "one logit"],
)
def test_heads_of_other_kinds_are_solved_too(units, activation, loss, labels_of):
    images, labels = tiny_data(n=90)
    model = headed(units, activation, loss)
    given = labels_of(labels)
    history = kp.transfer.fine_tune(
        model,
        (images, given),
        validation_data=(images, given),
        backbone=model.layers[1:-2],
        epochs=0,
        verbose=0,
    )
    assert history.params["solved_head"]
    found = kp.embed(tiny_backbone(), (images, labels if units == 3 else labels > 0), verbose=False)
    expected = kp.transfer.fit_probe(found).predict_proba(found.features)
    outputs = model.predict(images, verbose=0)
    if activation is None:
        outputs = softmax(outputs) if units == 3 else 1 / (1 + np.exp(-outputs))
    if units == 1:
        expected = expected[:, 1:]
    np.testing.assert_allclose(outputs, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"head": "mlp"}, "several layers"),
        ({"views": 0}, "views=0"),
        ({"labels": "numbers"}, "aren't one class each"),
        ({"loss": "mse"}, "no probabilities of classes"),
    ],
)
def test_a_head_that_cannot_be_solved_is_trained_and_it_says_why(change, reason, capsys):
    images, labels = tiny_data(n=30)
    options = {}
    model = classifier(head=change.get("head", "linear"))
    if "views" in change:
        options["views"] = 0
    if "labels" in change:
        labels = np.random.default_rng(0).normal(size=(30, 3))
        model.compile("adam", "mse")
    if "loss" in change:
        model = headed(1, None, "mse")
        labels = labels.astype("float32")
    if "loss" in change:
        options["backbone"] = model.layers[1:-2]
    history = kp.transfer.fine_tune(model, (images, labels), epochs=1, verbose=2, **options)
    out = capsys.readouterr().out
    assert "the head is trained, not solved: " in out
    assert reason in out
    assert history.epoch == [0, 1, 2]
    assert not history.params["solved_head"]


def test_weights_of_examples_and_classes_count_in_the_solved_head():
    images, labels = tiny_data(n=60)
    weights = np.where(labels == 0, 100.0, 0.01).astype("float32")
    for data, options in (
        ((images, labels, weights), {}),
        ((images, labels), {"class_weight": {0: 100.0, 1: 0.01, 2: 0.01}}),
    ):
        model = classifier()
        # A flat problem: what isn't weighed is even.
        model.get_layer("tiny").get_layer("late").set_weights(
            [w * 0 for w in model.get_layer("tiny").get_layer("late").get_weights()]
        )
        kp.transfer.fine_tune(model, data, epochs=0, verbose=0, **options)
        assert (model.predict(images, verbose=0).argmax(1) == 0).all()


def test_the_rate_and_the_epochs_follow_from_the_heads_loss_and_are_said(capsys):
    keras.utils.set_random_seed(5)
    history = kp.transfer.fine_tune(classifier(), noisy_data(), verbose=2)
    out = capsys.readouterr().out
    images, labels = noisy_data()
    found = kp.embed(tiny_backbone(), (images, labels), verbose=False)
    expected = recipe(2, head_loss=kp.transfer.fit_probe(found).held_out_loss)
    assert history.epoch == list(range(1 + expected.epochs))
    assert history.params["max_learning_rate"] == expected.max_learning_rate
    assert f"{expected.epochs} epochs of all layers" in out
    assert f"one cycle up to {expected.max_learning_rate:g}, {expected.reason}" in out
    assert expected.reason.startswith("because the head alone is not yet right")


def test_few_images_and_a_head_that_is_nearly_right_stay_as_they_are(capsys):
    labels = np.arange(90) % 3
    images = np.random.default_rng(0).integers(0, 20, (90, 8, 8, 3))
    images[np.arange(90), :, :, labels] += 200
    data = (images.astype("uint8"), labels)
    history = kp.transfer.fine_tune(classifier(), data, verbose=2)
    out = capsys.readouterr().out
    assert kp.transfer.fit_probe(kp.embed(tiny_backbone(), data)).held_out_loss < 0.15
    assert history.epoch == [0]
    assert "it stays with the head, because the head alone is nearly right" in out
    again = kp.transfer.fine_tune(classifier(), data, epochs=1, verbose=0)
    assert again.epoch == [0, 1]
    held_out = kp.transfer.fine_tune(classifier(), data, validation_data=data, verbose=0)
    assert len(held_out.epoch) > 1


def test_recipe_by_hand():
    nearly = recipe(50, head_loss=0.04)
    assert (nearly.epochs, nearly.max_learning_rate) == (1, 2e-5)
    assert "nearly right" in nearly.reason
    assert recipe(9, head_loss=0.15).epochs == 0
    assert recipe(9, head_loss=0.15, held_out=True).epochs == 6
    assert (recipe(10, head_loss=0.15).epochs, recipe(9, head_loss=0.16).epochs) == (5, 10)
    assert recipe(2).max_learning_rate == 1e-4
    assert "isn't known" in recipe(2).reason
    assert [recipe(steps, head_loss=1.0).epochs for steps in (1, 30, 150, 10_000)] == [10, 5, 1, 1]


def test_the_share_without_held_out_data():
    shares = [share_of_the_way(solved=True, head_loss=loss) for loss in (0.15, 0.16, None)]
    assert shares == [0.25, 0.5, 0.5]
    assert share_of_the_way(solved=False) == 1.0


def test_without_held_out_data_it_ends_half_way():
    whole, _ = tuned(epochs=2, share=1.0)
    start, _ = tuned(epochs=2, share=0.0)
    half, history = tuned(epochs=2)
    assert history.params["share"] == 0.5
    moved = 0.0
    for a, b, mean in zip(
        start.get_weights(), whole.get_weights(), half.get_weights(), strict=True
    ):
        np.testing.assert_allclose(mean, (a + b) / 2, atol=1e-6)
        moved = max(moved, float(np.abs(b - a).max()))
    assert moved > 1e-4


def test_a_harmful_rate_ends_where_it_began(capsys):
    held_out = tiny_data(n=90, seed=1)
    model = classifier()
    history = kp.transfer.fine_tune(
        model,
        tiny_data(n=60),
        validation_data=held_out,
        epochs=2,
        max_learning_rate=5.0,
        backbone_multiplier=1.0,
        verbose=2,
    )
    out = capsys.readouterr().out
    assert max(history.history["val_loss"][1:]) > 2 * history.history["val_loss"][0]
    after = model.evaluate(*held_out, verbose=0, return_dict=True)["loss"]
    assert after <= history.history["val_loss"][0] * 1.001
    assert history.params["share"] == 0.0
    assert "none of the way from the start is kept" in out
    assert "+0.0 points (95 % interval" in out


def test_held_out_data_of_any_kind_choose():
    """A model that predicts numbers is judged by its own loss."""
    images, labels = tiny_data(n=60)
    model = headed(1, None, "mse")
    history = kp.transfer.fine_tune(
        model,
        (images, labels.astype("float32")),
        validation_data=(images, labels.astype("float32")),
        backbone=model.layers[1:-2],
        epochs=2,
        max_learning_rate=1e-3,
        verbose=0,
    )
    after = model.evaluate(images, labels.astype("float32"), verbose=0, return_dict=True)["loss"]
    assert after <= history.history["val_loss"][1] * 1.001


def line_model(place):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.array([[place]])])
    return model


@pytest.mark.parametrize(
    ("valley", "expected"), [(-1.0, 0.0), (1.1, 0.25), (2.0, 0.5), (2.8, 0.75), (9.0, 1.0)]
)
def test_the_place_with_the_least_loss_is_found_by_three_measurements(valley, expected):
    model, asked = line_model(4.0), []

    def measure():
        place = float(model.get_weights()[0][0, 0])
        asked.append(place)
        return Judged((place - valley) ** 2)

    start = [np.array([[0.0]])]
    at_start = Judged(valley**2)
    share, before, after = best_share(model, start, at_start=at_start, measure=measure)
    assert (share, len(asked)) == (expected, 3)
    assert model.get_weights()[0][0, 0] == pytest.approx(4 * expected)
    assert after.loss <= before.loss


def judged_by(chances):
    chances = np.asarray(chances)
    labels = np.zeros(len(chances), int)
    found = kp.evaluation.evaluate_predictions(np.stack([chances, 1 - chances], 1), labels)
    return Judged(found.loss, found)


def test_what_few_examples_cannot_tell_apart_ends_half_way():
    rng = np.random.default_rng(0)
    start = rng.uniform(0.3, 0.6, 20)
    noise = rng.normal(0, 0.1, 20)
    outcomes = {
        2.0: judged_by(np.clip(start + 0.2, 0, 1)),
        4.0: judged_by(np.clip(start + 0.205 + noise - noise.mean(), 0.05, 0.99)),
        3.0: judged_by(np.clip(start + 0.205, 0, 1)),
    }
    model = line_model(4.0)
    share, _, _ = best_share(
        model,
        [np.array([[0.0]])],
        at_start=judged_by(start),
        measure=lambda: outcomes[float(model.get_weights()[0][0, 0])],
    )
    # 3/4 is better on each of them, if only by a little; that 1 is better isn't told.
    assert share == 0.75
    outcomes[3.0] = outcomes[4.0]
    model.set_weights([np.array([[4.0]])])
    share, _, _ = best_share(
        model,
        [np.array([[0.0]])],
        at_start=judged_by(start),
        measure=lambda: outcomes[float(model.get_weights()[0][0, 0])],
    )
    assert share == 0.5


def test_ctrl_c_during_the_choice_leaves_the_trained_weights():
    model = line_model(4.0)

    def measure():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        best_share(model, [np.array([[0.0]])], at_start=None, measure=measure)
    assert model.get_weights()[0].tolist() == [[4.0]]


def test_a_loss_that_is_not_a_number_is_never_chosen():
    model = line_model(4.0)
    share, _, _ = best_share(
        model,
        [np.array([[0.0]])],
        at_start=Judged(1.0),
        measure=lambda: Judged(float("nan")),
    )
    assert share == 0.0


def test_a_training_that_diverged_ends_at_its_start(capsys):
    """NaN weights at the end are neither kept nor averaged, with held-out data or without."""

    class Diverge(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                self.model.set_weights([w * np.nan for w in self.model.get_weights()])

    for held_out in (None, noisy_data(seed=1)):
        start, _ = tuned(epochs=0)
        model = classifier()
        history = kp.transfer.fine_tune(
            model,
            noisy_data(),
            validation_data=held_out,
            epochs=1,
            callbacks=[Diverge()],
            verbose=2,
        )
        assert history.params["share"] == 0.0
        for ours, expected in zip(model.get_weights(), start.get_weights(), strict=True):
            np.testing.assert_allclose(ours, expected, atol=1e-6)
    assert "the training diverged" in capsys.readouterr().out


def test_all_layers_train_with_folded_normalization():
    seen = []

    class Looking(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append("test_step" in vars(self.model))

    model, _ = tuned(folded_classifier(), epochs=1, callbacks=[Looking()])
    assert seen == [False, True]
    assert "test_step" not in vars(model)


def folded_classifier():
    keras.utils.set_random_seed(0)
    backbone = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(6, 3),
            keras.layers.BatchNormalization(),
        ]
    )
    return kp.transfer.classifier(backbone, 3, seed=3, verbose=False)


def test_features_are_computed_with_folded_normalization(monkeypatch):
    from keras_practical.transfer import feature_network

    counts, own = [], feature_network.folded

    def counting(pairs):
        counts.append(len(pairs))
        return own(pairs)

    monkeypatch.setattr(feature_network, "folded", counting)
    kp.embed(folded_classifier(), tiny_data(), verbose=False)
    assert set(counts) == {1}


def test_a_budget_too_small_for_all_layers_trains_the_last(monkeypatch, capsys):
    from keras_practical.transfer import two_phases

    layers = [keras.layers.Dense(6, name=f"dense_{n}") for n in range(6)]
    backbone = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), *layers])
    model = kp.transfer.classifier(backbone, 3, seed=3, verbose=False)
    groups = len(kp.transfer.layer_groups(model))
    assert groups > 3
    seconds = iter([1e6, 1e-3])
    monkeypatch.setattr(two_phases, "seconds_per_step", lambda *a, **options: next(seconds))
    before = [layer.get_weights()[0].copy() for layer in layers]
    history = kp.transfer.fine_tune(model, noisy_data(), epochs=2, minutes=10, share=1.0, verbose=2)
    moved = [
        not np.array_equal(old, layer.get_weights()[0])
        for old, layer in zip(before, layers, strict=True)
    ]
    assert not moved[0]
    assert moved[-1]
    assert history.epoch == [0, 1, 2]
    out = capsys.readouterr().out
    assert f"an epoch of the last {max(2, groups // 2)} of {groups} layer groups" in out
    assert "2 epochs of the last layers" in out


def test_whole_numbers_are_not_averaged():
    class Counting(keras.layers.Layer):
        def build(self, shape):
            self.counter = self.add_weight(
                shape=(), dtype="int32", initializer="zeros", trainable=False
            )

        def call(self, inputs):
            return inputs

    counting = keras.Sequential([keras.Input((2,)), Counting(), keras.layers.Dense(1)])
    counter = counting.layers[0].counter
    start = counting.get_weights()
    counter.assign(7)
    set_between(counting, start, counting.get_weights(), 0.25)
    assert int(keras.ops.convert_to_numpy(counter)) == 7


def test_gain_is_said_with_its_interval():
    before, after = judged_by([0.4] * 10 + [0.9] * 90), judged_by([0.9] * 100)
    found = kp.compare(before.evaluation, after.evaluation)
    low, high = (100 * bound for bound in found.difference_interval)
    assert gain(before, after) == (
        "100.0 % of 100 held-out examples right, was 90.0 %: +10.0 points (95 % interval "
        f"{low:+.1f} to {high:+.1f}); log-loss 0.105, was 0.186"
    )


def test_judging_takes_logits_and_weights_of_examples():
    images, labels = tiny_data(n=30)
    plain = headed(3, "softmax", "sparse_categorical_crossentropy")
    logits = headed(3, None, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    logits.set_weights(plain.get_weights())
    found = judge(plain, (images, labels))
    assert judge(logits, (images, labels)).loss == pytest.approx(found.loss, rel=1e-5)
    weights = np.where(labels == 0, 1.0, 0.0)
    weighed = judge(plain, (images, labels, weights))
    assert weighed.loss == pytest.approx(
        plain.evaluate(images, labels, sample_weight=weights, verbose=0)[0], rel=1e-5
    )


def test_the_best_epoch_may_be_the_probe():
    stop = keras.callbacks.EarlyStopping(
        monitor="val_loss", patience=0, restore_best_weights=True, start_from_epoch=0
    )
    _, history = tuned(
        epochs=4,
        max_learning_rate=5.0,
        backbone_multiplier=1.0,
        validation_data=noisy_data(seed=1),
        callbacks=[stop],
    )
    assert stop.best_epoch == 0
    assert len(history.epoch) < 5


@pytest.mark.parametrize(("minutes", "epochs"), [(1e-4, [0]), (30.0, [0, 1, 2, 3])])
def test_a_budget_is_kept_and_said(minutes, epochs, capsys):
    model = classifier()
    data = tiny_data(n=64)
    history = kp.transfer.fine_tune(model, data, epochs=3, minutes=minutes, verbose=2)
    out = capsys.readouterr().out
    assert history.epoch == epochs
    assert f"minutes={minutes:g}" in out
    assert ("so nothing more is trained" in out) == (epochs == [0])
    assert ("3 of 3 epochs" in out) == (len(epochs) > 1)


def test_affordable_epochs_by_hand():
    # 10 s for the training steps of an epoch, 1 s for a pass over what is held out.
    options = {"steps": 10, "held_out_steps": 3, "seconds_per_step": 1.0}
    assert [affordable_epochs(s, **options) for s in (0, 13, 14, 25, 36)] == [0, 0, 1, 2, 3]


def test_timing_leaves_no_trace():
    plain, _ = tuned(epochs=1)
    timed, _ = tuned(epochs=1, minutes=30)
    for a, b in zip(plain.get_weights(), timed.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_half_precision_trains_float32_weights_and_is_taken_back():
    options = {"epochs": 2, "share": 1.0}
    model, history = tuned(classifier(dropout=0.0), mixed_precision=True, **options)
    plain, expected = tuned(classifier(dropout=0.0), **options)
    layers = model.get_layer("tiny").layers
    assert {layer.dtype_policy.name for layer in layers} == {"float32"}
    assert type(model.optimizer) is keras.optimizers.Adam
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=0.02, atol=0.02)
    assert history.history["loss"][-1] == pytest.approx(expected.history["loss"][-1], abs=0.02)
    assert model.predict(tiny_data()[0], verbose=0).dtype == np.float32


@pytest.mark.tf_only
def test_other_numbers_for_the_same_classes_are_refused():
    images, labels = tiny_data()
    names = ["red", "green", "blue"]
    model = kp.transfer.classifier(tiny_backbone(), names, seed=3)
    data = kp.load_images((images, labels), class_names=["green", "red", "blue"], verbose=False)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"`train` lists its classes as green, red, blue"):
        kp.transfer.fine_tune(model, data.train, verbose=0)
    good = kp.load_images((images, labels), class_names=names, verbose=False)
    with pytest.raises(ValueError, match=r"`validation_data` lists its classes as green"):
        kp.transfer.fine_tune(model, good.train, validation_data=data.validation, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    kp.transfer.fine_tune(model, good.train, validation_data=good.validation, epochs=0, verbose=0)


def test_images_that_cannot_be_used_take_their_labels_along():
    """NaN in an array of images: the features of the others keep their own labels."""
    images, labels = tiny_data(n=60)
    images = images.astype("float32")
    images[::4] = np.nan
    model = classifier()
    with pytest.warns(UserWarning, match="15"):
        kp.transfer.fine_tune(model, (images, labels), epochs=0, verbose=0)
    new, truth = tiny_data(n=60, seed=2)
    assert (model.predict(new, verbose=0).argmax(1) == truth).mean() >= 0.9


@pytest.mark.tf_only
def test_a_data_set_of_ones_own_serves_for_the_head():
    tf = pytest.importorskip("tensorflow")
    images, labels = tiny_data(n=60)
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    data = data.shuffle(60, seed=0).batch(16).map(lambda x, y: (tf.cast(x, "float32"), y))
    model = classifier()
    history = kp.transfer.fine_tune(model, data, validation_data=data, epochs=0, verbose=0)
    assert history.params["solved_head"]
    assert history.history["val_accuracy"][0] > 0.9
    with pytest.raises(ValueError, match="doesn't say how many batches"):
        kp.transfer.fine_tune(classifier(), data.repeat(), epochs=1, verbose=0)


class Batches(keras.utils.PyDataset):
    """A user's own."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        images, labels = tiny_data(n=60)
        return images[15 * index :][:15], labels[15 * index :][:15]


def test_batches_of_ones_own_serve_for_the_head():
    model = classifier()
    history = kp.transfer.fine_tune(
        model, Batches(), validation_data=Batches(), epochs=1, verbose=0
    )
    assert history.params["solved_head"]
    assert history.history["val_accuracy"][0] > 0.9


def test_a_run_killed_after_its_last_epoch_is_restored(tmp_path):
    """With nothing left to train, the weights are still those of the backup."""
    data = tiny_data(n=30)

    class Killed(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            raise RuntimeError("killed")

    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    first = classifier()
    with pytest.raises(RuntimeError, match="killed"):
        kp.transfer.fine_tune(first, data, epochs=0, callbacks=[backup, Killed()], verbose=0)
    again = classifier()
    kp.transfer.fine_tune(again, data, epochs=0, callbacks=[backup], verbose=0)
    for expected, found in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
