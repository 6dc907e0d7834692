"""Files saved by an earlier version of the package load in this one and predict the same."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_practical as kp

SAVED = Path(__file__).parents[1] / "support" / "saved_by_608dd62"
MODELS = sorted(SAVED.glob("*.keras"))


# Of models that were saved before their first `fit`, whose optimizer had no state yet.
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
@pytest.mark.tf_only
@pytest.mark.parametrize("file", MODELS, ids=lambda path: path.stem)
def test_saved_model_loads_and_predicts_as_it_did(file):
    model = keras.models.load_model(file)
    with np.load(file.with_suffix(".npz")) as kept:
        inputs = {name.removeprefix("in_"): kept[name] for name in kept if name[:3] == "in_"}
        wanted = {name.removeprefix("out_"): kept[name] for name in kept if name[:4] == "out_"}
    found = model.predict(inputs["input"], verbose=0)
    found = found if isinstance(found, dict) else {"output": found}
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5)


def test_saved_models_hold_every_registered_class():
    from zipfile import ZipFile

    text = " ".join(ZipFile(file).read("config.json").decode() for file in MODELS)
    registered = {
        name
        for name in keras.saving.get_custom_objects()
        if name.startswith("keras_practical>") and not name.split(">")[1].startswith("_")
    }
    assert len(registered) > 15
    assert {name for name in registered if name not in text} == set()


@pytest.mark.tf_only
def test_caches_are_found_again_or_made_anew(tmp_path, monkeypatch):
    folder = shutil.copytree(SAVED / "caches", tmp_path / "caches")
    monkeypatch.chdir(folder)
    options = {"image_size": 8, "verbose": False}
    data = kp.load_images("photos", cache="disk", cache_dir="pixel_cache", **options)
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((8, 8, 3)),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(4, 3, name="early"),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        keras.layers.Conv2D(6, 3, name="late"),
    ]
    found = kp.embed(
        keras.Sequential(layers, name="tiny"), data.train, cache_dir="feature_cache", verbose=False
    )
    kept = np.load("features.npz")
    np.testing.assert_allclose(found.features, kept["features"], atol=1e-5)
    np.testing.assert_array_equal(found.labels, kept["labels"])
    assert found.computed == 0
    assert len(list(Path("feature_cache").iterdir())) == 3
