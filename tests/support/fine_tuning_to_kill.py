"""A fine-tuning that a test kills and starts again: `python fine_tuning_to_kill.py FOLDER KIND`.

Dropout, BatchNormalization, Adam, two phases, a log, the best epoch's weights: all that a backup
can lose. Prints each epoch, so that the test can kill it anywhere; writes the final weights into
the folder. `KIND` is `arrays` or `photos`; or `solved`, whose head is solved and whose weights lie
half-way at the end.
"""

import sys
from pathlib import Path

import keras
import numpy as np
from tiny import tiny_backbone, tiny_data

import keras_practical as kp


class Announce(keras.callbacks.Callback):
    """Says which epoch begins: what came before it is in the backup."""

    def on_epoch_begin(self, epoch, logs=None):
        print("epoch", epoch, flush=True)


def main(folder, kind):
    images, labels = tiny_data(n=60)
    data = (images, labels)
    if kind == "photos":
        data = kp.load_images(data, batch_size=8, seed=5, verbose=False).train
    solved = kind == "solved"
    head = "linear" if solved else "mlp"
    model = kp.transfer.classifier(tiny_backbone(), 3, head=head, dropout=0.4, seed=3)
    history = kp.transfer.fine_tune(
        model,
        data,
        validation_data=tiny_data(n=30, seed=1),
        frozen_epochs=None if solved else 3,
        epochs=5 if solved else 3,
        share=0.5 if solved else None,
        callbacks=[
            keras.callbacks.BackupAndRestore(folder / "backup"),
            keras.callbacks.CSVLogger(folder / "log.csv"),
            keras.callbacks.EarlyStopping("val_loss", patience=9, restore_best_weights=True),
            Announce(),
        ],
        verbose=0,
    )
    print("epochs", *history.epoch)
    np.savez(folder / "weights.npz", *model.get_weights())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
