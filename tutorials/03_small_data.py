# %% [markdown]
# # Powerful image classification with very little data
#
# **Goal.** In 2016 the Keras blog showed how far 2,000 photos of cats and dogs go: a small network
# from scratch, the same with augmentation, features of a network that knows ImageNet, fine-tuning.
# Here is the same ladder today, and what each rung is worth with few and with many pictures.
#
# | | |
# |---|---|
# | **Data** | scikit-learn's 1,797 handwritten digits (nothing to download); photos: `--data` |
# | **Time** | 7 minutes on 2 CPU cores; 2,000 photos: about an hour (not run to the end here) |
# | **Result to expect** | 5 digits of each class, 3 seeds: 91.1 ± 2.2 % from scratch, 93.0 ± 3.4 |
# | | augmented, 94.7 ± 1.5 also mixed; the pretrained ways beside them |
#
# ```
# python tutorials/03_small_data.py
# python tutorials/03_small_data.py --data my_photos/          # one folder a class
# python tutorials/03_small_data.py --data cats_vs_dogs        # downloads 68 MB
# ```

# %%
import argparse
import os
import sys
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_practical as kp

IN_NOTEBOOK = "ipykernel" in sys.modules

parser = argparse.ArgumentParser(description="What augmentation and transfer are worth.")
parser.add_argument("--data", default="digits", help="digits, cats_vs_dogs, a folder or a CSV file")
parser.add_argument("--quick", action="store_true", help="one seed, few steps: does it run?")
parser.add_argument("--output", default="output/03_small_data", help="for the plots")
options = parser.parse_args([] if IN_NOTEBOOK else None)

DIGITS = options.data == "digits"
QUICK = options.quick or bool(os.environ.get("KERAS_PRACTICAL_QUICK"))
OUTPUT = Path(options.output)
SEEDS = range(30, 33 if DIGITS and not QUICK else 31)  # others than those used to choose settings
PER_CLASS = [5, 20, 80] if DIGITS else [50, 1000]  # to train on
SCRATCH_STEPS = 300 if DIGITS else 1200  # whatever the number of pictures
TUNING_STEPS = 150  # of all layers, for digits; for photos `fine_tune` decides
if QUICK:
    print("Quick mode only shows that everything runs: believe none of its accuracies.")
    PER_CLASS, SCRATCH_STEPS, TUNING_STEPS = PER_CLASS[:1], 10, 10
IMAGE_SIZE = 8 if DIGITS else 96 if QUICK else 160
BATCH_SIZE = 32


def spread_of(scores):
    """Return " ± " and the standard deviation that the seeds tell of; one seed tells of none."""
    return f" ± {np.std(scores, ddof=1):.1f}" if len(scores) > 1 else ""


def show(name):
    """Show the figure in a notebook; a script saves it."""
    if IN_NOTEBOOK:
        plt.show()
    else:
        OUTPUT.mkdir(parents=True, exist_ok=True)
        plt.savefig(OUTPUT / f"{name}.png", dpi=110)
        print(f"plot: {OUTPUT / name}.png")
    plt.close()


# %% [markdown]
# ## Look before you train
#
# A preset is a plain list of layers. Each row below shows a picture and six views of it. Ask of
# each view: would I still give it this label? Might such a picture come up when the model is used?

# %%
pictures = kp.load_images(
    options.data,
    image_size=IMAGE_SIZE,
    validation_fraction=0.5 if DIGITS else 0.2,
    seed=0,
    download=True,
)


def augmentation(seed):
    """Return the layers that this tutorial trains with."""
    return kp.augment.digits(seed=seed) if DIGITS else kp.augment.standard(seed=seed)


kp.augment.preview(pictures.train, augmentation(1))
show("1_preview")

# %% [markdown]
# And this is how to destroy a digit's label: mirrored and turned all the way round, a 6 is a 9 and
# a 2 is nothing at all. (A leaf, a cell or a satellite picture would stay what it is.)

# %%
kp.augment.preview(pictures.train, kp.augment.top_down(seed=1))
show("2_labels_destroyed")

# %% [markdown]
# ## Five ways
#
# | | network | training |
# |---|---|---|
# | a | small, from scratch | on the pictures as they are |
# | b | the same | augmented |
# | c | the same | augmented, mixed in pairs (MixUp, CutMix), one cycle |
# | d | pretrained, frozen | a new head on its features |
# | e | the same, fine-tuned | augmented, one cycle; several views of a test picture vote |
#
# Photos: the pretrained network is MobileNetV2, which learnt from 1.3 million photos. Digits: we
# play it small. The task is to tell 5–9 apart; the "ImageNet" is a network that has learnt 0–4, as
# they are, turned and mirrored: 40 classes.


# %%
def small_network(seed):
    """Return a small convolutional network without a head."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    body = [keras.Input((IMAGE_SIZE, IMAGE_SIZE, 3)), layers.Rescaling(1 / 127.5, offset=-1)]
    if DIGITS:
        body += [
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(128, 3, padding="same", activation="relu"),
            layers.Flatten(),
        ]
        return keras.Sequential(body)
    # Half the size is a quarter of the time.
    body.append(layers.AveragePooling2D(2))
    for width in (32, 64, 128, 256):
        body += [
            layers.Conv2D(width, 3, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.MaxPooling2D(),
        ]
    return keras.Sequential(body)


def epochs(steps, images):
    """Return how many epochs come to so many steps."""
    return max(1, round(steps / np.ceil(len(images) / BATCH_SIZE)))


def from_scratch(network, images, labels, *, layers=(), callbacks=(), rate=1e-3):
    """Train all of a network behind augmentation layers; return the classifier."""
    model = kp.transfer.classifier(network, CLASS_NAMES, augmentation=list(layers), seed=0)
    kp.transfer.unfreeze(model, train_batch_norm=True)
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", steps_per_execution=10
    )
    model.fit(
        images,
        labels,
        batch_size=BATCH_SIZE,
        epochs=epochs(SCRATCH_STEPS, images),
        callbacks=list(callbacks),
        verbose=0,
    )
    return model


def transfer(images, labels, seed, *, layers=(), all_layers=False):
    """Fit a head to the pretrained network's features and then, if asked, train all of it."""
    model = kp.transfer.classifier(
        pretrained(), CLASS_NAMES, image_size=IMAGE_SIZE, augmentation=list(layers), seed=seed
    )
    keras.utils.set_random_seed(seed)
    settings = {}  # the recipe's own
    if not all_layers:
        settings = {"epochs": 0}  # the head alone: the baseline, in seconds
    elif DIGITS:  # a small network may move further
        settings = {"epochs": epochs(TUNING_STEPS, images), "max_learning_rate": 1e-3}
        settings["backbone_multiplier"] = 1.0
    elif QUICK:
        settings = {"epochs": 1}
    kp.transfer.fine_tune(model, (images, labels), verbose=0, **settings)
    return model


def train(way, images, labels, seed):
    """Train in one of the five ways."""
    if way == "a":
        return from_scratch(small_network(seed), images, labels)
    if way == "b":
        return from_scratch(small_network(seed), images, labels, layers=augmentation(seed))
    if way == "c":
        helpers = [kp.OneCycle(3e-3), kp.callbacks.BatchMixing(seed=seed)]
        layers = augmentation(seed)
        return from_scratch(small_network(seed), images, labels, layers=layers, callbacks=helpers)
    if way == "d":
        return transfer(images, labels, seed)
    return transfer(images, labels, seed, layers=augmentation(seed), all_layers=True)


# %% [markdown]
# The pretrained network, and the pictures: some to train on, drawn anew for each seed, and others
# that no network sees before it is judged.


# %%
def arrays(dataset):
    """Return all pictures and labels of a data set."""
    return tuple(np.concatenate(part) for part in zip(*dataset, strict=True))


train_images, train_labels = arrays(pictures.train)
test_images, test_labels = arrays(pictures.validation)
CLASS_NAMES = pictures.class_names

if DIGITS:
    old = train_labels < 5
    turned = [np.rot90(train_images[old], turns, axes=(1, 2)) for turns in range(4)]
    everything = np.concatenate([*turned, *(view[:, :, ::-1] for view in turned)])
    classes = np.concatenate([train_labels[old] + 5 * position for position in range(8)])

    CLASS_NAMES = [str(number) for number in range(40)]
    knows_0_to_4 = small_network(0)
    helpers = [kp.OneCycle(3e-3)]
    from_scratch(knows_0_to_4, everything, classes, layers=augmentation(0), callbacks=helpers)
    CLASS_NAMES = pictures.class_names[5:]
    train_images, train_labels = train_images[~old], train_labels[~old] - 5
    test_images, test_labels = test_images[test_labels >= 5], test_labels[test_labels >= 5] - 5


def pretrained():
    """Return the pretrained network, as it was before anyone trained on it."""
    if not DIGITS:
        return "MobileNetV2"
    network = small_network(0)
    network.set_weights(knows_0_to_4.get_weights())
    return network


def few(per_class, seed):
    """Return so many pictures of each class, others for each seed."""
    rng = np.random.default_rng(seed)
    places = [np.flatnonzero(train_labels == label) for label in range(len(CLASS_NAMES))]
    chosen = np.concatenate([rng.permutation(place)[:per_class] for place in places])
    return train_images[chosen], train_labels[chosen]


# %% [markdown]
# ## The measurement
#
# Every network from scratch gets the same number of steps, whatever the number of pictures, so that
# the sizes differ in nothing else.

# %%
WAYS = {
    "a": "from scratch",
    "b": "+ augmentation",
    "c": "+ mixing, one cycle",
    "d": "pretrained, head only",
    "e": "fine-tuned, views vote",
}
largest = np.bincount(train_labels).min()
sizes = sorted({min(n, int(largest)) for n in PER_CLASS})
found = {(way, n): [] for n in sizes for way in WAYS}
for n in sizes:
    for way, name in WAYS.items():
        for seed in SEEDS:
            model = train(way, *few(n, seed), seed)
            views = None
            if way == "e":
                views = augmentation(seed) if DIGITS else "flip"
            test = (test_images, test_labels)
            found[way, n].append(kp.evaluate(model, test, tta=views, verbose=False))
        scores = [100 * result.accuracy for result in found[way, n]]
        print(f"{n:4} of each class, {way} {name:<24} {np.mean(scores):.1f}{spread_of(scores)}")

# %% [markdown]
# ## The table
#
# For cats and dogs (1,000 photos of each class to train on), what others got stands beside it: the
# Keras blog of 2016 on validation photos, *Deep Learning with Python* (3rd edition, 2025) on test
# photos, 30 epochs of Xception on a GPU. The interval is what so many test pictures can tell of one
# network; the spread (±) is between networks, each trained on pictures of its own.

# %%
PUBLISHED = {"a": ("", "78.6"), "b": ("80", "83.9"), "d": ("90", "98.1–98.4"), "e": ("94", "98.6")}
n = sizes[len(sizes) // 2]
print(f"{n} pictures of each class, {len(test_labels)} to judge by, {len(SEEDS)} seeds")
PETS = set(pictures.class_names) == {"cats", "dogs"}
print(f"{'':28}accuracy in %  95 % interval" + "  2016 blog  2025 book" * PETS)
for way, name in WAYS.items():
    scores = [100 * result.accuracy for result in found[way, n]]
    right = round(np.mean(scores) / 100 * len(test_labels))
    low, high = kp.evaluation.wilson_interval(right, len(test_labels))
    blog, book = PUBLISHED.get(way, ("", ""))
    others = f"  {blog:>9}  {book:>9}" * PETS
    interval = f"{100 * low:.1f}–{100 * high:.1f}"
    print(f"{way} {name:<26}{np.mean(scores):>5.1f}{spread_of(scores):<7}  {interval:>12}{others}")

# %%
_, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
for way, name in WAYS.items():
    scores = np.array([[100 * result.accuracy for result in found[way, n]] for n in sizes])
    ax.errorbar(
        sizes,
        scores.mean(1),
        scores.std(1, ddof=1) if len(SEEDS) > 1 else None,
        fmt="o-",
        capsize=3,
        label=f"{way} {name}",
    )
ax.set_xscale("log")
ax.set_xticks(sizes, [str(n) for n in sizes])
ax.minorticks_off()
ax.set_xlabel("pictures of each class")
ax.set_ylabel("accuracy on unseen pictures in %")
ax.grid(alpha=0.3)
ax.legend()
show("3_ladder")

# %% [markdown]
# ## How much augmentation, then?
#
# From scratch: as much as the labels bear. On a pretrained network it depends on how many pictures
# there are. `kp.augment.recommended` looks it up; its thresholds come from this measurement
# (`benchmarks/augmentation_by_size.py`): features of a frozen MobileNetV2 of photos of cats and
# dogs as they are and in three augmented views each, a logistic regression on them, ten draws of
# photos. Points gained (± standard error):
#
# | photos of each class | without | `light` | `standard` | `strong` |
# |---|---|---|---|---|
# | 5 | 88.5 % | +2.5 ± 0.7 | +3.3 ± 0.7 | +3.4 ± 0.9 |
# | 20 | 93.8 % | +0.2 ± 0.1 | +0.1 ± 0.1 | +0.2 ± 0.2 |
# | 100 | 95.7 % | −0.3 ± 0.2 | −0.2 ± 0.2 | −0.2 ± 0.2 |
# | 400 | 96.7 % | −0.1 ± 0.1 | +0.1 ± 0.1 | −0.1 ± 0.1 |
#
# So `recommended` gives `strong` up to 10 photos of each class, `light` up to 50, nothing above.


# %%
def advise(n, **how):
    """Print what is recommended for so many photos of each class, and why."""
    advice = kp.augment.recommended(n, **how)
    layers = [type(layer).__name__ for layer in [*advice.augmentation, *advice.callbacks]]
    print(f"{n:4} of each class: {', '.join(layers) or 'nothing'}: {advice.reason}")


for number in (5, 30, 1000):
    advise(number)
advise(1000, pretrained=False)

# %% [markdown]
# ## What we learnt
#
# - Look first: what is harmless for a cat destroys a digit.
# - The fewer pictures, the more every rung is worth.
# - On digits, augmentation and mixing catch up with a network that knows other digits. On photos
#   they don't: with 1,000 of each class the ladder's best from scratch (`benchmarks/`) was
#   86.6 ± 1.9 %, a probe on ImageNet's features 99.3 %.
#
# **Try next:** `kp.augment.strong` in the preset's place; most epochs on small pictures and
# `model = kp.resized(model, 224)` for the last; mistakes that all five ways make.

# %%
if DIGITS and not QUICK:
    fewest = sizes[0]
    mean = {way: np.mean([result.accuracy for result in found[way, fewest]]) for way in WAYS}
    assert mean["b"] > mean["a"], "augmentation should help where pictures are few"
    assert mean["d"] > mean["a"], "pretrained features should help where pictures are few"
