"""How many modules six everyday calls walk through, and which one they enter most often.

A walk is the sequence of the package's modules whose functions are called, repetitions in a row
counted once. Fewer changes are easier to follow in a debugger. Counts repeat exactly.

    python benchmarks/module_walks.py
"""

import os
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_practical as kp

PACKAGE = str(Path(kp.__file__).parent) + os.sep


def walk(call):
    """Return the modules that a call enters, in order."""
    visited = []

    def note(frame, event, argument):
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(PACKAGE) and frame.f_code.co_name != "<module>":
            module = file.removeprefix(PACKAGE).removesuffix(".py").replace(os.sep, ".")
            if not visited or visited[-1] != module:
                visited.append(module)

    call()  # Imports, and what is made once only.
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return visited


def photos(folder):
    for number in range(24):
        path = Path(folder) / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (8, 8, 3))
        keras.utils.save_img(path, pixels, scale=False)
    return folder


def backbone():
    layers = [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3)]
    return keras.Sequential(layers, name="tiny")


def detector():
    layers = [keras.Input((None, None, 3)), keras.layers.Rescaling(1 / 255)]
    layers += [keras.layers.Conv2D(4, 3, strides=2, padding="same") for _ in range(4)]
    folder = Path(tempfile.mkdtemp())
    keras.utils.save_img(folder / "one.png", np.zeros((64, 64, 3)), scale=False)
    (folder / "boxes.csv").write_text("path,left,top,right,bottom,label\none.png,9,9,49,49,cat\n")
    data = kp.detection.load_annotations(folder / "boxes.csv", verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of so few boxes.
        return kp.detection.build(keras.Sequential(layers), data, channels=4, verbose=False)


def main():
    folder = photos(tempfile.mkdtemp())
    options = {"image_size": 8, "batch_size": 8, "verbose": False}
    data = kp.load_images(folder, **options)
    model = kp.transfer.classifier(backbone(), 2)
    finder = detector()
    calls = {
        "load_images": lambda: kp.load_images(folder, **options),
        "fine_tune": lambda: kp.transfer.fine_tune(model, data.train, epochs=1, verbose=0),
        "linear_probe": lambda: kp.linear_probe(backbone(), data.train, verbose=False),
        "interpret": lambda: kp.interpret(model, data.validation, verbose=False),
        "audit": lambda: kp.audit(folder, verbose=False),
        "detect": lambda: kp.detection.detect(finder, np.zeros((64, 64, 3)), verbose=False),
    }
    for name, call in calls.items():
        visited = walk(call)
        module, times = Counter(visited).most_common(1)[0]
        print(
            f"{name:13s} {len(visited) - 1:5d} changes, {len(set(visited)):3d} modules; "
            f"most entered: {module}, {times} times"
        )


if __name__ == "__main__":
    main()
