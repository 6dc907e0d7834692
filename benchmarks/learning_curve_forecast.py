"""Hide half of a data set, forecast the accuracy on all of it, and compare with what it is.

    KERAS_HOME=<folder with models/> python benchmarks/learning_curve_forecast.py --seeds 20

For each seed a random half of the pictures (class by class) gives a learning curve; its forecast
for twice as many is compared with the mean accuracy that a learning curve of all pictures ends in.
"""

import argparse
import sys
from pathlib import Path

import keras
import numpy as np

import keras_practical as kp

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from shared_data import data_folder

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seeds", type=int, default=20)
parser.add_argument("--image-size", type=int, default=128)
parser.add_argument("--cache", default=None, help="folder for the features")
options = parser.parse_args()


def features(name):
    """Return a data set's embeddings, training and validation pictures together."""
    if name == "digits":
        photos = kp.load_images("digits", validation_fraction=0, verbose=False)
        layers = [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
        return kp.embed(keras.Sequential(layers), photos.train, verbose=False)
    photos = kp.load_images(
        data_folder() / name / "train",
        image_size=options.image_size,
        validation_fraction=0,
        verbose=False,
    )
    return kp.embed("MobileNetV2", photos.train, cache_dir=options.cache, verbose=False)


for name in ("cats_vs_dogs", "apple_leaves", "digits"):
    everything = features(name)
    truth = kp.learning_curve(everything, repeats=20, verbose=False)
    found = float(truth.accuracies.mean(0)[-1])
    forecasts, inside, gains = [], [], []
    for seed in range(options.seeds):
        rng = np.random.default_rng(seed)
        half = np.concatenate(
            [
                rng.permutation(np.flatnonzero(everything.labels == label))[: count // 2]
                for label, count in enumerate(np.bincount(everything.labels))
            ]
        )
        curve = kp.learning_curve(everything.take(half), seed=seed, verbose=False)
        forecast, low, high = curve.accuracy_at(float(truth.sizes[-1]))
        forecasts.append(forecast)
        inside.append(low <= found <= high)
        gains.append((curve.gain(2.0)[0], found - curve.accuracies.mean(0)[-1]))
    told, true = 100 * np.mean(gains, axis=0)
    print(
        f"{name}: with all {len(everything):,} pictures {100 * found:.2f} %; forecast from half "
        f"{100 * np.mean(forecasts):.2f} ± {100 * np.std(forecasts):.2f}; inside the band "
        f"{sum(inside)} of {len(inside)}; gain forecast {told:+.2f}, measured {true:+.2f} points",
        flush=True,
    )
