"""Frozen epochs by plain `fit` against the same epochs on features that are computed once.

    KERAS_HOME=<folder with models/> python benchmarks/frozen_epochs.py

One run: cats vs dogs, MobileNetV2, the same epochs three times: plain Keras (`views=0`), ours from
cold (embedding included), ours again on the warm cache. Pictures are decoded into memory before.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import keras

import keras_practical as kp

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from shared_data import data_folder

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--image-size", type=int, default=160)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()
photos = kp.load_images(
    data_folder() / "cats_vs_dogs", image_size=options.image_size, seed=options.seed
)
seconds, accuracies = {}, {}
with tempfile.TemporaryDirectory() as folder:
    for name, how in {
        "plain": {"views": 0},
        "cold": {"cache_dir": folder},
        "warm": {"cache_dir": folder},
    }.items():
        keras.utils.set_random_seed(options.seed)
        model = kp.transfer.classifier(
            "MobileNetV2", photos.class_names, image_size=options.image_size, seed=options.seed
        )
        started = time.perf_counter()
        kp.transfer.fine_tune(
            model, photos.train, frozen_epochs=options.epochs, epochs=0, verbose=0, **how
        )
        seconds[name] = time.perf_counter() - started
        accuracies[name] = kp.evaluate(model, photos.validation, verbose=False).accuracy
        print(
            f"{name}: {options.epochs} frozen epochs in {seconds[name]:.1f} s, "
            f"accuracy {accuracies[name]:.4f}",
            flush=True,
        )
print(
    f"{options.image_size} px: plain / cold {seconds['plain'] / seconds['cold']:.1f}, "
    f"plain / warm {seconds['plain'] / seconds['warm']:.1f}"
)
