"""Harmonization and style transfer, end to end on tiny networks and images."""

import cv2
import keras
import numpy as np
import pytest
from shared_data import data_folder
from squeezenet import squeezenet

from keras_practical import read_image, style
from keras_practical.models.opening import open_backbone
from keras_practical.style import harmonization
from keras_practical.style.features import feature_maps, style_layers
from keras_practical.style.pasting import denoise_chrominance

layers = keras.layers


def tiny_network(names=("one", "two")):
    """Return random convolutions, each halving the map."""
    keras.utils.set_random_seed(0)
    convolutions = [
        layers.Conv2D(6, 3, 2, padding="same", activation="relu", name=name) for name in names
    ]
    return keras.Sequential([keras.Input((None, None, 3)), *convolutions], name="tiny")


def inverted_residuals(size=None):
    """Return a small network of MobileNetV2's kind, its layers unnamed."""
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((size, size, 3))
    for channels in (4, 6, 8, 8):
        x = layers.Conv2D(channels, 3, 2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = before = layers.ReLU(6)(x)
        x = layers.DepthwiseConv2D(3, padding="same")(x)
        x = layers.ReLU(6)(x)
        x = layers.Add()([before, layers.Conv2D(channels, 1)(x)])
    return keras.Model(inputs, x)


def scene(side=72, seed=0):
    """Return a striped painting, a smooth square pasted on it, and the square's mask."""
    rng = np.random.default_rng(seed)
    stripes = 60 * np.sin(np.arange(side)[:, None] * 0.8 + np.arange(side) * 0.5)
    painting = 120 + stripes[..., None] + rng.normal(0, 15, (side, side, 3)) + [30, 0, -30]
    painting = np.clip(painting, 0, 255).astype("uint8")
    mask = np.zeros((side, side), bool)
    mask[side // 3 : 2 * side // 3, side // 3 : 2 * side // 3] = True
    composite = painting.copy()
    composite[mask] = [90, 160, 200]
    return painting, composite, mask


def harmonize(*pictures, **options):
    options = {"extractor": tiny_network(), "steps": 10, "verbose": False, **options}
    return style.harmonize(*pictures, **options)


@pytest.fixture(scope="module")
def run():
    """One run that several tests look at: its result and what its callback was told."""
    seen = []
    return harmonize(*scene(), steps=20, callback=seen.append), seen


def square(mask, margin):
    """Return a mask with all within `margin` pixels of a square one."""
    rows, columns = np.nonzero(mask)
    found = np.zeros_like(mask)
    found[
        rows.min() - margin : rows.max() + margin + 1,
        columns.min() - margin : columns.max() + margin + 1,
    ] = True
    return found


@pytest.mark.any_backend
def test_outside_of_the_dilated_mask_nothing_changes(run):
    painting, composite, mask = scene()
    found, _ = run
    assert found.dtype == np.uint8
    # 2 % of 72 pixels is 1.
    outside = ~square(mask, 1)
    assert (found[outside] == painting[outside]).all()
    assert (found[mask] != composite[mask]).any(-1).mean() > 0.9


def test_a_painting_larger_than_the_working_size_stays_exact():
    painting, composite, mask = scene(144)
    found = harmonize(painting, composite, mask, image_size=64)
    assert found.shape == painting.shape
    outside = ~square(mask, 3)
    assert (found[outside] == painting[outside]).all()
    assert (found[mask] != composite[mask]).any(-1).mean() > 0.9


def test_own_dilated_mask_says_where_pixels_may_change():
    painting, composite, mask = scene()
    wide = square(mask, 8)
    found = harmonize(painting, composite, mask, dilated_mask=255 * wide.astype("uint8"))
    assert (found[~wide] == painting[~wide]).all()
    ring = wide & ~square(mask, 3)
    assert (found[ring] != painting[ring]).any(-1).mean() > 0.3


def test_the_object_takes_on_the_painting_s_style(run):
    painting, composite, mask = scene()
    network = tiny_network()
    maps = feature_maps(network, ("one",), "none", (72, 72))

    def gram(picture, cells):
        features = np.asarray(maps(picture[None].astype("float32"))["one"])[0]
        return np.asarray(style.gram_matrix(features[cells]))

    everywhere = np.ones((36, 36), bool)
    cells = mask[::2, ::2]
    wanted = gram(painting, everywhere)
    before, after = (((gram(p, cells) - wanted) ** 2).sum() for p in (composite, run[0]))
    assert after < before / 4


@pytest.mark.any_backend
def test_the_callback_gets_each_tenth_step_of_each_stage(run):
    painting, _, mask = scene()
    _, seen = run
    assert [(told.stage, told.step) for told in seen] == [
        (stage, step) for stage in ("coarse, half size", "coarse", "fine") for step in (10, 20)
    ]
    assert [told.image.shape[0] for told in seen] == [36, 36, 72, 72, 72, 72]
    assert all(told.image.dtype == np.uint8 for told in seen)
    assert {"style", "content"} <= set(seen[0].losses)
    assert "histogram" in seen[-1].losses
    assert "histogram" not in seen[0].losses
    outside = ~square(mask, 3)
    assert (seen[-1].image[outside] == painting[outside]).all()


@pytest.mark.any_backend
def test_each_stage_starts_from_what_the_one_before_found(monkeypatch):
    painting, composite, mask = scene()
    starts, asked, seen = [], [], []
    real_descend, real_nearest = harmonization.descend, harmonization.nearest_patches

    def descend(objective, constants, start, **options):
        starts.append(start)
        return real_descend(objective, constants, start, **options)

    def nearest(features, *others, **options):
        asked.append(features)
        return real_nearest(features, *others, **options)

    monkeypatch.setattr(harmonization, "descend", descend)
    monkeypatch.setattr(harmonization, "nearest_patches", nearest)
    network = tiny_network()
    harmonize(painting, composite, mask, extractor=network, callback=seen.append)
    half, coarse, _ = (told.image for told in seen)
    assert len(starts) == 3
    # The paste is smaller than the margin around it, so that each start is the whole picture.
    assert (np.rint(255 * starts[2]) == coarse).all()
    assert (coarse != composite).any()
    # The second pass matches the patches of that start too, not those of the paste.
    reference = style_layers(network, None).reference
    maps = feature_maps(network, (reference,), "none", (72, 72))
    features = np.asarray(maps(coarse[None].astype("float32"))[reference])[0]
    np.testing.assert_allclose(asked[-1], features, atol=1e-2)
    # The coarse stage starts from the change that was found at half the size.
    changes = (255 * starts[1] - composite).reshape(36, 2, 36, 2, 3).mean((1, 3))
    wanted = half - composite.reshape(36, 2, 36, 2, 3).mean((1, 3))
    inside = mask[::2, ::2]
    assert np.corrcoef(changes[inside].ravel(), wanted[inside].ravel())[0, 1] > 0.9


def test_the_same_arguments_give_the_same_picture(run):
    assert (harmonize(*scene(), steps=20) == run[0]).all()


@pytest.mark.parametrize(("stage", "step"), [("coarse, half size", 10), ("fine", 10)])
def test_ctrl_c_gives_the_best_so_far(stage, step):
    painting, composite, mask = scene()
    seen = []

    def impatient(told):
        seen.append(told)
        if (told.stage, told.step) == (stage, step):
            raise KeyboardInterrupt

    found = harmonize(painting, composite, mask, steps=20, callback=impatient)
    assert (seen[-1].stage, seen[-1].step) == (stage, step)
    outside = ~square(mask, 3)
    assert (found[outside] == painting[outside]).all()
    assert (found[mask] != composite[mask]).any(-1).mean() > 0.5
    if seen[-1].image.shape == painting.shape:
        # All that is done to the best so far is the finish.
        assert (found[mask] == denoise_chrominance(seen[-1].image)[mask]).all()


def test_ctrl_c_between_stages_loses_nothing(monkeypatch, run):
    *_, mask = scene()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(harmonization, "consistent_mapping", interrupted)
    found = harmonize(*scene(), steps=20)
    coarse = run[1][3].image
    assert (found[mask] == denoise_chrominance(coarse)[mask]).all()


def test_an_error_in_the_callback_is_not_swallowed():
    def broken(_):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        harmonize(*scene(), callback=broken)


def test_one_step_is_enough_to_run():
    painting, composite, mask = scene()
    found = harmonize(painting, composite, mask, steps=1)
    # The only evaluation is of the paste itself.
    assert (found[mask] == denoise_chrominance(composite)[mask]).all()


def test_strength_weighs_style_against_content():
    last = {}
    for strength in (0.01, 50.0):
        seen = []
        harmonize(*scene(), strength=strength, callback=seen.append)
        last[strength] = seen[-1].losses
    assert last[50.0]["style"] < last[0.01]["style"] / 2
    assert last[50.0]["content"] > last[0.01]["content"] * 2


def test_what_was_decided_is_said(capsys):
    harmonize(*scene(), steps=1, verbose=True, strength=3.0)
    assert "strength 3.0; tiny, two, pixels, one" in capsys.readouterr().out


@pytest.mark.parametrize("size", [None, 96])
def test_networks_without_layer_names_of_any_size(size):
    network = inverted_residuals(size)
    before = [np.array(weight) for weight in network.get_weights()]
    painting, composite, mask = scene()
    found = harmonize(painting, composite, mask, extractor=network, steps=3)
    assert (found[~square(mask, 3)] == painting[~square(mask, 3)]).all()
    assert (found[mask] != composite[mask]).any()
    assert all((a == b).all() for a, b in zip(before, network.get_weights(), strict=True))


def test_layers_are_the_last_of_each_resolution():
    names = style_layers(tiny_network(("one", "two", "three")), None)
    # The first map is half the picture's size: the pixels say the rest.
    assert names.fine == ("pixels", "one", "two", "three")
    assert names.coarse == ("two", "three")
    assert (names.content, names.reference) == ("three", "three")
    assert names.histogram == ("pixels", "one", "three")


def test_a_named_network_knows_the_paper_s_layers():
    opened = open_backbone("VGG19", any_size=True, weights=None)
    network, scaling = opened.model, opened.preprocessing
    assert scaling == "caffe"
    names = style_layers(network, None)
    assert names.coarse == ("block3_conv1", "block4_conv1", "block5_conv1")
    assert (names.content, names.reference) == ("block4_conv1", "block4_conv1")
    assert names.histogram == ("block1_conv1", "block4_conv1")


def test_own_layers_are_used():
    names = style.StyleLayers("two", ("two",), ("one",), "two", ("one",))
    painting, composite, mask = scene()
    seen = []
    harmonize(painting, composite, mask, layers=names, steps=1, callback=seen.append)
    assert [told.stage for told in seen] == ["coarse, half size", "coarse", "fine"]


def test_a_mask_of_another_size_fits():
    painting, composite, mask = scene()
    other = np.zeros((36, 36), "uint8")
    other[12:24, 12:24] = 255
    found = harmonize(painting, composite, other, steps=3)
    outside = ~square(mask, 4)
    assert (found[outside] == painting[outside]).all()
    inner = square(mask, -3)
    assert (found[inner] != composite[inner]).any()


def test_an_object_of_a_single_pixel_s_width():
    painting, _, mask = scene()
    mask[:] = False
    mask[10:60, 30] = True
    composite = painting.copy()
    composite[mask] = 255
    found = harmonize(painting, composite, mask, steps=3)
    assert (found[:, :26] == painting[:, :26]).all()


def test_an_object_that_fills_the_painting():
    painting, composite, _ = scene()
    found = harmonize(painting, composite, np.ones((72, 72)), steps=3)
    assert found.shape == painting.shape


def test_soft_masks_and_files(tmp_path):
    from PIL import Image

    painting, composite, mask = scene()
    soft = np.where(mask, 0.8, 0.2)
    for name, picture in {"painting": painting, "composite": composite}.items():
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    Image.fromarray(np.rint(255 * soft).astype("uint8")).save(tmp_path / "mask.png")
    paths = (tmp_path / f"{name}.png" for name in ("painting", "composite", "mask"))
    assert (harmonize(*paths, steps=2) == harmonize(painting, composite, soft, steps=2)).all()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"steps": 0}, "`steps` must be"),
        ({"image_size": 32}, "`image_size` must be"),
        ({"strength": 0.0}, "`strength` must be"),
        ({"strength": "much"}, "`strength` must be"),
        ({"composite": scene(48)[1]}, r"`composite` must be as large as `painting`.*48.*72"),
        ({"mask": np.zeros((72, 72))}, "`mask` must mark the object"),
        ({"mask": np.ones((72, 36))}, "`mask` must have the proportions"),
        ({"dilated_mask": np.zeros((72, 72))}, "`dilated_mask` must mark the object"),
        ({"painting": scene()[0] / 255}, r"`painting` must have pixels in \[0, 255\]"),
        ({"extractor": "Nothing"}, "`extractor` must be"),
        ({"extractor": 3}, "`extractor` must be a name in keras_practical.models.BACKBONES"),
        ({"preprocessing": "other"}, "`preprocessing` must be"),
        (
            {"layers": style.StyleLayers("one", ("two",), ("four",), "one", ("one",))},
            "`layers` names a layer that 'tiny' doesn't have: 'four'. It has: one, pixels, two",
        ),
        (
            {"extractor": keras.Sequential([keras.Input((None, None, 1)), layers.Conv2D(2, 3)])},
            "`extractor` must take RGB images",
        ),
        (
            {"extractor": keras.Sequential([keras.Input((8,)), layers.Dense(2)])},
            r"`extractor` must be .* with input shape \(None, 8\)",
        ),
        (
            {
                "extractor": keras.Sequential(
                    [keras.Input((None, None, 3)), layers.Conv2D(2, 16, 16)]
                )
            },
            "`extractor` must have feature maps at least an eighth as large",
        ),
    ],
)
def test_errors_name_the_culprit(changes, match):
    painting, composite, mask = scene()
    arguments = {"painting": painting, "composite": composite, "mask": mask, **changes}
    pictures = [arguments.pop(name) for name in ("painting", "composite", "mask")]
    with pytest.raises(ValueError, match=match):
        harmonize(*pictures, **arguments)


@pytest.mark.any_backend
def test_transfer_takes_on_the_style_and_keeps_the_size():
    painting, _, _ = scene()
    content = np.full((64, 80, 3), 150, "uint8")
    content[20:40, 20:60] = [220, 60, 60]
    seen = []
    found = style.restyle(
        content, painting, extractor=tiny_network(), steps=30, callback=seen.append, verbose=False
    )
    assert found.shape == content.shape
    assert [told.step for told in seen] == [10, 20, 30]
    assert {told.stage for told in seen} == {"transfer"}
    assert seen[-1].losses["style"] < seen[0].losses["style"]
    assert (found == seen[-1].image).all()
    again = style.restyle(content, painting, extractor=tiny_network(), steps=30, verbose=False)
    assert (again == found).all()


def test_transfer_shrinks_to_the_working_size_and_may_be_interrupted():
    painting, composite, _ = scene(100)

    def impatient(told):
        raise KeyboardInterrupt

    options = {"extractor": tiny_network(), "image_size": 64, "verbose": False}
    found = style.restyle(composite, painting, steps=20, callback=impatient, **options)
    assert found.shape == (64, 64, 3)
    assert np.ptp(found) > 0


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"steps": 0}, "`steps` must be"),
        ({"image_size": 10}, "`image_size` must be"),
        ({"strength": -1.0}, "`strength` must be"),
        ({"content": np.zeros(3)}, "`content` must be a path or an array"),
        ({"style": np.full((70, 70, 3), 0.5)}, r"`style` must have pixels in \[0, 255\]"),
    ],
)
def test_errors_of_restyle(changes, match):
    painting, composite, _ = scene()
    arguments = {"content": composite, "style": painting, "extractor": tiny_network(), **changes}
    with pytest.raises(ValueError, match=match):
        style.restyle(**arguments, verbose=False)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("case", ["0"])
def test_a_published_case_comes_near_its_painting_on_layers_not_optimized(case):
    folder = data_folder() / "painterly"
    size = (128, 128)
    painting, composite = (
        read_image(folder / f"{case}_{name}.jpg", image_size=size).astype("uint8")
        for name in ("target", "naive")
    )
    path = folder / f"{case}_c_mask.jpg"
    mask = read_image(path, image_size=size, color_mode="grayscale")[..., 0]
    network = squeezenet()
    found = harmonize(painting, composite, mask, extractor=network, preprocessing="caffe", steps=30)
    judges = ("fire2", "fire4")
    assert not set(judges) & set(style_layers(network, None).names)
    for judge in judges:
        maps = feature_maps(network, (judge,), "caffe", size)
        wanted, before, after = (
            np.asarray(maps(picture[None].astype("float32"))[judge])[0]
            for picture in (painting, composite, found)
        )
        cells = cv2.resize(mask, wanted.shape[1::-1], interpolation=cv2.INTER_AREA) > 127
        wanted = np.asarray(style.gram_matrix(wanted.reshape(-1, wanted.shape[-1])))
        distances = [
            ((np.asarray(style.gram_matrix(values[cells])) - wanted) ** 2).sum()
            for values in (before, after)
        ]
        assert distances[1] < distances[0] / 2, judge


def test_images_of_any_range_and_masks_of_any_kind_are_painted_alike():
    painting, composite, mask = scene()
    options = {"extractor": tiny_network(), "steps": 1, "verbose": False}
    opaque = np.dstack([painting, np.full(painting.shape[:2], 255, "uint8")])
    cutout = np.dstack([composite * 0, 255 * (mask > 0.5).astype("uint8")])
    expected = style.harmonize(painting, composite, mask > 0.5, **options)
    found = style.harmonize(opaque, composite.astype("float64"), cutout, **options)
    np.testing.assert_array_equal(found, expected)
    expected = style.restyle(composite, painting, **options)
    np.testing.assert_array_equal(style.restyle(composite * 1.0, opaque, **options), expected)
    opaque[0, 0, 3] = 0
    with pytest.raises(ValueError, match="`style` must have no transparent pixels"):
        style.restyle(composite, opaque, **options)
    with pytest.raises(ValueError, match="`composite` must have no transparent pixels"):
        style.harmonize(painting, opaque, mask, **options)
