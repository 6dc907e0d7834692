"""Grad-CAM and occlusion: exact where it can be worked out by hand, right on trained networks."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_practical as kp
from keras_practical.scans import classifier as volume_classifier
from keras_practical.transfer import classifier
from keras_practical.utils.keras_internals.graph import before_probabilities, last_map

# Also run on JAX.
pytestmark = pytest.mark.any_backend

SIZE, PATCH = 24, 6


def network(head, *, units=3, activation="softmax", shape=(8, 10, 3)):
    """Return a small CNN with positive and negative weights in its head."""
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu", padding="same", name="early"),
            layers.Conv2D(5, 3, activation="relu", padding="same", name="late"),
            head,
            layers.Dense(units, activation=activation, name="out"),
        ]
    )


def picture(rng, shape=(8, 10, 3)):
    return rng.integers(0, 256, shape).astype("uint8")


def maps_of(model, image):
    inner = keras.Model(model.inputs[0], model.get_layer("late").output)
    return np.asarray(inner(image[None].astype("float32")))[0]


@pytest.mark.parametrize("class_index", [0, 1, 2])
def test_grad_cam_on_a_linear_head_is_cam(rng, class_index):
    model, image = network(layers.GlobalAveragePooling2D()), picture(rng)
    found = kp.grad_cam(model, image, class_index=class_index)
    # Zhou et al. (2016), equation 2; the mean over 8 x 10 places is Grad-CAM's 1 / Z.
    cam = maps_of(model, image) @ model.get_layer("out").get_weights()[0][:, class_index]
    np.testing.assert_allclose(found.values, np.maximum(cam, 0) / 80, atol=1e-5)
    assert found.output == pytest.approx(np.asarray(model(image[None]))[0, class_index], abs=1e-6)


def test_grad_cam_on_a_flat_head_takes_the_mean_slope(rng):
    model, image = network(layers.Flatten()), picture(rng)
    found = kp.grad_cam(model, image, class_index=2)
    slopes = model.get_layer("out").get_weights()[0][:, 2].reshape(8, 10, 5)
    expected = np.maximum(maps_of(model, image) @ slopes.mean((0, 1)), 0)
    np.testing.assert_allclose(found.values, expected, atol=1e-5)


def test_grad_cam_of_an_earlier_layer(rng):
    model, image = network(layers.GlobalAveragePooling2D()), picture(rng)
    named = kp.grad_cam(model, image, layer="early")
    given = kp.grad_cam(model, image, layer=model.get_layer("early"))
    np.testing.assert_array_equal(named.values, given.values)
    assert np.abs(named.values - kp.grad_cam(model, image).values).max() > 1e-4


def backbone(output="map"):
    keras.utils.set_random_seed(2)
    stack = [keras.Input((12, 12, 3)), layers.Conv2D(6, 3, activation="relu", name="conv")]
    return keras.Sequential(stack + [layers.GlobalAveragePooling2D()] * (output == "vector"))


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize("output", ["map", "vector"])
def test_grad_cam_weights_are_what_a_channel_adds_to_the_logit(rng, head, output):
    body = backbone(output)
    model = classifier(
        body,
        3,
        head=head,
        preprocessing="minus_one_to_one",
        augmentation=[layers.RandomFlip(seed=0), layers.RandomRotation(0.3, seed=0)],
        seed=0,
    )
    image = picture(rng, (12, 12, 3))
    found = kp.grad_cam(model, image, class_index=1)
    conv = body.get_layer("conv")
    inner = keras.Model(body.inputs[0], conv.output)
    maps = np.asarray(inner(image[None] / 127.5 - 1.0))
    last, original = model.layers[-1], conv.call

    def logit(shift):
        conv.call = lambda inputs: keras.ops.convert_to_tensor(maps + shift)
        last.activation = keras.activations.linear
        try:
            return float(np.asarray(model(image[None]))[0, 1])
        finally:
            conv.call = original
            last.activation = keras.activations.softmax

    step = 1e-2
    weights = [
        (logit(step * one) - logit(-step * one)) / (2 * step) for one in np.eye(6, dtype="float32")
    ]
    # Raising a channel everywhere adds its slopes up; Grad-CAM takes their mean.
    expected = np.maximum((maps[0] @ np.array(weights)) / maps[0, :, :, 0].size, 0)
    np.testing.assert_allclose(found.values, expected, atol=2e-3 * max(1.0, expected.max()))
    assert found.heat.shape == (12, 12)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_the_score_is_the_logit_however_the_model_ends(rng, activation):
    image = picture(rng)
    model = network(layers.GlobalAveragePooling2D(), activation=activation)
    logits = network(layers.GlobalAveragePooling2D(), activation=None)
    logits.set_weights(model.get_weights())
    separate = keras.Sequential([keras.Input((8, 10, 3)), *logits.layers, layers.Softmax()])
    nested = keras.Sequential([keras.Input((8, 10, 3)), model])
    expected = kp.grad_cam(logits, image, class_index=0).values
    for other in (model, separate, nested):
        found = kp.grad_cam(other, image, class_index=0)
        np.testing.assert_allclose(found.values, expected, atol=1e-6)


def test_a_hidden_sigmoid_before_the_softmax_stays(rng):
    hidden, image = network(layers.GlobalAveragePooling2D(), activation="sigmoid"), picture(rng)
    both = keras.Sequential([keras.Input((8, 10, 3)), *hidden.layers, layers.Softmax()])
    given = np.asarray(hidden(image[None]))
    with before_probabilities(both):
        np.testing.assert_allclose(np.asarray(both(image[None])), given, atol=1e-6)


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_one_output_stands_for_class_1(rng, activation):
    model, image = network(layers.Flatten(), units=1, activation=activation), picture(rng)
    given = float(np.asarray(model(image[None])).item())
    zero, one = (kp.grad_cam(model, image, class_index=index) for index in (0, 1))
    assert one.output == pytest.approx(given, abs=1e-6)
    assert zero.output == pytest.approx(1 - given if activation else -given, abs=1e-6)
    assert kp.grad_cam(model, image).class_index == (given >= (0.5 if activation else 0))
    slopes = model.get_layer("out").get_weights()[0][:, 0].reshape(8, 10, 5).mean((0, 1))
    expected = maps_of(model, image) @ slopes
    np.testing.assert_allclose(one.values - zero.values, expected, atol=1e-5)


def test_a_model_is_left_as_it_was(rng):
    model, image = network(layers.GlobalAveragePooling2D()), picture(rng)
    before = np.asarray(model(image[None]))
    nodes = [len(layer._inbound_nodes) for layer in model.layers]
    kp.grad_cam(model, image)
    with before_probabilities(model):
        assert np.asarray(model(image[None])).sum() != pytest.approx(1.0)
    with pytest.raises(ValueError, match="class_names"):
        kp.grad_cam(model, image, class_names=[])
    np.testing.assert_array_equal(np.asarray(model(image[None])), before)
    assert [len(layer._inbound_nodes) for layer in model.layers] == nodes
    assert not any("call" in vars(layer) for layer in model.layers)


def test_a_saved_model_gives_the_same(rng, tmp_path):
    model = classifier(backbone(), 2, seed=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    image = picture(rng, (12, 12, 3))
    expected = kp.grad_cam(model, image).values
    np.testing.assert_allclose(kp.grad_cam(loaded, image).values, expected, atol=1e-6)


@pytest.mark.parametrize("class_index", [0, 1])
@pytest.mark.parametrize("separate", [False, True])
def test_a_calibrated_model_is_looked_into_too(rng, class_index, separate):
    # Pixels that aren't scaled saturate the softmax: its logarithm has no slope left.
    model = classifier(backbone(), 2, seed=0)
    if separate:
        model.layers[-1].activation = keras.activations.linear
        model = keras.Sequential([keras.Input((12, 12, 3)), model, layers.Softmax()])
    image = picture(rng, (12, 12, 3))
    cooler = kp.evaluation.with_temperature(model, 2.0)
    plain, found = (kp.grad_cam(m, image, class_index=class_index) for m in (model, cooler))
    np.testing.assert_allclose(2 * found.values, plain.values, rtol=1e-4, atol=1e-5)


def test_of_two_classes_one_has_heat(rng):
    # So that the test before compares more than nothing with nothing.
    model, image = classifier(backbone(), 2, seed=0), picture(rng, (12, 12, 3))
    heat = [kp.grad_cam(model, image, class_index=index).values.max() for index in (0, 1)]
    assert max(heat) > 0.1


@pytest.mark.parametrize("class_index", [0, 1])
def test_half_precision_changes_little(rng, class_index):
    model = classifier(backbone(), 2, seed=0)
    image = picture(rng, (12, 12, 3))
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        half = classifier(backbone(), 2, seed=0)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    half.set_weights(model.get_weights())
    expected = kp.grad_cam(model, image, class_index=class_index).values
    found = kp.grad_cam(half, image, class_index=class_index).values
    np.testing.assert_allclose(found, expected, atol=0.01 * max(1.0, expected.max()))


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv = layers.Conv2D(4, 3)
        self.pool = layers.GlobalAveragePooling2D()
        self.out = layers.Dense(2)

    def call(self, inputs):
        return self.out(self.pool(self.conv(inputs)))


def test_a_model_of_ones_own_class_needs_the_layer(rng):
    model, image = Own(), picture(rng).astype("float32")
    model(image[None])
    with pytest.raises(ValueError, match="pass `layer` for a model of your own class"):
        kp.grad_cam(model, image)
    found = kp.grad_cam(model, image, layer=model.conv, class_index=1)
    cam = np.asarray(model.conv(image[None]))[0] @ np.asarray(model.out.kernel)[:, 1] / 48
    np.testing.assert_allclose(found.values, np.maximum(cam, 0), rtol=1e-4, atol=1e-4)


def test_a_scan_gets_a_map_for_each_slice(rng):
    model = volume_classifier(backbone(), 2, channels=1, seed=0)
    found = kp.grad_cam(model, rng.integers(0, 256, (5, 12, 12, 1)).astype("float32"))
    assert found.heat.shape == (5, 12, 12)
    assert found.heat.max() == 1.0
    number = found.hottest[0]
    assert found.slice(number).heat.max() == 1.0
    assert found.overlay().shape == (12, 12, 3)
    assert f"slice {number} of 5, row" in str(found)
    with pytest.raises(ValueError, match="There are 5 slices"):
        found.slice(5)
    with pytest.raises(ValueError, match="only those of scans have slices"):
        found.slice(0).slice(0)


def write(folder, height, width, orientation=1):
    from PIL import Image

    pixels = np.arange(height * width * 3, dtype="uint32").reshape(height, width, 3) % 251
    image = Image.fromarray(pixels.astype("uint8"))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = folder / "ein Foto ü.png"
    image.save(file, exif=exif)
    return file


@pytest.mark.parametrize(
    ("aspect", "shape"), [("crop", (48, 48)), ("pad", (72, 72)), ("stretch", (48, 72))]
)
def test_a_photo_is_shown_at_its_own_resolution(tmp_path, aspect, shape):
    file = write(tmp_path, 48, 72)
    found = kp.grad_cam(classifier(backbone(), 2, seed=0), file, aspect=aspect)
    assert found.image.shape == (*shape, 3)
    assert found.heat.shape == shape
    whole = kp.read_image(file)
    expected = {"crop": whole[:, 12:60], "stretch": whole, "pad": whole}[aspect]
    middle = found.image[12:60] if aspect == "pad" else found.image
    np.testing.assert_array_equal(middle, expected)


def test_a_sideways_photo_is_turned_before(tmp_path):
    file = write(tmp_path, 48, 72, orientation=6)
    found = kp.occlusion(classifier(backbone(), 2, seed=0), file, aspect="stretch")
    assert found.image.shape == (72, 48, 3)


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((8, 10)), {"class_index": 3}, r"must be of shape \(8, 10, 3\)|from 0 to 2"),
        (np.zeros((8, 10, 3)), {"class_index": 3}, "`class_index` must be from 0 to 2"),
        (np.zeros((8, 10, 3)), {"class_index": -1}, "`class_index` must be a whole number"),
        (np.zeros((8, 10, 3)), {"class_names": ["a"], "class_index": 1}, "a name for class 1"),
        (np.zeros((8, 10, 3)), {"aspect": "squash"}, "`aspect` must be one of"),
        (np.zeros((1, 8, 10, 3)), {}, r"one image, of shape \(8, 10, 3\)"),
        (np.zeros((0, 10, 3)), {}, "one image"),
        (np.full((8, 10, 3), np.nan), {}, "NaN or infinite"),
        ("nowhere.jpg", {}, "no such file"),
    ],
)
@pytest.mark.parametrize("method", [kp.grad_cam, kp.occlusion])
def test_what_is_wrong_is_named(method, image, options, message):
    with pytest.raises(ValueError, match=message):
        method(network(layers.Flatten()), image, **options)


def test_grad_cam_names_layers_and_outputs_that_do_not_fit(rng):
    model, image = network(layers.Flatten()), picture(rng)
    with pytest.raises(ValueError, match=r"gives a feature map: rescaling.*early, late"):
        kp.grad_cam(model, image, layer="out")
    with pytest.raises(ValueError, match=r"must give a feature map.*gives \(1, 3\)"):
        kp.grad_cam(model, image, layer=model.layers[-1])
    with pytest.raises(ValueError, match="used 0 times"):
        kp.grad_cam(model, image, layer=layers.Conv2D(2, 3))
    flat = keras.Sequential([keras.Input((8, 10, 3)), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ValueError, match="has no feature map"):
        kp.grad_cam(flat, image)
    with pytest.raises(ValueError, match="must be built"):
        kp.grad_cam(keras.Sequential([layers.Conv2D(2, 3), layers.Flatten()]), image)
    two = keras.Model(model.inputs[0], {"a": model.outputs[0], "b": model.outputs[0]})
    with pytest.raises(ValueError, match=r"must have one output.*2 outputs a, b"):
        kp.grad_cam(two, image, layer="late")


def test_the_last_map_is_the_backbones():
    assert last_map(classifier(body := backbone(), 2)) is body
    inner = backbone("vector")
    assert last_map(classifier(inner, 2)) is inner.get_layer("conv")


@pytest.mark.parametrize("class_index", [0, 1, 2])
def test_occlusion_equals_covering_by_hand(rng, class_index):
    model, image = network(layers.GlobalAveragePooling2D()), picture(rng)
    found = kp.occlusion(
        model,
        image,
        class_index=class_index,
        patch_pixels=4,
        stride_pixels=3,
        fill=[1, 2, 3],
        batch_size=5,
    )

    def log_odds(pixels):
        probabilities = np.asarray(model(pixels[None])).astype("float64")[0]
        return np.log(probabilities[class_index] / np.delete(probabilities, class_index).sum())

    whole = log_odds(image)
    # Rows start at 0, 3 and 4, so that the last are covered too; columns at 0, 3 and 6.
    expected = np.zeros((3, 3))
    total, count = np.zeros((8, 10)), np.zeros((8, 10))
    for i, row in enumerate([0, 3, 4]):
        for j, column in enumerate([0, 3, 6]):
            covered = image.astype("float32")
            covered[row : row + 4, column : column + 4] = [1, 2, 3]
            expected[i, j] = whole - log_odds(covered)
            total[row : row + 4, column : column + 4] += expected[i, j]
            count[row : row + 4, column : column + 4] += 1
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    heat = np.maximum(total / count, 0)
    np.testing.assert_allclose(found.heat, heat / (heat.max() or 1.0), atol=1e-3)


def test_occlusion_of_one_output_is_mirrored_for_class_0(rng):
    model, image = network(layers.Flatten(), units=1, activation="sigmoid"), picture(rng)
    zero, one = (kp.occlusion(model, image, class_index=index) for index in (0, 1))
    np.testing.assert_allclose(zero.values, -one.values, atol=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_pixels": 9}, "at most the image's shorter side, 8"),
        ({"patch_pixels": 0}, "`patch_pixels` must be"),
        ({"patch_pixels": 2, "stride_pixels": 3}, "`stride_pixels` at most `patch_pixels`"),
        ({"fill": [1, 2]}, r"`fill` must be a number, or one for each channel"),
        ({"batch_size": 0}, "`batch_size`"),
    ],
)
def test_occlusion_says_what_is_wrong(rng, options, message):
    with pytest.raises(ValueError, match=message):
        kp.occlusion(network(layers.Flatten()), picture(rng), **options)


def planted(n, seed):
    """Return noise with a patch of upright (class 0) or level (class 1) stripes, and its place."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(0, 255, (n, SIZE, SIZE, 1))
    labels = np.arange(n) % 2
    places = rng.integers(0, SIZE - PATCH + 1, (n, 2))
    stripes = 255.0 * (np.arange(PATCH) // 1 % 2)
    for image, label, (row, column) in zip(images, labels, places, strict=True):
        patch = np.tile(stripes, (PATCH, 1))
        image[row : row + PATCH, column : column + PATCH, 0] = patch.T if label else patch
    return images.astype("float32"), labels, places


def test_heat_lies_on_the_planted_patch():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 1)),
            layers.Rescaling(1 / 127.5, -1),
            layers.Conv2D(8, 5, padding="same", activation="relu"),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.GlobalMaxPooling2D(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(0.01), loss=loss, metrics=["accuracy"])
    model.fit(*planted(512, seed=1)[:2], epochs=8, batch_size=32, verbose=0)
    images, labels, places = planted(20, seed=2)
    assert model.evaluate(images, labels, verbose=0)[1] > 0.9
    hits = {kp.grad_cam: 0, kp.occlusion: 0}
    for method in hits:
        for image, label, (row, column) in zip(images, labels, places, strict=True):
            down, right = method(model, image, class_index=int(label)).hottest
            # A pixel's leeway: half a filter.
            hits[method] += row - 1 <= down <= row + PATCH and column - 1 <= right <= column + PATCH
    # By chance a pixel is there in (8 / 24)² = 11 % of cases.
    assert min(hits.values()) >= 0.9 * len(images), hits


def test_a_map_draws_and_prints(rng):
    found = kp.grad_cam(network(layers.Flatten()), picture(rng), class_names=["ä", "$b$", "c"])
    ax = found.plot()
    assert ax.get_title().startswith(found.class_name)
    ax.figure.canvas.draw()
    row, column = found.hottest
    assert found.heat[row, column] == 1.0
    assert str(found).endswith(f"row {row}, column {column} of 8 x 10 pixels")
    cold = kp.plots.overlaid(found.image, np.zeros((8, 10)))
    np.testing.assert_array_equal(cold, found.image)


def test_nothing_that_speaks_for_a_class_is_no_heat():
    model = network(layers.GlobalAveragePooling2D())
    found = kp.grad_cam(model, np.zeros((8, 10, 3)))
    assert not found.heat.any()
    assert str(found).endswith("nothing in the image speaks for it")
    assert found.plot().get_title().endswith("no evidence")


def test_pictures_in_zero_to_one_are_shown(rng):
    image = rng.uniform(0, 1, (8, 10, 3))
    found = kp.grad_cam(network(layers.Flatten()), image)
    np.testing.assert_allclose(found.image, 255 * image, atol=0.51)


@pytest.mark.parametrize(
    ("heat", "message"),
    [(np.zeros((2, 2)), "of the same"), (np.full((8, 8), 1.5), r"in \[0, 1\]")],
)
def test_overlaid_says_what_is_wrong(heat, message):
    with pytest.raises(ValueError, match=message):
        kp.plots.overlaid(np.zeros((8, 8, 3)), heat)


def linear_on_pixels(units, activation, scale, *, separate=None):
    """Return a model of pixels alone, and its weights."""
    rng = np.random.default_rng(5)
    kernel = (scale * rng.normal(size=(48, units)) / 255).astype("float32")
    bias = rng.normal(size=units).astype("float32")
    dense = layers.Dense(units, activation=activation)
    ends = {"layer": layers.Activation, "softmax": lambda _: layers.Softmax()}
    inputs = keras.Input((4, 4, 3))
    outputs = dense(layers.Flatten()(inputs))
    if separate == "operation":
        outputs = {"softmax": keras.ops.softmax, "sigmoid": keras.ops.sigmoid}[activation](
            layers.Dense(units, name="linear")(layers.Flatten()(inputs))
        )
    elif separate is not None:
        outputs = ends[separate](activation)(layers.Dense(units)(layers.Flatten()(inputs)))
    model = keras.Model(inputs, outputs)
    model.set_weights([kernel, bias])
    return model, kernel.astype("float64"), bias.astype("float64")


@pytest.mark.parametrize("scale", [1.0, 30.0, 300.0])
@pytest.mark.parametrize(
    ("units", "activation", "separate"),
    [
        (3, "softmax", None),
        (2, "softmax", "softmax"),
        (3, "softmax", "layer"),
        (3, "softmax", "operation"),
        (3, "sigmoid", None),
        (1, "sigmoid", None),
        (1, "sigmoid", "layer"),
        (1, "sigmoid", "operation"),
        (3, None, None),
        (1, None, None),
    ],
)
def test_occlusion_is_the_fall_of_the_log_odds(units, activation, separate, scale, rng):
    model, kernel, bias = linear_on_pixels(units, activation, scale, separate=separate)
    image = rng.integers(0, 256, (4, 4, 3)).astype("float32")

    def log_odds(pixels, chosen):
        logits = pixels.reshape(-1).astype("float64") @ kernel + bias
        if units == 1:
            return (2 * chosen - 1) * logits[0]
        others = np.logaddexp.reduce(np.delete(logits, chosen)) if activation == "softmax" else 0
        return logits[chosen] - others

    for chosen in range(max(units, 2)):
        found = kp.occlusion(
            model, image, class_index=chosen, patch_pixels=1, fill=9.0, verbose=False
        )
        expected = np.zeros((4, 4))
        for row, column in np.ndindex(4, 4):
            covered = image.copy()
            covered[row, column] = 9.0
            expected[row, column] = log_odds(image, chosen) - log_odds(covered, chosen)
        np.testing.assert_allclose(
            found.values, expected, rtol=1e-4, atol=1e-4 * max(1, scale / 30)
        )
        heat = np.maximum(expected, 0)
        np.testing.assert_allclose(found.heat, heat / heat.max(), atol=1e-3)


@pytest.mark.parametrize("ahead", [0.0, 12.0, 60.0, 500.0])
@pytest.mark.parametrize("units", [1, 3])
def test_a_network_that_says_the_same_of_all_images_has_no_heat(units, ahead, rng):
    activation = "sigmoid" if units == 1 else "softmax"
    model = network(layers.GlobalAveragePooling2D(), units=units, activation=activation)
    out = model.get_layer("out")
    out.set_weights([np.zeros((5, units)), np.eye(units)[-1] * ahead])
    for method in (kp.occlusion, kp.grad_cam):
        for chosen in range(max(units, 2)):
            found = method(model, picture(rng), class_index=chosen)
            assert not found.heat.any()
            assert str(found).endswith("nothing in the image speaks for it")


def test_a_sure_network_shows_what_makes_it_sure(rng):
    # The first pixel's red says class 0, by 200; the second's, by 100. Probabilities are 1.0000.
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(2)])
    kernel = np.zeros((16, 2))
    kernel[0, 0], kernel[1, 0] = 200.0, 100.0
    model.set_weights([kernel, np.zeros(2)])
    sure = keras.Sequential([model, layers.Softmax()])
    image = np.ones((4, 4, 1))
    found = kp.occlusion(sure, image, patch_pixels=1, fill=0.0, verbose=False)
    assert found.output == 1.0
    np.testing.assert_allclose(found.heat[0], [1.0, 0.5, 0, 0], atol=1e-5)
    assert not found.heat[1:].any()
    # In a mean of models the logits are out of reach, and their probabilities are all there is.
    joint = kp.transfer.ensemble([sure, keras.models.clone_model(sure)])
    joint.set_weights(2 * sure.get_weights())
    weaker = 0.2 * image
    found = kp.occlusion(joint, weaker, patch_pixels=1, fill=0.0, verbose=False)
    np.testing.assert_allclose(found.values[0], [40, 20, 0, 0], atol=1e-2)


class Noisy(keras.Model):
    """A model whose answers are off by some units in the last place, as sums in any order are."""

    def predict_step(self, data):
        answers = self(data, training=False)
        steps = keras.random.randint(keras.ops.shape(answers), -2, 3)
        return answers + answers * 2.0**-23 * keras.ops.cast(steps, "float32")


# On JAX `predict_step` takes other arguments.
@pytest.mark.tf_only
@pytest.mark.parametrize(
    ("units", "activation", "bias"),
    [(1, "sigmoid", 30.0), (3, "sigmoid", 30.0), (3, "sigmoid", 2.0), (3, None, 60.0)],
)
def test_rounding_is_no_heat(units, activation, bias, rng):
    model = network(layers.GlobalAveragePooling2D(), units=units, activation=activation)
    model.get_layer("out").set_weights([np.zeros((5, units)), np.full(units, bias)])
    noisy = Noisy(model.inputs, model.outputs)
    found = kp.occlusion(noisy, picture(rng), verbose=False)
    assert not found.heat.any()
    assert found.rounding > 0
    if found.values.any():
        assert "no difference beyond rounding" in str(found)


def test_channels_and_slopes_that_cancel_are_no_heat(rng):
    # Two channels are alike, and their weights opposite but for rounding.
    model = keras.Sequential(
        [
            keras.Input((8, 10, 3)),
            layers.Conv2D(2, 3, padding="same", name="late"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    kernel = np.repeat(rng.uniform(0.1, 1, (3, 3, 3, 1)), 2, axis=-1)
    head = np.array([[1.0, 0.0], [-1.0 + 2.0**-23, 0.0]])
    model.set_weights([kernel, np.zeros(2), head, np.zeros(2)])
    assert not kp.grad_cam(model, picture(rng), class_index=0).heat.any()
    head[1, 0] = -0.5
    model.set_weights([kernel, np.zeros(2), head, np.zeros(2)])
    assert kp.grad_cam(model, picture(rng), class_index=0).heat.any()


def test_a_calibrated_sure_model_draws_no_rounding(rng):
    # Behind the logarithm of probabilities that are 1 for float32, nothing is left to see.
    model = network(layers.GlobalAveragePooling2D(), units=1, activation="sigmoid")
    kernel, bias = model.get_layer("out").get_weights()
    model.get_layer("out").set_weights([1e-3 * kernel, bias + 40])
    found = kp.occlusion(kp.evaluation.with_temperature(model, 1.5), picture(rng), verbose=False)
    assert not found.heat.any()
