"""Ways to fine-tune from a probe's head, against one another, on splits of training photos.

    KERAS_HOME=<folder with models/> python benchmarks/fine_tuning_choices.py cats_vs_dogs:100 \
        ants_vs_bees:160 apple_leaves:200 lung_ct:300 cifar10:200 --seeds 0 1 --output choices.jsonl
    python benchmarks/fine_tuning_choices.py --summary --output choices.jsonl

Choices for `fine_tune` are made on these figures, so only training photos serve: some are drawn to
learn from, at most 300 of the others (of other papers and patients for `lung_ct`) to judge by. The
head is `fit_probe`'s on MobileNetV2; then plain Keras: AdamW under one cycle, normalization frozen,
`augment.standard`. "last blocks": block 13 and later, trained on what the blocks before it give for
each photo and three augmented views of it, computed once. A share is how far the weights go from
the probe's (0) to the fine-tuned ones (1). One line of JSON for each share of each training.
"""

import argparse
import io
import itertools
import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import keras
import numpy as np
from PIL import Image

import keras_practical as kp
from keras_practical.data.origin import origin_of

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from shared_data import data_folder, lung_papers

SHARES = (0.25, 0.5, 0.75, 1.0)
CUT = "block_12_add"
VIEWS = 4  # The photo as it is, and three times augmented.
# What trains, the peak rate, epochs, and the factor from one layer group to the one before it.
WAYS = {
    "all layers, 1e-4": ("all", 1e-4, 5, 1.0),
    "all layers, 4e-4": ("all", 4e-4, 5, 1.0),
    "all layers, 4e-4, falling by 0.8 a group": ("all", 4e-4, 5, 0.8),
    "last blocks, 4e-4": ("last", 4e-4, 10, 1.0),
    "last blocks, 1e-3": ("last", 1e-3, 10, 1.0),
}
BATCH_SIZE = 32


def cifar10() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the small photos at 96 pixels, the labels, and a group for each photo."""
    with np.load(data_folder() / "cifar10" / "train_jpeg.npz") as packed:
        content, offsets = packed["data"].tobytes(), packed["offsets"]
        labels = packed["labels"].astype(int)
    images = [
        np.asarray(Image.open(io.BytesIO(content[start:end])).convert("RGB").resize((96, 96), 3))
        for start, end in itertools.pairwise(offsets[:2001])
    ]
    return np.stack(images), labels[:2000], np.arange(2000)


def folder(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a folder's training photos at 224 pixels, their labels and groups."""
    groups = None
    if name == "lung_ct":
        places = lung_papers().items()
        groups = {
            place.removeprefix("train/"): paper
            for place, paper in places
            if place.startswith("train/")
        }
    data = kp.load_images(
        data_folder() / name / "train",
        image_size=224,
        validation_fraction=0,
        groups=groups,
        verbose=False,
    )
    source = origin_of(data.train).source
    images = np.asarray(source.store.read(source.rows)[0]).round().astype("uint8")
    own = [record.group or record.name for record in source.records]
    return images, np.asarray(source.labels), np.unique(own, return_inverse=True)[1]


def split(groups: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `count` rows to learn from and at most 300 of other groups to judge by."""
    rng = np.random.default_rng(1000 + seed)
    order = np.concatenate(
        [np.flatnonzero(groups == group) for group in rng.permutation(np.unique(groups))]
    )
    train = order[:count]
    others = order[~np.isin(groups[order], groups[train])]
    return train, others[:300]


def network(size: int, classes: int, augmentation: list) -> tuple[keras.Model, keras.Model]:
    """Return a classifier of pixels and the network inside it."""
    backbone = keras.applications.MobileNetV2(include_top=False, input_shape=(None, None, 3))
    for layer in backbone.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    features = inputs = keras.Input((size, size, 3))
    for layer in [*augmentation, keras.layers.Rescaling(1 / 127.5, offset=-1), backbone]:
        features = layer(features)
    features = keras.layers.GlobalAveragePooling2D()(features)
    outputs = keras.layers.Dense(classes, activation="softmax")(features)
    return keras.Model(inputs, outputs), backbone


class CachedViews(keras.utils.PyDataset):
    """Batches in a new order each epoch, of each photo one of its views."""

    def __init__(self, views: np.ndarray, labels: np.ndarray, seed: int) -> None:
        super().__init__()
        self._views, self._labels = views, labels
        self._rng = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self._labels) // BATCH_SIZE)

    def on_epoch_end(self) -> None:
        """Draw the order and the views of the next epoch."""
        self._order = self._rng.permutation(len(self._labels))
        self._chosen = self._rng.integers(0, len(self._views), len(self._labels))

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self._order[index * BATCH_SIZE :][:BATCH_SIZE]
        return self._views[self._chosen[rows], rows].astype("float32"), self._labels[rows]


def views_at_cut(early: keras.Model, images: np.ndarray, augmentation: list) -> np.ndarray:
    """Return what the blocks before the cut give for each photo and its augmented views."""
    views: list[list[np.ndarray]] = [[] for _ in range(VIEWS)]
    for start in range(0, len(images), BATCH_SIZE):
        for number, parts in enumerate(views):
            pixels = images[start : start + BATCH_SIZE].astype("float32")
            for layer in augmentation if number else ():
                pixels = layer(pixels, training=True)
            given = early(np.asarray(pixels) / 127.5 - 1, training=False)
            parts.append(np.asarray(given).astype("float16"))
    return np.stack([np.concatenate(parts) for parts in views])


def train(
    way: tuple[str, float, int, float],
    model: keras.Model,
    backbone: keras.Model,
    examples: tuple[np.ndarray, np.ndarray],
    augmentation: list,
    seed: int,
) -> None:
    """Train the model in place in one of the ways."""
    part, peak, epochs, decay = way
    images, labels = examples
    steps = epochs * -(-len(labels) // BATCH_SIZE)
    schedule = keras.optimizers.schedules.CosineDecay(
        peak / 25, int(0.75 * steps), warmup_target=peak, warmup_steps=int(0.25 * steps)
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.01)
    trained, views = model, images[None]
    if decay < 1.0:
        groups = kp.transfer.layer_groups(model)
        kp.training.scale_learning_rates(
            optimizer,
            [[variable for layer in group for variable in layer.variables] for group in groups],
            [decay ** (len(groups) - 1 - number) for number in range(len(groups))],
        )
    if part == "last":
        cut = backbone.get_layer(CUT).output
        late = keras.Model(cut, backbone.output)
        inputs = keras.Input(cut.shape[1:])
        features = keras.layers.GlobalAveragePooling2D()(late(inputs))
        trained = keras.Model(inputs, model.layers[-1](features))
        early = keras.Model(backbone.input, cut)
        views = views_at_cut(early, images, augmentation)
    trained.compile(optimizer, "sparse_categorical_crossentropy")
    trained.fit(CachedViews(views, labels, seed), epochs=epochs, shuffle=False, verbose=0)


def run(name: str, count: int, seed: int, output: Path) -> None:
    """Measure the probe and all ways on one split, and write a line for each result."""
    images, labels, groups = cifar10() if name == "cifar10" else folder(name)
    chosen, judged = split(groups, count, seed)
    size, classes = images.shape[1], int(labels.max()) + 1

    def note(way: str, share: float, seconds: float, model: keras.Model) -> None:
        probabilities = model.predict(images[judged], batch_size=BATCH_SIZE, verbose=0)
        found = kp.evaluation.evaluate_predictions(probabilities, labels[judged])
        line = {"set": name, "n": len(chosen), "judged": len(judged), "seed": seed}
        line |= {"way": way, "share": share, "seconds": round(seconds, 1)}
        line |= {"accuracy": found.accuracy, "loss": found.loss}
        with output.open("a") as lines:
            lines.write(json.dumps(line) + "\n")
        print(line, flush=True)

    keras.utils.set_random_seed(seed)
    preset = kp.augment.medical_greyscale if name == "lung_ct" else kp.augment.standard
    augmentation = preset(seed=seed)
    model, backbone = network(size, classes, augmentation)
    started = time.perf_counter()
    body = keras.Model(model.inputs, model.layers[-2].output)
    names = tuple(map(str, range(classes)))
    features = body.predict(images[chosen], batch_size=BATCH_SIZE, verbose=0)
    probe = kp.transfer.fit_probe(kp.transfer.Embeddings(features, labels[chosen], (), names))
    model.layers[-1].set_weights([probe.kernel, probe.bias])
    note("probe", 0.0, time.perf_counter() - started, model)
    first = model.get_weights()
    for title, way in WAYS.items():
        keras.utils.set_random_seed(seed)
        model.set_weights(first)
        started = time.perf_counter()
        train(way, model, backbone, (images[chosen], labels[chosen]), augmentation, seed)
        seconds = time.perf_counter() - started
        last = model.get_weights()
        for share in SHARES:
            pairs = zip(first, last, strict=True)
            model.set_weights([(1 - share) * old + share * new for old, new in pairs])
            note(title, share, seconds, model)


def summary(output: Path) -> None:
    """Print a table of mean accuracy and log-loss over the seeds."""
    cells: dict[tuple[str, str], dict[str, list]] = defaultdict(lambda: defaultdict(list))
    for line in map(json.loads, output.read_text().splitlines()):
        row = line["way"] if line["way"] == "probe" else f"{line['way']}, share {line['share']:g}"
        cells[line["way"], row][f"{line['set']} {line['n']}"].append(line)
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    print("| way | " + " | ".join(columns) + " |\n|" + "---|" * (1 + len(columns)))
    for (_, title), row in cells.items():
        shown = [
            f"{100 * np.mean([x['accuracy'] for x in row[column]]):.1f} / "
            f"{np.mean([x['loss'] for x in row[column]]):.3f}"
            if row[column]
            else ""
            for column in columns
        ]
        print(f"| {title} | " + " | ".join(shown) + " |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", help="NAME:PHOTOS, such as cats_vs_dogs:100")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=Path("choices.jsonl"))
    parser.add_argument("--summary", action="store_true", help="the table of what is in --output")
    options = parser.parse_args()
    for seed in options.seeds if not options.summary else ():
        for entry in options.sets:
            run(entry.split(":")[0], int(entry.split(":")[1]), seed, options.output)
    if options.summary:
        summary(options.output)
