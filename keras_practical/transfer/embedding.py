"""Features of images, computed once: training a head on them then takes seconds."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_practical.data.features import Embeddings
from keras_practical.data.labels import are_class_numbers, class_numbers
from keras_practical.data.pieces import PIECE, pieces_of
from keras_practical.models.pixels import assumption, expected_preprocessing, warn_of_pixels
from keras_practical.transfer.feature_file import FeatureFile
from keras_practical.transfer.feature_network import FeatureNetwork, feature_model
from keras_practical.utils.checks import as_layers, check_count
from keras_practical.utils.keras_internals.fingerprint import layers_fingerprint, model_fingerprint
from keras_practical.utils.keras_internals.layers import seed_generators
from keras_practical.utils.progress import progress_bar

if TYPE_CHECKING:
    from keras_practical.utils.types import Augmentation, BackbonePart, Data

__all__ = ["embed"]


def embed(
    model: str | keras.Model,
    data: Data,
    *,
    augmentation: Augmentation | None = None,
    views: int = 1,
    seed: int = 0,
    batch_size: int | None = None,
    cache_dir: str | Path | None = None,
    mixed_precision: bool | None = None,
    backbone: BackbonePart | None = None,
    verbose: bool = True,
) -> Embeddings:
    """Compute what a network sees in each image, once, to train on it many times.

    Use it because the backbone's pass over the images is nearly all the cost of transfer
    learning, and with a frozen backbone it's the same in every epoch. In plain Keras one calls
    `predict` on the backbone, and must see to it that labels and images keep their order.

    Args:
        model: A name in `keras_practical.models.BACKBONES`, with its ImageNet weights and
            preprocessing; or a `keras.Model`. A classifier, compiled with a loss or ending in
            softmax or sigmoid, gives the vectors that its head gets; any other model its output.
            Feature maps are averaged over the image. A network of `keras.applications` that gets
            pixels in [0, 255] gets the preprocessing that it needs.
        data: A data set of `load_images`, in the order of its index also where `fit` gets it
            shuffled; any other `tf.data.Dataset` or `PyDataset` of `(images, labels)` batches, in
            its own order; or one `(images, labels)` pair of arrays. Sample weights as a third
            element go along.
        augmentation: A Keras layer, or a list of them, for `views`.
        views: Augmented views of each image, >= 1; without `augmentation` there are none.
        seed: Whole number >= 0; decides what the augmentation draws, whatever its layers' seeds.
        batch_size: Images at a time. Default: as many as fit into memory, at most 64.
        cache_dir: Folder for what was computed: another run with the very same images, weights,
            settings and seed finds it there, one that was killed goes on where it was, and what is
            damaged is computed again. The features are then mapped from the file instead of taking
            memory. Default: no file.
        mixed_precision: Whether to compute in half precision (the result is float32). Default: on
            a GPU.
        backbone: What computes the features, if it isn't clear: as in `transfer.layer_groups`.
        verbose: Whether to show progress and say what was done.

    Returns:
        `Embeddings` with `features`, `labels` and `index`, aligned.

    Raises:
        ValueError: An argument is out of range, there are no images, it isn't clear which part of a
            classifier computes features, its output can't be averaged to a vector or has NaN, or
            with `cache_dir` the data set isn't the same each time.

    Example:

    >>> from keras_practical import load_images
    >>> digits = load_images("digits", verbose=False)
    >>> network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3)])
    >>> found = embed(network, digits.train, verbose=False)
    >>> found.features.shape, found.labels.shape, found.index[0].split
    ((1438, 5), (1438,), 'train')

    Reference:
        Donahue et al., *DeCAF: A Deep Convolutional Activation Feature for Generic Visual
        Recognition* (2013), arXiv 1310.1531.
    """
    check_count("views", views)
    check_count("seed", seed, minimum=0)
    if batch_size is not None:
        check_count("batch_size", batch_size)
    started = time.perf_counter()
    layers = as_layers(augmentation)
    reader = pieces_of(data, repeatable=cache_dir is not None)
    look = reader.first_images()
    preprocessing = _missing_preprocessing(model, look)
    body = feature_model(model, reader.shape, preprocessing=preprocessing, backbone=backbone)
    warn_of_pixels(body, look, what="embed")
    half = _has_gpu() if mixed_precision is None else mixed_precision
    network = FeatureNetwork(body, batch_size, half)
    stores: list[_Memory | FeatureFile] = [_Memory(1), _Memory(views if layers else 0)]
    if cache_dir is not None:
        network_key = (model_fingerprint(body), half, reader.content)
        shape = (reader.count or 0, body.output_shape[-1])
        stores[0] = FeatureFile(cache_dir, _key(network_key), (1, *shape), piece=PIECE)
        if layers:
            key = _key((network_key, layers_fingerprint(layers), seed, views))
            stores[1] = FeatureFile(cache_dir, key, (views, *shape), piece=PIECE)
    # What makes each view, and where it goes.
    passes = [(_Augmentation([], ()), stores[0], 0)]
    for number in range(views if layers else 0):
        passes.append((_Augmentation(layers, (seed, number)), stores[1], number))

    def missing(piece: int) -> list[tuple[_Augmentation, _Memory | FeatureFile, int]]:
        return [(change, store, view) for change, store, view in passes if store.needs(piece, view)]

    parts: list[np.ndarray] = []
    computed = 0
    with ExitStack() as opened:
        for store in stores:
            opened.enter_context(store)
        total = None if reader.count is None else _to_do(reader.count, missing)
        advance = opened.enter_context(
            progress_bar("Embedding", total, show=verbose, unit="images")
        )
        for piece, images, piece_labels in reader.pieces(lambda piece: bool(missing(piece))):
            parts.append(piece_labels)
            for change, store, view in missing(piece):
                store.write(piece, view, _features(network, change, images, piece))
                computed += len(images)
                advance(len(images))
        features = stores[0].read()[0]
        augmented = stores[1].read() if layers else np.empty((0, *features.shape), "float32")
        unreadable = stores[0].nan_rows
    labels = _plain_labels(np.concatenate(parts))
    embeddings = Embeddings(
        features,
        labels,
        reader.records(_classes_of(labels)),
        reader.class_names or _numbered(labels),
        augmented,
        computed,
        reader.sample_weight,
    )
    if unreadable:
        names = ", ".join(embeddings.index[index].name for index in sorted(unreadable)[:5])
        warnings.warn(
            f"embed leaves out {len(unreadable)} images that can't be read: {names}"
            + ", ..." * (len(unreadable) > 5),
            stacklevel=2,
        )
        embeddings = embeddings.take(
            [index for index in range(len(embeddings)) if index not in unreadable]
        )
    said = None if isinstance(model, str) else assumption(model, preprocessing)
    if verbose and said is not None:
        print(f"embed: {said}")
    if verbose:
        print(_announcement(embeddings, body.name, time.perf_counter() - started))
    return embeddings


def _missing_preprocessing(model: str | keras.Model, images: np.ndarray) -> str:
    """Return what a network of `keras.applications` given as an object needs for raw pixels."""
    raw = images.shape[-1] == 3 and np.nanmax(images) > 1.5
    if isinstance(model, str) or not raw:
        return "none"
    _, preprocessing = expected_preprocessing(model) or ("", "none")
    return preprocessing


def _key(settings: Any) -> str:
    return hashlib.sha256(repr(settings).encode()).hexdigest()[:24]


def _to_do(count: int, missing: Callable[[int], Sequence[Any]]) -> int:
    """Return how many images the network will see, each view counted."""
    starts = range(0, count, PIECE)
    return sum(
        len(missing(piece)) * min(PIECE, count - start) for piece, start in enumerate(starts)
    )


def _features(
    network: FeatureNetwork, change: _Augmentation, images: np.ndarray, piece: int
) -> np.ndarray:
    """Return a view's features, NaN for images that couldn't be read."""
    # Recognised by the NaN in the images: a ReLU would turn NaN into finite features.
    unreadable = np.isnan(images[:, 0, 0, 0])
    whole = np.nan_to_num(images) if unreadable.any() else images
    features = network(change(whole, piece))
    if np.isnan(features[~unreadable]).any():
        raise ValueError(
            "The network gives NaN for images that are whole. Check its weights and what it "
            "expects of its pixels."
        )
    features[unreadable] = np.nan
    return features


class _Augmentation:
    """Copies of layers that draw the same for the same piece, whatever was drawn before.

    So a run that was killed goes on with the very same images.
    """

    def __init__(self, layers: Sequence[Any], seeds: tuple[int, ...]) -> None:
        self._layers = [type(layer).from_config(layer.get_config()) for layer in layers]
        self._seeds = seeds

    def __call__(self, images: np.ndarray, piece: int) -> np.ndarray:
        view: Any = images
        for index, layer in enumerate(self._layers):
            for number, generator in enumerate(seed_generators(layer)):
                draw = np.random.SeedSequence((*self._seeds, piece, index, number))
                generator.state.assign(draw.generate_state(2))
            view = layer(view, training=True)
        return np.asarray(view)


class _Memory:
    """What `FeatureFile` does, without a file and for any number of images."""

    def __init__(self, views: int) -> None:
        self._parts: list[list[np.ndarray]] = [[] for _ in range(views)]

    def __enter__(self) -> _Memory:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def needs(self, piece: int, view: int) -> bool:
        return True

    def write(self, piece: int, view: int, values: np.ndarray) -> None:
        self._parts[view].append(values)

    def read(self) -> np.ndarray:
        return np.stack([np.concatenate(part) for part in self._parts])

    @property
    def nan_rows(self) -> set[int]:
        return set(np.flatnonzero(np.isnan(np.concatenate(self._parts[0])[:, 0])))


def _has_gpu() -> bool:
    return any("gpu" in device.lower() for device in keras.distribution.list_devices())


def _plain_labels(labels: np.ndarray) -> np.ndarray:
    """Return labels of shape `(n,)`, or as they are if there are several in a row."""
    return labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels


def _classes_of(labels: np.ndarray) -> list[int]:
    """Return the class number of each record; 0 where labels are no classes."""
    if labels.ndim == 2 and are_class_numbers(labels.argmax(1)):
        return labels.argmax(1).tolist()
    return class_numbers(labels).tolist() if are_class_numbers(labels) else [0] * len(labels)


def _numbered(labels: np.ndarray) -> tuple[str, ...]:
    """Return names for classes that have none; none where labels are no classes."""
    if labels.ndim == 2:
        return tuple(str(number) for number in range(labels.shape[1]))
    if not are_class_numbers(labels):
        return ()
    return tuple(str(number) for number in range(int(labels.max()) + 1))


def _announcement(embeddings: Embeddings, name: str, seconds: float) -> str:
    views = f" and {len(embeddings.views)} views of each" if len(embeddings.views) else ""
    total = len(embeddings) * (1 + len(embeddings.views))
    cached = (
        "" if embeddings.computed >= total else f", {total - embeddings.computed:,} from the cache"
    )
    speed = f" ({embeddings.computed / seconds:.0f} a second)" if embeddings.computed else ""
    return (
        f"embed: {len(embeddings):,} images{views}, {embeddings.features.shape[1]:,} features each "
        f"by {name}, {seconds:.1f} s{speed}{cached}"
    )
