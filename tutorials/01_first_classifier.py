# %% [markdown]
# # Your first classifier: stand on what a network already knows
#
# **Goal.** Train an image classifier from a handful of pictures, know how good it is, save it, and
# use it on a file. The trick is *transfer learning*: a network that has learnt to see one thing
# needs only a few pictures to learn another.
#
# | | |
# |---|---|
# | **Data** | scikit-learn's 1,797 handwritten digits (nothing to download); photos: `--data` |
# | **Time** | 80 seconds on 2 CPU cores; 2,000 photos at 160 pixels: 3 minutes |
# | **Result to expect** | transfer 97.2 ± 0.9 %, from scratch 93.8 ± 1.2 % (6 seeds) |
#
# Run it as it is, then on photos:
#
# ```
# python tutorials/01_first_classifier.py
# python tutorials/01_first_classifier.py --data path/to/folder_of_class_folders
# python tutorials/01_first_classifier.py --data cats_vs_dogs        # downloads 68 MB
# python tutorials/01_first_classifier.py --data tfds:beans          # downloads it
# ```

# %%
import argparse
import os
import sys
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

import keras_practical as kp

IN_NOTEBOOK = "ipykernel" in sys.modules

parser = argparse.ArgumentParser(description="Train your first classifier.")
parser.add_argument("--data", default="digits", help="a folder, cats_vs_dogs, tfds:NAME or digits")
parser.add_argument("--quick", action="store_true", help="two seeds, few epochs: does it run?")
parser.add_argument("--output", default="output/01_first_classifier", help="for plots and models")
options = parser.parse_args([] if IN_NOTEBOOK else None)

DATA = options.data
QUICK = options.quick or bool(os.environ.get("KERAS_PRACTICAL_QUICK"))
OUTPUT = Path(options.output)
if QUICK:
    print("Quick mode only shows that everything runs: believe none of its accuracies.")
SEEDS = range(100, 102 if QUICK else 106)  # others than those used to choose the settings
PICTURES_A_CLASS = 10  # all that the new task gets to learn from
PRETRAINING_EPOCHS = 1 if QUICK else 10
EPOCHS = 4 if QUICK else 10  # for the new task, both ways
IMAGE_SIZE = 96 if QUICK else 160  # photos only
PHOTO_EPOCHS = 1 if QUICK else None  # photos only; None: as many as they need


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
# ## Look at the data first
#
# `load_images` turns a folder, a CSV file, arrays or a named data set into `tf.data` data sets. It
# turns phone photos upright, names the files that it can't read, and holds back validation
# pictures. Before anything else, look: would *you* label these pictures like this?

# %%
photos = kp.load_images(
    DATA,
    image_size=None if DATA == "digits" else IMAGE_SIZE,
    seed=42,
    download=True,
)
kp.plots.show_batch(photos.train, n=18)
show("1_batch")

# %% [markdown]
# ## Digits: five classes known, five new, ten pictures each
#
# We play the whole story small. A network learns the digits 0–4 from all their pictures: that
# stands for ImageNet. ImageNet's strength is its many classes, so we make ours many too: a turned
# or mirrored digit counts as a class of its own, which makes 40. Then the network must learn 5–9
# from **ten pictures of each**. We compare
#
# - **from scratch**: the same network with random weights,
# - **transfer**: the network that knows 0–4, with a new head: first the head alone, then all of it.
#
# Both see the same fifty pictures for the same number of epochs, each phase on one cycle, and are
# judged by all the other pictures of 5–9. Every seed draws other pictures and first weights.


# %%
def new_network(seed):
    """Return a small convolutional network without a head: 8 x 8 pixels to 2,048 features."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Rescaling(1 / 127.5, offset=-1),
            keras.layers.Conv2D(64, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(64, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(128, 3, padding="same", activation="relu"),
            keras.layers.Flatten(),
        ],
        name="network",
    )


def pretrained_network(images, labels):
    """Return a network that has learnt the digits 0-4 in eight positions: 40 classes."""
    turned = [np.rot90(images, turns, axes=(1, 2)) for turns in range(4)]
    everything = np.concatenate([*turned, *(picture[:, :, ::-1] for picture in turned)])
    classes = np.concatenate([labels + 5 * position for position in range(8)])
    known = kp.load_images(
        (everything, classes), validation_fraction=0, batch_size=128, verbose=False
    )
    network = new_network(seed=0)
    moves = [
        keras.layers.RandomTranslation(0.12, 0.12, fill_mode="constant", seed=0),
        keras.layers.RandomRotation(0.04, fill_mode="constant", seed=0),
    ]
    model = kp.transfer.classifier(network, known.class_names, augmentation=moves, seed=0)
    all_layers_at_once(model, known, PRETRAINING_EPOCHS)
    return network


def all_layers_at_once(model, data, epochs):
    """Train everything from the start, at one rate."""
    kp.transfer.unfreeze(model)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    one_cycle = kp.OneCycle(max_learning_rate=3e-3)
    model.fit(data.train, epochs=epochs, callbacks=[one_cycle], shuffle=False, verbose=0)


def head_first(model, data, epochs):
    """Train the head for the first half, then everything, early layers at lower rates."""
    kp.transfer.fine_tune(
        model,
        data.train,
        frozen_epochs=epochs // 2,
        epochs=epochs - epochs // 2,
        frozen_learning_rate=3e-3,
        max_learning_rate=1e-3,
        backbone_multiplier=1.0,
        verbose=0,
    )


def ten_of_each(images, labels, seed):
    """Return ten training pictures a class, and all the others to judge by."""
    order = np.random.default_rng(seed).permutation(len(labels))
    few = np.concatenate([order[labels[order] == c][:PICTURES_A_CLASS] for c in range(5)])
    rest = np.setdiff1d(order, few)
    return kp.load_images(
        {"train": (images[few], labels[few]), "validation": (images[rest], labels[rest])},
        class_names=["5", "6", "7", "8", "9"],
        batch_size=10,
        seed=seed,
        verbose=False,
    )


def accuracy(model, data):
    """Return the accuracy on the pictures that the model hasn't seen."""
    return kp.evaluate(model, data.validation.rebatch(256), verbose=False).accuracy


# %%
if DATA == "digits":
    batches = [*photos.train, *photos.validation]
    images, labels = (np.concatenate([batch[part] for batch in batches]) for part in (0, 1))
    old, new = labels < 5, labels >= 5

    knows_0_to_4 = pretrained_network(images[old], labels[old]).get_weights()
    scratch, transfer = [], []
    for seed in SEEDS:
        data = ten_of_each(images[new], labels[new] - 5, seed)
        beginner = kp.transfer.classifier(new_network(seed), data.class_names, seed=seed)
        all_layers_at_once(beginner, data, EPOCHS)
        expert = new_network(seed)
        expert.set_weights(knows_0_to_4)
        model = kp.transfer.classifier(expert, data.class_names, seed=seed)
        head_first(model, data, EPOCHS)
        scratch.append(accuracy(beginner, data))
        transfer.append(accuracy(model, data))
        print(f"seed {seed}: from scratch {scratch[-1]:.3f}, transfer {transfer[-1]:.3f}")

# %% [markdown]
# One seed proves nothing: the ten pictures drawn matter more than the method. Each line below joins
# the two results of one seed; the number to trust is the mean of the *differences*, with its
# interval.

# %%
if DATA == "digits":
    gains = np.array(transfer) - np.array(scratch)
    gain = stats.ttest_rel(transfer, scratch).confidence_interval()
    print(
        f"from scratch {np.mean(scratch):.3f} ± {np.std(scratch, ddof=1):.3f}, "
        f"transfer {np.mean(transfer):.3f} ± {np.std(transfer, ddof=1):.3f} "
        f"(mean ± standard deviation of {len(SEEDS)} seeds)"
    )
    print(
        f"transfer gains {100 * gains.mean():.1f} points "
        f"(95 % interval {100 * gain.low:.1f} to {100 * gain.high:.1f})"
    )

    _, ax = plt.subplots(figsize=(5, 3.5), layout="constrained")
    for pair in zip(scratch, transfer, strict=True):
        ax.plot([0, 1], pair, "o-", color="#0072B2", alpha=0.6)
    ax.set_xticks([0, 1], ["from scratch", "transfer"])
    ax.set_xlim(-0.4, 1.4)
    ax.set_ylabel("accuracy on unseen 5–9")
    ax.set_title(f"{PICTURES_A_CLASS} pictures a class, {len(SEEDS)} seeds")
    show("2_scratch_or_transfer")

    if not QUICK:
        assert gain.low > 0, "transfer should beat training from scratch"

# %% [markdown]
# ## Photos: the same story with ImageNet
#
# With `--data` the pretrained network is MobileNetV2, which learnt from 1.3 million photos. First
# the **baseline**: `linear_probe` asks the network once for its features of each photo and fits a
# logistic regression to them. That takes seconds, and may be all you need.
#
# Then **fine-tuning**, which takes minutes: `fine_tune` starts from that very head and lets all
# layers learn, faster and longer the more the head alone leaves to gain. It says what it decides.
# At the end your validation photos choose how far to go from the start, so it isn't worse on them
# than the baseline. The mirror image of a photo is as good a photo, so the model sees both (leave
# that out for text or road signs).
#
# Last, **what it brought**: the two side by side on the same photos, with the interval. Is it worth
# the wait? Guess before you look. (The validation photos chose among five sets of weights; for a
# figure to report, keep a `test` folder aside.)

# %%
if DATA != "digits":
    data = photos
    probe = kp.linear_probe("MobileNetV2", photos.train, image_size=IMAGE_SIZE)
    model = kp.transfer.classifier(
        "MobileNetV2",
        photos.class_names,
        image_size=IMAGE_SIZE,
        augmentation=keras.layers.RandomFlip("horizontal"),
    )
    history = kp.transfer.fine_tune(
        model, photos.train, validation_data=photos.validation, epochs=PHOTO_EPOCHS
    )
    kp.plots.learning_curves(history)
    show("2_learning_curves")
    print(kp.compare(probe, model, photos.validation, names=("baseline", "fine-tuned")))

# %% [markdown]
# ## How good is it?
#
# An accuracy without its interval is half a number: on 100 pictures, 92 % and 94 % are the same
# result. And one class may be much worse than the others.

# %%
result = kp.evaluate(model, data.validation)
print(result)

# %% [markdown]
# ## Where is it most wrong?
#
# Sorted by loss, the mistakes that the model was surest of come first. Often they tell more about
# the data than about the model: wrong labels, two things in one picture, nothing to see.

# %%
probabilities, labels = kp.predict_with_labels(model, data.validation)
losses = -np.log(np.clip(probabilities[np.arange(len(labels)), labels], 1e-7, 1))
worst = np.argsort(losses)[::-1][:12]
records = data.index.split("validation")
pictures = np.concatenate([images for images, _ in data.validation])
for position in worst[:3]:
    print(f"{records[position].name}: loss {losses[position]:.2f}")

kp.plots.show_images(
    pictures[worst],
    [
        f"{data.class_names[labels[i]]}, not {data.class_names[probabilities[i].argmax()]}"
        if probabilities[i].argmax() != labels[i]
        else f"{data.class_names[labels[i]]}, unsure"
        for i in worst
    ],
)
show("3_worst_mistakes")

# %% [markdown]
# ## Save it, load it, use it on one file
#
# The saved file is complete: pixels from 0 to 255 in, probabilities out. Whoever loads it needs
# Keras, and not this package.

# %%
OUTPUT.mkdir(parents=True, exist_ok=True)
model.save(OUTPUT / "classifier.keras")
loaded = keras.models.load_model(OUTPUT / "classifier.keras")

if DATA == "digits":
    file = OUTPUT / "one_digit.png"
    keras.utils.save_img(file, pictures[0], scale=False)
else:
    file = records[0].name
picture = kp.read_image(file, image_size=data.image_size) if Path(file).exists() else pictures[0]
prediction = loaded.predict(picture[np.newaxis], verbose=0)[0]
print(f"{file}: {data.class_names[prediction.argmax()]} ({prediction.max():.1%})")
np.testing.assert_allclose(prediction, probabilities[0], atol=1e-3)

# %% [markdown]
# ## What we learnt
#
# - Look at the pictures first, and at the worst mistakes last.
# - A network that knows something similar needs few pictures.
# - Repeat with several seeds; report the difference with its interval.
# - The model is an ordinary Keras file.
#
# **Try next:** your own folder with `--data`; 5 or 50 pictures a class (`PICTURES_A_CLASS`);
# `head="mlp"`; another backbone from `kp.models.BACKBONES`.
