"""For callbacks, and after a kill, the two phases of `fine_tune` are one training."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from tiny import tiny_backbone, tiny_data

import keras_practical as kp

SUPPORT = Path(__file__).parent.parent / "support"


def model():
    return kp.transfer.classifier(tiny_backbone(), 3, seed=3)


@pytest.mark.any_backend
def test_one_log_has_both_phases(tmp_path):
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    kp.transfer.fine_tune(
        model(), tiny_data(), frozen_epochs=2, epochs=2, callbacks=[log], verbose=0
    )
    header, *rows = (tmp_path / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["0", "1", "2", "3"]
    assert "learning_rate" in header


@pytest.mark.any_backend
def test_the_best_epoch_may_be_of_the_first_phase():
    data, trained = tiny_data(n=60), model()
    best = keras.callbacks.EarlyStopping("val_loss", patience=9, restore_best_weights=True)
    history = kp.transfer.fine_tune(
        trained,
        data,
        validation_data=data,
        frozen_epochs=3,
        frozen_learning_rate=0.3,
        epochs=2,
        max_learning_rate=30.0,
        callbacks=[best],
        verbose=0,
    )
    losses = history.history["val_loss"]
    assert int(np.argmin(losses)) < 3
    assert trained.evaluate(*data, verbose=0)[0] == pytest.approx(min(losses), rel=1e-4)


@pytest.mark.any_backend
def test_callbacks_see_the_whole_model_and_begin_and_end_once():
    class Watching(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seen = []

        def on_train_begin(self, logs=None):
            self.seen.append("begin")

        def on_epoch_end(self, epoch, logs=None):
            self.seen.append((epoch, self.model.name, self.params["epochs"]))

        def on_train_end(self, logs=None):
            self.seen.append("end")

    trained, watching = model(), Watching()
    kp.transfer.fine_tune(
        trained, tiny_data(), frozen_epochs=1, epochs=1, callbacks=[watching], verbose=0
    )
    name = trained.name
    assert watching.seen == ["begin", (0, name, 2), (1, name, 2), "end"]


@pytest.mark.any_backend
def test_a_callback_of_ones_own_that_stops_ends_the_whole():
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    history = kp.transfer.fine_tune(
        model(), tiny_data(), frozen_epochs=3, epochs=3, callbacks=[Stop()], verbose=0
    )
    assert history.epoch == [0]


@pytest.mark.any_backend
def test_what_an_earlier_fit_was_stopped_by_does_not_count():
    trained = model()
    trained.stop_training = True
    history = kp.transfer.fine_tune(trained, tiny_data(), frozen_epochs=0, epochs=2, verbose=0)
    assert history.epoch == [0, 1]


@pytest.mark.any_backend
@pytest.mark.parametrize("kind", [kp.OneCycle, keras.callbacks.LearningRateScheduler])
def test_a_second_hand_on_the_rate_is_refused_beforehand(kind):
    callback = kind(0.1) if kind is kp.OneCycle else kind(lambda epoch: 0.1)
    trained = model()
    before = trained.get_weights()
    with pytest.raises(ValueError, match=f"Take {kind.__name__} out"):
        kp.transfer.fine_tune(trained, tiny_data(), callbacks=[callback], verbose=0)
    for old, new in zip(before, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.any_backend
def test_weights_of_examples_and_classes_count_in_both_phases():
    images, labels = tiny_data(n=60)
    weights = np.where(labels == 0, 1.0, 0.0).astype("float32")
    runs = {
        "sample_weight": ((images, labels, weights), {}),
        "class_weight": ((images, labels), {"class_weight": {0: 1.0, 1: 0.0, 2: 0.0}}),
    }
    for data, options in runs.values():
        trained = model()
        kp.transfer.fine_tune(
            trained, data, frozen_epochs=4, epochs=1, max_learning_rate=0.02, verbose=0, **options
        )
        # Only class 0 counted, so all is class 0.
        assert (trained.predict(images, verbose=0).argmax(1) == 0).all()


@pytest.mark.any_backend
def test_probe_weighs_classes():
    images, labels = tiny_data(n=60)
    found = kp.embed(tiny_backbone(), (images, labels), verbose=False)
    even = kp.transfer.fit_probe(found, strength=1e-6)
    skewed = kp.transfer.fit_probe(found, strength=1e-6, class_weight={0: 100.0})
    assert even.predict_proba(found.features)[:, 0].mean() == pytest.approx(1 / 3, abs=0.05)
    assert skewed.predict_proba(found.features)[:, 0].mean() > 0.9


class Unregistered(keras.optimizers.Adam):
    """A user's own, of which Keras knows nothing."""


@pytest.mark.any_backend
def test_an_optimizer_of_ones_own_is_made_anew_with_its_exceptions():
    trained = model()
    optimizer = Unregistered(1e-3, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    trained.compile(optimizer, "sparse_categorical_crossentropy")
    kp.transfer.fine_tune(trained, tiny_data(), frozen_epochs=1, epochs=1, verbose=0)
    assert type(trained.optimizer) is Unregistered
    assert trained.optimizer is not optimizer
    bias = trained.layers[-1].bias
    assert not trained.optimizer._use_weight_decay(bias)
    assert trained.optimizer._use_weight_decay(trained.layers[-1].kernel)


def run(folder, kind, *, killed_at=None):
    """Run the fine-tuning in `folder`; return its final weights, `None` if it was killed."""
    folder.mkdir(exist_ok=True)
    path = os.pathsep.join([str(SUPPORT.parent.parent), str(SUPPORT)])
    with subprocess.Popen(
        [sys.executable, str(SUPPORT / "fine_tuning_to_kill.py"), str(folder), kind],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        for line in process.stdout:
            if killed_at is not None and line.strip() == f"epoch {killed_at}":
                process.send_signal(signal.SIGKILL)
                return None
    assert process.returncode == 0
    with np.load(folder / "weights.npz") as weights:
        return [weights[name] for name in weights.files]


@pytest.mark.slow
@pytest.mark.tf_only
@pytest.mark.parametrize(
    ("kind", "killed_at"),
    [("arrays", 2), ("photos", 3), ("arrays", 5), ("solved", 1), ("solved", 4)],
)
def test_a_run_that_was_killed_ends_with_the_very_same_weights(kind, killed_at, tmp_path):
    whole = run(tmp_path / "whole", kind)
    assert run(tmp_path / "killed", kind, killed_at=killed_at) is None
    again = run(tmp_path / "killed", kind)
    for expected, found in zip(whole, again, strict=True):
        np.testing.assert_array_equal(found, expected)
    rows = (tmp_path / "killed" / "log.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == [str(epoch) for epoch in range(6)]
    assert not list((tmp_path / "killed" / "backup").iterdir())


@pytest.mark.any_backend
def test_a_backup_of_another_model_is_refused_and_changes_nothing(tmp_path):
    class Killed(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise RuntimeError("killed")

    backup = keras.callbacks.BackupAndRestore(tmp_path)
    options = {"frozen_epochs": 2, "epochs": 0, "verbose": 0}
    with pytest.raises(RuntimeError, match="killed"):
        kp.transfer.fine_tune(model(), tiny_data(), callbacks=[backup, Killed()], **options)
    other = kp.transfer.classifier(tiny_backbone(), 3, head="mlp", seed=3)
    before = other.get_weights()
    with pytest.raises(ValueError, match="belongs to another model"):
        kp.transfer.fine_tune(other, tiny_data(), callbacks=[backup], **options)
    for old, new in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    history = kp.transfer.fine_tune(model(), tiny_data(), callbacks=[backup], **options)
    assert history.epoch == [0, 1]


@pytest.mark.any_backend
def test_callbacks_know_their_model_when_a_run_goes_on(tmp_path):
    class Asking(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.name = self.model.name

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1 and not (tmp_path / "again").exists():
                (tmp_path / "again").touch()
                raise RuntimeError("killed")

    callbacks = [keras.callbacks.BackupAndRestore(tmp_path / "backup"), Asking()]
    options = {"frozen_epochs": 2, "epochs": 0, "verbose": 0, "callbacks": callbacks}
    with pytest.raises(RuntimeError, match="killed"):
        kp.transfer.fine_tune(model(), tiny_data(), **options)
    del callbacks[1].name
    trained = model()
    kp.transfer.fine_tune(trained, tiny_data(), **options)
    assert callbacks[1].name == trained.name
