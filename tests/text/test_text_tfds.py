"""Labelled texts out of TensorFlow Datasets."""

import pytest
import tensorflow_datasets as tfds

import keras_practical as kp

TEXTS = ["بارش", "گول", "rain", "goal"]


class TinyNews(tfds.core.GeneratorBasedBuilder):
    """Four training and two test texts of two classes."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "text": tfds.features.Text(),
            "label": tfds.features.ClassLabel(names=["weather", "sports"]),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("text", "label"),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(4), "test": self._generate_examples(2, "!")}

    def _generate_examples(self, count, end=""):
        for n in range(count):
            yield n, {"text": TEXTS[n] + end, "label": n % 2}


class TinyTitles(TinyNews):
    """Texts that nothing is said of."""

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict({"text": tfds.features.Text()})
        )

    def _generate_examples(self, count, end=""):
        for n in range(count):
            yield n, {"text": TEXTS[n] + end}


def test_texts_of_tfds_keep_their_splits_and_script(tmp_path):
    tfds.builder("tiny_news", data_dir=str(tmp_path)).download_and_prepare()
    data = kp.text.load_texts(
        "tfds:tiny_news", data_dir=tmp_path, validation_fraction=0, verbose=False
    )
    assert set(data.train.texts) == set(TEXTS)
    assert sorted(data.test.texts) == sorted(["بارش!", "گول!"])
    assert data.train.counts() == {"sports": 2, "weather": 2}
    assert data.train.places[0].startswith("tfds:tiny_news/train[")
    halved = kp.text.load_texts(
        "tfds:tiny_news", data_dir=tmp_path, validation_fraction=0.5, verbose=False
    )
    assert (len(halved.train), len(halved.validation)) == (2, 2)


def test_tfds_without_labels_or_not_prepared_is_refused(tmp_path):
    with pytest.raises(ValueError, match="isn't prepared"):
        kp.text.load_texts("tfds:tiny_news", data_dir=tmp_path)
    tfds.builder("tiny_titles", data_dir=str(tmp_path)).download_and_prepare()
    with pytest.raises(ValueError, match="isn't a set of texts with one class label"):
        kp.text.load_texts("tfds:tiny_titles", data_dir=tmp_path)
