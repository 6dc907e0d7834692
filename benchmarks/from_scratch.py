"""A small residual network on 2,000 photos from scratch: what augmentation and mixing are worth.

    python benchmarks/from_scratch.py --seed 0
    python benchmarks/from_scratch.py --seed 0 --augmentation none --no-mixing

Trained on small pictures first and larger ones at the end, one cycle a stage of size. Settings were
chosen on validation photos drawn from the training photos (`--tune`).
"""

import argparse
import sys
import time
from pathlib import Path

import keras

import keras_practical as kp

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from shared_data import data_folder

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--augmentation", choices=["none", "standard", "strong"], default="strong")
parser.add_argument("--no-mixing", action="store_true")
parser.add_argument("--tune", action="store_true", help="judge on photos drawn from training")
parser.add_argument("--width", type=int, default=24)
parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 128])
parser.add_argument("--epochs", type=int, nargs="+", default=[25, 60, 25])
parser.add_argument("--max-learning-rate", type=float, default=3e-3)
parser.add_argument("--decay", type=float, default=1.4, help="of the peak from stage to stage")
options = parser.parse_args()
START = time.perf_counter()
keras.utils.set_random_seed(options.seed)


def load(size):
    """Return photos at a size larger than the network's, from which augmentation crops."""
    folder = data_folder() / "cats_vs_dogs"
    source = folder / "train" if options.tune else folder
    return kp.load_images(source, image_size=size, seed=options.seed, verbose=False)


def network(size):
    """Return a residual network that quarters the picture at once and halves it three times."""
    layers = keras.layers
    inputs = keras.Input((size, size, 3))
    features = inputs
    if options.augmentation != "none":
        for layer in getattr(kp.augment, options.augmentation)(seed=options.seed):
            features = layer(features)
    features = layers.Rescaling(1 / 127.5, offset=-1)(features)
    features = convolution(features, options.width // 2, 2)
    features = convolution(features, options.width, 2)
    for stage in range(4):
        width = options.width * 2**stage
        features = convolution(features, width, 2) if stage else features
        path = convolution(features, width)
        path = layers.Conv2D(width, 3, padding="same", use_bias=False)(path)
        path = layers.BatchNormalization(gamma_initializer="zeros")(path)
        features = layers.ReLU()(layers.add([features, path]))
    features = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(features))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(features))


def convolution(features, width, stride=1):
    """Return a convolution, normalized and rectified."""
    layers = keras.layers
    features = layers.Conv2D(width, 3, stride, padding="same", use_bias=False)(features)
    return layers.ReLU()(layers.BatchNormalization()(features))


model = network(options.sizes[0])
loss = kp.models.SmoothedSparseCategoricalCrossentropy(0.1)
for number, (size, epochs) in enumerate(zip(options.sizes, options.epochs, strict=True)):
    photos = load(size)
    if number:
        model = kp.resized(model, size)
    peak = options.max_learning_rate / options.decay**number
    model.compile(keras.optimizers.AdamW(peak, weight_decay=0.05), loss, metrics=["accuracy"])
    callbacks = [kp.OneCycle(peak)]
    if not options.no_mixing:
        callbacks.append(kp.callbacks.BatchMixing(seed=options.seed))
    model.fit(photos.train, epochs=epochs, shuffle=False, callbacks=callbacks, verbose=0)
    found = kp.evaluate(model, photos.validation, tta="flip", verbose=False)
    seconds = time.perf_counter() - START
    print(
        f"{size} px, {epochs} epochs: {found.accuracy:.4f}, loss {found.loss:.4f}, {seconds:.0f} s",
        flush=True,
    )
plain = kp.evaluate(model, photos.validation, verbose=False)
low, high = found.accuracy_interval
print(
    f"seed {options.seed}, augmentation {options.augmentation}, mixing {not options.no_mixing}: "
    f"accuracy {found.accuracy:.4f} ({low:.4f}-{high:.4f}), without the flip {plain.accuracy:.4f}, "
    f"{model.count_params():,} parameters, {seconds:.0f} s"
)
