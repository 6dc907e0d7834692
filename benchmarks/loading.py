"""Loading speed against `keras.utils.image_dataset_from_directory`, in pictures a second.

    python benchmarks/loading.py

Each way decodes and resizes every picture to 160 pixels; the ways take turns, and the ratio is
taken pair by pair. "one pass" decodes each picture once; "five epochs" is what training sees, where
the default keeps decoded pictures in memory. The 12-megapixel JPEGs are photos of the test data,
enlarged, with a little sensor noise, at quality 90.
"""

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import keras
import numpy as np
from PIL import Image

import keras_practical as kp

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from shared_data import data_folder

SIZE = 160


def drain(dataset, epochs):
    for _ in range(epochs):
        for _ in dataset:
            pass


def ours(folder, epochs, cache):
    photos = kp.load_images(
        folder, image_size=SIZE, validation_fraction=0, cache=cache, verbose=False
    )
    drain(photos.train, epochs)


def keras_way(folder, epochs, crop):
    dataset = keras.utils.image_dataset_from_directory(
        folder, image_size=(SIZE, SIZE), crop_to_aspect_ratio=crop, verbose=False
    )
    drain(dataset, epochs)


def seconds(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def compare(name, folder, rounds):
    count = sum(1 for file in Path(folder).rglob("*.jpg"))
    for epochs in (1, 5):
        ours(folder, 1, "memory")  # warm the file cache
        times = {"memory": [], "none": [], "keras": [], "keras, cropped": []}
        for _ in range(rounds):
            times["memory"].append(seconds(ours, folder, epochs, "memory"))
            times["none"].append(seconds(ours, folder, epochs, None))
            times["keras"].append(seconds(keras_way, folder, epochs, False))
            times["keras, cropped"].append(seconds(keras_way, folder, epochs, True))
        print(f"{name}, {count} pictures, {epochs} epoch{'s' * (epochs > 1)}, {rounds} rounds")
        for way, values in times.items():
            ratios = [k / v for k, v in zip(times["keras"], values, strict=True)]
            print(
                f"  {way:<15} {count * epochs / statistics.median(values):8.0f} pictures/s   "
                f"keras/this: {statistics.median(ratios):.2f} "
                f"({min(ratios):.2f}-{max(ratios):.2f})"
            )


def make_large(source, folder, count):
    rng = np.random.default_rng(0)
    for number, file in enumerate(sorted(source.rglob("*.jpg"))[:: 2000 // count]):
        with Image.open(file) as image:
            large = np.asarray(image.convert("RGB").resize((4000, 3000), Image.Resampling.BICUBIC))
        noisy = large + rng.normal(0, 3, (3000, 4000, 1))
        target = folder / str(number % 2) / f"{number}.jpg"
        target.parent.mkdir(exist_ok=True)
        Image.fromarray(np.clip(noisy, 0, 255).astype("uint8")).save(target, quality=90)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--rounds", type=int, default=5)
options = parser.parse_args()
warnings.simplefilter("ignore")
cats_vs_dogs = data_folder() / "cats_vs_dogs" / "train"
compare("cats_vs_dogs", cats_vs_dogs, options.rounds)
with tempfile.TemporaryDirectory() as large:
    make_large(cats_vs_dogs, Path(large), 100)
    compare("12 megapixels", large, options.rounds)
