"""Features computed once: right, in order, found again, never silently wrong."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from tiny import tiny_backbone, tiny_data

import keras_practical as kp
from keras_practical.transfer.feature_network import FeatureNetwork, split_at_features
from keras_practical.utils.keras_internals.fingerprint import layers_fingerprint, model_fingerprint

# Also run on JAX.
pytestmark = pytest.mark.any_backend

QUIET = {"verbose": False}


def many(n=600):
    return tiny_data(n=n)


def by_hand(model, images):
    """Return what the backbone gives, averaged, without any of our code."""
    return np.asarray(model(images.astype("float32"), training=False)).mean((1, 2))


def test_features_are_the_networks_own_in_order():
    model, (images, labels) = tiny_backbone(), many()
    found = kp.embed(model, (images, labels), **QUIET)
    np.testing.assert_allclose(found.features, by_hand(model, images), atol=1e-5)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.features.dtype == np.float32
    assert found.views.shape == (0, 600, 6)
    assert found.computed == 600
    assert found.index[3].name == "images[3]"
    assert found.class_names == ("0", "1", "2")


def test_class_vector_of_a_classifier_is_what_its_head_gets():
    model = kp.transfer.classifier(tiny_backbone(), 3, head="mlp")
    images, labels = many(20)
    found = kp.embed(model, (images, labels), **QUIET)
    maps = np.asarray(tiny_backbone()(images.astype("float32"), training=False))
    expected = np.concatenate([maps.max((1, 2)), maps.mean((1, 2))], 1)
    np.testing.assert_allclose(found.features, expected, atol=1e-5)


@pytest.mark.tf_only
def test_shuffled_data_of_load_images_come_in_the_order_of_the_index():
    digits = kp.load_images("digits", seed=3, **QUIET)
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Identity()])
    found = kp.embed(model, digits.train, **QUIET)
    assert found.index == digits.index.split("train")
    assert [record.label for record in found.index] == found.labels.tolist()
    assert found.class_names == digits.class_names
    store, rows = digits.train.source.store, digits.train.source.rows
    np.testing.assert_allclose(found.features, store.read(rows)[0].mean((1, 2)), rtol=1e-5)


@pytest.mark.tf_only
def test_any_tf_dataset_and_pydataset_give_their_own_order():
    import tensorflow as tf

    images, labels = many()
    model = tiny_backbone()
    expected = kp.embed(model, (images, labels), **QUIET).features
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(100)
    np.testing.assert_allclose(kp.embed(model, dataset, **QUIET).features, expected, atol=1e-6)

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            return images[100 * index : 100 * index + 100], labels[100 * index : 100 * index + 100]

    found = kp.embed(model, Batches(), **QUIET)
    np.testing.assert_allclose(found.features, expected, atol=1e-6)
    np.testing.assert_array_equal(found.labels, labels)


def test_views_are_augmented_and_depend_on_the_seed_only():
    images, labels = many(300)
    flip = keras.layers.RandomFlip("horizontal", seed=5)
    model = tiny_backbone()

    def views(seed, batch_size=None):
        found = kp.embed(
            model,
            (images, labels),
            augmentation=flip,
            views=3,
            seed=seed,
            batch_size=batch_size,
            **QUIET,
        )
        return found.features, found.views

    plain, first = views(0)
    mirrored = by_hand(model, images[:, :, ::-1])
    for view in first:
        as_is = np.isclose(view, plain, atol=1e-5).all(1)
        turned = np.isclose(view, mirrored, atol=1e-5).all(1)
        assert (as_is | turned).all()
        assert 0.3 < turned.mean() < 0.7
    assert not np.allclose(first[0], first[1])
    np.testing.assert_allclose(first, views(0, batch_size=7)[1], atol=1e-6)
    assert not np.allclose(first, views(1)[1])


def test_take_and_all_views_stay_aligned():
    images, labels = many(10)
    found = kp.embed(
        tiny_backbone(),
        (images, labels),
        augmentation=keras.layers.RandomFlip(seed=1),
        views=2,
        **QUIET,
    )
    assert len(found.take([])) == 0
    masked = found.take(np.arange(len(found)) == 4)
    assert masked.index == (found.index[4],)
    part = found.take([7, 2])
    assert len(part) == 2
    assert [record.name for record in part.index] == ["images[7]", "images[2]"]
    np.testing.assert_array_equal(part.views, found.views[:, [7, 2]])
    features, repeated = part.all_views()
    np.testing.assert_array_equal(features[2:4], part.views[0])
    np.testing.assert_array_equal(repeated, np.tile(labels[[7, 2]], 3))


def test_cache_is_found_again_and_tells_what_differs(tmp_path):
    images, labels = many()
    flip = [keras.layers.RandomFlip(seed=1)]

    def computed(model=None, images=images, **options):
        found = kp.embed(
            model or tiny_backbone(), (images, labels), cache_dir=tmp_path, **options, **QUIET
        )
        return found.computed

    assert computed() == 600
    assert computed() == 0  # Built anew: the names that Keras counts up don't matter.
    other = images.copy()
    other[17, 3, 3, 0] += 1
    assert computed(images=other) == 600
    assert computed(model=tiny_backbone(seed=1)) == 600
    # The pictures as they are stay, whatever the views; `seed` decides those, not the layers' own.
    assert computed(augmentation=flip) == 600
    assert computed(augmentation=[keras.layers.RandomFlip(seed=2)]) == 0
    assert computed(augmentation=flip, seed=1) == 600
    assert computed(augmentation=flip, views=2) == 1200
    assert computed(augmentation=[keras.layers.RandomFlip("vertical", seed=1)]) == 600
    assert computed() == 0
    assert computed(seed=1, views=3) == 0


def test_cached_features_are_mapped_and_equal(tmp_path):
    model, data = tiny_backbone(), many()
    plain = kp.embed(model, data, **QUIET)
    cached = [kp.embed(model, data, cache_dir=tmp_path, **QUIET) for _ in range(2)]
    for found in cached:
        np.testing.assert_array_equal(found.features, plain.features)
    assert isinstance(cached[1].features, np.memmap)
    assert {path.parent for path in tmp_path.rglob("*")} == {tmp_path}


def test_damaged_pieces_are_computed_again(tmp_path):
    model, data = tiny_backbone(), many()
    whole = np.array(kp.embed(model, data, cache_dir=tmp_path, **QUIET).features)
    [file] = tmp_path.glob("*.npy")
    content = bytearray(file.read_bytes())
    content[-4 * 6 * 10] ^= 1  # In the last of three pieces.
    file.write_bytes(content)
    with pytest.warns(UserWarning, match="1 pieces of .* are damaged"):
        found = kp.embed(model, data, cache_dir=tmp_path, **QUIET)
    assert found.computed == 600 - 512
    np.testing.assert_array_equal(found.features, whole)


@pytest.mark.parametrize("damage", ["cut", "text", "emptied"])
def test_file_that_is_no_array_is_made_anew(tmp_path, damage):
    model, data = tiny_backbone(), many(300)
    whole = np.array(kp.embed(model, data, cache_dir=tmp_path, **QUIET).features)
    [file] = tmp_path.glob("*.npy")
    content = file.read_bytes()
    file.write_bytes({"cut": content[:-100], "text": b"what is this", "emptied": b""}[damage])
    with pytest.warns(UserWarning, match="damaged"):
        found = kp.embed(model, data, cache_dir=tmp_path, **QUIET)
    assert found.computed == 300
    np.testing.assert_array_equal(found.features, whole)


def test_log_line_that_was_cut_short_does_not_count(tmp_path):
    model, data = tiny_backbone(), many()
    kp.embed(model, data, cache_dir=tmp_path, **QUIET)
    [log] = tmp_path.glob("*.log")
    log.write_text(log.read_text()[:-2])
    assert kp.embed(model, data, cache_dir=tmp_path, **QUIET).computed == 600 - 512


KILLED = """
import sys
sys.path.insert(0, {tests!r})
import keras_practical as kp
from keras_practical.transfer import feature_file
from tiny import tiny_backbone, tiny_data
import keras, time
write = feature_file.FeatureFile.write
def slow(self, *arguments):
    write(self, *arguments)
    print("wrote", flush=True)
    time.sleep(0.3)
feature_file.FeatureFile.write = slow
kp.embed(tiny_backbone(), tiny_data(n=1500), augmentation=keras.layers.RandomFlip(seed=1),
         cache_dir={folder!r}, verbose=False)
"""


@pytest.mark.slow
def test_killed_run_goes_on_where_it_was(tmp_path):
    code = KILLED.format(
        tests=str(Path(__file__).parents[1] / "support"), folder=str(tmp_path / "cache")
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        for _ in range(5):
            assert process.stdout.readline() == "wrote\n"
        process.send_signal(signal.SIGKILL)
    model, data = tiny_backbone(), tiny_data(n=1500)
    options = {"augmentation": keras.layers.RandomFlip(seed=1), **QUIET}
    resumed = kp.embed(model, data, cache_dir=tmp_path / "cache", **options)
    whole = kp.embed(model, data, **options)
    # Five pieces of 256, or one more that was written while the signal was on its way.
    assert resumed.computed in (3000 - 5 * 256, 3000 - 6 * 256)
    np.testing.assert_array_equal(resumed.features, whole.features)
    np.testing.assert_array_equal(resumed.views, whole.views)


def test_two_processes_do_not_disturb_each_other(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    model, data = tiny_backbone(), many()

    def run(_):
        return kp.embed(model, data, cache_dir=tmp_path, **QUIET)

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(run, range(2))
    assert sorted([first.computed, second.computed]) == [0, 600]
    np.testing.assert_array_equal(first.features, second.features)


@pytest.mark.tf_only
def test_shuffling_data_set_and_cache_are_refused(tmp_path):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(many()).shuffle(600, seed=1).batch(64)
    with pytest.raises(ValueError, match="Take out what shuffles"):
        kp.embed(tiny_backbone(), dataset, cache_dir=tmp_path, **QUIET)


@pytest.mark.tf_only
@pytest.mark.filterwarnings("ignore:Left out")
def test_picture_that_breaks_while_training_is_left_out(tmp_path):
    folder = tmp_path / "photos"
    for name in ("cats", "dogs"):
        (folder / name).mkdir(parents=True)
        for number in range(4):
            picture = np.full((8, 8, 3), 40 * number, "uint8")
            keras.utils.save_img(folder / name / f"{number}.png", picture, scale=False)
    photos = kp.load_images(folder, image_size=8, validation_fraction=0, cache=None, **QUIET)
    (folder / "cats" / "2.png").write_bytes(b"broken")
    # A rectifier turns NaN into 0, which would look like a feature.
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.ReLU()])
    options = {"augmentation": keras.layers.RandomFlip(seed=1), "cache_dir": tmp_path / "cache"}
    for computed in (16, 0):
        with pytest.warns(UserWarning, match=r"leaves out 1 .*cats/2\.png"):
            found = kp.embed(model, photos.train, **options, **QUIET)
        assert (found.computed, len(found)) == (computed, 7)
        assert not any(record.name.endswith("cats/2.png") for record in found.index)
        assert not np.isnan(found.features).any()
        assert not np.isnan(found.views).any()


def test_network_that_gives_nan_for_whole_pictures_is_named():
    model = tiny_backbone()
    model.weights[0].assign(np.full(model.weights[0].shape, np.nan))
    with pytest.raises(ValueError, match="NaN for images that are whole"):
        kp.embed(model, many(5), **QUIET)


def test_half_precision_is_near():
    model, data = tiny_backbone(), many(40)
    single = kp.embed(model, data, **QUIET)
    half = kp.embed(model, data, mixed_precision=True, **QUIET)
    assert half.features.dtype == np.float32
    assert not np.array_equal(half.features, single.features)
    np.testing.assert_allclose(half.features, single.features, atol=5e-3)


def test_batch_halves_when_memory_runs_out():
    sizes = []

    class Small(FeatureNetwork):
        def _predict(self, images):
            sizes.append(len(images))
            if len(images) > 10:
                raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")
            return super()._predict(images)

    network = Small(keras.Sequential([keras.Input((2,)), keras.layers.Identity()]), 64, False)
    inputs = np.arange(60.0).reshape(30, 2)
    np.testing.assert_array_equal(network(inputs), inputs)
    assert sizes[:3] == [30, 15, 7]


def test_other_errors_of_the_network_are_raised():
    class Broken(FeatureNetwork):
        def _predict(self, images):
            raise RuntimeError("no such kernel")

    with pytest.raises(RuntimeError, match="no such kernel"):
        Broken(keras.Sequential([keras.Input((2,)), keras.layers.Identity()]), 64, False)(
            np.zeros((4, 2))
        )


def test_fingerprints_tell_structure_weights_and_settings():
    assert model_fingerprint(tiny_backbone()) == model_fingerprint(tiny_backbone())
    assert model_fingerprint(tiny_backbone()) != model_fingerprint(tiny_backbone(seed=1))
    flat, maps = (
        keras.Sequential([keras.Input((4, 4, 3)), layer])
        for layer in (keras.layers.Flatten(), keras.layers.Activation("relu"))
    )
    assert model_fingerprint(flat) != model_fingerprint(maps)
    light = kp.augment.light
    assert layers_fingerprint(light(seed=1)) == layers_fingerprint(light(seed=2))
    assert layers_fingerprint([]) != layers_fingerprint(light(seed=1))
    assert layers_fingerprint(kp.augment.standard()) != layers_fingerprint(light())


@pytest.mark.parametrize("value", ["relu", "tanh"])
def test_fingerprint_does_not_take_a_value_for_a_name(value):
    def model(activation, dtype="float32"):
        dense = keras.layers.Dense(2, activation=activation, name=value, dtype=dtype)
        return keras.Sequential([keras.Input((2,)), dense])

    relu, tanh, half = model("relu"), model("tanh"), model("relu", "mixed_float16")
    for other in (tanh, half):
        other.set_weights(relu.get_weights())
        assert model_fingerprint(other) != model_fingerprint(relu)


def test_model_without_configuration_is_refused_by_the_cache(tmp_path):
    class Own(keras.Model):
        def __init__(self, size):
            super().__init__()
            self.size = size

        def call(self, inputs):
            return inputs

    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, Own(3)(inputs))
    with pytest.raises(ValueError, match="leave `cache_dir` out"):
        kp.embed(model, many(10), cache_dir=tmp_path, **QUIET)


def test_split_shares_the_layers():
    model = kp.transfer.classifier(tiny_backbone(), 3)
    body, head = split_at_features(model)
    images, _ = many(5)
    whole = model.predict(images, verbose=0)
    apart = head.predict(body.predict(images, verbose=0), verbose=0)
    np.testing.assert_allclose(apart, whole, atol=1e-6)
    assert head.trainable_variables[0] is model.trainable_variables[0]


def test_split_refuses_a_side_path():
    inputs = keras.Input((4,))
    side = keras.layers.Dense(4)(inputs)
    outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.add([inputs, side]))
    body, _ = split_at_features(keras.Model(inputs, outputs))
    assert body.output_shape == (None, 4)
    late = keras.layers.concatenate([keras.layers.Dense(2)(side), inputs])
    with pytest.raises(ValueError, match="one chain"):
        split_at_features(
            keras.Model(
                inputs, keras.layers.Dense(2)(keras.layers.Dense(3)(late))[:, :1] + side[:, :1]
            )
        )


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"views": 0}, "`views` must be a whole number >= 1"),
        ({"seed": -1}, "`seed` must be"),
        ({"batch_size": 0}, "`batch_size` must be"),
    ],
)
def test_bad_arguments_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        kp.embed(tiny_backbone(), many(4), **options, **QUIET)


def test_wrong_data_and_models_are_named():
    with pytest.raises(ValueError, match="Received: shapes"):
        kp.embed(tiny_backbone(), (np.zeros((2, 4)), [0, 1]), **QUIET)
    with pytest.raises(ValueError, match="no images"):
        kp.embed(tiny_backbone(), (np.zeros((0, 8, 8, 3)), []), **QUIET)
    with pytest.raises(ValueError, match=r"photos\.train.*Received: str"):
        kp.embed(tiny_backbone(), "photos/", **QUIET)
    with pytest.raises(ValueError, match="`model` must be one of"):
        kp.embed("NoSuchNet", many(4), **QUIET)


def test_progress_line_says_what_was_done(capsys, tmp_path):
    for _ in range(2):
        kp.embed(tiny_backbone(), many(300), cache_dir=tmp_path)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("embed: 300 images, 6 features each by tiny, ")
    assert second.endswith("300 from the cache")


def test_warm_cache_needs_no_network(tmp_path, monkeypatch):
    model, data = tiny_backbone(), many()
    kp.embed(model, data, cache_dir=tmp_path, **QUIET)

    def fail(self, images):
        raise AssertionError("the network ran")

    monkeypatch.setattr(FeatureNetwork, "__call__", fail)
    assert kp.embed(model, data, cache_dir=tmp_path, **QUIET).computed == 0


def test_a_layer_whose_code_was_changed_is_computed_again(tmp_path):
    images, labels = tiny_data()

    def network(factor):
        class Scale(keras.layers.Layer):
            def call(self, inputs):
                return inputs * factor

        layers = [Scale(name="scale"), keras.layers.GlobalAveragePooling2D()]
        return keras.Sequential([keras.Input((8, 8, 3)), *layers])

    def embedded(factor):
        options = {"cache_dir": tmp_path, "verbose": False}
        return kp.embed(network(factor), (images, labels), **options)

    first, second, again = embedded(1.0), embedded(100.0), embedded(1.0)
    assert (first.computed, second.computed, again.computed) == (len(images), len(images), 0)
    np.testing.assert_allclose(second.features, 100.0 * first.features, rtol=1e-5)


def test_numbers_to_predict_go_along_as_they_are():
    images, labels = tiny_data()
    targets = labels * 3e6 + 0.5
    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()])
    found = kp.embed(network, (images, targets), verbose=False)
    assert found.class_names == ()
    np.testing.assert_array_equal(found.labels, targets)


def test_sample_weights_go_along():
    images, labels = tiny_data()
    weights = np.linspace(0, 1, len(labels))
    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()])
    found = kp.embed(network, (images, labels, weights), verbose=False)
    np.testing.assert_array_equal(found.sample_weight, weights)
    np.testing.assert_array_equal(found.take([3, 1]).sample_weight, weights[[3, 1]])
