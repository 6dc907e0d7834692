"""COVID-CT lung slices: AUC and accuracy by recipe, and by how much a leaky split flatters.

The official split; nothing here was chosen on its validation pictures: the settings come from
`--tune`, which judges on grouped folds of the training pictures (papers and patients kept
together). Each recipe and seed is a run of its own, because it takes minutes; the last command
puts them together:

    export KERAS_HOME=<folder with models/>
    python benchmarks/lung_ct.py --leak
    python benchmarks/lung_ct.py --recipe probe --image-size 224 --output predictions/
    for seed in 0 1 2; do
      for recipe in multi-scale fine-tuned augmented; do
        python benchmarks/lung_ct.py --recipe $recipe --seed $seed --output predictions/
      done
    done
    python benchmarks/lung_ct.py --summary --output predictions/

AUC on the 118 validation pictures (95 % interval; mean and deviation of 3 seeds): the probe on
MobileNetV2's last layer at 224 pixels .648 (.544-.737); on features of several depths at 320
pixels (`multi-scale`) .781 (.685-.851); that one fine-tuned .778 ± .006; with augmentation
.785 ± .004 (.690-.855), and .788 for the mean of the three.
"""

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

import keras_practical as kp
from keras_practical.data.image_set import dataset_of

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from shared_data import data_folder, lung_papers

SIZE = 320
LAYERS = ("block_6_expand_relu", "block_10_project_BN", "block_13_expand_relu")

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--recipe", choices=["probe", "multi-scale", "fine-tuned", "augmented"])
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--image-size", type=int, default=SIZE)
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--max-learning-rate", type=float, default=3e-4)
parser.add_argument("--output", default="predictions", help="where predictions are kept")
parser.add_argument("--tune", action="store_true", help="judge on grouped folds of training")
parser.add_argument("--folds", type=int, default=4, help="how many of four folds to judge on")
parser.add_argument("--leak", action="store_true", help="the probe, folds leaky and grouped")
parser.add_argument(
    "--operating-point", action="store_true", help="sensitivity at 90 %% specificity"
)
parser.add_argument("--summary", action="store_true", help="the table of what is in --output")
options = parser.parse_args()
FOLDER = data_folder() / "lung_ct"


def load(size: int) -> kp.ImageData:
    """Load both official parts."""
    return kp.load_images(
        FOLDER,
        image_size=size,
        groups=lung_papers(),
        batch_size=16,
        seed=options.seed,
        verbose=False,
    )


def multi_scale(size: int) -> keras.Model:
    """Return MobileNetV2 whose features are those of its middle and its end, pooled."""
    network = kp.models.build_backbone("MobileNetV2", image_size=(size, size))
    maps = [*(network.get_layer(name).output for name in LAYERS), network.output]
    pooled = [keras.layers.GlobalAveragePooling2D()(part) for part in maps]
    outputs = keras.layers.Concatenate()(pooled)
    # The name tells `groups_of_backbone` where to cut.
    return keras.Model(network.input, outputs, name="MobileNetV2")


def trained(part: object, recipe: str) -> keras.Model:
    """Train by a recipe."""
    keras.utils.set_random_seed(options.seed)
    size = options.image_size
    augmentation = kp.augment.medical_greyscale(seed=options.seed)
    backbone = "MobileNetV2" if recipe == "probe" else multi_scale(size)
    model = kp.linear_probe(
        backbone,
        part,
        image_size=size,
        preprocessing="minus_one_to_one",
        augmentation=augmentation if recipe == "augmented" else None,
        views=3,
        seed=options.seed,
        verbose=False,
    )
    if recipe in ("fine-tuned", "augmented"):
        if recipe == "augmented":
            model = with_augmentation(model, augmentation)
        kp.transfer.fine_tune(
            model,
            part,
            frozen_epochs=0,
            epochs=options.epochs,
            max_learning_rate=options.max_learning_rate,
            verbose=2,
        )
    return model


def with_augmentation(model: keras.Model, augmentation: list) -> keras.Model:
    """Return the classifier with augmentation before it, sharing its layers."""
    inputs = keras.Input(model.input_shape[1:])
    outputs = inputs
    for layer in [*augmentation, *model.layers[1:]]:
        outputs = layer(outputs)
    joined = keras.Model(inputs, outputs)
    joined.compile(optimizer="adam", loss=model.loss, metrics=["accuracy"])
    return joined


def predicted(model: keras.Model, data: object) -> dict[str, np.ndarray]:
    """Return probabilities of single views, and of each picture and its mirror image."""
    plain, labels = kp.predict_with_labels(model, data, verbose=False)
    # On the training folds mirror images helped, and the views of augmentation did not.
    both, _ = kp.predict_with_tta(model, data, "flip", verbose=False)
    return {"plain": plain, "tta": both, "labels": labels}


def line(name: str, probabilities: list[np.ndarray], labels: np.ndarray) -> str:
    """Return AUC and accuracy: mean and spread over seeds, and the first seed's intervals."""
    found = [kp.evaluate_predictions(each, labels) for each in probabilities]
    areas, shares = ([getattr(one, key) for one in found] for key in ("roc_auc", "accuracy"))
    bounds = [
        np.mean([getattr(one, f"{key}_interval") for one in found], axis=0)
        for key in ("roc_auc", "accuracy")
    ]
    pairs = [(one.precision[0], one.recall[0]) for one in found]
    f1 = np.mean([2 * precision * recall / (precision + recall) for precision, recall in pairs])
    parts = [
        f"{label} {np.mean(values):.3f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.3f} "
        f"({low:.3f}–{high:.3f})"
        for label, values, (low, high) in zip(
            ("AUC", "accuracy"), (areas, shares), bounds, strict=True
        )
    ]
    return f"{name:<28} {', '.join(parts)}, F1 {f1:.3f}, n={len(labels)}, {len(found)} seeds"


def leak() -> None:
    """Print the probe's cross-validation with pictures scattered and with papers kept together."""
    data = load(options.image_size)
    backbones = {"last layer": "MobileNetV2", "multi-scale": multi_scale(options.image_size)}
    for name, backbone in backbones.items():
        features = kp.embed(keras_model(backbone), data.train, verbose=False)
        for kind, groups in (("scattered", np.arange(len(features))), ("by paper", None)):
            found = [
                kp.cross_validate(kp.fit_probe, features, groups=groups, seed=seed, verbose=False)
                for seed in range(3)
            ]
            areas = [one.evaluation.roc_auc for one in found]
            shares = [one.accuracy for one in found]
            print(
                f"{name}, {kind}: AUC {np.mean(areas):.3f} ± {np.std(areas, ddof=1):.3f}, accuracy "
                f"{np.mean(shares):.3f} ± {np.std(shares, ddof=1):.3f}, 5 folds, 3 divisions"
            )


def operating_point() -> None:
    """Print what a threshold does on validation that cross-validated training chose."""
    data = load(options.image_size)
    network = keras_model(multi_scale(options.image_size))
    train, held_out = (
        kp.embed(network, part, verbose=False) for part in (data.train, data.validation)
    )
    crossed = kp.cross_validate(kp.fit_probe, train, verbose=False)
    probabilities = kp.fit_probe(train).predict_proba(held_out.features)
    groups = [record.group for record in data.validation.source.records]
    shared = {"positive": 0, "groups": groups}
    print(
        "on validation:",
        kp.evaluation.sensitivity_at_specificity(probabilities, held_out.labels, **shared),
    )
    chosen_on = (crossed.probabilities[0], crossed.labels)
    print(
        "as it would be used:",
        kp.evaluation.sensitivity_at_specificity(
            probabilities, held_out.labels, chosen_on=chosen_on, **shared
        ),
    )


def keras_model(backbone: str | keras.Model) -> str | keras.Model:
    """Return a model from pixels in [0, 255]."""
    if isinstance(backbone, str):
        return backbone
    inputs = keras.Input(backbone.input_shape[1:])
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    return keras.Model(inputs, backbone(scaled), name="multi_scale")


def summary() -> None:
    """Print the table of all predictions."""
    for recipe in ("probe", "multi-scale", "fine-tuned", "augmented"):
        files = sorted(Path(options.output).glob(f"{recipe}-*.npz"))
        if not files:
            continue
        found = [dict(np.load(file)) for file in files]
        labels = found[0]["labels"]
        for kind in ("plain", "tta"):
            several = [one[kind] for one in found]
            print(line(f"{recipe}, {kind}", several, labels))
            if len(found) > 1 and np.ptp(several, axis=0).max() > 0:
                joint = [np.mean(several, axis=0)]
                print(line(f"{recipe}, {kind}, together", joint, labels))


if __name__ == "__main__":
    start = time.perf_counter()
    if options.leak:
        leak()
    elif options.operating_point:
        operating_point()
    elif options.summary:
        summary()
    elif options.tune:
        source = load(options.image_size).train.source
        groups = [record.group for record in source.records]
        splitter = StratifiedGroupKFold(4, shuffle=True, random_state=0)
        parts = list(splitter.split(groups, source.labels, groups))[: options.folds]
        found = []
        for train, test in parts:
            model = trained(dataset_of(source.take(train)), options.recipe)
            held_out = dataset_of(replace(source.take(test), order=None))
            found.append(predicted(model, held_out))
            one = found[-1]
            print(line("fold", [one["plain"]], one["labels"]), flush=True)
        labels = np.concatenate([one["labels"] for one in found])
        for kind in ("plain", "tta"):
            joined = np.concatenate([one[kind] for one in found])
            print(line(f"{options.recipe}, {kind}", [joined], labels))
    else:
        data = load(options.image_size)
        model = trained(data.train, options.recipe)
        found = predicted(model, data.validation)
        Path(options.output).mkdir(parents=True, exist_ok=True)
        np.savez(Path(options.output) / f"{options.recipe}-{options.seed}.npz", **found)
        for kind in ("plain", "tta"):
            print(line(f"{options.recipe}, {kind}", [found[kind]], found["labels"]))
    print(f"{time.perf_counter() - start:.0f} s, {sum(os.times()[:2]):.0f} CPU seconds")
