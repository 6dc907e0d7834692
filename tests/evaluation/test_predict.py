"""`predict`: new images in, names and probabilities out, in order, whatever they come as."""

import csv

import keras
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import keras_practical as kp

# Also run on JAX.
pytestmark = pytest.mark.any_backend

COLOURS = {"red": (250, 0, 0), "green": (0, 250, 0)}


def model_of(names=("green", "red"), size=8, channels=3):
    """Return a model that knows red from green."""
    inputs = keras.Input((size, size, channels))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 25)(inputs))
    dense = keras.layers.Dense(2, activation="softmax")
    features = x
    if names is not None:
        backbone = keras.Sequential(
            [keras.Input((size, size, channels)), keras.layers.Rescaling(1 / 25)]
        )
        model = kp.transfer.classifier(backbone, list(names), verbose=False)
        dense = model.layers[-1]
    else:
        model = keras.Model(inputs, dense(features))
    kernel = np.zeros((channels, 2))
    kernel[0, 1] = kernel[min(1, channels - 1), 0] = 0.3
    dense.set_weights([kernel, np.zeros(2)])
    return model


def picture(colour, side=20):
    return np.full((side, side + 4, 3), COLOURS[colour], "uint8")


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "new"
    (place / "deep").mkdir(parents=True)
    for name, colour in (("b.png", "red"), ("a.png", "green"), ("deep/c.jpg", "red")):
        Image.fromarray(picture(colour)).save(place / name)
    (place / "notes.txt").write_text("none of the images")
    return place


def test_a_folder_in_the_order_of_its_paths(folder):
    found = kp.predict(model_of(), folder, verbose=False)
    assert found.names == ("a.png", "b.png", "deep/c.jpg")
    assert found.labels == ("green", "red", "red")
    assert found.class_names == ("green", "red")
    exponent = np.exp(-0.3 * 250 / 25)
    np.testing.assert_allclose(found.probabilities[0, 0], 1 / (1 + exponent), atol=1e-4)
    assert not found.problems


def test_batches_change_nothing(folder):
    one = kp.predict(model_of(), folder, batch_size=1, verbose=False)
    two = kp.predict(model_of(), folder, batch_size=2, verbose=False)
    np.testing.assert_allclose(one.probabilities, two.probabilities, atol=1e-6)


@pytest.mark.parametrize("kind", ["file", "text", "pillow", "array", "batch", "list"])
def test_all_that_images_come_as(folder, kind):
    red, green = picture("red"), picture("green")
    given, expected = {
        "file": (folder / "b.png", ["red"]),
        "text": (str(folder / "b.png"), ["red"]),
        "pillow": (Image.fromarray(green), ["green"]),
        "array": (red.astype("float32"), ["red"]),
        "batch": (np.stack([red, green]), ["red", "green"]),
        "list": ([folder / "a.png", red, Image.fromarray(green)], ["green", "red", "green"]),
    }[kind]
    assert list(kp.predict(model_of(), given, verbose=False).labels) == expected


def test_a_broken_file_is_named_and_left_out(folder):
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no photo")
    with pytest.warns(UserWarning, match=r"1 of 4 images can't be read.*broken\.jpg"):
        found = kp.predict(model_of(), folder, verbose=False)
    assert found.labels == ("green", "red", "red")
    assert "broken.jpg" in found.problems[0]
    assert "not read: broken.jpg" in str(found)
    with pytest.raises(ValueError, match="would lack their rows"):
        found.submission(folder / "s.csv")
    with pytest.raises(ValueError, match="None of the 1 images can be read"):
        kp.predict(model_of(), folder / "broken.jpg", verbose=False)


def test_below_the_threshold_it_is_unsure(folder):
    sure = kp.predict(model_of(), folder, threshold=0.9, verbose=False)
    unsure = kp.predict(model_of(), folder, threshold=0.99, verbose=False)
    assert sure.labels == ("green", "red", "red")
    assert set(unsure.labels) == {"unsure"}


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_tables(folder, tmp_path):
    found = kp.predict(model_of(), folder, verbose=False)
    found.to_csv(tmp_path / "t.csv")
    header, first, *_ = rows(tmp_path / "t.csv")
    assert header == ["image", "label", "green", "red"]
    assert first[:2] == ["a.png", "green"]
    assert float(first[2]) == pytest.approx(found.probabilities[0, 0], rel=1e-5)
    table = found.to_dataframe()
    assert table["label"].tolist() == ["green", "red", "red"]
    found.submission(tmp_path / "s.csv", id_column="image_id")
    assert rows(tmp_path / "s.csv") == [
        ["image_id", "label"],
        ["a", "green"],
        ["b", "red"],
        ["deep/c", "red"],
    ]
    found.submission(tmp_path / "p.csv", probability_of="red", suffix=True)
    assert rows(tmp_path / "p.csv")[2][0] == "b.png"
    assert float(rows(tmp_path / "p.csv")[2][1]) == pytest.approx(found.probabilities[1, 1], 1e-5)
    with pytest.raises(ValueError, match="`probability_of` must be one of 'green', 'red'"):
        found.submission(tmp_path / "x.csv", probability_of="blue")


def test_plot_shows_images_with_their_labels(folder):
    ax = kp.predict(model_of(), folder, verbose=False).plot(count=2)
    assert [text.get_text() for text in ax.texts] == ["green (95 %)", "red (95 %)"]


def test_a_model_without_names_and_one_of_grey_images(folder):
    assert kp.predict(model_of(None), folder, verbose=False).labels == ("0", "1", "1")
    named = kp.predict(model_of(None), folder, class_names=["g", "r"], verbose=False)
    assert named.labels == ("g", "r", "r")
    grey = kp.predict(model_of(None, channels=1), folder, verbose=False)
    assert grey.probabilities.shape == (3, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": []}, "`images` is empty"),
        ({"images": 3}, "`images` must be a folder"),
        ({"batch_size": 0}, "`batch_size` must be"),
        ({"threshold": 1.5}, "`threshold` must be"),
        ({"class_names": ["one"]}, "one name for each of the model's 2 outputs"),
        ({"model": "vectors"}, "must take images"),
        ({"model": "any size"}, "say image_size="),
    ],
)
def test_what_is_wrong_is_named(change, message):
    models = {
        "vectors": keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]),
        "any size": model_of(None, size=None),
    }
    model = models.get(change.pop("model", None)) or model_of()
    arguments = {"images": np.zeros((1, 8, 8, 3)), "verbose": False, **change}
    with pytest.raises(ValueError, match=message):
        kp.predict(model, arguments.pop("images"), **arguments)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="no image in the folder"):
        kp.predict(model_of(), tmp_path, verbose=False)


@pytest.mark.tf_only
def test_from_the_command_line(folder, tmp_path):
    from keras_practical.cli.commands import app

    model_of().save(tmp_path / "m.keras")
    table = tmp_path / "t.csv"
    done = CliRunner().invoke(
        app, ["predict", str(tmp_path / "m.keras"), str(folder), "--csv", str(table)]
    )
    assert done.exit_code == 0, done.output
    assert "deep/c.jpg  red" in done.output
    assert len(rows(table)) == 4
