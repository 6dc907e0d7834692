"""Sets that can come from the network; here they never do."""

import io
import zipfile

import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from keras_practical import load_images
from keras_practical.data import named_sets

ARCHIVE = "cats_and_dogs_filtered.zip"


def info_of(builder, features, supervised_keys):
    return tfds.core.DatasetInfo(
        builder=builder,
        features=tfds.features.FeaturesDict(features),
        supervised_keys=supervised_keys,
    )


class TinyShades(tfds.core.GeneratorBasedBuilder):
    """Grey images of two classes; the grey tells the split, the class and the position."""

    VERSION = tfds.core.Version("1.0.0")
    SPLITS = {"train": 0, "test": 100}  # noqa: RUF012

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["dark", "light"]),
        }
        return info_of(self, features, ("image", "label"))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(base) for split, base in self.SPLITS.items()}

    def _generate_examples(self, base):
        for number in range(10):
            label = number % 2
            grey = base + 50 * label + number
            yield number, {"image": np.full((6, 4, 3), grey, "uint8"), "label": label}


class TinyShadesWithValidation(TinyShades):
    """The same with a validation split."""

    SPLITS = {"train": 0, "validation": 100}  # noqa: RUF012


class TinyShadesWithoutTrain(TinyShades):
    """The same without a training split."""

    SPLITS = {"whole": 0}  # noqa: RUF012


class TinyNumbers(tfds.core.GeneratorBasedBuilder):
    """Images with a number each instead of a class."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"image": tfds.features.Image(shape=(2, 2, 3)), "label": np.float32}
        return info_of(self, features, ("image", "label"))

    def _split_generators(self, dl_manager):
        raise AssertionError("nothing of this set may be fetched")

    _generate_examples = _split_generators


class TinyUnsupervised(TinyNumbers):
    """Images with nothing."""

    def _info(self):
        features = {"image": tfds.features.Image(shape=(2, 2, 3))}
        return info_of(self, features, None)


@pytest.fixture
def keras_cache(tmp_path, monkeypatch):
    """An empty Keras cache; returns the folder of its data sets."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    folder = tmp_path / "datasets"
    folder.mkdir()
    return folder


def pack(file):
    """Write an archive like the real one, two 4 x 4 images for each class and split."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("cats_and_dogs_filtered/vectorize.py", "")
        for split in ("train", "validation"):
            for label, name in enumerate(("cats", "dogs")):
                for number in range(2):
                    stream = io.BytesIO()
                    Image.new("L", (4, 4), 100 * label + number).save(stream, "PNG")
                    path = f"cats_and_dogs_filtered/{split}/{name}/{number}.jpg"
                    archive.writestr(path, stream.getvalue())


def test_cats_vs_dogs_comes_from_keras_cache(keras_cache):
    pack(keras_cache / ARCHIVE)
    data = load_images("cats_vs_dogs", image_size=4, verbose=False)
    assert data.class_names == ("cats", "dogs")
    assert data.index.counts("train") == data.index.counts("validation") == {"cats": 2, "dogs": 2}
    images, labels = next(iter(data.validation))
    assert images[:, 0, 0, 0].numpy().tolist() == [0, 1, 100, 101]
    assert labels.numpy().tolist() == [0, 0, 1, 1]


def test_cats_vs_dogs_says_how_to_fetch_it(keras_cache):
    message = rf"{ARCHIVE} isn't in .*datasets. Call load_images\('cats_vs_dogs', download=True\)"
    with pytest.raises(ValueError, match=message):
        load_images("cats_vs_dogs", verbose=False)


def test_cats_vs_dogs_is_fetched_when_allowed(keras_cache, monkeypatch):
    asked = []
    real = keras.utils.get_file

    def get_file(name, origin, **rest):
        asked.append(origin)
        pack(keras_cache / name)
        return real(name, origin, **rest)

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    listing = named_sets.from_cats_vs_dogs(download=True)
    assert asked == [f"https://storage.googleapis.com/mledu-datasets/{ARCHIVE}"]
    assert len(listing.names) == 8
    assert set(listing.splits) == {"train", "validation"}


@pytest.fixture
def prepared(tmp_path):
    """A folder in which sets can be prepared."""

    def prepare(name):
        tfds.builder(name, data_dir=str(tmp_path)).download_and_prepare()
        return tmp_path

    return prepare


def test_tfds_set_is_loaded(prepared):
    folder = prepared("tiny_shades")
    data = load_images(
        "tfds:tiny_shades", data_dir=folder, image_size=4, batch_size=10, verbose=False
    )
    assert data.class_names == ("dark", "light")
    assert data.index.counts("train") == {"dark": 4, "light": 4}
    assert data.index.counts("validation") == {"dark": 1, "light": 1}
    images, labels = next(iter(data.test))
    greys = images[:, 0, 0, 0].numpy().astype(int)
    assert sorted(greys) == [100, 102, 104, 106, 108, 151, 153, 155, 157, 159]
    assert (greys > 150).astype(int).tolist() == labels.numpy().tolist()
    record = data.index.split("test")[0]
    assert record.name == "tfds:tiny_shades/test[0]"
    assert (record.width, record.height) == (4, 6)


def test_tfds_set_keeps_its_validation(prepared):
    folder = prepared("tiny_shades_with_validation")
    listing = named_sets.from_tfds(
        "tiny_shades_with_validation:1.0.0", download=False, data_dir=folder
    )
    assert listing.splits == ["train"] * 10 + ["validation"] * 10
    assert all(picture.startswith(b"\x89PNG") for picture in listing.images)


def test_tfds_set_is_prepared_when_allowed(tmp_path):
    listing = named_sets.from_tfds("tiny_shades", download=True, data_dir=tmp_path)
    assert listing.splits == [None] * 10 + ["test"] * 10


def test_tfds_says_how_to_fetch_it(tmp_path):
    message = r"tfds:tiny_shades isn't prepared in .*download=True\) to fetch it"
    with pytest.raises(ValueError, match=message):
        load_images("tfds:tiny_shades", data_dir=tmp_path, verbose=False)


def test_tfds_needs_a_training_split(prepared):
    folder = prepared("tiny_shades_without_train")
    with pytest.raises(ValueError, match=r"has no 'train' split; it has \['whole'\]"):
        load_images("tfds:tiny_shades_without_train", data_dir=folder, verbose=False)


@pytest.mark.parametrize("name", ["tiny_numbers", "tiny_unsupervised"])
def test_tfds_set_must_be_about_classes(name, tmp_path):
    with pytest.raises(ValueError, match=f"tfds:{name} isn't a set of images with one class label"):
        load_images(f"tfds:{name}", data_dir=tmp_path, download=True, verbose=False)


def test_tfds_unknown_set(tmp_path):
    with pytest.raises(ValueError, match="no_such_set_at_all"):
        load_images("tfds:no_such_set_at_all", data_dir=tmp_path, verbose=False)
