"""What the learning-rate finder costs over plain training of as many steps.

    python benchmarks/finder.py

Both compile a training step once. That cost, measured as a `fit` of one step, is taken off both;
the ratio of what is left is the finder's.
"""

import argparse
import statistics
import time

import keras
import numpy as np

import keras_practical as kp

STEPS = 100
BATCH = 16


def model():
    """Return MobileNetV2 at 96 pixels on ten classes, compiled, all of it training."""
    body = keras.applications.MobileNetV2(
        input_shape=(96, 96, 3), weights=None, include_top=False, pooling="avg"
    )
    model = keras.Sequential([body, keras.layers.Dense(10)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def seconds(function, *arguments, **options):
    """Return the wall time of a call."""
    start = time.perf_counter()
    function(*arguments, **options)
    return time.perf_counter() - start


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--rounds", type=int, default=3)
options = parser.parse_args()
rng = np.random.default_rng(0)
images = rng.normal(size=(STEPS * BATCH, 96, 96, 3)).astype("float32")
labels = rng.integers(0, 10, len(images))
ratios = []
for _ in range(options.rounds):
    one = seconds(model().fit, images[:BATCH], labels[:BATCH], batch_size=BATCH, verbose=0)
    plain = seconds(model().fit, images, labels, batch_size=BATCH, verbose=0)
    # A ramp that ends before the loss explodes, so that all steps are trained.
    search = seconds(
        kp.find_lr,
        model(),
        (images, labels),
        batch_size=BATCH,
        steps=STEPS,
        end_learning_rate=1e-4,
        verbose=False,
    )
    ratios.append((search - one) / (plain - one))
    print(f"compiling {one:.1f} s, {STEPS} steps of fit {plain:.1f} s, find_lr {search:.1f} s")
print(
    f"find_lr / fit, both without compiling: {statistics.median(ratios):.2f} "
    f"({min(ratios):.2f}-{max(ratios):.2f}), n={len(ratios)}"
)
