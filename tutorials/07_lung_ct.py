# %% [markdown]
# # Lung CT with a few hundred scans
#
# **Goal.** A classifier of CT slices that is honest about how good it is, and one of whole scans
# that shows which slices it looked at. On the way: why a picture of a patient must never be judged
# by a model that has seen that patient, what to do where ImageNet features aren't enough, and how
# many ill people are found if one healthy person in ten may be alarmed.
#
# **This is no medical device.** Nothing here was tested on patients, and no answer of these models
# may be used to decide about a person. A few hundred pictures teach a method, not medicine.
#
# | | |
# |---|---|
# | **Data** | phantoms: CT slices of 90 made-up patients, drawn by this script; yours: `--data` |
# | **Time** | 2 minutes on 2 CPU cores |
# | **Result to expect** | AUC by a leaky split .88, by patient .67 (probe, 511 slices); |
# | | fine-tuned .96 (95 % interval .90–.99) on 102 slices of unseen patients; attention looks |
# | | most at the slice with the nodule in 30 of 30 scans (chance: 10 %) |
#
# ```
# python tutorials/07_lung_ct.py
# python tutorials/07_lung_ct.py --data covid_ct/   # one folder a class (and names.csv, see below)
# ```

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

parser = argparse.ArgumentParser(description="Lung CT with a few hundred scans.")
parser.add_argument("--data", help="a folder of slices, one folder a class; default: phantoms")
parser.add_argument("--quick", action="store_true", help="fewer patients and epochs: does it run?")
parser.add_argument("--output", default="output/07_lung_ct", help="for the plots and the phantoms")
options = parser.parse_args([] if IN_NOTEBOOK else None)

PHANTOMS = options.data is None
QUICK = options.quick or bool(os.environ.get("KERAS_PRACTICAL_QUICK"))
OUTPUT = Path(options.output)
SIZE = 64 if PHANTOMS else 224
PATIENTS = 20 if QUICK else 90
SCANS = 12 if QUICK else 120
FOLDS = 2 if QUICK else 4
EPOCHS = 1 if QUICK else 15 if PHANTOMS else 8
SEED = 0


def show(name):
    """Show the figure in a notebook; a script saves it."""
    if IN_NOTEBOOK:
        plt.show()
    else:
        OUTPUT.mkdir(parents=True, exist_ok=True)
        plt.savefig(OUTPUT / f"{name}.png", dpi=110, bbox_inches="tight")
        print(f"plot: {OUTPUT / name}.png")
    plt.close()


# %% [markdown]
# ## What a scanner measures
#
# A CT scanner measures how much each point of the body absorbs, in *Hounsfield units*: air is
# −1000, water 0, bone from 300 up. A screen shows 256 greys, so one chooses a **window**: which
# part of that range becomes black to white. The same slice shows the lung in one window and the
# organs in another; a network sees only what the window lets through.
#
# Real scanners write DICOM files, and `load_images` reads those as it reads photos, in the window
# that you ask for (`window="lung"`; `pip install "keras-practical[medical]"`). Here we draw our
# own patients, because nobody's lungs may be shipped with a tutorial. Each has a body and a lung
# tissue of their own, which all of their slices share. The ill ones have hazy spots besides.

# %%
ROWS, COLUMNS = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]


def ellipse(row, column, height, width):
    """Return where an ellipse is."""
    return ((ROWS - row) / height) ** 2 + ((COLUMNS - column) / width) ** 2 < 1


def spot(places, rng, width):
    """Return a round spot of height 1 in the middle of one of the places."""
    row, column = places[rng.integers(len(places))]
    distance = (np.arange(SIZE)[:, None] - row) ** 2 + (np.arange(SIZE) - column) ** 2
    return np.exp(-distance / (2 * width**2))


def phantom(patient, depth, ill=False, nodule_at=None, cut_out=False):
    """Return a made-up patient's slices, or their lungs alone, in Hounsfield units."""
    rng = np.random.default_rng(patient)
    body, lung = rng.uniform((0.7, 0.85), (0.85, 0.97)), rng.uniform((0.45, 0.26), (0.6, 0.36))
    air = rng.uniform(-880, -780)
    waves, phases = rng.normal(0, 9, (12, 2)), rng.uniform(0, 2 * np.pi, 12)
    speeds = rng.normal(0, 0.3, 12)
    slices = []
    for number in range(depth):
        row, column = rng.normal(0, 0.01, 2)
        turns = phases + number * speeds
        angles = np.tensordot(waves, [ROWS - row, COLUMNS - column], 1) + turns[:, None, None]
        tissue = np.cos(angles).sum(0)
        values = np.full((SIZE, SIZE), -1000.0)
        values[ellipse(row, column, *body)] = 40
        lungs = ellipse(row, column - 0.42, *lung) | ellipse(row, column + 0.42, *lung)
        values[lungs] = air + 25 * tissue[lungs]
        values[ellipse(row + 0.5, column, 0.13, 0.13)] = 600  # the spine
        places = np.argwhere(lungs)
        if ill:
            for _ in range(rng.integers(1, 3)):
                values += 500 * spot(places, rng, width=rng.uniform(2.5, 4.5)) * lungs
        if number == nodule_at:
            values += 700 * spot(places, rng, width=1.8) * lungs
        if cut_out:
            values[~lungs] = air
        slices.append(values + rng.normal(0, 40, values.shape))
    return np.array(slices)


def seen(slices, window="lung"):
    """Return slices as pixels, as reading DICOM files with this window does."""
    return np.array(list(kp.scans.windowed([kp.scans.Slice(v, "CT") for v in slices], window)))


one = phantom(patient=1, depth=1, ill=True)
windows = ("full", "mediastinum", "lung")
pictures = np.concatenate([seen(one, window) for window in windows])[..., None]
kp.plots.show_images(pictures, [f'window="{window}"' for window in windows], columns=3)
show("1_windows")

# %% [markdown]
# The hazy spots show up in the lung window and are gone in the one for the organs.
#
# ## The slices, and whose they are
#
# Each patient gives three to eight slices. The names of the files say whose each slice is, and
# `groups=` tells `load_images`: the held-out slices are then those of other *patients*.
#
# For your own pictures, say here how a file's name tells the patient. In COVID-CT, slices were
# taken from papers, several from each; its table `names.csv` says which is from where.


# %%
def draw_patients(folder):
    """Write the phantoms' slices, one folder a class."""
    rng = np.random.default_rng(SEED)
    for patient in range(PATIENTS):
        label = ("healthy", "ill")[patient % 2]
        (folder / label).mkdir(parents=True, exist_ok=True)
        slices = seen(phantom(1000 + patient, depth=rng.integers(3, 9), ill=label == "ill"))
        for number, pixels in enumerate(slices):
            name = folder / label / f"patient{patient:03}_slice{number}.png"
            keras.utils.save_img(name, pixels[..., None], scale=False)


def patient_of(record):
    """Return whose slice a picture is."""
    return Path(record.name).name.partition("_")[0]


folder = Path(options.data) if options.data else OUTPUT / f"phantoms_{PATIENTS}"
groups = patient_of
if PHANTOMS:
    draw_patients(folder)
elif (folder / "names.csv").exists():
    with (folder / "names.csv").open() as table:
        groups = {
            f"{row['split']}/{row['class']}/{row['file']}": row["original_name"]
            .split("-p")[0]
            .split("%")[0]
            for row in csv.DictReader(table)
        }
slices = kp.load_images(folder, image_size=SIZE, groups=groups, batch_size=16, seed=SEED)
print(f"{len({record.group for record in slices.index})} patients")
kp.plots.show_batch(slices.train, n=12, columns=6)
show("2_slices")

# %% [markdown]
# ## How a leaky split lies
#
# The slices of one patient are alike. If some of them train the model and others judge it, it only
# needs to recognise the patient. Let us measure by how much that flatters: the same features, the
# same probe, cross-validated once with slices scattered at random and once with patients kept
# together.


# %%
def backbone():
    """Return the network from slices to features: pretrained, or small and new for phantoms."""
    if not PHANTOMS:
        return "MobileNetV2"
    layers = [keras.Input((SIZE, SIZE, 3)), keras.layers.Rescaling(1 / 127.5, offset=-1)]
    for width in (16, 32, 64):
        layers += [
            keras.layers.Conv2D(width, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(),
        ]
    return keras.Sequential(layers, name="small")


keras.utils.set_random_seed(SEED)
network = backbone()
if PHANTOMS:  # where in the picture counts, too
    network = keras.Sequential([network, keras.layers.AveragePooling2D(2), keras.layers.Flatten()])


def cross_validated(groups):
    """Return the cross-validation of a probe, groups kept together if there are any."""
    everything = kp.load_images(
        folder, image_size=SIZE, groups=groups, validation_fraction=0, verbose=False
    )
    features = kp.embed(network, everything.train, verbose=False)
    return kp.cross_validate(kp.fit_probe, features, verbose=False)


leaky, honest = cross_validated(None), cross_validated(groups)
for name, found in (("slices scattered", leaky), ("patients kept together", honest)):
    print(f"{name:<23} accuracy {found.accuracy:.3f}, AUC {found.evaluation.roc_auc:.3f}")
lie = leaky.evaluation.roc_auc - honest.evaluation.roc_auc
print(f"the leaky split flatters by {lie:.3f} of AUC")

# %% [markdown]
# Same model, same slices: only the question differs. "Have I seen this patient?" is easier than
# "Is this patient ill?", and a random split asks the first one. If a result on medical pictures
# looks too good, ask how they were split before you ask anything else.
#
# ## Where fixed features aren't enough
#
# Features made for cats and cars, or random ones, catch little of a hazy spot. So the network
# itself must learn, with care: few pictures, hence low rates for pretrained layers. What about
# augmentation that respects anatomy (`augment.medical_greyscale`: slight turns and shifts, other
# brightness, no mirroring, because hearts are on the left)? Guess before you look.


# %%
def trained(part, augmentation=None, seed=SEED):
    """Return a classifier that was trained on a part of the slices."""
    keras.utils.set_random_seed(seed)
    model = kp.transfer.classifier(
        backbone(), slices.class_names, image_size=SIZE, augmentation=augmentation, seed=seed
    )
    if PHANTOMS:  # nothing pretrained: all layers learn at the full rate
        settings = {"frozen_epochs": 0, "max_learning_rate": 3e-3, "backbone_multiplier": 1.0}
        settings["train_batch_norm"] = True
    else:
        settings = {"frozen_epochs": 2, "max_learning_rate": 1e-3}
    kp.transfer.fine_tune(model, part, epochs=EPOCHS, verbose=0, **settings)
    return model


def judged(model, tta=None):
    return kp.evaluate(model, slices.validation, tta=tta, verbose=False)


results = {
    "probe": judged(kp.linear_probe(backbone(), slices.train, verbose=False)),
    "fine-tuned": judged(trained(slices.train)),
    "with augmentation": judged(trained(slices.train, kp.augment.medical_greyscale(seed=SEED))),
}
for name, found in results.items():
    print(f"{name:<20} AUC {found.roc_auc:.3f}")

# %% [markdown]
# Augmentation is no gain by law. Haze on the phantoms *is* a change of brightness, and a network
# that is told in each epoch that brightness doesn't count has more to unlearn than it wins. So we
# go on without; on your pictures, measure.
#
# ## Several models vote, and give a threshold for free
#
# Train one model on each choice of all but a part of the patients. Their mean
# (`transfer.ensemble`, one plain Keras model) is steadier than each of them. And every training
# slice has then been judged once by a model that hasn't seen its patient: just what one needs for
# choosing a threshold without touching the held-out patients.

# %%
members = []


def member(part):
    members.append(trained(part, seed=len(members)))
    return members[-1]


crossed = kp.cross_validate(member, slices.train, folds=FOLDS)
jury = kp.transfer.ensemble(members)
results[f"ensemble of {FOLDS}"] = judged(jury)
results["and mirror images"] = judged(jury, tta="flip")
for name, found in results.items():
    low, high = found.roc_auc_interval
    print(f"{name:<20} AUC {found.roc_auc:.3f} ({low:.3f}–{high:.3f}), {found.accuracy:.3f} right")

_, ax = plt.subplots(figsize=(7, 3.2))
areas = np.array([found.roc_auc for found in results.values()])
bounds = np.array([found.roc_auc_interval for found in results.values()])
ax.errorbar(areas, np.arange(len(areas)), xerr=np.abs(bounds.T - areas), fmt="o", capsize=4)
ax.set_yticks(np.arange(len(areas)), list(results))
ax.invert_yaxis()
ax.set_xlabel(f"AUC on {len(slices.index.split('validation'))} slices of unseen patients, 95 %")
ax.axvline(0.5, color="0.7", linestyle=":")
show("3_recipes")

# %% [markdown]
# The intervals are wide, and should be wider still: they take slices for independent, which those
# of one patient aren't. So don't read much into single steps. One thing is worth knowing, though:
# each member of the ensemble learnt from fewer slices than the single model above, and on few
# slices that can cost more than voting wins. Where the last per cent counts, train the members
# once more on everything, with other seeds.
#
# ## How many ill people are found?
#
# AUC is an average over all thresholds; a clinic uses one. Say that one healthy slice in ten may
# raise an alarm. The threshold that does so is chosen on the cross-validated training slices, and
# then both rates are measured on unseen patients. The intervals count patients, not slices.

# %%
final = results[f"ensemble of {FOLDS}"]
patients = [record.group for record in slices.index.split("validation")]
print(
    kp.evaluation.sensitivity_at_specificity(
        final.probabilities,
        final.labels,
        specificity=0.9,
        chosen_on=(crossed.probabilities[0], crossed.labels),
        groups=patients,
    )
)

# %% [markdown]
# ## A scan is a stack of slices
#
# Nobody marks every slice of a scan; what is known is whether the *patient* is ill. So let a model
# look at all slices with one encoder, and learn by *attention* how much each of them counts:
# `scans.classifier`. Scans may be of any depth. Ours have 6 to 14 slices; every second
# scan has one nodule, in one slice, and the model is never told where.


# %%
def scans(n, first_patient):
    """Return scans, their classes, and the slice that shows the nodule."""
    rng = np.random.default_rng(first_patient)
    volumes, places = [], []
    for number in range(n):
        depth = int(rng.integers(6, 15))
        places.append(int(rng.integers(depth)) if number % 2 else None)
        slices = phantom(first_patient + number, depth, nodule_at=places[-1], cut_out=True)
        volumes.append(seen(slices)[..., None])
    return volumes, np.arange(n) % 2, places


def slice_encoder():
    layers = [keras.Input((SIZE, SIZE, 1)), keras.layers.Rescaling(1 / 127.5, offset=-1)]
    for width in (8, 16):
        layers += [
            keras.layers.Conv2D(width, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
        ]
    return keras.Sequential([*layers, keras.layers.GlobalMaxPooling2D()], name="slices")


if PHANTOMS:
    volumes, labels, _ = scans(SCANS, first_patient=10_000)
    unseen, unseen_labels, nodule_at = scans(SCANS // 2, first_patient=20_000)
    keras.utils.set_random_seed(SEED)
    scan_model = kp.scans.classifier(
        slice_encoder(), ["healthy", "nodule"], attention_units=32, seed=SEED
    )
    kp.transfer.fine_tune(
        scan_model,
        kp.scans.VolumeBatches(volumes, labels, batch_size=8, seed=SEED),
        frozen_epochs=0,
        epochs=1 if QUICK else 12,
        max_learning_rate=1e-2,
        backbone_multiplier=1.0,
        verbose=0,
    )
    by_scan = kp.evaluate(scan_model, kp.scans.VolumeBatches(unseen, unseen_labels), verbose=False)
    print(by_scan)
    attention = kp.scans.slice_attention(scan_model, unseen)
    with_nodule = np.flatnonzero(unseen_labels)
    hits = np.mean([attention[row].argmax() == nodule_at[row] for row in with_nodule])
    chance = np.mean([1 / len(unseen[row]) for row in with_nodule])
    print(f"looks most at the slice with the nodule in {hits:.0%} of scans (chance: {chance:.0%})")

    row = with_nodule[0]
    titles = [
        f"{weight:.2f}" + " nodule" * (number == nodule_at[row])
        for number, weight in enumerate(attention[row])
    ]
    kp.plots.show_images(unseen[row], titles, columns=5)
    show("4_attention")

# %% [markdown]
# The number over each slice is its weight. Nobody told the model which slice shows the nodule: it
# is what tells the two kinds of scans apart, and so it was found.
#
# And where on that slice? Grad-CAM weighs the channels of the last feature map by how much they
# raise the score of "nodule". The map is as coarse as the network's last layers: it points, it
# doesn't outline.

# %%
if PHANTOMS:
    heat = kp.grad_cam(scan_model, unseen[row], class_index=1, class_names=["healthy", "nodule"])
    print(heat)
    figure, (plain, hot) = plt.subplots(1, 2, figsize=(6, 3.2), layout="constrained")
    kp.plots.heatmap(heat.image[heat.hottest[0]], np.zeros((SIZE, SIZE)), ax=plain)
    heat.plot(ax=hot)
    show("5_heat")

# %% [markdown]
# Your own scans: `kp.scans.load_volumes("scans/", window="lung", groups=...)` reads folders of
# DICOM slices and NIfTI files, one folder a class, and `scans.classifier("MobileNetV2", ...)`
# brings a pretrained encoder.
#
# ## What we learnt
#
# - Split by patient. A leaky split doesn't make a model better, only its number.
# - A window is a choice about what the network may see.
# - Where fixed features fail, let the network learn, slowly; let several vote; and report what is
#   left of the gain once the interval is known.
# - Choose a threshold on data that don't judge it, and give both rates with their intervals.
# - Attention shows where a model looked. That makes mistakes easier to find; it proves nothing.
# - And still: this is no medical device.
#
# **Try next:** `window="mediastinum"` for the phantoms' slices: what happens to the AUC, and why?
# `kp.cross_validate(..., repeats=5)` for the lie's spread.

# %%
if not QUICK:
    assert lie > 0, "scattering a patient's slices should flatter the model"
if PHANTOMS and not QUICK:
    assert lie > 0.05, "and on the phantoms clearly so"
    assert results["fine-tuned"].roc_auc > results["probe"].roc_auc, "learning features should pay"
    assert hits > 3 * chance, "attention should find the slices with nodules"
