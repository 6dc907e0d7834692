"""A run killed with SIGKILL and started again ends with the weights of one that wasn't."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from linear_training import (
    CYCLE,
    MOMENTUMS,
    OPTIMIZERS,
    PEAK,
    STEPS,
    assert_kernels,
    fit,
    linear_model,
    train,
)

from keras_practical import OneCycle, load_images
from keras_practical.training.resuming import SetEpoch

# Also run on JAX.
pytestmark = pytest.mark.any_backend

SCRIPT = Path(__file__).parents[1] / "support" / "training_to_kill.py"
KILLED_AFTER = {"epoch": 15, "4": 13}  # Of 3 epochs of 9 steps; nothing is saved just then.


def start(folder, save_freq):
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(SCRIPT), str(folder), save_freq]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def run_to_the_end(folder, save_freq):
    """Return the steps announced, the final weights, and the line with the last rates."""
    with start(folder, save_freq) as process:
        lines = process.stdout.read().splitlines()
    assert process.returncode == 0
    steps = [int(line.split()[1]) for line in lines if line.startswith("step")]
    with np.load(folder / "weights.npz") as file:
        return steps, [file[name] for name in file.files], lines[-1]


@pytest.mark.slow
@pytest.mark.tf_only
@pytest.mark.parametrize("save_freq", KILLED_AFTER)
def test_killed_run_continues_to_the_same_weights(save_freq, tmp_path):
    with start(tmp_path / "killed", save_freq) as process:
        for line in process.stdout:
            # `steps_per_execution=2`: not every step is announced.
            if line.startswith("step") and int(line.split()[1]) >= KILLED_AFTER[save_freq]:
                process.kill()
    assert process.returncode < 0
    assert not (tmp_path / "killed" / "weights.npz").exists()

    steps, resumed, last = run_to_the_end(tmp_path / "killed", save_freq)
    whole_steps, whole, whole_last = run_to_the_end(tmp_path / "whole", save_freq)
    print(f"save_freq={save_freq}: killed after {KILLED_AFTER[save_freq]}, resumed at {steps[0]}")
    assert (max(steps), last) == (max(whole_steps), whole_last)
    assert steps[0] >= 9 > whole_steps[0]
    for one, other in zip(resumed, whole, strict=True):
        np.testing.assert_array_equal(one, other)


class StopAt(keras.callbacks.Callback):
    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.parametrize("save_freq", [1, 3])
@pytest.mark.parametrize("stopped_after", range(STEPS + 1, 2 * STEPS + 2))
def test_one_cycle_continues_in_the_middle_of_an_epoch(stopped_after, save_freq, tmp_path):
    # A stop in every place: mid-epoch, at an epoch's last batch, at the first of the next.
    optimizer, step = OPTIMIZERS["nesterov"]

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "b", save_freq=save_freq)

    first, second = linear_model(optimizer()), linear_model(optimizer())
    with pytest.raises(KeyboardInterrupt):
        fit(first, OneCycle(PEAK), backup(), StopAt(stopped_after))
    history = fit(second, backup(), OneCycle(PEAK))
    assert_kernels(second, train(step(), CYCLE, MOMENTUMS))
    assert history["learning_rate"][-1] == pytest.approx(CYCLE[-1], rel=1e-6)


def test_set_epoch_gives_each_epoch_its_own_order_in_any_process():
    def orders(first_epoch, reads_before):
        pictures = np.arange(20, dtype="uint8")[:, None, None, None] * np.ones((4, 4, 3), "uint8")
        train_data = load_images(
            (pictures, np.arange(20) % 2), validation_fraction=0, seed=3, verbose=False
        ).train
        for _ in range(reads_before):
            list(train_data)
        callback, found = SetEpoch(train_data), []
        for epoch in range(first_epoch, 3):
            callback.on_epoch_begin(epoch)
            found.append(np.concatenate([x.numpy()[:, 0, 0, 0] for x, _ in train_data]).tolist())
        return found

    whole = orders(0, reads_before=0)
    assert whole[0] != whole[1] != whole[2]
    assert orders(1, reads_before=2) == whole[1:]
    assert sorted(whole[2]) == list(range(20))


def test_set_epoch_refuses_data_without_an_order():
    with pytest.raises(ValueError, match="must be the training data of `load_images`"):
        SetEpoch([1, 2])
