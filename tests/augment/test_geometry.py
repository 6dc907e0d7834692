"""RandomGeometry: against numpy, scipy and Keras's own layers, in every place it may stand."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import ndimage

from keras_practical.augment import RandomGeometry, strong, warping
from keras_practical.augment.geometry import matrices_of

# Also run on JAX.
pytestmark = pytest.mark.any_backend

HEIGHT, WIDTH = 20, 30
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(0, 255, (4, HEIGHT, WIDTH, 3)).astype("float32")


def apply(images, parameters, **options):
    layer = RandomGeometry(**options)
    matrices = matrices_of(parameters, batch_size=4, height=HEIGHT, width=WIDTH)
    found = layer.transform_images(images, {"matrices": matrices, "input_size": (HEIGHT, WIDTH)})
    return ops.convert_to_numpy(found)


def drawn_by(layer, images):
    drawn = layer.get_random_transformation(images, training=True)
    return drawn, ops.convert_to_numpy(layer.transform_images(images, drawn))


# Keras interpolates constant borders otherwise on JAX.
@pytest.mark.parametrize("fill_mode", ["reflect", "nearest"])
def test_rotation_equals_keras(images, fill_mode):
    drawn, expected = drawn_by(keras.layers.RandomRotation(0.1, fill_mode=fill_mode), images)
    angle = np.deg2rad(ops.convert_to_numpy(drawn["angle"]).reshape(-1)).astype("float32")
    assert np.ptp(angle) > 0.05
    np.testing.assert_allclose(
        apply(images, {"angle": angle}, fill_mode=fill_mode), expected, atol=0.05
    )


def test_zoom_equals_keras(images):
    drawn, expected = drawn_by(keras.layers.RandomZoom(0.3), images)
    zoom = 1 / ops.convert_to_numpy(drawn["width_zoom"]).reshape(-1)
    np.testing.assert_allclose(apply(images, {"zoom": zoom}), expected, atol=0.05)


def test_translation_equals_keras(images):
    drawn, expected = drawn_by(keras.layers.RandomTranslation(0.2, 0.3), images)
    shift = ops.convert_to_numpy(drawn["translations"]) / np.array([WIDTH, HEIGHT], "float32")
    np.testing.assert_allclose(apply(images, {"shift": shift}), expected, atol=0.05)


def test_shear_equals_keras_but_for_the_fixed_point(images):
    layer = keras.layers.RandomShear(0.3, 0.2, fill_mode="reflect")
    drawn, expected = drawn_by(layer, images)
    shear = ops.convert_to_numpy(drawn["shear_factor"]).astype("float32")
    # Keras shears about the corner pixel, we about the middle.
    middle = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    moved = shear * middle[::-1]
    shift = _shift_before(shear, -moved / [WIDTH, HEIGHT])
    np.testing.assert_allclose(apply(images, {"shear": shear, "shift": shift}), expected, atol=0.2)


def _shift_before(shear, shift):
    """Return the shift after the shear that does what `shift` would do before it."""
    pixels = shift * [WIDTH, HEIGHT]
    inverse = np.linalg.inv([[[1, x], [y, 1]] for x, y in shear])
    return (np.einsum("bij,bj->bi", inverse, pixels) / [WIDTH, HEIGHT]).astype("float32")


def test_flips_equal_numpy_exactly(images):
    flip_x, flip_y = np.array([1, -1, 1, -1], "float32"), np.array([1, 1, -1, -1], "float32")
    found = apply(images, {"flip_x": flip_x, "flip_y": flip_y})
    expected = [images[0], images[1, :, ::-1], images[2, ::-1], images[3, ::-1, ::-1]]
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-3)


def test_crop_shows_the_box_as_the_whole_picture(images):
    box = np.tile(np.array([[-0.25, 0.25, 0.5, 0.5]], "float32"), (4, 1))
    found = apply(images, {"crop": box}, image_size=(HEIGHT // 2, WIDTH // 2))
    np.testing.assert_allclose(found, images[:, HEIGHT // 2 :, : WIDTH // 2], atol=1e-3)


def test_perspective_shows_the_corners_in_the_corners():
    moved = np.random.default_rng(1).uniform(-0.3, 0.3, (2, 4, 2)).astype("float32")
    matrices = matrices_of({"corners": moved}, batch_size=2, height=HEIGHT, width=WIDTH)
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    halves = np.array([WIDTH / 2, HEIGHT / 2])
    places = np.concatenate([signs * halves, np.ones((4, 1))], 1)
    mapped = places @ np.transpose(ops.convert_to_numpy(matrices), (0, 2, 1))
    found = mapped[..., :2] / mapped[..., 2:]
    np.testing.assert_allclose(found, signs * (1 + moved) * halves, atol=1e-3)


@pytest.mark.parametrize("fill_mode", ["reflect", "constant", "nearest"])
def test_composition_equals_scipy(images, fill_mode):
    rng = np.random.default_rng(2)
    parameters = {
        "crop": np.tile(np.array([[0.1, -0.05, 0.8, 0.9]], "float32"), (4, 1)),
        "flip_x": np.array([1, -1, 1, -1], "float32"),
        "angle": rng.uniform(-1, 1, 4).astype("float32"),
        "zoom": rng.uniform(0.5, 1.5, 4).astype("float32"),
        "shear": rng.uniform(-0.3, 0.3, (4, 2)).astype("float32"),
        "shift": rng.uniform(-0.3, 0.3, (4, 2)).astype("float32"),
        "corners": rng.uniform(-0.2, 0.2, (4, 4, 2)).astype("float32"),
    }
    size = (24, 16)
    found = apply(images, parameters, fill_mode=fill_mode, fill_value=7.0, image_size=size)
    matrices = ops.convert_to_numpy(
        matrices_of(parameters, batch_size=4, height=HEIGHT, width=WIDTH)
    )
    rows, columns = np.meshgrid(np.arange(24) + 0.5, np.arange(16) + 0.5, indexing="ij")
    x, y = columns * WIDTH / 16 - WIDTH / 2, rows * HEIGHT / 24 - HEIGHT / 2
    for image, matrix, ours in zip(images, matrices, found, strict=True):
        x_in, y_in, scale = np.einsum("ij,jhw->ihw", matrix, np.stack([x, y, np.ones_like(x)]))
        at = [y_in / scale + HEIGHT / 2 - 0.5, x_in / scale + WIDTH / 2 - 0.5]
        for channel in range(3):
            expected = ndimage.map_coordinates(
                image[..., channel], at, order=1, cval=7.0,
                mode={"reflect": "reflect", "constant": "grid-constant", "nearest": "nearest"}[
                    fill_mode
                ],
            )  # fmt: skip
            np.testing.assert_allclose(ours[..., channel], expected, atol=0.3)


def test_every_way_to_resample_gives_the_same_picture(images):
    if not ON_TENSORFLOW:
        pytest.skip("the other ways are TensorFlow's")
    layer = RandomGeometry(crop=(0.5, 1), rotation=30, perspective=0.2, seed=3)
    matrices = layer.get_random_transformation(images)["matrices"]
    tensor = ops.convert_to_tensor(images)
    index = ops.matmul(ops.matmul(_centre(0.5), matrices), _centre(-0.5))
    for interpolation in ("bilinear", "nearest"):
        for fill_mode in warping.FILL_MODES:
            options = {"interpolation": interpolation, "fill_mode": fill_mode, "fill_value": 9.0}
            first = warping._opencv(tensor, index, (HEIGHT, WIDTH), **options).numpy()
            for way in (warping._tensorflow_kernel, warping._gather):
                other = way(tensor, index, (HEIGHT, WIDTH), **options).numpy()
                # Rounding decides ties otherwise; a few pixels lie on one.
                differ = np.abs(first - other) > 0.1
                assert differ.mean() < 0.01, (way, interpolation, fill_mode)


def _centre(sign):
    return np.array(
        [[[1, 0, sign * (WIDTH - 1)], [0, 1, sign * (HEIGHT - 1)], [0, 0, 1]]], "float32"
    )


def test_masks_and_boxes_stay_on_the_picture():
    images = np.zeros((3, 40, 40, 3), "float32")
    images[:, 10:20, 24:36] = 200
    layer = RandomGeometry(
        horizontal_flip=0.5, rotation=30, zoom=0.1, translation=0.05, fill_mode="constant",
        image_size=80, seed=1,
    )  # fmt: skip
    drawn = layer.get_random_transformation(images)
    moved = ops.convert_to_numpy(layer.transform_images(images, drawn))[..., 0]
    masks = layer.transform_segmentation_masks((images[..., :1] > 0).astype("uint8"), drawn)
    masks = ops.convert_to_numpy(masks)[..., 0]
    assert masks.dtype == np.uint8
    assert (masks == (moved > 100)).mean() > 0.99
    boxes = layer.transform_bounding_boxes(np.tile([[[24.0, 10, 36, 20]]], (3, 1, 1)), drawn)
    for mask, (left, top, right, bottom) in zip(
        masks, ops.convert_to_numpy(boxes)[:, 0], strict=True
    ):
        rows, columns = np.nonzero(mask)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(found, [left, top, right, bottom], atol=2)


def test_asymmetric_picture_is_never_mirrored_without_a_flip():
    # An L: turned, tilted and moved, its corner stays to the left of its long stroke's way up.
    image = np.zeros((32, 32, 1), "float32")
    image[4:28, 8:12], image[24:28, 8:24] = 1, 1
    layer = RandomGeometry(rotation=180, shear=10, perspective=0.1, fill_mode="constant", seed=0)
    points = np.array([[[-6.0, -12], [-6, 10], [8, 10]]], "float32")
    for _ in range(20):
        matrices = layer.get_random_transformation(image)["matrices"]
        top, corner, end = ops.convert_to_numpy(warping.transform_points(points, matrices))[0]
        down, right = corner - top, end - corner
        assert down[0] * right[1] - down[1] * right[0] < 0


def test_same_seed_gives_same_pictures_and_another_seed_others(images):
    def run(seed):
        return ops.convert_to_numpy(
            RandomGeometry(rotation=20, zoom=0.2, seed=seed)(images, training=True)
        )

    np.testing.assert_array_equal(run(5), run(5))
    assert np.abs(run(5) - run(6)).mean() > 1


def test_each_picture_is_drawn_for_itself():
    images = np.tile(np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 3)), (8, 1, 1, 1))
    found = ops.convert_to_numpy(
        RandomGeometry(rotation=30, seed=0)(images.astype("float32"), training=True)
    )
    assert len({picture.tobytes() for picture in found}) == 8


@pytest.mark.parametrize(
    "name", ["crop", "rotation", "zoom", "shear", "translation", "perspective"]
)
def test_probability_of_a_transform(name):
    value = {"crop": (0.2, 0.5), "zoom": (1.5, 2.0), "perspective": 0.5}.get(name, 0.3)
    options = {"rotation": 40, "shear": 20}
    layer = RandomGeometry(**{name: options.get(name, value)}, probability={name: 0.25}, seed=0)
    images = np.zeros((400, 8, 8, 1), "float32")
    matrices = ops.convert_to_numpy(layer.get_random_transformation(images)["matrices"])
    changed = np.abs(matrices - np.eye(3)).max((1, 2)) > 1e-5
    assert 0.18 < changed.mean() < 0.32


def test_drawn_values_fill_their_ranges():
    images = np.zeros((500, 10, 10, 1), "float32")
    matrices = ops.convert_to_numpy(
        RandomGeometry(zoom=(1.0, 2.0), seed=0).get_random_transformation(images)["matrices"]
    )
    zoom = 1 / matrices[:, 0, 0]
    np.testing.assert_allclose([zoom.min(), zoom.max()], [1.0, 2.0], atol=0.02)
    matrices = ops.convert_to_numpy(
        RandomGeometry(crop=(0.3, 0.6), seed=0).get_random_transformation(images)["matrices"]
    )
    area = matrices[:, 0, 0] * matrices[:, 1, 1]
    np.testing.assert_allclose([area.min(), area.max()], [0.3, 0.6], atol=0.03)


def test_inference_leaves_pictures_alone_but_for_their_size(images):
    layer = RandomGeometry(rotation=90, image_size=(10, 15))
    found = ops.convert_to_numpy(layer(images, training=False))
    assert found.shape == (4, 10, 15, 3)
    np.testing.assert_allclose(found.mean((1, 2)), images.mean((1, 2)), atol=5)
    plain = RandomGeometry(rotation=90)
    np.testing.assert_array_equal(ops.convert_to_numpy(plain(images, training=False)), images)


def test_model_augments_in_fit_only(images):
    model = keras.Sequential([keras.Input((HEIGHT, WIDTH, 3)), RandomGeometry(rotation=45, seed=0)])
    model.add(keras.layers.Dense(3, use_bias=False, kernel_initializer="identity"))
    np.testing.assert_array_equal(model.predict(images, verbose=0), images)
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    assert model.evaluate(images, images, verbose=0) == 0.0
    history = model.fit(images, images, verbose=0, epochs=2)
    first, second = history.history["loss"]
    assert first > 100
    assert first != second


def test_model_is_saved_and_loaded(images, tmp_path):
    layer = RandomGeometry(
        crop=(0.5, 1.0), horizontal_flip=0.5, zoom=(1.0, 1.2), probability={"zoom": 0.5},
        image_size=16, fill_mode="constant", fill_value=3.0, seed=4,
    )  # fmt: skip
    model = keras.Sequential([keras.Input((HEIGHT, WIDTH, 3)), layer])
    assert model.output_shape == (None, 16, 16, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].get_config() == layer.get_config()
    np.testing.assert_array_equal(
        ops.convert_to_numpy(loaded(images, training=True)),
        ops.convert_to_numpy(model(images, training=True)),
    )


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "uint8"])
def test_types(images, dtype):
    layer = RandomGeometry(rotation=30, zoom=0.1, image_size=12, seed=0, dtype=dtype)
    reference = RandomGeometry(rotation=30, zoom=0.1, image_size=12, seed=0)
    found = layer(ops.cast(ops.round(images), dtype), training=True)
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    expected = ops.convert_to_numpy(reference(np.round(images), training=True))
    found = ops.convert_to_numpy(ops.cast(found, "float32"))
    np.testing.assert_allclose(found, expected, atol=3 if dtype == "bfloat16" else 0.6)


def test_single_picture(images):
    one = RandomGeometry(rotation=30, image_size=12, seed=0)(images[0], training=True)
    many = RandomGeometry(rotation=30, image_size=12, seed=0)(images[:1], training=True)
    np.testing.assert_array_equal(ops.convert_to_numpy(one), ops.convert_to_numpy(many)[0])


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_other_numbers_of_channels(channels):
    images = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, channels)).astype("float32")
    found = ops.convert_to_numpy(RandomGeometry(horizontal_flip=1.0)(images, training=True))
    np.testing.assert_allclose(found, images[:, :, ::-1], atol=1e-3)


@pytest.mark.tf_only
def test_in_tf_data_with_unknown_shapes(images):
    import tensorflow as tf

    layer = RandomGeometry(horizontal_flip=0.5, rotation=20, seed=0)
    signature = tf.TensorSpec((None, None, None, 3), tf.float32)
    data = tf.data.Dataset.from_generator(
        lambda: iter([images, images[:2, :10]]), output_signature=signature
    )
    shapes = [tuple(batch.shape) for batch in data.map(lambda batch: layer(batch, training=True))]
    assert shapes == [(4, HEIGHT, WIDTH, 3), (2, 10, WIDTH, 3)]
    singles = tf.data.Dataset.from_tensor_slices(images).map(
        lambda image: layer(image, training=True), num_parallel_calls=2
    )
    assert len([*singles.batch(4)]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"rotation": "x"},
            "`rotation` must be a number or a .low, high. pair, within -360 to 360",
        ),
        ({"zoom": (1.2, 0.9)}, "`zoom` .* Received: zoom=.1.2, 0.9."),
        ({"zoom": 1.0}, "`zoom` must be a number or a .low, high. pair, within 0.01 to 100"),
        ({"crop": 2.0}, "`crop`"),
        ({"horizontal_flip": 2}, "`horizontal_flip` must be a number from 0 to 1"),
        ({"perspective": 1.0}, "`perspective` must be a number from 0 to 0.9"),
        ({"fill_mode": "wrap"}, "`fill_mode` must be one of 'reflect', 'constant', 'nearest'"),
        ({"probability": {"flip": 1}}, "`probability` must be one of 'crop'.* probability='flip'"),
        ({"probability": 1.5}, "`probability` must be a number from 0 to 1"),
        ({"image_size": 0}, "`image_size` must be a whole number of pixels"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandomGeometry(**arguments)


@pytest.mark.tf_only
def test_exported_model_does_not_augment(images, tmp_path):
    import tensorflow as tf

    learning = keras.layers.Conv2D(3, 1)
    model = keras.Sequential([keras.Input((HEIGHT, WIDTH, 3)), *strong(), learning])
    expected = learning(images).numpy()
    np.testing.assert_allclose(model(images).numpy(), expected, rtol=1e-5, atol=1e-3)
    model.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(loaded.serve(images).numpy(), expected, rtol=1e-5, atol=1e-3)


@pytest.mark.tf_only
def test_called_by_themselves_layers_augment_as_keras_s_do(images):
    import tensorflow as tf

    layers = strong(seed=1)

    def one_after_the_other(batch):
        for layer in layers:
            batch = layer(batch)
        return batch

    as_a_model = keras.Sequential([keras.Input((HEIGHT, WIDTH, 3)), *strong(seed=1)])
    for augment in (one_after_the_other, as_a_model):
        dataset = tf.data.Dataset.from_tensor_slices(images).batch(len(images)).map(augment)
        [augmented] = list(dataset.as_numpy_iterator())
        assert np.abs(augmented - images).mean() > 5.0
    np.testing.assert_array_equal(RandomGeometry(rotation=20)(images, training=False), images)


def test_channels_first_is_channels_last_turned(images):
    options = {"rotation": 20, "shear": 5, "seed": 3}
    expected = RandomGeometry(**options)(images, training=True)
    turned = np.moveaxis(images, -1, 1)
    layer = RandomGeometry(**options, data_format="channels_first")
    found = keras.ops.convert_to_numpy(layer(turned, training=True))
    np.testing.assert_allclose(np.moveaxis(found, 1, -1), expected, atol=1e-4)


def test_mapping_moves_images_masks_and_boxes_alike(images):
    masks = (images[..., :1] > 127).astype("int32")
    boxes = np.tile(np.array([[[2.0, 3.0, 8.0, 9.0]]]), (len(images), 1, 1))
    layer = RandomGeometry(horizontal_flip=1.0, bounding_box_format="xyxy")
    found = layer(
        {
            "images": images,
            "segmentation_masks": masks,
            "bounding_boxes": {"boxes": boxes, "labels": np.ones((len(images), 1))},
            "labels": np.arange(len(images)),
        },
        training=True,
    )
    np.testing.assert_allclose(found["images"], images[:, :, ::-1], atol=1e-3)
    np.testing.assert_array_equal(found["segmentation_masks"], masks[:, :, ::-1])
    moved = keras.ops.convert_to_numpy(found["bounding_boxes"]["boxes"])
    np.testing.assert_allclose(moved[0, 0], [WIDTH - 8, 3, WIDTH - 2, 9], atol=1e-4)
    np.testing.assert_array_equal(found["labels"], np.arange(len(images)))
