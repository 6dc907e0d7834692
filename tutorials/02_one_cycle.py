# %% [markdown]
# # One cycle: how fast should it learn?
#
# **Goal.** Find a learning rate before training, train with one cycle, look at what it does to rate
# and momentum, and compare it, step for step, with a constant rate and with a decay in steps.
#
# | | |
# |---|---|
# | **Data** | scikit-learn's 1,797 handwritten digits (nothing to download); CIFAR-10: `--data` |
# | **Time** | 3 minutes on 2 CPU cores; CIFAR-10 25 minutes; `--full` needs a GPU: never run |
# | **Result to expect** | digits, 3 seeds, 8 epochs: one cycle 97.9 ± 0.2 %, constant rate |
# | | 97.6 ± 0.3 %, step decay 97.0 ± 0.4 %; the best step decay in 40 epochs 98.0 ± 0.5 % |
# | | CIFAR-10, 10,000 pictures, 3 seeds, 6 epochs: one cycle 52.9 ± 1.0 %, constant rate |
# | | 41.0 ± 2.3 %, step decay 42.1 ± 4.9 %; the best step decay in 30 epochs 50.4 ± 0.9 % |
#
# ```
# python tutorials/02_one_cycle.py
# python tutorials/02_one_cycle.py --data cifar10            # downloads 170 MB
# python tutorials/02_one_cycle.py --data cifar10 --full resnet9    # or resnet56: for a GPU
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

parser = argparse.ArgumentParser(description="Train with one cycle.")
parser.add_argument("--data", default="digits", help="digits, cifar10, or an .npz like cifar10's")
parser.add_argument(
    "--full", choices=["resnet56", "resnet9"], help="with --data: all of CIFAR-10, for a GPU"
)
parser.add_argument("--quick", action="store_true", help="one seed, few epochs: does it run?")
parser.add_argument("--output", default="output/02_one_cycle", help="for the plots")
options = parser.parse_args([] if IN_NOTEBOOK else None)
if options.full and options.data == "digits":
    parser.error("--full is about CIFAR-10: add --data cifar10")

DATA = options.data
QUICK = options.quick or bool(os.environ.get("KERAS_PRACTICAL_QUICK"))
OUTPUT = Path(options.output)
if QUICK:
    print("Quick mode only shows that everything runs: believe none of its accuracies.")
SEEDS = range(10, 11 if QUICK else 13)  # others than those used to choose the settings
MOMENTUM = 0.9
WEIGHT_DECAY = None
if DATA == "digits":
    WIDTH, BLOCKS, BATCH_SIZE = 16, 1, 32
    SHORT_EPOCHS = [1] if QUICK else [4, 8]  # the lengths of the cycle that we try
    LONG_EPOCHS = 2 if QUICK else 40
    STEP_DECAY_RATES = [0.03] if QUICK else [0.01, 0.03, 0.1]
elif options.full is None:
    WIDTH, BLOCKS, BATCH_SIZE = 16, 1, 64
    SHORT_EPOCHS = [1] if QUICK else [3, 6]
    LONG_EPOCHS = 1 if QUICK else 30
    STEP_DECAY_RATES = [0.03] if QUICK else [0.03, 0.1]
elif options.full == "resnet56":
    # The experiment of the paper: 10,000 steps of one cycle against 80,000 of step decay.
    WIDTH, BLOCKS, BATCH_SIZE, WEIGHT_DECAY = 16, 9, 128, 1e-4
    SHORT_EPOCHS = [1] if QUICK else [26]
    LONG_EPOCHS = 1 if QUICK else 205
    STEP_DECAY_RATES = [0.1, 0.35]
else:
    # David Page's network, whose 24 epochs gave 94.1 %.
    WIDTH, BLOCKS, BATCH_SIZE, WEIGHT_DECAY = 64, 1, 512, 5e-4
    SHORT_EPOCHS = [1] if QUICK else [24]
    LONG_EPOCHS = 1 if QUICK else 120
    STEP_DECAY_RATES = [0.1, 0.35]


def spread_of(values):
    """Return the standard deviation that the seeds tell of; one seed tells of none."""
    return np.std(values, ddof=1) if len(values) > 1 else 0.0


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
# ## Data and a small residual network
#
# Blocks of two convolutions with `BatchNormalization`, and a path around each. The optimizer is SGD
# with momentum, as in the papers.


# %%
def load():
    """Return training and test pictures with their labels."""
    if DATA == "digits":
        # Half of them for the test: with fewer, one picture would count too much.
        digits = kp.load_images("digits", validation_fraction=0.5, seed=0, verbose=False)
        parts = [[*digits.train], [*digits.validation]]
        return [tuple(np.concatenate(column) for column in zip(*p, strict=True)) for p in parts]
    if DATA == "cifar10":
        (x, y), (test_x, test_y) = keras.datasets.cifar10.load_data()
    else:
        with np.load(DATA) as file:
            x, y, test_x, test_y = (file[n] for n in ("x_train", "y_train", "x_test", "y_test"))
    if options.full is None:
        x, y, test_x, test_y = x[:10_000], y[:10_000], test_x[:2_000], test_y[:2_000]
    return [(x, y.ravel()), (test_x, test_y.ravel())]


def normalization():
    """Return a layer whose averages keep up with a short run: the default remembers 100 steps."""
    return keras.layers.BatchNormalization(momentum=0.9)


def block(features, width, stride):
    """Return two convolutions with a path around them."""
    path = features
    for number, step in enumerate((stride, 1)):
        path = keras.layers.Conv2D(width, 3, step, padding="same", use_bias=False)(path)
        path = normalization()(path)
        if number == 0:
            path = keras.layers.ReLU()(path)
    if stride > 1 or features.shape[-1] != width:
        features = keras.layers.Conv2D(width, 1, stride, use_bias=False)(features)
    return keras.layers.ReLU()(keras.layers.add([path, features]))


def convolution(features, width, stride=1):
    """Return a convolution, normalized and rectified."""
    features = keras.layers.Conv2D(width, 3, stride, padding="same", use_bias=False)(features)
    return keras.layers.ReLU()(normalization()(features))


def residual_stages(features):
    """Return what three stages of blocks make of the pictures (two for digits)."""
    # Small pictures are halved at once: that makes CIFAR-10 bearable without a GPU.
    features = convolution(features, WIDTH, 1 if DATA == "digits" or options.full else 2)
    for stage in range(2 if DATA == "digits" else 3):
        for number in range(BLOCKS):
            features = block(features, WIDTH * 2**stage, 2 if stage and not number else 1)
    return features


def resnet9(features):
    """Return what David Page's network makes of the pictures."""
    features = convolution(features, WIDTH)
    for stage in (1, 2, 3):
        width = WIDTH * 2**stage
        features = keras.layers.MaxPooling2D()(convolution(features, width))
        if stage != 2:
            path = convolution(convolution(features, width), width)
            features = keras.layers.add([features, path])
    return features


def network(seed):
    """Return a residual network with random weights."""
    keras.utils.set_random_seed(seed)
    images = keras.Input(train_images.shape[1:])
    features = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
    if options.full:
        features = keras.layers.RandomTranslation(0.125, 0.125, fill_mode="constant")(features)
        features = keras.layers.RandomFlip("horizontal")(features)
    body = resnet9 if options.full == "resnet9" else residual_stages
    features = keras.layers.GlobalMaxPooling2D()(body(features))
    return keras.Model(images, keras.layers.Dense(10, activation="softmax")(features))


def compiled(seed, learning_rate):
    """Return a network ready to train with SGD; its rate may be a schedule."""
    model = network(seed)
    model.compile(
        keras.optimizers.SGD(learning_rate, MOMENTUM, weight_decay=WEIGHT_DECAY),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=10,  # small steps: Python would take as long as the arithmetic
    )
    return model


def train(model, epochs, callbacks=()):
    """Train, and return the accuracy on the test pictures and the history."""
    history = model.fit(
        train_images,
        train_labels,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=list(callbacks),
        verbose=0,
    )
    return model.evaluate(test_images, test_labels, batch_size=500, verbose=0)[1], history


(train_images, train_labels), (test_images, test_labels) = load()
STEPS_PER_EPOCH = -(-len(train_images) // BATCH_SIZE)
print(f"{len(train_images):,} training and {len(test_images):,} test pictures")
print(f"{STEPS_PER_EPOCH} steps an epoch, {network(0).count_params():,} parameters")

# %% [markdown]
# ## How fast? Ask the finder
#
# `find_lr` trains for a hundred steps while the rate rises from 1e-7 to 10, and then puts
# everything back. As long as the rate is too small the loss stays where it is; then it falls; then
# it explodes. A good peak lies on the slope. Because one ramp's answer varies, we run three.
#
# `valley` is a careful suggestion, good for a rate that stays. A cycle touches its peak only for a
# moment, and SGD on a network with `BatchNormalization` bears a lot: we take `slide`, the last rate
# before the loss rises.

# %%
search = kp.find_lr(
    compiled(0, 0.1),
    (train_images, train_labels),
    batch_size=BATCH_SIZE,
    repeats=1 if QUICK else 3,
)
search.plot()
show("1_finder")
if search.problem:
    PEAK = 0.1  # the finder can't tell; this works for SGD on most networks of this kind
else:
    PEAK = search.suggestions["slide"]
print(f"peak: {PEAK:.3f}")

# %% [markdown]
# ## One cycle, a constant rate, a decay in steps: the same number of steps
#
# The cycle starts low, because a new network doesn't bear much; goes high, because large steps go
# far and skip narrow minima; and ends very low, to settle. The momentum does the reverse: where the
# rate is high, old directions would carry too far. `OneCycle` moves both *inside* the compiled
# training step. The other two get the finder's rate as well.

# %%
EPOCHS = SHORT_EPOCHS[-1]
cycle = kp.OneCycle(PEAK)


def decaying(rate, epochs):
    """Return the classic: the rate, a tenth of it after half of the steps, and so on."""
    steps = epochs * STEPS_PER_EPOCH
    return keras.optimizers.schedules.PiecewiseConstantDecay(
        [steps // 2, steps * 3 // 4], [rate, rate / 10, rate / 100]
    )


WAYS = {
    "one cycle": lambda seed: train(compiled(seed, PEAK), EPOCHS, [cycle]),
    "constant": lambda seed: train(compiled(seed, PEAK), EPOCHS),
    "step decay": lambda seed: train(compiled(seed, decaying(PEAK, EPOCHS)), EPOCHS),
}
scores = {}
_, axes = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained")
for name, way in WAYS.items():
    results = [way(seed) for seed in SEEDS]
    scores[name] = [score for score, _ in results]
    axes[1].plot(np.mean([h.history["loss"] for _, h in results], axis=0), "o-", label=name)
    print(
        f"{name:<10} {EPOCHS} epochs: {np.mean(scores[name]):.4f} ± {spread_of(scores[name]):.4f}"
    )
cycle.plot(ax=axes[0])
axes[1].set_xlabel("epoch")
axes[1].set_ylabel("training loss")
axes[1].legend()
show("2_same_steps")

# %% [markdown]
# ## Super-convergence?
#
# Leslie Smith found tasks on which one cycle needs a tenth of the steps. Is this one of them? Now
# the decay may take its time, five times as many steps, and we take the best of several rates,
# chosen *with the test pictures*, which flatters it.

# %%
decays = {}
for rate in STEP_DECAY_RATES:
    decays[rate] = [
        train(compiled(seed, decaying(rate, LONG_EPOCHS)), LONG_EPOCHS)[0] for seed in SEEDS
    ]
    mean, spread = np.mean(decays[rate]), spread_of(decays[rate])
    print(f"step decay from {rate}, {LONG_EPOCHS} epochs: {mean:.4f} ± {spread:.4f}")
best_rate = max(decays, key=lambda rate: np.mean(decays[rate]))
best = decays[best_rate]

accuracies = {
    epochs: [train(compiled(seed, PEAK), epochs, [kp.OneCycle(PEAK)])[0] for seed in SEEDS]
    for epochs in SHORT_EPOCHS[:-1]
}
accuracies[EPOCHS] = scores["one cycle"]
for epochs, values in accuracies.items():
    print(f"one cycle, {epochs} epochs: {np.mean(values):.4f} ± {spread_of(values):.4f}")

# %%
_, ax = plt.subplots(figsize=(5.5, 3.5), layout="constrained")
steps = [epochs * STEPS_PER_EPOCH for epochs in SHORT_EPOCHS]
ax.errorbar(
    steps,
    [np.mean(values) for values in accuracies.values()],
    [spread_of(values) for values in accuracies.values()],
    fmt="o-",
    label="one cycle",
)
ax.errorbar(
    [LONG_EPOCHS * STEPS_PER_EPOCH],
    [np.mean(best)],
    [spread_of(best)],
    fmt="s",
    color="#D55E00",
    label=f"best step decay, from {best_rate}",
)
ax.axhline(np.mean(best), color="#D55E00", linewidth=0.8)
ax.set_xscale("log")
ax.set_xlabel("training steps")
ax.set_ylabel("test accuracy")
ax.legend()
show("3_super_convergence")

gain = np.mean(accuracies[EPOCHS]) - np.mean(best)
print(
    f"one cycle in {EPOCHS} epochs against the best step decay in {LONG_EPOCHS}: "
    f"{100 * gain:+.1f} points, in {LONG_EPOCHS / EPOCHS:.0f} times fewer steps"
)
if not QUICK:
    # Both means come from three seeds: what lies within their spread counts as equal.
    spread = np.hypot(spread_of(accuracies[EPOCHS]), spread_of(best)) / len(SEEDS) ** 0.5
    assert gain > -2 * spread, "one cycle should reach the best step decay in a fifth of the steps"

# %% [markdown]
# ## What we learnt
#
# - A hundred steps of the finder replace a grid of learning rates. It says so when it can't tell.
# - `OneCycle` moves the rate and the momentum of any optimizer, and hands it back as it was.
# - In the same few steps one cycle gets further than a constant rate or a decay. On digits, which
#   are easy, the difference is small; on CIFAR-10 it is more than ten points.
# - In a fifth of the steps it reaches what the best of several step decays reaches at leisure.
#
# **Try next:** `kp.OneCycle(PEAK, momentum=None)`; `warmup_fraction=0.1`; a peak three
# times higher; other curves, such as `kp.training.CosineRestartsSchedule`.
