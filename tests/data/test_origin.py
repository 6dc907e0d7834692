"""One handle tells what a data set is, whatever was done to it since it was loaded."""

import gc
import weakref

import keras
import numpy as np
import pytest

from keras_practical import ImageData, evaluate, find_lr, interpret, linear_probe, load_images
from keras_practical.data.image_set import dataset_of
from keras_practical.data.origin import DataOrigin, origin_of
from keras_practical.scans.batches import VolumeBatches
from keras_practical.training.resuming import SetEpoch

pytestmark = pytest.mark.tf_only
NAMES = ("cats", "dogs")


def scaled(images, labels):
    return images / 255, labels


def photos(*, n=40, seed=0):
    images = np.random.default_rng(0).integers(0, 255, (n, 4, 4, 3)).astype("uint8")
    source = (images, np.arange(n) % 2)
    return load_images(source, batch_size=8, seed=seed, class_names=NAMES, verbose=False)


def small_model():
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(2, activation="softmax"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


SAME_ELEMENTS = {
    "as it is": lambda data: data,
    "cache": lambda data: data.cache(),
    "prefetch": lambda data: data.prefetch(2),
    "options": lambda data: data.with_options(__import__("tensorflow").data.Options()),
}
ONE_TO_ONE = {
    "map": lambda data: data.map(scaled),
    "parallel map": lambda data: data.map(scaled, num_parallel_calls=2),
    "map, cache, prefetch": lambda data: data.map(scaled).cache().prefetch(1),
}
OTHER_ELEMENTS = {
    "take": lambda data: data.take(2),
    "skip": lambda data: data.skip(1),
    "unbatch and batch": lambda data: data.unbatch().batch(4),
    "rebatch": lambda data: data.rebatch(3),
    "shuffle": lambda data: data.shuffle(3),
    "repeat": lambda data: data.repeat(2),
    "filter": lambda data: data.filter(lambda images, labels: True),
    "shard": lambda data: data.shard(2, 0),
    "enumerate": lambda data: data.enumerate(),
    "map, then take": lambda data: data.map(scaled).take(1),
}


@pytest.mark.parametrize("change", SAME_ELEMENTS.values(), ids=SAME_ELEMENTS)
def test_origin_of_the_same_elements_has_the_images_themselves(change):
    data = photos()
    found = origin_of(change(data.validation))
    assert found.source is data.validation.source
    assert found.records == data.index.split("validation")
    assert (found.class_names, found.orders) == (NAMES, ())


@pytest.mark.parametrize("change", ONE_TO_ONE.values(), ids=ONE_TO_ONE)
def test_origin_after_map_keeps_names_and_records_but_not_the_images(change):
    data = photos()
    found = origin_of(change(data.validation))
    assert found.source is None
    assert found.records == data.index.split("validation")
    assert found.class_names == NAMES


@pytest.mark.parametrize("change", OTHER_ELEMENTS.values(), ids=OTHER_ELEMENTS)
def test_origin_of_other_elements_keeps_names_and_order_only(change):
    data = photos()
    found = origin_of(change(data.train))
    assert (found.source, found.records) == (None, None)
    assert found.class_names == NAMES
    assert found.orders == (data.train.source.order,)


def test_shuffled_data_have_images_but_no_records_in_the_order_of_reading():
    data = photos()
    found = origin_of(data.train.prefetch(1))
    assert found.source is data.train.source
    assert found.records is None
    assert origin_of(data.train.map(scaled)).records is None


def test_origin_of_two_data_sets_has_both_orders_and_only_names_that_agree():
    import tensorflow as tf

    first, second = photos(), photos(seed=1)
    both = tf.data.Dataset.zip((first.train, second.train))
    assert origin_of(both).orders == (first.train.source.order, second.train.source.order)
    assert origin_of(both).class_names == NAMES
    digits = load_images("digits", verbose=False)
    mixed = first.train.map(lambda images, labels: labels).concatenate(
        digits.train.map(lambda images, labels: labels)
    )
    assert origin_of(mixed).class_names is None


@pytest.mark.parametrize("data", [(np.zeros(3), np.zeros(3)), [1, 2], None, "digits", 3])
def test_origin_of_anything_else_is_unknown(data):
    assert origin_of(data) == DataOrigin()


def test_class_names_of_keras_own_loader_survive_map(tmp_path):
    for name in NAMES:
        (tmp_path / name).mkdir()
        keras.utils.save_img(tmp_path / name / "a.png", np.zeros((4, 4, 3)))
    data = keras.utils.image_dataset_from_directory(tmp_path, image_size=(4, 4), verbose=False)
    assert origin_of(data.map(scaled)).class_names == NAMES


@pytest.mark.parametrize("change", [*ONE_TO_ONE.values(), *SAME_ELEMENTS.values()])
def test_find_lr_puts_the_order_back_through_transformations(change):
    data = photos().train
    orders = [[labels.numpy().tolist() for _, labels in data] for _ in range(2)]
    assert orders[0] != orders[1]
    data.source.order.set_epoch(0)
    find_lr(small_model(), change(data), steps=11, verbose=False)
    assert data.source.order.epoch == 0


def volumes(seed):
    values = [np.full((2, 4, 4, 1), value, "float32") for value in range(8)]
    return VolumeBatches(values, np.arange(8) % 2, seed=seed)


def test_find_lr_puts_the_order_of_scans_back():
    batches = volumes(seed=0)
    before = [batches[number][0].ravel()[0] for number in range(4)]
    model = keras.Sequential([keras.Input((2, 4, 4, 1)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(2, activation="softmax"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    find_lr(model, batches, steps=11, verbose=False)
    assert [batches[number][0].ravel()[0] for number in range(4)] == before


def test_set_epoch_chooses_the_order_of_scans_and_of_transformed_data():
    batches, again = volumes(seed=3), volumes(seed=3)
    callback = SetEpoch(batches)
    again.on_epoch_end()
    again.on_epoch_end()
    callback.on_epoch_begin(2)
    for number in range(4):
        np.testing.assert_array_equal(batches[number][0], again[number][0])
    data = photos().train
    SetEpoch(data.map(scaled)).on_epoch_begin(5)
    assert data.source.order.epoch == 5
    with pytest.raises(ValueError, match="of which no order is known"):
        SetEpoch(volumes(seed=None))


def test_evaluate_interpret_and_probe_know_names_after_map():
    data = photos()
    model = small_model()
    changed = data.validation.map(scaled)
    assert evaluate(model, changed, verbose=False).class_names == NAMES
    found = interpret(model, changed, verbose=False)
    assert found.class_names == NAMES
    assert [record.name for record in found.index] == [
        record.name for record in data.index.split("validation")
    ]
    base = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()])
    assert linear_probe(base, data.train.map(scaled), verbose=False).output_shape == (None, 2)


def test_interpret_gives_no_file_names_when_images_were_left_out_or_relabelled():
    data = photos()
    swapped = data.validation.map(lambda images, labels: (images, 1 - labels))
    for changed in (data.validation.take(1), swapped):
        found = interpret(small_model(), changed, verbose=False)
        assert all(record.name.startswith("image ") for record in found.index)


def test_transformed_parts_are_refused_where_the_images_themselves_are_needed():
    data = photos()
    changed = ImageData(
        train=data.train.map(scaled),
        validation=data.validation,
        test=None,
        class_names=NAMES,
        index=data.index,
        image_size=data.image_size,
    )
    with pytest.raises(ValueError, match="`train` must be as `load_images` returned it"):
        changed.with_index(data.index)


def test_dropped_data_give_their_pixels_back_and_derived_data_keep_them():
    import tensorflow as tf

    data = photos()
    store = weakref.ref(data.train.source.store)

    def twice(dataset):
        return tf.data.Dataset.range(2).flat_map(lambda _: dataset)

    nested = twice(data.train.map(scaled).prefetch(1))
    del data
    gc.collect()
    assert len(list(nested)) == 8
    del nested
    gc.collect()
    assert store() is None


def test_reading_data_without_their_source_says_what_to_do():
    data = dataset_of(photos().validation.source)
    del data.source
    gc.collect()
    with pytest.raises(Exception, match="Keep what `load_images` returned"):
        list(data)
