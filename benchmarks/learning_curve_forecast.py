"""Hide half of a data set, forecast the accuracy on all of it, and compare with what it is.

    KERAS_HOME=<folder with models/> python benchmarks/learning_curve_forecast.py --seeds 20

For each seed a random half of the pictures (class by class) gives a learning curve; its forecast
for twice as many is compared with the mean accuracy that a learning curve of all pictures ends in.

    python benchmarks/learning_curve_forecast.py --simulate --seeds 100

draws curves whose truth is known instead, flat, falling and rising: how often do the bands hold
the accuracy that as many other images would show, and the true gain?
"""

import argparse
import sys
from pathlib import Path

import keras
import numpy as np

import keras_practical as kp
from keras_practical.transfer import extrapolation

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from shared_data import data_folder

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seeds", type=int, default=20)
parser.add_argument("--image-size", type=int, default=128)
parser.add_argument("--cache", default=None, help="folder for the features")
parser.add_argument("--simulate", action="store_true")
options = parser.parse_args()
# The error with so many images a class.
LAWS = {
    "flat at 20 %": lambda n: 0.2 + 0 * n,
    "flat at 5 %": lambda n: 0.05 + 0 * n,
    "falling to a floor": lambda n: 0.03 + 0.8 * n**-0.5,
    "falling slowly": lambda n: 0.6 * n**-0.2,
    "rising": lambda n: 0.2 + 0.02 * np.log(n / 5),
}


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


def simulated(law, n, seed):
    """Return the learning curve of `n` images of which some are hard for all models."""
    rng = np.random.default_rng([seed, n])
    sizes = np.geomspace(1 / 16, 1, 6) * 0.75 * n / 2
    hard = rng.random(n)
    rights = np.full((10, 6, n), np.nan)
    for repeat in range(10):
        test = rng.permutation(n)[: n // 4]
        own = rng.random((6, len(test)))
        mixed = np.where(rng.random(own.shape) < 0.7, hard[test], own)
        rights[repeat][:, test] = mixed > law(sizes)[:, None]
    return extrapolation._curve(sizes, rights, 2, None, 0), rng


def simulate():
    """Print how often bands hold the truth."""
    for name, law in LAWS.items():
        for n in (80, 400):
            for factor in (2, 10):
                held, gained, no_help = [], [], []
                for seed in range(options.seeds):
                    curve, rng = simulated(law, n, seed)
                    now = curve.sizes[-1]
                    _, low, high = curve.accuracy_at(factor * now)
                    held.append(low <= rng.binomial(n, 1 - law(factor * now)) / n <= high)
                    _, low, high = curve.gain(factor)
                    gained.append(low - 1e-9 <= law(now) - law(factor * now) <= high + 1e-9)
                    no_help.append(not curve.helps)
                print(
                    f"{name}, {n} images, times {factor}: accuracy inside {100 * np.mean(held):.0f}"
                    f' %, gain {100 * np.mean(gained):.0f} %; "won\'t help" '
                    f"{100 * np.mean(no_help):.0f} %",
                    flush=True,
                )


def forecast():
    """Print forecasts from half of each data set beside what all of it gives."""
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
            f"{name}: with all {len(everything):,} pictures {100 * found:.2f} %; forecast from "
            f"half {100 * np.mean(forecasts):.2f} ± {100 * np.std(forecasts):.2f}; inside the band "
            f"{sum(inside)} of {len(inside)}; gain forecast {told:+.2f}, measured {true:+.2f} "
            "points",
            flush=True,
        )


if options.simulate:
    simulate()
else:
    forecast()
