"""Speed and sharpness of augmentation: ours against Keras's layers, torchvision and Albumentations.

    python benchmarks/augmentation.py

The same transforms with the same ranges on the same batch of 32 float pictures of 224 x 224. The
ways take turns; ratios are taken turn by turn (median, quartiles). Packages that aren't installed
are left out. "floor" is one call of TensorFlow's projective kernel, without drawing anything.
"""

import argparse
import importlib.util
import resource
import statistics
import time

import keras
import numpy as np
import tensorflow as tf

from keras_practical.augment import RandomColor, RandomGeometry
from keras_practical.augment.geometry import matrices_of

SIZE, BATCH = 224, 32
L = keras.layers


def stacked(layers):
    """Return a compiled function that calls the layers one after the other."""

    @tf.function
    def run(images):
        for layer in layers:
            images = layer(images, training=True)
        return images

    return run


def floor():
    """Return one call of TensorFlow's projective kernel."""
    angle = np.linspace(-0.17, 0.17, BATCH)
    rows = [[np.cos(a), -np.sin(a), 5, np.sin(a), np.cos(a), 5, 0, 0] for a in angle]
    matrices = tf.constant(rows, tf.float32)

    @tf.function
    def run(images):
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=matrices,
            output_shape=tf.constant([SIZE, SIZE]),
            interpolation="BILINEAR",
            fill_mode="REFLECT",
            fill_value=0.0,
        )

    return run


def torchvision_way():
    """Return torchvision's transforms of one picture at a time, on both cores."""
    import torch
    from torchvision.transforms import v2

    transform = v2.Compose(
        [
            v2.RandomHorizontalFlip(0.5),
            v2.RandomAffine(
                10, (0.1, 0.1), (0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR
            ),
            v2.ColorJitter(0.1, 0.2),
        ]
    )

    def run(images):
        pictures = torch.from_numpy(np.moveaxis(images.numpy(), -1, 1) / 255)
        return torch.stack([transform(picture) for picture in pictures])

    return run


def albumentations_way():
    """Return Albumentations' transforms of one picture at a time, in two threads."""
    from concurrent.futures import ThreadPoolExecutor

    import albumentations

    transform = albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5),
            albumentations.Affine(
                scale=(0.9, 1.1), translate_percent=(-0.1, 0.1), rotate=(-10, 10), p=1.0
            ),
            albumentations.RandomBrightnessContrast(0.1, 0.2, p=1.0),
        ]
    )
    pool = ThreadPoolExecutor(2)

    def run(images):
        pictures = images.numpy() / 255
        return np.stack(list(pool.map(lambda picture: transform(image=picture)["image"], pictures)))

    return run


def ours_in_tf_data():
    """Return our layers in a `tf.data` map over batches."""
    layers = [geometry(), color()]

    def augment(images):
        for layer in layers:
            images = layer(images, training=True)
        return images

    data = tf.data.Dataset.from_tensors(photos()).cache().repeat()
    # Not prefetched: what is done while other ways have their turn would not be timed.
    choices = tf.data.Options()
    choices.experimental_optimization.inject_prefetch = False
    batches = iter(data.map(augment).with_options(choices))

    def run(images):
        return next(batches)

    return run


def geometry():
    """Return our geometry: flip, rotation, zoom, translation."""
    return RandomGeometry(horizontal_flip=0.5, rotation=10, zoom=0.1, translation=0.1)


def color():
    """Return our brightness and contrast."""
    return RandomColor(brightness=0.1, contrast=0.2)


def keras_geometry():
    """Return Keras's layers for the same geometry."""
    return [
        L.RandomFlip("horizontal"),
        L.RandomRotation(10 / 360),
        L.RandomZoom(0.1),
        L.RandomTranslation(0.1, 0.1),
    ]


def keras_color():
    """Return Keras's layers for the same brightness and contrast."""
    return [L.RandomBrightness(0.1), L.RandomContrast(0.2)]


def ways():
    """Return every way by name."""
    found = {
        "Keras, stacked": stacked([*keras_geometry(), *keras_color()]),
        "ours": stacked([geometry(), color()]),
        "ours in tf.data": ours_in_tf_data(),
        "floor": floor(),
        "Keras, geometry": stacked(keras_geometry()),
        "our geometry": stacked([geometry()]),
        "Keras, colour": stacked(keras_color()),
        "our colour": stacked([color()]),
        "Keras RandomRotation": stacked([L.RandomRotation(10 / 360)]),
        "our rotation": stacked([RandomGeometry(rotation=10)]),
        "Keras RandomFlip": stacked([L.RandomFlip("horizontal")]),
        "our flip": stacked([RandomGeometry(horizontal_flip=0.5)]),
        "Keras RandomZoom": stacked([L.RandomZoom(0.1)]),
        "our zoom": stacked([RandomGeometry(zoom=0.1)]),
        "Keras RandomPerspective": stacked([L.RandomPerspective(1.0, 0.1)]),
        "our perspective": stacked([RandomGeometry(perspective=0.1)]),
        "Keras RandomBrightness": stacked([L.RandomBrightness(0.1)]),
        "our brightness": stacked([RandomColor(brightness=0.1)]),
        "Keras RandomHue": stacked([L.RandomHue(0.05)]),
        "our hue": stacked([RandomColor(hue=0.05)]),
    }
    for name, way in (("torchvision", torchvision_way), ("albumentations", albumentations_way)):
        if importlib.util.find_spec(name):
            found[name] = way()
    return found


def sharpness(images):
    """Return the mean gradient energy of our picture over that of the stacked layers'."""
    rotation, zoom = L.RandomRotation(10 / 360, seed=0), L.RandomZoom(0.1, seed=1)
    shift = L.RandomTranslation(0.1, 0.1, seed=2)
    theirs, parameters = images, {}
    for layer in (rotation, zoom, shift):
        drawn = layer.get_random_transformation(theirs, training=True)
        theirs = layer.transform_images(theirs, drawn)
        if layer is rotation:
            parameters["angle"] = np.deg2rad(drawn["angle"]).astype("float32")
        elif layer is zoom:
            parameters["zoom"] = 1 / np.asarray(drawn["width_zoom"]).ravel()
        else:
            parameters["shift"] = np.asarray(drawn["translations"]) / np.float32(SIZE)
    matrices = matrices_of(parameters, batch_size=len(images), height=SIZE, width=SIZE)
    ours = geometry().transform_images(images, {"matrices": matrices, "input_size": (SIZE, SIZE)})

    def energy(pictures):
        middle = np.asarray(pictures)[:, 40:-40, 40:-40]
        return np.square(np.diff(middle, axis=1)).mean() + np.square(np.diff(middle, axis=2)).mean()

    return energy(ours) / energy(theirs)


def photos():
    """Return photo-like pictures: noise with the spectrum of photos (one over the frequency)."""
    rng = np.random.default_rng(0)
    y, x = np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE), indexing="ij")
    spectrum = 1 / np.maximum(np.hypot(x, y), 1 / SIZE)
    noise = np.fft.fft2(rng.normal(size=(BATCH, 3, SIZE, SIZE))) * spectrum
    pictures = np.moveaxis(np.fft.ifft2(noise).real, 1, -1)
    return np.clip(128 + 50 * pictures / pictures.std(), 0, 255).astype("float32")


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--turns", type=int, default=20)
options = parser.parse_args()
images = tf.constant(photos())
print(f"sharpness: gradient energy, ours / stacked: {sharpness(images):.3f}")
functions = ways()
times = {name: [] for name in functions}
for turn in range(options.turns + 2):
    for name, function in functions.items():
        began = time.perf_counter()
        function(images)
        if turn >= 2:  # The first turns trace and warm up.
            times[name].append(time.perf_counter() - began)
for name, found in times.items():
    print(f"{name:<24} {BATCH / statistics.median(found):6.0f} images/s")
for name, base in (
    ("ours", "Keras, stacked"),
    ("our geometry", "Keras, geometry"),
    ("our colour", "Keras, colour"),
    ("our geometry", "floor"),
    ("ours in tf.data", "ours"),
    ("ours", "torchvision"),
    ("ours", "albumentations"),
):
    if base in times:
        ratios = [b / a for a, b in zip(times[name], times[base], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"{name} / {base}: {middle:.2f} times the speed ({low:.2f}-{high:.2f}), n={len(ratios)}"
        )
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"memory: {images.numpy().nbytes / 1e6:.0f} MB a batch; the process at most {peak:.0f} MB")
