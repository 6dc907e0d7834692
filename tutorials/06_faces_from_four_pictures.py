# %% [markdown]
# # Find things from four pictures
#
# **Goal.** A classifier says *what* a picture shows; a detector says *where*. dlib's famous example
# learns to find faces from four pictures with 18 faces on them. We do the same with a small network
# and the tricks that make so few pictures go a long way, and look at each of them: the boxes that
# move with the picture, the heatmap that the network learns, the scales at which it looks.
#
# | | |
# |---|---|
# | **Data** | fruit on cluttered grounds, painted by this script; your own pictures with `--data` |
# | **Time** | 2 minutes on 2 CPU cores |
# | **Result to expect** | average precision .987 ± .011 at an overlap of .5 on 10 new pictures, |
# | | .969 ± .012 without augmentation (3 seeds); dlib's faces: 1.000 on 5 new pictures |
#
# ```
# python tutorials/06_faces_from_four_pictures.py
# python tutorials/06_faces_from_four_pictures.py --data training.xml --test testing.xml
# ```
#
# `--data` takes what labelling tools write: dlib's XML, Pascal VOC (a file or a folder), COCO's
# JSON or CSV. For dlib's faces, `training.xml`, `testing.xml` and their pictures are in the folder
# `examples/faces` of https://github.com/davisking/dlib. Then the backbone is MobileNetV2, whose
# ImageNet weights Keras downloads once (9 MB).

# %%
import argparse
import csv
import os
import sys
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_practical as kp

IN_NOTEBOOK = "ipykernel" in sys.modules

parser = argparse.ArgumentParser(description="Find things from four pictures.")
parser.add_argument("--data", help="annotations of your own: .xml, .json, .csv or a folder")
parser.add_argument("--test", help="annotations of other pictures, to judge by")
parser.add_argument("--seed", type=int, default=0, help="decides pictures, weights and windows")
parser.add_argument("--quick", action="store_true", help="hardly any training: does it run?")
parser.add_argument("--output", default="output/06_faces_from_four_pictures", help="for the plots")
options = parser.parse_args([] if IN_NOTEBOOK else None)

QUICK = options.quick or bool(os.environ.get("KERAS_PRACTICAL_QUICK"))
OUTPUT = Path(options.output)
OUTPUT.mkdir(parents=True, exist_ok=True)
PAINTED = options.data is None
SEED = options.seed
EPOCHS = 1 if QUICK else 12
STEPS = 5 if QUICK else 25
SIDE = 256  # of a painted picture, in pixels
CLASS_NAMES = ("apple", "leaf", "lemon")


def show(name):
    """Show the figure in a notebook; a script saves it."""
    if IN_NOTEBOOK:
        plt.show()
    else:
        plt.savefig(OUTPUT / f"{name}.png", dpi=110)
        print(f"plot: {OUTPUT / name}.png")
    plt.close()


# %% [markdown]
# ## Four pictures
#
# Our painter needs only NumPy: a ground, some clutter to confuse the detector (bars and discs in
# all colours), then apples, leaves and lemons of different sizes. It writes the pictures to files
# and the boxes to a CSV file, one line a box, as a labelling tool would.


# %%
def paint(pixels, name, box, rng):
    """Paint one thing into a box."""
    left, top, right, bottom = box
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    # From -1 to 1 across the box, and shaded from top left to bottom right.
    u, v = (2 * x - left - right) / (right - left), (2 * y - top - bottom) / (bottom - top)
    shade = -35 * (u + v)[..., None]

    def fill(mask, color):
        pixels[mask] = (np.array(color) + rng.uniform(-30, 30, 3) + shade)[mask]

    if name == "apple":
        notch = (v < np.abs(u) - 0.75) & (np.abs(u) < 0.25)
        fill((u**2 + ((v - 0.12) / 0.88) ** 2 < 1) & ~notch, (200, 45, 45))
        fill((np.abs(u - 0.1 * v) < 0.08) & (v > -1) & (v < -0.5), (90, 60, 30))
    elif name == "leaf":
        fill(np.abs(u) < 1 - v**2, (70, 150, 60))
        fill((np.abs(u) < 0.08) & (np.abs(v) < 1), (190, 210, 150))
    else:
        tips = (np.abs(u) < 1) & (np.abs(v) < 0.25)
        fill(((u / 0.86) ** 2 + v**2 < 1) | tips, (225, 205, 60))


def picture(rng, count):
    """Return a painted picture's pixels and its `(left, top, right, bottom, name)` rows."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    slope = x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)
    part = ((slope - slope.min()) / np.ptp(slope))[..., None]
    pixels = rng.uniform(40, 215, 3) * part + rng.uniform(40, 215, 3) * (1 - part)
    for _ in range(25):
        (middle_x, middle_y), angle = rng.uniform(0, SIDE, 2), rng.uniform(0, np.pi)
        u = (x - middle_x) * np.cos(angle) + (y - middle_y) * np.sin(angle)
        v = (y - middle_y) * np.cos(angle) - (x - middle_x) * np.sin(angle)
        length, width = rng.uniform(5, 45), rng.uniform(3, 15)
        bar, disc = (np.abs(u) < length) & (np.abs(v) < width), np.hypot(u, v) < 1.4 * width
        pixels[bar if rng.random() < 0.6 else disc] = rng.uniform(0, 255, 3)
    rows = []
    while len(rows) < count:
        name = CLASS_NAMES[len(rows) % 3]
        size = rng.uniform(26, 56) * np.array(
            {"apple": (1, 1), "leaf": (0.6, 1.4), "lemon": (1.25, 0.8)}[name]
        )
        corner = rng.uniform(0, SIDE - size)
        box = np.round([*corner, *(corner + size)])
        apart = [(box[:2] > row[2:4]).any() or (box[2:] < row[:2]).any() for row in rows]
        if all(apart):
            paint(pixels, name, box, rng)
            rows.append((*box.tolist(), name))
    pixels += rng.normal(0, 8, pixels.shape)
    return np.clip(pixels, 0, 255).astype("uint8"), rows


def write(name, n, rng):
    """Paint pictures into files, their boxes into one; return that file."""
    with (OUTPUT / f"{name}.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "left", "top", "right", "bottom", "label"])
        for number in range(n):
            pixels, rows = picture(rng, count=8)
            plt.imsave(OUTPUT / f"{name}_{number}.png", pixels)
            table.writerows([f"{name}_{number}.png", *row] for row in rows)
    return OUTPUT / f"{name}.csv"


if PAINTED:
    painter = np.random.default_rng(SEED)
    training = kp.detection.load_annotations(write("training", 4, painter))
    test = kp.detection.load_annotations(write("test", 2 if QUICK else 10, painter))
else:
    training = kp.detection.load_annotations(options.data)
    test = options.test and kp.detection.load_annotations(
        options.test, class_names=training.class_names
    )

# %% [markdown]
# `load` checks every box against its picture. One that lies outside, has no area or has its corners
# swapped is told with its file and line; so is a photo that can't be read. Look at what you have,
# always, before you train:

# %%
figure, axes = plt.subplots(2, 2, figsize=(8, 8), layout="constrained")
for image, ax in zip(training.images[:4], axes.flat, strict=False):
    kp.detection.show(image.source, truth=image, class_names=training.class_names, ax=ax)
show("1_training")

# %% [markdown]
# ## The model: objects as points
#
# The detector is a plain Keras model. Its backbone turns a picture into feature maps, and one small
# network asks at every cell (8 × 8 pixels): is the *centre* of an apple here? How large is it? How
# far from the cell's middle? No anchors, no second stage.
#
# `build` decides from your boxes which sizes to look for, and says so. Objects of all sizes are
# shown to the network at about *one* size, so that each of the few we have teaches about all the
# others; later, the picture is looked at in several scales.
#
# With photos the backbone comes with ImageNet's knowledge and stays frozen. Our painted fruit must
# do without: a small network learns from random weights.


# %%
def small_network():
    """Return an untrained network whose maps are up to 16 times smaller than the picture."""
    layers = [keras.Input((None, None, 3)), keras.layers.Rescaling(1 / 127.5, offset=-1)]
    for width in (16, 32, 48, 64):
        for strides in (2, 1):
            layers += [
                keras.layers.Conv2D(width, 3, strides=strides, padding="same", use_bias=False),
                keras.layers.BatchNormalization(momentum=0.9),
                keras.layers.ReLU(),
            ]
    return keras.Sequential(layers, name="small")


def new_model(data):
    keras.utils.set_random_seed(SEED)
    if not PAINTED:
        return kp.detection.build("MobileNetV2", data, seed=SEED)
    return kp.detection.build(
        small_network(), data, train_backbone=True, object_pixels=32, seed=SEED
    )


model = new_model(training)

# %% [markdown]
# ## The boxes move with the pictures
#
# Four pictures are few, but there are endless *windows* to cut out of them: mirrored, turned,
# larger, smaller, in other light. `Windows` draws them. Every transform of a window is multiplied
# into one matrix; the picture is interpolated once by it, and the boxes move by the same matrix.
# Beside each window: where the model should see centres.

# %%
windows = kp.detection.Windows(model, training, seed=SEED)
pixels, wanted = windows[0]
figure, axes = plt.subplots(2, 4, figsize=(9, 4.6), layout="constrained")
for column in range(4):
    kp.detection.show(pixels[column], ax=axes[0, column])
    axes[1, column].imshow(wanted["heatmap"][column, ..., :-1].max(-1), vmin=0, vmax=1)
    axes[1, column].set_axis_off()
axes[0, 0].set_title("windows")
axes[1, 0].set_title("centres wanted")
show("2_windows")

# %% [markdown]
# ## Train
#
# `kp.detection.fine_tune` is one call of `model.fit` on such windows, with one cycle of the
# learning rate. Here is the same by hand, so that you can add callbacks, change the optimizer, or
# go on training whenever you like. A network that starts from random weights takes larger steps.

# %%
LEARNING_RATE = 1e-2 if PAINTED else 2e-3


def train(model, data, augmentation="default"):
    windows = kp.detection.Windows(model, data, steps=STEPS, augmentation=augmentation, seed=SEED)
    return model.fit(
        windows,
        epochs=EPOCHS,
        shuffle=False,
        callbacks=[kp.OneCycle(LEARNING_RATE)],
        verbose=2,
    )


history = train(model, training)
kp.plots.learning_curves(history, metric="loss")
show("3_loss")

# %% [markdown]
# ## Detect
#
# `detect` takes any picture, looks at it and at its mirror image in several scales, large ones in
# tiles, and keeps the surest of the boxes that mean the same thing. First what the network itself
# says, one heatmap a class; then the boxes.

# %%
judged = test or training
if judged is training:
    print("no --test: judged by the pictures that it learnt from, which flatters it")
example = judged.images[0]
found = kp.detection.detect(model, example.source)
print(found)

outputs = kp.detection.outputs_of(model)
scale = outputs.object_pixels / float(np.median(example.sizes))
shape = [32 * round(side * scale / 32) for side in (example.height, example.width)]
scaled = kp.read_image(example.source, image_size=tuple(shape), aspect="stretch")
heatmaps = model.predict(scaled[None], verbose=0)["heatmap"][0]
columns = 1 + len(outputs.class_names)
figure, axes = plt.subplots(1, columns, figsize=(2.6 * columns, 2.9), layout="constrained")
kp.detection.show(example.source, detections=found, ax=axes[0])
for number, name in enumerate(outputs.class_names):
    axes[number + 1].imshow(heatmaps[..., number], vmin=0, vmax=1)
    axes[number + 1].set_title(f"centres: {name}")
    axes[number + 1].set_axis_off()
show("4_heatmaps")

# %% [markdown]
# ## How good is it?
#
# A box is right if it overlaps an object's enough (intersection over union of at least .5) and no
# surer box had it already. Going down the list of boxes from the surest, more and more objects are
# found (recall), and some boxes are wrong (precision). The area under that curve is the *average
# precision*. COCO's stricter measure takes the mean over overlaps from .5 to .95.

# %%
result = kp.detection.evaluate(model, judged)
print(result)
kp.detection.plot_precision_recall(result)
show("5_precision_recall")

figure, axes = plt.subplots(2, 2, figsize=(8, 8), layout="constrained")
for image, boxes, ax in zip(judged.images[:4], result.detections, axes.flat, strict=False):
    kp.detection.show(image.source, detections=boxes.above(0.4), truth=image, ax=ax)
for ax in axes.flat:
    ax.set_axis_off()
show("6_found")

# %% [markdown]
# Every fruit is found, and there are false alarms: red discs and yellow bars. Would you have known
# better, from four pictures? A higher threshold has fewer of them and misses more; the curve says
# what each costs. More pictures with *such* clutter are the better cure.
#
# ## What was the augmentation worth?
#
# The same network on windows of the same places and scales, but never mirrored, turned or in other
# light. Guess first.

# %%
plain = new_model(training)
train(plain, training, augmentation=None)
without = kp.detection.evaluate(plain, judged)
print(
    f"average precision with augmentation {result.average_precision_50:.3f}, "
    f"without {without.average_precision_50:.3f}"
)

# %% [markdown]
# ## Keep it
#
# The `.keras` file has all that `detect` needs: classes, stride and sizes are in the configuration
# of the model's last layer. `import keras_practical` tells Keras about that layer.

# %%
model.save(OUTPUT / "detector.keras")
loaded = keras.models.load_model(OUTPUT / "detector.keras")
again = kp.detection.detect(loaded, example.source)
assert np.allclose(again.boxes, found.boxes, atol=0.1), "a loaded model finds the same"

# %% [markdown]
# ## What we learnt
#
# - A detector needn't be a monster: a backbone, two small convolutions, a heatmap.
# - Few pictures hold many windows. Boxes must move with them, by the same matrix.
# - Show objects at one size, look at several scales: every example then counts for all sizes.
# - Judge on pictures that had no part in training, by average precision, and *look* at the boxes.
#
# **Try next:** your own four pictures, labelled with dlib's `imglab`, LabelImg, CVAT or Label
# Studio (`--data`); more pictures where it fails; `threshold=0.3` in `detect` to miss less at the
# price of more false alarms; `kp.augment.top_down()` as augmentation where there is no above.

# %%
if PAINTED and not QUICK:
    assert result.average_precision_50 > 0.9, "four pictures should be enough for painted fruit"
