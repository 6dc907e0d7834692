"""Accuracy and time of the main job on 2,000 photos, one process from imports to evaluation.

Run it with the weights at hand, once a seed:

    KERAS_HOME=<folder with models/> python benchmarks/cats_vs_dogs.py --image-size 160 --seed 0

Nothing here was chosen on the validation photos: the defaults of `fine_tune` come from splits of
the training photos.
"""

import time

START = time.perf_counter()

import argparse  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import keras  # noqa: E402

import keras_practical as kp  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from shared_data import data_folder  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--image-size", type=int, default=160)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--frozen-epochs", type=int, default=2)
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--max-learning-rate", default=1e-3, help='a number or "auto"')
parser.add_argument(
    "--augmentation", choices=["none", "flip", "light", "standard", "strong"], default="flip"
)
parser.add_argument(
    "--probe", type=int, metavar="COPIES", help="a linear probe on so many augmented views, first"
)
parser.add_argument("--tta", action="store_true", help="also judge each photo by its mirror image")
parser.add_argument("--folder", default="cats_vs_dogs", help="another folder of the test data")
parser.add_argument("--tune", action="store_true", help="judge on photos drawn from training")
parser.add_argument("--verbose", type=int, default=2)
options = parser.parse_args()
rate = options.max_learning_rate

keras.utils.set_random_seed(options.seed)
imported = time.perf_counter()
folder = data_folder() / options.folder
photos = kp.load_images(
    folder / "train" if options.tune else folder, image_size=options.image_size, seed=options.seed
)
loaded = time.perf_counter()
augmentation = [keras.layers.RandomFlip("horizontal", seed=options.seed)]
if options.augmentation == "none":
    augmentation = []
elif options.augmentation != "flip":
    augmentation = getattr(kp.augment, options.augmentation)(seed=options.seed)
if options.probe is None:
    model = kp.transfer.classifier(
        "MobileNetV2",
        photos.class_names,
        image_size=options.image_size,
        augmentation=augmentation,
        seed=options.seed,
    )
else:
    model = kp.linear_probe(
        "MobileNetV2",
        photos.train,
        augmentation=augmentation or None,
        views=max(1, options.probe),
        seed=options.seed,
    )
    options.frozen_epochs = 0
if options.frozen_epochs or options.epochs:
    kp.transfer.fine_tune(
        model,
        photos.train,
        frozen_epochs=options.frozen_epochs,
        epochs=options.epochs,
        max_learning_rate=rate if rate == "auto" else float(rate),
        verbose=options.verbose,
    )
trained = time.perf_counter()
result = kp.evaluate(model, photos.validation, verbose=False)
end = time.perf_counter()
if options.tta:
    votes = kp.evaluate(model, photos.validation, tta="flip", verbose=False)
    seconds = time.perf_counter() - START
    low, high = votes.macro_f1_interval
    print(
        f"with its mirror image: {votes.accuracy:.4f}, macro-F1 {votes.macro_f1:.4f} "
        f"({low:.4f}-{high:.4f}), loss {votes.loss:.4f}, {seconds:.0f} s"
    )
low, high = result.accuracy_interval
print(
    f"{options.folder}, {options.image_size} px, {options.augmentation}, seed {options.seed}: "
    f"macro-F1 {result.macro_f1:.4f}, accuracy {result.accuracy:.4f} "
    f"({low:.4f}-{high:.4f}), loss {result.loss:.4f}, {end - START:.0f} s in all "
    f"(imports {imported - START:.0f}, loading {loaded - imported:.0f}, training "
    f"{trained - loaded:.0f}, evaluation {end - trained:.0f})"
)
