"""What the helpers cost on a GPU, against Keras's layers and against the bare step: prints JSON.

    KERAS_BACKEND=jax python benchmarks/on_gpu.py

Four minutes on one GPU; images are made, weights are random. Each number is the median of five
timings with the least and the most. Ratios are taken within one run:

- `augmentation`: images a second of `augment.strong` (one interpolation, one colour step, a hole)
  and of Keras's layers for the same changes, 64 images of 224 x 224 pixels that lie on the device.
- `fine_tuning`: steps a second of `fit` with layer-wise rates and one cycle, as `fine_tune`'s
  second phase runs, and of the bare compiled step of the same network on one batch that lies on the
  device: what the hardware allows. Float32 and mixed_bfloat16.
- `one_cycle`: seconds of an epoch of a small network with and without `OneCycle`.

Measured on one NVIDIA H100 80GB HBM3 (16 CPU cores, JAX 0.11.2, Keras 3.15.1) in 178 s,
median (least to most) of five:

| | ours | against it | ratio |
|---|---|---|---|
| augmentation, images/s | 145,100 (143,800-145,700) | Keras: 24,830 (24,750-24,970) | 5.84 |
| one cycle, s for 500 steps | .393 (.356-.458) | without .423 (.356-.494) | .93 |
| ResNet-50 float32, steps/s | 52.7 (52.2-53.1) | bare step 54.3 (54.3-54.4) | 1.03 |
| ResNet-50 mixed_bfloat16 | 57.6 (55.0-74.6) | bare step 84.1 (83.9-84.3) | 1.46 |
| MobileNetV2 mixed_bfloat16 | 125 (123-127) | bare step 172 (170-172) | 1.37 |

In half precision `fit` waits for its images, which come from the host as arrays, batch by batch.
"""

import json
import os
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np

import keras_practical as kp

SIDE, BATCH, REPEATS = 224, 64, 5


def spread(values):
    """Return median, least and most, rounded to four digits."""
    chosen = [float(np.median(values)), float(min(values)), float(max(values))]
    return [float(f"{value:.4g}") for value in chosen]


def timed(run):
    """Return seconds of each of five runs, after one that isn't timed."""
    run()
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return np.array(seconds)


def augmentation():
    """Compare the fused layers with Keras's own."""
    images = jax.device_put(
        np.random.default_rng(0).integers(0, 255, (BATCH, SIDE, SIDE, 3)).astype("float32")
    )
    stacks = {
        "ours": kp.augment.strong(seed=0),
        "keras": [
            keras.layers.RandomFlip("horizontal", seed=0),
            keras.layers.RandomRotation(15 / 360, seed=0),
            keras.layers.RandomZoom((-0.4, 0.0), seed=0),
            keras.layers.RandomShear(0.05, 0.05, seed=0),
            keras.layers.RandomPerspective(0.5, scale=0.1, seed=0),
            keras.layers.RandomBrightness(0.2, seed=0),
            keras.layers.RandomContrast(0.3, seed=0),
            keras.layers.RandomSaturation(0.5, seed=0),
            keras.layers.RandomHue(0.03, seed=0),
            keras.layers.RandomErasing(0.5, scale=(0.02, 0.15), fill_value=127.5, seed=0),
        ],
    }
    result = {}
    for name, layers in stacks.items():
        model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), *layers])

        @jax.jit
        def step(state, images, model=model):
            return model.stateless_call([], state, images, training=True)

        state = [variable.value for variable in model.non_trainable_variables]

        def run(step=step, state=state):
            jax.block_until_ready([step(state, images) for _ in range(10)])

        result[name] = spread(10 * BATCH / timed(run))
    return result | {"ratio": float(f"{result['ours'][0] / result['keras'][0]:.3g}")}


def fine_tuning(name, policy):
    """Compare `fit` as `fine_tune` runs it with the bare compiled step."""
    keras.mixed_precision.set_global_policy(policy)
    keras.utils.set_random_seed(0)
    steps = 20
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (BATCH * steps, SIDE, SIDE, 3)).astype("uint8")
    labels = np.arange(len(images)) % 10
    model = kp.transfer.classifier(name, 10, image_size=SIDE, weights=None, seed=0)
    kp.transfer.unfreeze(model)
    model.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy")
    batch = tuple(jax.device_put(part[:BATCH]) for part in (images, labels))
    model.fit(images[:BATCH], labels[:BATCH], batch_size=BATCH, verbose=0)
    state = tuple(
        [variable.value for variable in variables]
        for variables in (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
    )
    kept = jax.tree.map(lambda value: value.copy(), state)

    def bare():
        nonlocal kept
        for _ in range(steps):
            _, kept = model.train_function(kept, iter([batch]))
        jax.block_until_ready(kept)

    limit = spread(steps / timed(bare))
    model.compile(
        kp.training.layerwise(keras.optimizers.Adam(1e-4), model),
        "sparse_categorical_crossentropy",
    )
    seconds = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.started = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            seconds.append(time.perf_counter() - self.started)

    model.fit(
        images,
        labels,
        batch_size=BATCH,
        epochs=1 + REPEATS,
        verbose=0,
        callbacks=[kp.OneCycle(1e-3), Clock()],
    )
    ours = spread(steps / np.array(seconds[1:]))
    keras.mixed_precision.set_global_policy("float32")
    return {
        "bare steps/s": limit,
        "fit steps/s": ours,
        "images/s": float(f"{BATCH * ours[0]:.4g}"),
        "ratio": float(f"{limit[0] / ours[0]:.3g}"),
    }


def one_cycle():
    """Compare epochs of a small network with and without the callback."""
    inputs = np.random.default_rng(0).normal(size=(64 * 500, 32)).astype("float32")
    labels = (inputs[:, 0] > 0).astype("int32")
    seconds = {}
    for name, callbacks in (("without", []), ("with", [kp.OneCycle(1e-2)])):
        layers = [keras.layers.Dense(64, "relu"), keras.layers.Dense(2, "softmax")]
        model = keras.Sequential([keras.Input((32,)), *layers])
        model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
        took = []

        class Clock(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                self.started = time.perf_counter()

            def on_epoch_end(self, epoch, logs=None, took=took):
                took.append(time.perf_counter() - self.started)

        model.fit(
            inputs,
            labels,
            batch_size=64,
            epochs=1 + REPEATS,
            verbose=0,
            callbacks=[*callbacks, Clock()],
        )
        seconds[name] = spread(took[1:])
    return seconds | {"ratio": float(f"{seconds['with'][0] / seconds['without'][0]:.3g}")}


def main():
    """Measure everything, most important first; print after each part, so that a stop keeps it."""
    result = {
        "device": str(jax.devices()[0].device_kind),
        "keras": keras.__version__,
        "jax": jax.__version__,
        "repeats": REPEATS,
    }
    parts = {
        "augmentation": augmentation,
        "one_cycle": one_cycle,
        "ResNet50 float32": lambda: fine_tuning("ResNet50", "float32"),
        "ResNet50 mixed_bfloat16": lambda: fine_tuning("ResNet50", "mixed_bfloat16"),
        "MobileNetV2 mixed_bfloat16": lambda: fine_tuning("MobileNetV2", "mixed_bfloat16"),
    }
    for name, part in parts.items():
        started = time.perf_counter()
        try:
            result[name] = part()
        # One part that fails leaves the others' minutes of worth.
        except Exception as error:
            result[name] = f"{type(error).__name__}: {error}"
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
