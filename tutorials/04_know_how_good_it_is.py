# %% [markdown]
# # Train in seconds, and know how good it really is
#
# **Goal.** A classifier in seconds, from features that are computed once; then the questions that
# matter before anyone relies on it. How good is it, give or take? Is B really better than A? Can
# its probabilities be believed? When should it say "I don't know"? Would more photos help?
#
# | | |
# |---|---|
# | **Data** | scikit-learn's 1,797 handwritten digits (nothing to download); photos: `--data` |
# | **Time** | 2 to 3 minutes on 2 CPU cores |
# | **Result to expect** | a probe on random features: 97.2 % (94.9–98.5) of 359 held-out digits, |
# | | 98.4 % (97.7–99.0) of 1,438 cross-validated; twice the digits: +0.5 points (0.3–0.6) |
#
# ```
# python tutorials/04_know_how_good_it_is.py
# python tutorials/04_know_how_good_it_is.py --data my_photos/     # one folder a class
# python tutorials/04_know_how_good_it_is.py --data cats_vs_dogs   # downloads 68 MB
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

parser = argparse.ArgumentParser(description="Train in seconds, and know how good it is.")
parser.add_argument("--data", default="digits", help="digits, cats_vs_dogs, a folder or a CSV file")
parser.add_argument("--quick", action="store_true", help="fewer repeats: does it run?")
parser.add_argument("--output", default="output/04_know_how_good_it_is", help="for the plots")
options = parser.parse_args([] if IN_NOTEBOOK else None)

DIGITS = options.data == "digits"
QUICK = options.quick or bool(os.environ.get("KERAS_PRACTICAL_QUICK"))
OUTPUT = Path(options.output)
IMAGE_SIZE = None if DIGITS else 96 if QUICK else 160
REPEATS = 2 if QUICK else 10


def show(name):
    """Show the figure in a notebook; a script saves it."""
    if IN_NOTEBOOK:
        plt.show()
    else:
        OUTPUT.mkdir(parents=True, exist_ok=True)
        plt.savefig(OUTPUT / f"{name}.png", dpi=110)
        print(f"plot: {OUTPUT / name}.png")
    plt.close()


photos = kp.load_images(options.data, image_size=IMAGE_SIZE, seed=0, download=True)

# %% [markdown]
# ## A classifier in seconds
#
# Nearly all the work of transfer learning is the backbone's pass over the pictures, and a frozen
# backbone sees the same in every epoch. So we ask it once and fit a logistic regression to what it
# saw: no learning rate, no epochs. Start every project with this *linear probe*. What comes out is
# a plain Keras model, pixels in, probabilities out.
#
# Photos: the backbone is MobileNetV2. Digits: there is no ImageNet for pictures of 8 × 8 pixels, so
# we take networks with *random* weights, which do better than one would think.


# %%
def random_network(width, seed=0):
    """Return an untrained network from digits to feature maps."""
    keras.utils.set_random_seed(seed)
    layers = [
        keras.Input((8, 8, 3)),
        keras.layers.Rescaling(1 / 127.5, offset=-1),
        keras.layers.Conv2D(width, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
    ]
    return keras.Sequential(layers, name=f"random_{width}")


backbone = random_network(32) if DIGITS else "MobileNetV2"
model = kp.linear_probe(backbone, photos.train)
result = kp.evaluate(model, photos.validation)
print(result)

# %% [markdown]
# Every number comes with the interval that so many pictures allow.
# The interval of a single class is wide; two classes whose intervals overlap needn't differ.
#
# ## Which backbone?
#
# `embed` gives the features themselves, with their labels, in order. `compare_backbones` asks
# several backbones and judges each by a probe, cross-validated: every picture is judged by a probe
# that hasn't seen it.

# %%
if DIGITS:
    contenders = [random_network(width) for width in ((4, 32) if QUICK else (4, 32, 128))]
else:
    contenders = ["MobileNetV2"] if QUICK else ["MobileNetV2", "EfficientNetV2B0", "ResNet50V2"]
race = kp.compare_backbones(photos.train, contenders)
print(race)
race.plot()
show("1_race")

# %% [markdown]
# A backbone whose weights can't be downloaded is left out with a warning. Among those whose
# intervals overlap, take the fastest.
#
# ## Every picture judged once: cross-validation
#
# A split holds back a fifth of the pictures; cross-validation judges all of them, and its interval
# is narrower for it. On features it takes seconds. If some pictures belong together (one patient,
# one day, one camera), say so with `groups=`, or the result is too good to be true.

# %%
features = kp.embed(backbone, photos.train)
found = kp.cross_validate(kp.fit_probe, features, folds=5, repeats=1 if QUICK else 2)
print(found)
surest_mistakes = np.argsort(found.probabilities[0][np.arange(len(features)), features.labels])
for place in surest_mistakes[:3]:
    said = found.probabilities[0, place].argmax()
    print(f"{found.index[place].name}: said {photos.class_names[said]}")

# %% [markdown]
# ## Is B better than A?
#
# A was fitted to the pictures as they are, B to three augmented views of each as well. Both are
# judged by the same pictures, so only those count on which they part: McNemar's test. Before you
# read the verdict, guess it from the two accuracies.

# %%
augmentation = kp.augment.digits(seed=0) if DIGITS else kp.augment.light(seed=0)
augmented = kp.linear_probe(
    backbone, photos.train, augmentation=augmentation, views=1 if QUICK else 3
)
names = ("as they are", "augmented")
comparison = kp.compare(model, augmented, photos.validation, names=names)
print(comparison)

# %% [markdown]
# ## Can its probabilities be believed?
#
# Of the pictures on which a model is 90 % sure, it should get 90 % right. The plot compares; the
# printed line says what calibration error even a perfect model would show on so many pictures:
# below that there is nothing to mend, and mending may even do a little harm. Above it one number,
# the temperature, makes an overconfident model more modest without changing a single answer. It is
# fitted to one half of the held-out pictures and judged on the other.

# %%
place = np.arange(result.n) % 2 == 0
measure = kp.evaluation.measure_calibration
print("before:", measure(result.probabilities[~place], result.labels[~place]))
temperature = kp.evaluation.temperature_of(result.probabilities[place], result.labels[place])
calibrated = kp.evaluation.with_temperature(model, temperature)
after = kp.evaluate(calibrated, photos.validation, verbose=False)
print(
    f"after temperature {temperature:.2f}:",
    measure(after.probabilities[~place], after.labels[~place]),
)
kp.plots.reliability(measure(result.probabilities, result.labels))
show("2_reliability")

# %% [markdown]
# ## "I don't know"
#
# Where a wrong answer costs more than none, answer only above a confidence. Which one? The one that
# gives the precision you need; the price is how many pictures go unanswered. (Here it is chosen by
# the pictures that it's shown for, as is everything that `dont_know_threshold` prints: keep some
# others to check it on.)

# %%
for precision in (0.95, 0.99, 0.999):
    threshold = kp.evaluation.dont_know_threshold(
        result.probabilities, result.labels, precision=precision
    )
    print(f"to be right in {100 * precision:g} %: {threshold}")

# %% [markdown]
# ## Would more photos help?
#
# Train on a sixteenth of the pictures, on an eighth, … on all of them, and draw the line on: errors
# mostly fall as a power of the number of pictures. Each accuracy's ± is the spread between draws of
# so many pictures; the band says how far to trust the line.

# %%
curve = kp.learning_curve(features, repeats=REPEATS)
print(curve)
curve.plot()
show("3_more_photos")

# %% [markdown]
# ## What we learnt
#
# - A probe on features is a matter of seconds. What takes longer must be *better*, and by more than
#   the interval.
# - Judge two models by the same pictures, and look at those on which they part.
# - Probabilities can be checked, mended, and cut off where they aren't good enough.
# - The next thousand photos have a price and an expected gain: compare them before collecting.
#
# **Try next:** `kp.transfer.fine_tune(model, photos.train, frozen_epochs=0)` and `kp.compare` with
# the probe; `groups=lambda record: ...` for your own photos; `cache_dir="features/"`, so that the
# next run starts where this one ended.

# %%
if DIGITS and not QUICK:
    assert result.accuracy_interval[0] > 0.9, "a probe on digits should get more than 90 %"
    assert found.accuracy_interval[1] - found.accuracy_interval[0] < (
        result.accuracy_interval[1] - result.accuracy_interval[0]
    ), "judging all pictures should narrow the interval"
