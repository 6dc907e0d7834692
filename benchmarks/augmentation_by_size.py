"""What each preset is worth to a pretrained network, by the number of pictures of each class.

    KERAS_HOME=<folder with models/> python benchmarks/augmentation_by_size.py

A frozen MobileNetV2 (128 pixels) sees each training photo of cats vs dogs as it is and in three
augmented views; a logistic regression on the features of some of the photos is judged on others.
All photos come from the training folder: `augment.recommended` was chosen by these numbers.
"""

import argparse
import sys
from pathlib import Path

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import keras_practical as kp

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from shared_data import data_folder

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--folder", default="cats_vs_dogs")
parser.add_argument("--image-size", type=int, default=128)
parser.add_argument("--views", type=int, default=3)
parser.add_argument("--draws", type=int, default=10)
options = parser.parse_args()
size = options.image_size
photos = kp.load_images(data_folder() / options.folder / "train", image_size=size, seed=0)
body = keras.Sequential(
    [
        kp.models.build_backbone("MobileNetV2", image_size=(size, size), weights="imagenet"),
        keras.layers.GlobalAveragePooling2D(),
    ]
)


def features(pictures, layers):
    """Return the backbone's features of pictures behind augmentation layers."""
    found = []
    for start in range(0, len(pictures), 100):
        batch = pictures[start : start + 100]
        for layer in layers:
            batch = layer(batch, training=True)
        found.append(body.predict_on_batch(np.asarray(batch) / 127.5 - 1))
    return np.concatenate(found)


def arrays(dataset):
    """Return all pictures and labels of a data set."""
    return tuple(np.concatenate(part) for part in zip(*dataset, strict=True))


(images, labels), (test_images, test_labels) = arrays(photos.train), arrays(photos.validation)
plain, test = features(images, []), features(test_images, [])
views = {"none": np.empty((0, *plain.shape))}
for name in ("light", "standard", "strong"):
    layers = getattr(kp.augment, name)(seed=0)
    views[name] = np.stack([features(images, layers) for _ in range(options.views)])
    print(f"{name}: {options.views} views of {len(images)} photos", flush=True)

largest = int(np.bincount(labels).min())
for per_class in [n for n in (5, 20, 100, 400) if n < largest] + [largest]:
    scores = {name: [] for name in views}
    for draw in range(options.draws if per_class < largest else 1):
        rng = np.random.default_rng(draw)
        rows = np.concatenate(
            [
                rng.permutation(np.flatnonzero(labels == label))[:per_class]
                for label in range(labels.max() + 1)
            ]
        )
        for name, seen in views.items():
            inputs = np.concatenate([plain[rows], *seen[:, rows]])
            targets = np.tile(labels[rows], 1 + len(seen))
            scale = StandardScaler().fit(inputs)
            # The same regularization for each photo, however many views it has.
            model = LogisticRegression(C=0.01 / (1 + len(seen)), max_iter=2000)
            model.fit(scale.transform(inputs), targets)
            scores[name].append(model.score(scale.transform(test), test_labels))
    gains = {name: 100 * (np.array(found) - scores["none"]) for name, found in scores.items()}
    print(
        f"{per_class:5} of each class: none {100 * np.mean(scores['none']):.1f} %; "
        + "; ".join(
            f"{name} {gain.mean():+.2f} ± {gain.std() / len(gain) ** 0.5:.2f}"
            for name, gain in gains.items()
            if name != "none"
        ),
        flush=True,
    )
