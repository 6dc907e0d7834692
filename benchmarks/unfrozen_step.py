"""A step of `fine_tune`'s second phase against a bare step of Keras, on resident data, paired.

    KERAS_HOME=<folder with models/> python benchmarks/unfrozen_step.py

MobileNetV2, all layers trainable but normalization, Adam, batches of 32 in memory. Both ways take
turns in one process. Prints each ratio's median and range: the whole step of `fine_tune` (one
cycle, folded normalization) and one cycle alone over the bare step, and a pass of `embed`'s network
over `predict`.
"""

import argparse
import time

import keras
import numpy as np

import keras_practical as kp
from keras_practical.transfer.feature_network import FeatureNetwork, split_at_features
from keras_practical.utils.keras_internals.folding import FoldedTraining

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--image-size", type=int, default=224)
parser.add_argument("--rounds", type=int, default=7)
parser.add_argument("--batches", type=int, default=4)
options = parser.parse_args()

rng = np.random.default_rng(0)
count, size = 32 * options.batches, options.image_size
images = rng.integers(0, 256, (count, size, size, 3)).astype("float32")
labels = np.arange(count) % 2


def network() -> keras.Model:
    """Return a classifier, all layers but normalization unfrozen."""
    model = kp.transfer.classifier("MobileNetV2", 2, image_size=size, seed=0, verbose=False)
    kp.transfer.unfreeze(model)
    model.compile(keras.optimizers.Adam(1e-6), "sparse_categorical_crossentropy")
    return model


class Steps(keras.callbacks.Callback):
    """Times the steps of `fit` after the first epoch, which compiles."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Note the time of a step."""
        self.seconds = (time.perf_counter() - self._began) / options.batches


def step(model: keras.Model, callbacks: list) -> float:
    """Return the seconds of a training step."""
    clock = Steps()
    model.fit(images, labels, epochs=2, shuffle=False, verbose=0, callbacks=[*callbacks, clock])
    return clock.seconds


def forward(function) -> float:
    """Return the seconds of a pass over a batch."""
    began = time.perf_counter()
    function(images)
    return (time.perf_counter() - began) / options.batches


def said(name: str, ratios: list[float]) -> None:
    """Print a ratio over the rounds."""
    print(
        f"{name}: {np.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}, "
        f"{len(ratios)} rounds)",
        flush=True,
    )


model = network()
body, _ = split_at_features(model)
embedding = FeatureNetwork(body, 32, False)
embedding(images), body.predict(images, verbose=0)
whole, cycle, embedded, bare_steps = [], [], [], []
for _ in range(options.rounds):
    bare = step(model, [])
    bare_steps.append(bare)
    cycle.append(step(model, [kp.OneCycle(1e-6)]) / bare)
    whole.append(step(model, [kp.OneCycle(1e-6), FoldedTraining()]) / bare)
    plain = forward(lambda batch: body.predict(batch, batch_size=32, verbose=0))
    embedded.append(forward(embedding) / plain)
print(f"a bare step: {np.median(bare_steps):.2f} s at {size} pixels")
said("one cycle over the bare step", cycle)
said("fine_tune's step over the bare step", whole)
said("embed's network over predict", embedded)
