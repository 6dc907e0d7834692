"""Data sets that can come from the network, fetched only when asked."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_practical.data.array_source import from_arrays
from keras_practical.data.folders import SPLIT_NAMES
from keras_practical.data.index import PassedOver
from keras_practical.data.sources import Listing, decided, from_folder
from keras_practical.utils.keras_home import keras_home

__all__ = ["from_cats_vs_dogs", "from_digits", "from_tfds"]

_CATS_VS_DOGS = "https://storage.googleapis.com/mledu-datasets/cats_and_dogs_filtered.zip"


def from_cats_vs_dogs(*, download: bool) -> Listing:
    """List the 2,000 + 1,000 photos of "cats and dogs, filtered", 68 MB.

    Args:
        download: Whether `keras.utils.get_file` may fetch the photos if Keras's cache lacks them.

    Returns:
        The listing, with training and validation photos.

    Raises:
        ValueError: The photos aren't in Keras's cache and `download` is false.

    Reference:
        Chollet, *Building powerful image classification models using very little data* (2016).
    """
    import keras

    name = _CATS_VS_DOGS.rsplit("/", 1)[1]
    cache = keras_home() / "datasets"
    if not download and not (cache / name).exists():
        raise ValueError(
            f"{name} isn't in {cache}. Call load_images('cats_vs_dogs', download=True) to fetch "
            "it (68 MB), or put the file there."
        )
    folder = keras.utils.get_file(name, _CATS_VS_DOGS, extract=True, cache_dir=keras_home())
    return from_folder(Path(folder) / Path(name).stem)


def from_tfds(name: str, *, download: bool, data_dir: str | Path | None = None) -> Listing:
    """List a TensorFlow Datasets image classification set; its encoded images stay in memory.

    Args:
        name: The set's name, such as `"beans"` or `"cats_vs_dogs:4.0.1"`.
        download: Whether to download and prepare the set if it isn't prepared yet.
        data_dir: Where prepared sets live. Default: TFDS's own choice.

    Returns:
        The listing, in TFDS's order, with its `train`, `validation` and `test` splits.

    Raises:
        ValueError: The set isn't there and `download` is false, has no `train` split, or isn't
            about classifying images.

    Reference:
        https://www.tensorflow.org/datasets
    """
    import tensorflow_datasets as tfds

    builder, available = open_tfds(
        name, kind="image", loader="load_images", download=download, data_dir=data_dir
    )
    keys, features = builder.info.supervised_keys, builder.info.features
    images, names, labels, splits, hidden = [], [], [], [], []
    for key, split in available.items():
        dataset = builder.as_dataset(split=key, decoders={keys[0]: tfds.decode.SkipDecoding()})
        for position, example in enumerate(tfds.as_numpy(dataset)):
            # Sets of competitions keep the labels of their test data to themselves.
            if example[keys[1]] < 0:
                hidden.append(PassedOver(f"tfds:{name}/{key}[{position}]", "its label is hidden"))
                continue
            images.append(bytes(example[keys[0]]))
            names.append(f"tfds:{name}/{key}[{position}]")
            labels.append(int(example[keys[1]]))
            splits.append(decided(split, available.values()))
    warn_of_hidden(name, [item.name for item in hidden])
    class_names = tuple(features[keys[1]].names)
    return Listing(images, names, labels, splits, class_names, passed_over=tuple(hidden))


def warn_of_hidden(name: str, places: Sequence[str]) -> None:
    """Warn of examples that a set keeps the labels of.

    Args:
        name: The set.
        places: Where they are.

    Example:

    >>> warn_of_hidden("beans", [])
    """
    if places:
        warnings.warn(
            f"{len(places)} examples of tfds:{name} have hidden labels (-1), {places[0]} for "
            "instance. They are left out.",
            stacklevel=4,
        )


def open_tfds(
    name: str, *, kind: str, loader: str, download: bool, data_dir: str | Path | None
) -> tuple[Any, dict[str, str]]:
    """Open a set of TensorFlow Datasets that has one class label for each image or text.

    Args:
        name: Its name there.
        kind: `"image"` or `"text"`.
        loader: The function that the user called, for error texts.
        download: Whether it may be fetched.
        data_dir: Where prepared sets are. Default: TensorFlow Datasets' own choice.

    Returns:
        Its builder, and what each of its splits is called here.

    Raises:
        ValueError: The set isn't there and `download` is false, has no `train` split, or is about
            something else.
    """
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=None if data_dir is None else str(data_dir))
    keys, features = builder.info.supervised_keys, builder.info.features
    feature = {"image": tfds.features.Image, "text": tfds.features.Text}[kind]
    if (
        not keys
        or not isinstance(features[keys[0]], feature)
        or not isinstance(features[keys[1]], tfds.features.ClassLabel)
    ):
        raise ValueError(f"tfds:{name} isn't a set of {kind}s with one class label each.")
    if download:
        builder.download_and_prepare()
    elif not builder.is_prepared():
        raise ValueError(
            f"tfds:{name} isn't prepared in {builder.data_dir}. Call "
            f"{loader}('tfds:{name}', download=True) to fetch it."
        )
    splits = {key: SPLIT_NAMES[key] for key in builder.info.splits if key in SPLIT_NAMES}
    if "train" not in splits.values():
        raise ValueError(f"tfds:{name} has no 'train' split; it has {list(builder.info.splits)}.")
    return builder, splits


def from_digits() -> Listing:
    """List scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, which need no download.

    Returns:
        The listing, grey values scaled from 0–16 to 0–255.

    Example:

    >>> len(from_digits().images)
    1797

    Reference:
        Alpaydin & Kaynak, *Optical Recognition of Handwritten Digits* (1998), UCI repository.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype("uint8")
    return from_arrays((images, digits.target), class_names=[str(name) for name in range(10)])
