"""A training run that a test kills and starts again: `python training_to_kill.py FOLDER save_freq`.

Dropout, BatchNormalization, momentum, shuffled data of `load_images`: all that a checkpoint and a
pipeline can get wrong. Prints each batch, so that the test can kill it anywhere; writes the final
weights into the folder.
"""

import sys
from pathlib import Path

import keras
import numpy as np

import keras_practical as kp


class Announce(keras.callbacks.Callback):
    """Says which optimizer step was done, after `BackupAndRestore` had its turn."""

    def on_train_batch_end(self, batch, logs=None):
        print("step", int(self.model.optimizer.iterations.numpy()), flush=True)


def main(folder, save_freq):
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (88, 6, 6, 3)).astype("uint8")
    photos = kp.load_images((pictures, np.arange(88) % 2), batch_size=8, seed=5, verbose=False)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.4, seed=2),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)
    model.compile(optimizer, "sparse_categorical_crossentropy", steps_per_execution=2)
    history = model.fit(
        photos.train,
        epochs=3,
        shuffle=False,
        verbose=0,
        callbacks=[
            kp.OneCycle(max_learning_rate=0.05),
            kp.callbacks.SetEpoch(photos.train),
            kp.callbacks.BackupAndRestore(
                folder / "backup", save_freq=save_freq, double_checkpoint=True
            ),
            Announce(),
        ],
    )
    print("last rates", history.history["learning_rate"][-1], history.history["momentum"][-1])
    np.savez(folder / "weights.npz", *model.get_weights())


if __name__ == "__main__":
    frequency = sys.argv[2]
    main(Path(sys.argv[1]), frequency if frequency == "epoch" else int(frequency))
