"""dlib's faces: average precision, false alarms and seconds from 4, 2 and 1 pictures.

    KERAS_HOME=<folder with models/> python benchmarks/faces.py --seeds 5
    KERAS_HOME=<folder with models/> python benchmarks/faces.py --leave-one-out

The settings of `kp.detection` were chosen by `--leave-one-out`, which looks at the four training
pictures only: each is judged by a model that learnt from the other three. Measured with them,
MobileNetV2, 2 CPU cores: 4 pictures, 5 seeds: AP@.5 1.000 on the 5 test pictures (all 25 faces
found each time, 0.8 false alarms), AP@.5:.95 .588 +- .026, 1.2 +- 0.8 false alarms on dogs.jpg,
47 s (70 CPU s) with little other work beside. 2 pictures, 2 draws: AP@.5 .997 and 1.000. 1 picture,
2 draws: .914 and 1.000.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import keras
import numpy as np

import keras_practical as kp

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from shared_data import data_folder

SUBSETS = {4: [(0, 1, 2, 3)], 3: [(1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)]}
SUBSETS[2] = [(0, 2), (1, 3), (0, 3), (1, 2), (0, 1), (2, 3)]
SUBSETS[1] = [(0,), (1,), (2,), (3,)]


def seconds():
    return time.perf_counter(), time.process_time()


def trained(data, seed, options):
    """Return a detector of the given pictures."""
    keras.utils.set_random_seed(seed)
    model = kp.detection.build(
        "MobileNetV2", data, seed=seed, object_pixels=options.object_pixels, verbose=False
    )
    kp.detection.fine_tune(
        model,
        data,
        epochs=options.epochs,
        max_learning_rate=options.max_learning_rate,
        seed=seed,
        verbose=0,
    )
    return model


def leave_one_out(training, seed, options):
    found = []
    for held_out in range(len(training)):
        others = [place for place in range(len(training)) if place != held_out]
        model = trained(training.select(others), seed, options)
        held = training.select([held_out])
        found += kp.detection.evaluate(model, held, verbose=False).detections
    result = kp.detection.evaluate_detections(found, training)
    print(f"leave one out, seed {seed}: {result}", flush=True)


def measured(training, test, places, seed, options):
    wall, cpu = seconds()
    model = trained(training.select(places), seed, options)
    wall_trained = time.perf_counter()
    result = kp.detection.evaluate(model, test, verbose=False)
    end, cpu_end = seconds()
    dogs = kp.detection.detect(model, data_folder() / "faces" / "dogs.jpg")
    print(
        f"pictures {places}, seed {seed}: AP@.5 {result.average_precision_50:.3f}, AP@.5:.95 "
        f"{result.average_precision:.3f}, {result.found} found, {result.missed} missed, "
        f"{result.false_alarms} false alarms; dogs.jpg: {len(dogs)} false alarms "
        f"{np.round(dogs.scores, 2).tolist()}; {end - wall:.0f} s ({wall_trained - wall:.0f} to "
        f"train), {cpu_end - cpu:.0f} CPU s",
        flush=True,
    )
    return (
        result.average_precision_50,
        result.average_precision,
        len(dogs),
        end - wall,
        cpu_end - cpu,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--pictures", type=int, choices=[1, 2, 3, 4], default=4)
    parser.add_argument("--leave-one-out", action="store_true")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--max-learning-rate", type=float, default=2e-3)
    parser.add_argument("--object-pixels", type=float, default=48.0)
    options = parser.parse_args()
    # One and two pictures are too few, and it says so.
    warnings.filterwarnings("ignore", "There is little to learn from")
    faces = data_folder() / "faces"
    training = kp.detection.load_annotations(
        faces / "training.xml", class_name="face", verbose=False
    )
    test = kp.detection.load_annotations(faces / "testing.xml", class_name="face", verbose=False)
    rows = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        if options.leave_one_out:
            leave_one_out(training, seed, options)
        else:
            subsets = SUBSETS[options.images]
            rows.append(measured(training, test, subsets[seed % len(subsets)], seed, options))
    if rows:
        mean, spread = np.mean(rows, 0), np.std(rows, 0, ddof=min(1, len(rows) - 1))
        names = ("AP@.5", "AP@.5:.95", "false alarms on dogs.jpg", "s", "CPU s")
        shown = [f"{n} {m:.3f} +- {s:.3f}" for n, m, s in zip(names, mean, spread, strict=True)]
        print(f"{options.images} pictures, n={len(rows)}: {', '.join(shown)}")


if __name__ == "__main__":
    main()
