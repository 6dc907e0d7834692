"""What one-cycle training and rates by layer cost per step, over a plain training step.

    python benchmarks/schedule_overhead.py

Each way trains a model of its own. The ways take turns, a few steps each, and the ratio to the
plain way is taken turn by turn: medians of the ratios of CPU time, with the quartiles. "by hand" is
what users write instead: a callback that assigns the learning rate before every batch (and can't
move the momentum).
"""

import argparse
import statistics
import time

import keras
import numpy as np
import tensorflow as tf

import keras_practical as kp
from keras_practical.training.curves import evaluate_segments, one_cycle

TOTAL = 100_000
WAYS = ("plain", "OneCycle", "layerwise", "both", "by hand")


def small():
    """Return a network of 20 thousand parameters and its batch."""
    model = keras.Sequential([keras.Input((32,))])
    for width in (128, 128, 10):
        model.add(keras.layers.Dense(width, activation="relu"))
    return model, (32,)


def medium():
    """Return MobileNetV2 at 96 pixels, all of it training, and its batch."""
    body = keras.applications.MobileNetV2(
        input_shape=(96, 96, 3), weights=None, include_top=False, pooling="avg"
    )
    return keras.Sequential([body, keras.layers.Dense(10)]), (96, 96, 3)


def stepper(make, way):
    """Return a function that trains one step the given way."""
    model, shape = make()
    optimizer = keras.optimizers.Adam(1e-4)
    if way in ("layerwise", "both"):
        kp.training.layerwise(optimizer, model)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    if way in ("OneCycle", "both"):
        cycle = kp.OneCycle(1e-4)
        cycle.set_model(model)
        cycle.set_params({"steps": TOTAL, "epochs": 1, "verbose": 0})
        cycle.on_train_begin()
        cycle.on_epoch_begin(0)
    else:
        model.make_train_function()
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(16, *shape)).astype("float32"), rng.integers(0, 10, 16)
    batches = iter(tf.data.Dataset.from_tensors(batch).cache().repeat())
    rates = iter(evaluate_segments(one_cycle(1e-4), TOTAL))

    def step():
        if way == "by hand":
            optimizer.learning_rate = next(rates)
        model.train_function(batches)

    return step


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--turns", type=int, default=40)
options = parser.parse_args()
for make, steps in ((small, 100), (medium, 3)):
    steppers = {way: stepper(make, way) for way in WAYS}
    times = {way: [] for way in WAYS}
    for turn in range(options.turns + 2):
        for way, step in steppers.items():
            began = time.process_time()
            for _ in range(steps):
                step()
            if turn >= 2:  # The first turns trace and warm up.
                times[way].append((time.process_time() - began) / steps)
    print(f"{make.__name__}: plain step {1e3 * statistics.median(times['plain']):.2f} ms of CPU")
    for way in WAYS[1:]:
        ratios = [a / b for a, b in zip(times[way], times["plain"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"  {way:<10} {middle:.3f} ({low:.3f}-{high:.3f}), n={len(ratios)} turns")
