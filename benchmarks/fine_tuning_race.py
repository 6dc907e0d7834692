"""`fine_tune` beside what else one would pick: accuracy against seconds, as a table and a plot.

    export KERAS_HOME=<folder with models/>
    python benchmarks/fine_tuning_race.py apple_leaves:200 cats_vs_dogs:400 --seeds 0 1 2 \
        --output race.jsonl --plot race.png

One MobileNetV2 at 224 pixels with ImageNet's weights for all, the same photos, one process:

- Keras's guide (https://keras.io/guides/transfer_learning/): a frozen network, mirrored and turned
  images, dropout .2, two epochs of the head with Adam at 1e-3, one of all layers at 1e-5,
  normalization in inference mode;
- fastai's schedule (`fine_tune(2)`: arXiv 2002.04688), its head and normalization that goes on
  learning: one frozen epoch at 2e-3, two of all layers with rates from 1e-5 to 1e-3;
- scikit-learn: a logistic regression on standardized features of the frozen network;
- `linear_probe`; `fine_tune` as it comes, with `augment.standard`.

Seconds from the images in memory to the trained model. As many photos as said are drawn to learn
from, at most 300 of the others to judge by; figures are of seeds that nothing was chosen by.
"""

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import keras
import numpy as np
from fine_tuning import data_of
from fine_tuning_choices import folder, split
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import keras_practical as kp

SIZE = 224
MOBILENET = keras.applications.mobilenet_v2


def base() -> keras.Model:
    """Return the pretrained network."""
    return MOBILENET.MobileNetV2(include_top=False, input_shape=(SIZE, SIZE, 3))


def keras_guide(data: kp.ImageData, seed: int) -> keras.Model:
    """Train as Keras's guide does."""
    network = base()
    network.trainable = False
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.RandomFlip("horizontal", seed=seed)(inputs)
    x = keras.layers.RandomRotation(0.1, seed=seed)(x)
    x = network(keras.layers.Rescaling(1 / 127.5, offset=-1)(x), training=False)
    x = keras.layers.Dropout(0.2)(keras.layers.GlobalAveragePooling2D()(x))
    outputs = keras.layers.Dense(len(data.class_names), activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    for trainable, rate, epochs in ((False, 1e-3, 2), (True, 1e-5, 1)):
        network.trainable = trainable
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
        model.fit(data.train, epochs=epochs, shuffle=False, verbose=0)
    return model


def fastai_schedule(data: kp.ImageData, seed: int) -> keras.Model:
    """Train by fastai's schedule of rates, with its head."""
    model = kp.transfer.classifier(
        "MobileNetV2",
        data.class_names,
        image_size=SIZE,
        head="mlp",
        augmentation=kp.augment.standard(seed=seed),
        seed=seed,
    )
    for base_rate, epochs, warmup, divisor in ((2e-3, 1, 0.99, 25.0), (1e-3, 2, 0.3, 5.0)):
        optimizer = keras.optimizers.AdamW(base_rate, weight_decay=0.01, beta_2=0.99)
        if epochs == 1:
            kp.transfer.freeze_to(model, -1, train_batch_norm=True)
        else:
            kp.transfer.unfreeze(model, train_batch_norm=True)
            groups = kp.transfer.layer_groups(model)
            variables = [[v for layer in group for v in layer.variables] for group in groups]
            rates = np.geomspace(0.01, 1.0, len(groups)).tolist()
            kp.training.scale_learning_rates(optimizer, variables, rates)
        model.compile(optimizer, "sparse_categorical_crossentropy")
        cycle = kp.OneCycle(base_rate, start_divisor=divisor, warmup_fraction=warmup)
        model.fit(data.train, epochs=epochs, callbacks=[cycle], shuffle=False, verbose=0)
    return model


class ScikitLearn:
    """A logistic regression on features, asked like a Keras model."""

    def __init__(self, data: kp.ImageData) -> None:
        self._network = base()
        batches = [(self._features(images), labels) for images, labels in data.train]
        features, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
        self._model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        self._model.fit(features, labels)

    def _features(self, images: np.ndarray) -> np.ndarray:
        pixels = np.asarray(images, "float32") / 127.5 - 1
        return self._network.predict(pixels, batch_size=32, verbose=0).mean((1, 2))

    def predict(self, images: np.ndarray, **options: object) -> np.ndarray:
        """Return probabilities."""
        return self._model.predict_proba(self._features(images))


def ours(data: kp.ImageData, seed: int, epochs: int | None) -> keras.Model:
    """Train with `fine_tune`, or with its first part only."""
    model = kp.transfer.classifier(
        "MobileNetV2",
        data.class_names,
        image_size=SIZE,
        augmentation=kp.augment.standard(seed=seed),
        seed=seed,
    )
    kp.transfer.fine_tune(model, data.train, epochs=epochs, verbose=0)
    return model


WAYS = {
    "Keras's guide": keras_guide,
    "fastai's schedule": fastai_schedule,
    "scikit-learn on features": lambda data, seed: ScikitLearn(data),
    "linear_probe": lambda data, seed: ours(data, seed, 0),
    "fine_tune": lambda data, seed: ours(data, seed, None),
}


def run(name: str, count: int, seed: int, output: Path) -> None:
    """Measure all ways on one split, in turn."""
    images, labels, groups = examples = folder(name)
    chosen, judged = split(groups, count, seed)
    for way, train in WAYS.items():
        keras.utils.set_random_seed(seed)
        data = data_of(examples, chosen, chosen[:0])
        began = time.perf_counter()
        model = train(data, seed)
        seconds = time.perf_counter() - began
        probabilities = model.predict(images[judged], batch_size=32, verbose=0)
        found = kp.evaluation.evaluate_predictions(probabilities, labels[judged])
        line = {"set": f"{name} {len(chosen)}", "seed": seed, "way": way, "seconds": seconds}
        line |= {"accuracy": found.accuracy, "loss": found.loss}
        with output.open("a") as lines:
            lines.write(json.dumps(line) + "\n")
        print(line, flush=True)


def summary(output: Path, plot: Path | None) -> None:
    """Print the table and draw accuracy against seconds."""
    from matplotlib import pyplot as plt

    cells: dict[str, dict[str, list]] = defaultdict(lambda: defaultdict(list))
    for line in map(json.loads, output.read_text().splitlines()):
        cells[line["set"]][line["way"]].append(line)
    _, axes = plt.subplots(1, len(cells), figsize=(5 * len(cells), 4), layout="constrained")
    print("| set | way | accuracy, % | log-loss | seconds |\n|---|---|---|---|---|")
    for ax, (title, ways) in zip(np.atleast_1d(axes), cells.items(), strict=True):
        for way in WAYS:
            lines = ways[way]
            accuracy, loss, seconds = (
                np.array([line[key] for line in lines]) for key in ("accuracy", "loss", "seconds")
            )
            print(
                f"| {title} | {way} | {100 * accuracy.mean():.1f} ± {100 * accuracy.std():.1f} | "
                f"{loss.mean():.3f} ± {loss.std():.3f} | {seconds.mean():.0f} |"
            )
            ax.errorbar(
                seconds.mean(),
                100 * accuracy.mean(),
                100 * accuracy.std(),
                fmt="o",
                capsize=3,
                label=way,
            )
        ax.set_title(f"{title} photos, {len(lines)} seeds")
        ax.set_xlabel("seconds on 2 CPU cores")
        ax.set_ylabel("accuracy on other photos, %")
        ax.grid(alpha=0.3)
    np.atleast_1d(axes)[0].legend()
    if plot is not None:
        plt.savefig(plot, dpi=80)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", help="NAME:PHOTOS, such as cats_vs_dogs:400")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=Path("race.jsonl"))
    parser.add_argument("--plot", type=Path, help="where to draw accuracy against seconds")
    options = parser.parse_args()
    for seed in options.seeds:
        for entry in options.sets:
            run(entry.split(":")[0], int(entry.split(":")[1]), seed, options.output)
    summary(options.output, options.plot)
