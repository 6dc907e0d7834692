"""`fine_tune`'s defaults against the probe they start from and against its first defaults.

    export KERAS_HOME=<folder with models/>
    python benchmarks/fine_tuning.py ants_vs_bees:160 cats_vs_dogs:100 cats_vs_dogs:400 \
        apple_leaves:200 lung_ct:300 cifar10:200 cifar10:500 --seeds 0 1 2 --output results.jsonl
    python benchmarks/fine_tuning.py --summary --output results.jsonl

MobileNetV2, `augment.standard` (`medical_greyscale` for scans). Of each set's photos as many as
said are drawn to learn from, at most 300 of the others, of other groups, to judge by. What learns:

- probe: `linear_probe` on all of them;
- first defaults: two frozen epochs up to 1e-2, two of all layers up to 1e-3, their rates falling
  to a thousandth for the earliest layers;
- defaults: `fine_tune(model, train)`;
- with validation: `fine_tune(model, train, validation_data=...)`, a fifth of them held out for it,
  against the probe on the other four fifths too.

One line of JSON for each, with what is needed for paired intervals. Seeds from 100 on were used to
choose the recipe; figures to report are of others.
"""

import argparse
import json
import re
import time
from collections import defaultdict
from pathlib import Path

import keras
import numpy as np
from fine_tuning_choices import cifar10, folder, split

import keras_practical as kp
from keras_practical.utils.intervals import mean_interval

ROWS = ("probe", "first defaults", "defaults", "probe of four fifths", "with validation")


def data_of(
    examples: tuple[np.ndarray, np.ndarray, np.ndarray], rows: np.ndarray, held_out: np.ndarray
) -> kp.ImageData:
    """Return the photos at `rows` as `load_images` gives them, groups included."""
    images, labels, groups = examples
    parts = {"train": (images[rows], labels[rows])}
    if len(held_out):
        parts["validation"] = (images[held_out], labels[held_out])
    own = {"train": groups[rows], "validation": groups[held_out]}
    return kp.load_images(
        parts,
        validation_fraction=0,
        class_names=[f"class {number}" for number in range(int(labels.max()) + 1)],
        groups=lambda record: str(own[record.split][int(re.findall(r"\d+", record.name)[-1])]),
        verbose=False,
    )


def run(name: str, count: int, seed: int, which: list[str], output: Path) -> None:
    """Measure all rows on one split."""
    examples = cifar10() if name == "cifar10" else folder(name)
    images, labels, groups = examples
    chosen, judged = split(groups, count, seed)
    learnt, held_out = split_again(groups, chosen, seed)
    preset = kp.augment.medical_greyscale if name == "lung_ct" else kp.augment.standard
    for row in which:
        keras.utils.set_random_seed(seed)
        whole = row in ("probe", "first defaults", "defaults")
        data = data_of(examples, chosen if whole else learnt, held_out[:0] if whole else held_out)
        options = {}
        if row == "first defaults":
            options = {"frozen_epochs": 2, "epochs": 2, "max_learning_rate": 1e-3, "share": 1.0}
        elif row.startswith("probe"):
            options = {"epochs": 0}
        if row == "with validation":
            options["validation_data"] = data.validation
        started = time.perf_counter()
        model = kp.transfer.classifier(
            "MobileNetV2",
            data.class_names,
            image_size=images.shape[1],
            augmentation=preset(seed=seed),
            seed=seed,
        )
        history = kp.transfer.fine_tune(model, data.train, verbose=2, **options)
        seconds = time.perf_counter() - started
        probabilities = model.predict(images[judged], batch_size=32, verbose=0)
        found = kp.evaluation.evaluate_predictions(probabilities, labels[judged])
        right = probabilities.argmax(1) == labels[judged]
        line = {"set": name, "n": len(chosen), "judged": len(judged), "seed": seed, "row": row}
        line |= {"seconds": round(seconds, 1), "accuracy": found.accuracy, "loss": found.loss}
        line |= {name: history.params[name] for name in ("share", "max_learning_rate", "epochs")}
        line["right"] = "".join("01"[int(each)] for each in right)
        with output.open("a") as lines:
            lines.write(json.dumps(line) + "\n")
        print({key: value for key, value in line.items() if key != "right"}, flush=True)


def split_again(groups: np.ndarray, chosen: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return four fifths of the chosen photos and the rest, in whole groups."""
    order, _ = split(groups[chosen], len(chosen), 500 + seed)
    cut = len(chosen) // 5
    aside = np.isin(groups[chosen], groups[chosen][order[:cut]])
    return chosen[~aside], chosen[aside]


def summary(output: Path) -> None:
    """Print each row's figures and, by split, its difference from the probe of all photos."""
    cells: dict[str, dict[str, list]] = defaultdict(lambda: defaultdict(list))
    for line in map(json.loads, output.read_text().splitlines()):
        cells[f"{line['set']} {line['n']}"][line["row"]].append(line)
    print(
        "| set | what | seeds | accuracy, % | against the probe, points (95 % interval) | log-loss "
        "| ratio | seconds |\n|---|---|---|---|---|---|---|---|"
    )
    for title, rows in cells.items():
        probes = {line["seed"]: line for line in rows["probe"]}
        for row in ROWS:
            lines = [line for line in rows[row] if line["seed"] in probes]
            if not lines:
                continue
            accuracies = [100 * line["accuracy"] for line in lines]
            losses = [line["loss"] for line in lines]
            pairs = [(line, probes[line["seed"]]) for line in lines]
            ratio = np.exp(np.mean([np.log(a["loss"] / b["loss"]) for a, b in pairs]))
            differences = [
                100.0 * (int(x) - int(y))
                for a, b in pairs
                for x, y in zip(a["right"], b["right"], strict=True)
            ]
            low, high = mean_interval(np.array(differences))
            against = (
                "" if row == "probe" else f"{np.mean(differences):+.1f} ({low:+.1f} to {high:+.1f})"
            )
            print(
                f"| {title} | {row} | {len(lines)} "
                f"| {np.mean(accuracies):.1f} ± {np.std(accuracies):.1f} "
                f"| {against} | {np.mean(losses):.3f} ± {np.std(losses):.3f} | {ratio:.2f} "
                f"| {np.mean([line['seconds'] for line in lines]):.0f} |"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", help="NAME:PHOTOS, such as cats_vs_dogs:100")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--output", type=Path, default=Path("fine_tuning.jsonl"))
    parser.add_argument("--summary", action="store_true", help="the table of what is in --output")
    options = parser.parse_args()
    for seed in options.seeds if not options.summary else ():
        for entry in options.sets:
            name, count = entry.split(":")
            run(name, int(count), seed, options.rows, options.output)
    if options.summary:
        summary(options.output)
