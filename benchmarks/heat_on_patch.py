"""Does the heat lie where the evidence is? Pointing game on planted patches, several seeds.

    python benchmarks/heat_on_patch.py --seeds 5

Each picture is noise of 48 x 48 pixels with a patch of 8 x 8 somewhere: upright stripes for one
class, level ones for the other. A small network is trained from scratch on 1,000 of them; on 40
others the hottest pixel of its map hits if it lies in the patch. A hit by chance: 8² / 48² = 3 %.

Measured with 5 seeds, the networks 100 % right: occlusion hits in 100.0 ± 0.0 % behind maximum
and behind average pooling, Grad-CAM in 100.0 ± 0.0 % behind average pooling and in 89.5 ± 22.1 %
behind maximum pooling. There, one network of five gives no positive weight at all to one class: it
knows it by the absence of the other, and its map is rightly empty (`HeatMap` says so).
"""

import argparse
import time

import keras
import numpy as np

import keras_practical as kp

SIZE, PATCH = 48, 8

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seeds", type=int, default=5)
parser.add_argument("--pictures", type=int, default=40)
parser.add_argument("--pooling", nargs="*", default=["Max", "Average"])
options = parser.parse_args()


def planted(n, seed):
    rng = np.random.default_rng(seed)
    images = rng.uniform(0, 255, (n, SIZE, SIZE, 1))
    labels = np.arange(n) % 2
    places = rng.integers(0, SIZE - PATCH + 1, (n, 2))
    stripes = np.tile(255.0 * (np.arange(PATCH) % 2), (PATCH, 1))
    for image, label, (row, column) in zip(images, labels, places, strict=True):
        image[row : row + PATCH, column : column + PATCH, 0] = stripes.T if label else stripes
    return images.astype("float32"), labels, places


def network(pooling):
    layers = [
        keras.Input((SIZE, SIZE, 1)),
        keras.layers.Rescaling(1 / 127.5, offset=-1),
        keras.layers.Conv2D(12, 5, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(12, 3, padding="same", activation="relu"),
        pooling(),
        keras.layers.Dense(2, activation="softmax"),
    ]
    return keras.Sequential(layers)


def main():
    for pooling in (getattr(keras.layers, f"Global{name}Pooling2D") for name in options.pooling):
        found = {"accuracy": [], "Grad-CAM": [], "occlusion": []}
        seconds = dict.fromkeys(found, 0.0)
        for seed in range(options.seeds):
            keras.utils.set_random_seed(seed)
            model = network(pooling)
            loss = "sparse_categorical_crossentropy"
            model.compile(keras.optimizers.Adam(0.005), loss=loss, metrics=["accuracy"])
            model.fit(*planted(1000, seed=2 * seed)[:2], epochs=12, batch_size=32, verbose=0)
            images, labels, places = planted(options.images, seed=2 * seed + 1)
            found["accuracy"].append(model.evaluate(images, labels, verbose=0)[1])
            for name, method in (("Grad-CAM", kp.grad_cam), ("occlusion", kp.occlusion)):
                started = time.perf_counter()
                hottest = np.array(
                    [
                        method(model, image, class_index=int(label)).hottest
                        for image, label in zip(images, labels, strict=True)
                    ]
                )
                seconds[name] += time.perf_counter() - started
                inside = (hottest >= places) & (hottest < places + PATCH)
                found[name].append(inside.all(1).mean())
        for name, values in found.items():
            each = 1000 * seconds[name] / options.seeds / options.images
            print(
                f"{pooling.__name__}, {name}: {100 * np.mean(values):.1f} ± "
                f"{100 * np.std(values, ddof=1):.1f} %" + f", {each:.0f} ms each" * bool(each)
            )


if __name__ == "__main__":
    main()
