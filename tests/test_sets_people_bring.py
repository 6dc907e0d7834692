"""Sets as people have them, from the files to a trained and rightly judged model."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import keras_practical as kp

COLORS = {"ill": (200, 60, 60), "well": (60, 60, 200)}


def photo(path, name, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).normal(COLORS[name], 40, (16, 16, 3))
    Image.fromarray(np.clip(pixels, 0, 255).astype("uint8")).save(path)


def mean_colour():
    layers = [keras.Input((16, 16, 3)), keras.layers.Rescaling(1 / 255)]
    return keras.Sequential([*layers, keras.layers.AveragePooling2D(16)])


def judged(data, tmp_path):
    """Train, save, load, judge: labels count by name, whatever the order."""
    kp.linear_probe(mean_colour(), data.train, verbose=False).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert kp.models.class_names_of(model) == data.class_names
    return kp.evaluate(model, data.validation, verbose=False)


def test_slices_in_patients_folders(tmp_path):
    for n, name in enumerate(COLORS):
        for patient in range(10):
            for k in range(4):
                file = tmp_path / "scans" / name / f"patient_{name}_{patient}" / f"{k}.png"
                photo(file, name, 1000 * n + 10 * patient + k)
    data = kp.load_images(tmp_path / "scans", image_size=16, groups="folder", verbose=False)
    result = judged(data, tmp_path)
    held_out = {record.group for record in data.index.split("validation")}
    assert not held_out & {record.group for record in data.index.split("train")}
    assert len(held_out) == 4
    assert (result.accuracy, list(result.class_counts)) == (1.0, [8, 8])


def test_kaggles_table_beside_a_folder_of_ids(tmp_path):
    rows = ["id_code,diagnosis,patient"]
    for k in range(40):
        name = "ill" if k % 2 else "well"
        photo(tmp_path / "train_images" / f"{k:04d}.png", name, k)
        rows.append(f"{k:04d},{name},p{k // 4}")
    (tmp_path / "train.csv").write_text("\n".join(rows))
    data = kp.load_images(
        tmp_path / "train.csv",
        columns={"path": "id_code", "label": "diagnosis"},
        folder=tmp_path / "train_images",
        suffix=".png",
        groups="patient",
        image_size=16,
        verbose=False,
    )
    result = judged(data, tmp_path)
    assert result.accuracy == 1.0
    assert sum(result.class_counts) == len(data.index.split("validation")) == 8
    # Another folder, whose alphabet is another and that lacks a class.
    for k in range(3):
        photo(tmp_path / "new" / "well" / f"{k}.png", "well", 500 + k)
        photo(tmp_path / "new" / "unsure" / f"{k}.png", "ill", 600 + k)
    model = keras.models.load_model(tmp_path / "model.keras", compile=False)
    with pytest.warns(UserWarning, match="no train image of ill"):
        new = kp.load_images(
            tmp_path / "new",
            class_names=kp.models.class_names_of(model),
            image_size=16,
            validation_fraction=0,
            verbose=False,
        )
    assert kp.evaluate(model, new.train, verbose=False).accuracy == 1.0
    assert [Path(item.name).name for item in new.index.passed_over] == ["unsure"]
