"""Boxes in the files that labelling tools write end in a detector that is judged rightly."""

import keras
import numpy as np
import pytest
from PIL import Image
from tiny import strided_network

from keras_practical.detection import build, detect, evaluate, fine_tune, load_annotations

COLORS = {"WBC": (250, 250, 250), "RBC": (30, 30, 250)}


def cells(seed, count):
    """Return dark images with a square of each kind, and the squares as (kind, edges)."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        pixels = rng.integers(60, 120, (96, 96, 3)).astype("uint8")
        boxes = []
        for kind, corner in zip(rng.permutation(sorted(COLORS)), ((0, 0), (50, 50)), strict=True):
            left, top = corner + rng.integers(0, 12, 2)
            side = rng.integers(18, 32)
            pixels[top : top + side, left : left + side] = COLORS[kind]
            boxes.append((str(kind), (left, top, left + side, top + side)))
        yield pixels, boxes


def write_table(folder, drawn):
    """Write images in `images/` and one table as that of the BCCD cells."""
    (folder / "images").mkdir(parents=True)
    rows = ["image_name,cell_type,xmin,xmax,ymin,ymax"]
    for number, (pixels, boxes) in enumerate(drawn):
        name = f"BloodImage_{number:05}.png"
        Image.fromarray(pixels).save(folder / "images" / name)
        for kind, (left, top, right, bottom) in boxes:
            rows.append(f"{name},{kind},{left},{right},{top},{bottom}")
    (folder / "train.csv").write_text("\n".join(rows))
    return folder / "train.csv"


def write_voc(folder, drawn):
    """Write Pascal VOC, which counts pixels from one, in `annotations/` beside `images/`."""
    for part in ("images", "annotations"):
        (folder / part).mkdir(parents=True)
    for number, (pixels, boxes) in enumerate(drawn):
        name = f"cell{number}"
        Image.fromarray(pixels).save(folder / "images" / f"{name}.png")
        objects = "".join(
            f"<object><name>{kind}</name><bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin>"
            f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
            for kind, (left, top, right, bottom) in boxes
        )
        size = "<size><width>96</width><height>96</height><depth>3</depth></size>"
        (folder / "annotations" / f"{name}.xml").write_text(
            f"<annotation><filename>{name}.png</filename>{size}{objects}</annotation>"
        )
    return folder


@pytest.mark.parametrize(
    ("write", "options"), [(write_table, {"columns": {"label": "cell_type"}}), (write_voc, {})]
)
def test_a_detector_learns_from_files_and_is_judged_on_others(write, options, tmp_path):
    drawn = list(cells(0, 8))
    training = load_annotations(write(tmp_path / "training", drawn), verbose=False, **options)
    held_out = list(cells(1, 5))
    test = load_annotations(write(tmp_path / "test", held_out), verbose=False, **options)
    assert sorted(training.class_names) == ["RBC", "WBC"]
    assert not training.problems
    for image, (_, boxes) in zip(training, drawn, strict=True):
        found = {
            (training.class_names[label], tuple(map(int, edges)))
            for label, edges in zip(image.labels, image.boxes, strict=True)
        }
        assert found == {(kind, tuple(map(int, edges))) for kind, edges in boxes}

    keras.utils.set_random_seed(0)
    model = build(
        strided_network(again=(1,)),
        training,
        train_backbone=True,
        object_pixels=24,
        seed=0,
        verbose=False,
    )
    fine_tune(model, training, epochs=3, max_learning_rate=1e-2, verbose=0)
    assert evaluate(model, test, verbose=False).average_precision_50 > 0.9

    # The surest box of each kind lies on that kind's square.
    for image, (_, boxes) in zip(test, held_out, strict=True):
        seen = detect(model, image.source)
        for kind, (left, top, right, bottom) in boxes:
            of_kind = [number for number, name in enumerate(seen.names) if name == kind]
            best = seen.boxes[max(of_kind, key=lambda number: seen.scores[number])]
            center = (best[:2] + best[2:]) / 2
            assert left < center[0] < right
            assert top < center[1] < bottom
