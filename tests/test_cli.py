import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from keras_practical.cli.commands import app

runner = CliRunner()


@pytest.fixture
def pets(tmp_path):
    """Two folders of eight images, one red, one blue."""
    rng = np.random.default_rng(0)
    for channel, name in ((0, "reds"), (2, "blues")):
        folder = tmp_path / "pets" / name
        folder.mkdir(parents=True)
        for number in range(8):
            picture = rng.integers(0, 60, (40, 40, 3)).astype("uint8")
            picture[:, :, channel] += 150
            keras.utils.save_img(folder / f"{number}.png", picture, scale=False)
    return tmp_path / "pets"


@pytest.mark.tf_only
def test_train_then_evaluate(pets, tmp_path):
    output = tmp_path / "pets.keras"
    arguments = ["train", str(pets), "--output", str(output), "--image-size", "32"]
    options = ["--weights", "none", "--epochs", "0", "--backbone", "MobileNetV3Small"]
    trained = runner.invoke(app, [*arguments, *options])
    assert trained.exit_code == 0, trained.output
    assert "Classes, in order: blues, reds" in trained.output
    judged = runner.invoke(app, ["evaluate", str(output), str(pets)])
    assert judged.exit_code == 0, judged.output
    assert "train: accuracy" in judged.output
    assert "n=16" in judged.output


def test_train_shows_an_error_without_a_traceback(tmp_path):
    output = str(tmp_path / "model.keras")
    result = runner.invoke(app, ["train", str(tmp_path / "nowhere"), "--output", output])
    assert result.exit_code == 1
    assert "Error: There is no folder" in result.output
    assert "Traceback" not in result.output


def test_train_refuses_an_output_that_cannot_be_written_before_training(pets, tmp_path):
    for bad in ("model.h5", "nowhere/model.keras"):
        result = runner.invoke(app, ["train", str(pets), "--output", str(tmp_path / bad)])
        assert result.exit_code == 2
        assert "must be a .keras file" in " ".join(result.output.replace("│", " ").split())


def test_help_lists_the_commands():
    result = runner.invoke(app, ["--help"])
    assert "train" in result.output
    assert "evaluate" in result.output
