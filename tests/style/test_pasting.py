"""An object on a painting: where it lands, how it blends, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from keras_practical import style
from keras_practical.style.pasting import (
    as_cutout,
    as_image,
    as_mask,
    denoise_chrominance,
    dilated,
    feathered,
)


def an_object(height=4, width=6, alpha=255):
    """Return an RGBA object of one colour."""
    found = np.zeros((height, width, 4), "uint8")
    found[...] = [200, 100, 50, alpha]
    return found


PAINTING = np.full((30, 40, 3), 10, "uint8")


@pytest.mark.parametrize(
    ("position", "scale", "rows", "columns"),
    [
        ((20, 15), 1.0, (13, 16), (17, 22)),
        ((20, 15), 0.5, (14, 15), (19, 21)),
        ((20, 15), 2.0, (11, 18), (14, 25)),
        # Three quarters of it are outside.
        ((0, 0), 1.0, (0, 1), (0, 2)),
    ],
)
def test_the_middle_of_the_object_lands_at_the_position(position, scale, rows, columns):
    found = style.paste(an_object(), PAINTING, position, scale)
    inside = np.argwhere(found.mask > 0.5)
    low, high = inside.min(0), inside.max(0)
    # Half pixels may be rounded either way.
    assert abs(low - [rows[0], columns[0]]).max() <= 1
    assert abs(high - [rows[1], columns[1]]).max() <= 1
    assert (found.composite[found.mask == 1] == [200, 100, 50]).all()
    assert (found.composite[found.mask == 0] == 10).all()


def test_whole_pixels_are_copied_exactly(rng):
    pixels = rng.integers(0, 256, (4, 6, 3)).astype("uint8")
    found = style.paste(pixels, PAINTING, (20, 15), mask=np.ones((4, 6), bool))
    expected = PAINTING.copy()
    expected[13:17, 17:23] = pixels
    assert (found.composite == expected).all()
    assert found.mask.sum() == 24


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_centre_of_a_scaled_object_stays_in_place(scale):
    found = style.paste(an_object(8, 12), PAINTING, (19.5, 14.5), scale)
    rows, columns = np.indices(found.mask.shape)
    share = found.mask / found.mask.sum()
    # Pixel i lies between i and i + 1.
    assert (share * rows).sum() + 0.5 == pytest.approx(14.5, abs=0.1)
    assert (share * columns).sum() + 0.5 == pytest.approx(19.5, abs=0.1)
    assert found.mask.sum() == pytest.approx(96 * scale**2, rel=0.1)


def test_alpha_blends_and_is_the_mask():
    found = style.paste(an_object(alpha=153), PAINTING, (20, 15))
    assert found.mask.max() == pytest.approx(0.6)
    # 0.6 of the object, 0.4 of the painting.
    assert found.composite[15, 20].tolist() == [124, 64, 34]


def test_a_given_mask_counts_more_than_alpha():
    mask = np.zeros((4, 6))
    mask[:, :3] = 1
    found = style.paste(an_object(), PAINTING, (20, 15), mask=mask)
    assert found.mask.sum() == 12


@pytest.mark.parametrize("kind", [bool, "uint8", "float32", "float64"])
def test_masks_of_any_kind_are_the_same(kind):
    mask = np.ones((4, 6)) if kind != "uint8" else np.full((4, 6), 255)
    found = style.paste(an_object()[..., :3], PAINTING, (20, 15), mask=mask.astype(kind))
    assert found.mask.sum() == 24


def test_files_are_read_with_their_transparency(tmp_path):
    Image.fromarray(an_object(alpha=153)).save(tmp_path / "object.png")
    Image.fromarray(PAINTING).save(tmp_path / "painting.png")
    arrays = style.paste(an_object(alpha=153), PAINTING, (20, 15))
    files = style.paste(tmp_path / "object.png", str(tmp_path / "painting.png"), (20, 15))
    assert (files.composite == arrays.composite).all()
    assert (files.mask == arrays.mask).all()


def test_a_palette_picture_with_a_transparent_colour_has_alpha(tmp_path):
    picture = Image.fromarray(np.array([[0, 1], [1, 1]], "uint8"), mode="P")
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.save(tmp_path / "object.gif", transparency=0)
    pixels, alpha = as_cutout("object", tmp_path / "object.gif")
    assert alpha.tolist() == [[0, 1], [1, 1]]
    assert pixels[1, 1].tolist() == [255, 0, 0]


def test_a_mask_file_of_another_size_is_scaled(tmp_path):
    mask = np.zeros((8, 12), "uint8")
    mask[:, 6:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    found = style.paste(an_object()[..., :3], PAINTING, (20, 15), mask=tmp_path / "mask.png")
    assert found.mask.sum() == pytest.approx(12, abs=1)


def test_the_dilated_mask_goes_around_the_object():
    # 2 % of 200 pixels.
    mask = np.zeros((100, 200), "float32")
    mask[50, 100] = 1
    rows, columns = np.nonzero(dilated(mask))
    assert (rows.min(), rows.max()) == (46, 54)
    assert (columns.min(), columns.max()) == (96, 104)


def test_feathering_is_one_on_the_object_and_zero_outside():
    mask = np.zeros((60, 60), "float32")
    mask[25:35, 25:35] = 1
    wide = np.zeros((60, 60), "float32")
    wide[15:45, 15:45] = 1
    alpha = feathered(mask, wide)
    assert (alpha[mask == 1] == 1).all()
    assert (alpha[wide == 0] == 0).all()
    assert (np.diff(alpha[30, 14:26]) > 0).all()
    assert (feathered(mask, np.ones_like(mask)) == 1).all()


def test_chrominance_is_smoothed_and_light_is_kept(rng):
    import cv2

    noise = rng.integers(100, 156, (40, 40, 3)).astype("uint8")
    before, after = (
        cv2.cvtColor(picture.astype("float32") / 255, cv2.COLOR_RGB2LAB)
        for picture in (noise, denoise_chrominance(noise))
    )
    assert np.abs(after[..., 0] - before[..., 0]).mean() < 1
    assert after[..., 1:].std() < 0.5 * before[..., 1:].std()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"scale": 0}, "`scale` must be"),
        ({"scale": -1.0}, "`scale` must be"),
        ({"position": (400, 15)}, r"`position` must put the object on the painting.*\(400, 15\)"),
        ({"position": (20, -100)}, "`position` must put the object on the painting"),
        ({"object": an_object(alpha=0)}, "`mask` must mark the object: nothing in it is above"),
        ({"object": an_object()[..., :3]}, "`mask` must be given for an object without transp"),
        ({"mask": np.zeros((4, 6))}, "`mask` must mark the object"),
        ({"mask": np.ones((4, 12))}, "`mask` must have the proportions.*12 x 4 for 6 x 4 pixels"),
        ({"mask": np.ones(24)}, r"`mask` must be a path or an array of shape"),
        ({"mask": -np.ones((4, 6))}, "`mask` must say by booleans, values in"),
        (
            {"object": an_object()[..., :3] / 255.0},
            r"`object` must have pixels in \[0, 255\]",
        ),
        ({"object": np.zeros(5)}, r"`object` must be a path or an array of shape"),
        ({"object": np.zeros((0, 4, 3))}, "`object` must be a path or an array of shape"),
        (
            {"painting": np.full((30, 40, 3), 0.5)},
            r"`painting` must have pixels in \[0, 255\]",
        ),
        ({"object": np.full((4, 6, 4), 1.0)}, r"`object` must have pixels in \[0, 255\]"),
        ({"object": np.full((4, 6, 4), np.nan)}, r"`object` must say.*in \[nan, nan\]"),
        ({"object": np.zeros((4, 6, 5))}, r"`object` must be.*\(4, 6, 5\)"),
        ({"painting": an_object(30, 40, 100)}, r"`painting` must have no transp.*some of 0\.392"),
        ({"scale": 0.01}, "must leave a pixel.*at most 0.25"),
    ],
)
def test_errors_name_the_culprit(changes, match):
    arguments = {"object": an_object(), "painting": PAINTING, "position": (20, 15)}
    with pytest.raises(ValueError, match=match):
        style.paste(**{**arguments, **changes})


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"Can't read .*nowhere\.png: there is no such file"):
        style.paste(tmp_path / "nowhere.png", PAINTING, (20, 15))


def test_a_mask_with_channels_is_their_brightness():
    mask = np.zeros((2, 2, 3))
    mask[0, 0] = 255
    mask[0, 1] = [255, 255, 0]
    # ITU-R 601.
    expected = [[1.0, 0.886], [0.0, 0.0]]
    np.testing.assert_allclose(as_mask("mask", mask, (2, 2)), expected, atol=1e-6)


def test_mask_that_overshoots_by_rounding_is_still_from_0_to_1():
    mask = np.full((4, 4), 1.0 + 1e-6, "float32")
    np.testing.assert_array_equal(as_mask("mask", mask, (4, 4)), np.ones((4, 4)))


def test_mask_with_nan_is_refused():
    with pytest.raises(ValueError, match=r"in \[nan, nan\]"):
        as_mask("mask", np.array([[0.0, np.nan], [1.0, 1.0]]), (2, 2))


def a_disc(side=41, radius=15.3, color=255):
    """Return a soft disc; what is transparent is black, as most programs save it."""
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    alpha = np.clip(radius - np.hypot(rows, columns) + 0.5, 0, 1)
    disc = np.zeros((side, side, 4), "uint8")
    disc[..., 3] = np.rint(255 * alpha)
    disc[alpha > 0, :3] = color
    return disc


@pytest.mark.parametrize("position", [(50, 50), (50.3, 49.6), (3, 97)])
@pytest.mark.parametrize("scale", [0.1, 0.3, 0.97, 1.0, 1.5, 2.5])
def test_no_fringe_of_the_colour_that_transparent_pixels_have(scale, position):
    wall = np.full((100, 100, 3), 255, "uint8")
    found = style.paste(a_disc(), wall, position, scale)
    assert (found.composite == 255).all()
    # A grey one on a dark wall is nowhere darker than the wall or brighter than the disc.
    found = style.paste(a_disc(color=180), wall // 5, position, scale)
    share = np.repeat(found.mask[..., None], 3, axis=-1)
    np.testing.assert_allclose(found.composite, 180 * share + 51 * (1 - share), atol=1.01)


def test_paste_is_pillows_alpha_composite(rng):
    cutout = rng.integers(0, 256, (21, 15, 4)).astype("uint8")
    painting = rng.integers(0, 256, (60, 50, 3)).astype("uint8")
    for left, top in ((10, 20), (-4, 45), (43, -9)):
        under = Image.fromarray(painting).convert("RGBA")
        layer = Image.new("RGBA", under.size)
        layer.paste(Image.fromarray(cutout), (left, top))
        under.alpha_composite(layer)
        found = style.paste(cutout, painting, (left + 7.5, top + 10.5))
        expected = np.array(under)[..., :3].astype(int)
        assert np.abs(found.composite.astype(int) - expected).max() <= 1


def test_a_shrunk_object_is_the_mean_by_opacity(rng):
    cutout = rng.integers(0, 256, (8, 8, 4)).astype("uint8")
    cutout[..., 3] |= 128
    painting = rng.integers(0, 256, (6, 6, 3)).astype("uint8")
    found = style.paste(cutout, painting, (3, 3), 0.25)
    alpha = cutout[..., 3:] / 255
    parts = [
        np.asarray(part, "float64").reshape(2, 4, 2, 4, -1).mean((1, 3))
        for part in (alpha * cutout[..., :3], alpha)
    ]
    expected = painting.astype("float64")
    expected[2:4, 2:4] = parts[0] + (1 - parts[1]) * expected[2:4, 2:4]
    np.testing.assert_allclose(found.composite, expected, atol=0.51)
    np.testing.assert_allclose(found.mask[2:4, 2:4], parts[1][..., 0], atol=1e-5)


def test_objects_of_any_range_are_the_same_or_refused():
    disc = a_disc(color=180)
    expected = style.paste(disc, PAINTING, (20, 15), 0.5)
    alpha_to_one = disc.astype("float64")
    alpha_to_one[..., 3] /= 255
    for same in (disc.astype("float32"), disc.astype("int64"), alpha_to_one, disc[..., 2:]):
        found = style.paste(same, PAINTING, (20, 15), 0.5)
        assert np.abs(found.composite.astype(int) - expected.composite).max() <= 1
        np.testing.assert_allclose(found.mask, expected.mask, atol=1e-6)
    with pytest.raises(ValueError, match=r"`object` must have pixels in \[0, 255\]"):
        style.paste(disc / 255.0, PAINTING, (20, 15), 0.5)
    # Black is black in either range.
    black = a_disc(color=0) / 255.0
    assert style.paste(black, PAINTING, (20, 15), 0.5).composite[15, 20].tolist() == [0, 0, 0]


INSIDE = np.zeros((12, 12), bool)
INSIDE[3:9, 4:9] = True


def masks_of_the_object():
    """Yield a name and a mask, arrays and Pillow's images of each kind."""
    eight = (255 * INSIDE).astype("uint8")
    cutout = np.dstack([np.where(INSIDE, 40, 0)] * 3 + [eight]).astype("uint8")
    bright = np.dstack([cutout[..., :3] * 0 + np.where(INSIDE, 30, 250)[..., None], eight])
    opaque = np.dstack([eight] * 3 + [np.full_like(eight, 255)])
    yield "truth values", INSIDE
    yield "0 and 1", INSIDE.astype("uint8")
    yield "0 to 255", eight
    yield "fractions", INSIDE.astype("float32")
    yield "floats to 255", eight.astype("float64")
    yield "one channel", eight[..., None]
    yield "cut-out", cutout
    yield "cut-out on bright", bright
    yield "cut-out in fractions", cutout / 255.0
    yield "cut-out, alpha 0 and 1", np.dstack([cutout[..., :3], INSIDE.astype("uint8")])
    yield "grey cut-out", cutout[..., 2:]
    yield "opaque", opaque
    yield "opaque in fractions", opaque / 255.0
    yield "opaque, grey", opaque[..., 2:]
    yield "opaque, 0 and 1", np.dstack([INSIDE.astype("uint8")] * 3 + [opaque[..., 3]])
    yield "palette", Image.fromarray(cutout).quantize(8)
    yield "truth values of Pillow's", Image.fromarray(eight).convert("1")
    yield "half size", np.kron(eight[:12, :12], np.ones((2, 2), "uint8"))


@pytest.mark.parametrize(("name", "mask"), list(masks_of_the_object()))
def test_masks_of_any_kind_mark_the_object(name, mask, tmp_path):
    photo = np.full((12, 12, 3), 90, "uint8")
    kinds = [mask]
    if not isinstance(mask, np.ndarray):
        mask.save(tmp_path / "mask.png")
        kinds.append(tmp_path / "mask.png")
    elif mask.dtype == np.uint8:
        Image.fromarray(mask.squeeze()).save(tmp_path / "mask.png")
        kinds += [tmp_path / "mask.png", str(tmp_path / "mask.png")]
    for kind in kinds:
        found = style.paste(photo, PAINTING, (20, 15), mask=kind)
        np.testing.assert_allclose(found.mask[9:21, 14:26], INSIDE, atol=1e-6)
        assert (found.composite[9:21, 14:26][INSIDE] == 90).all()
        assert found.composite.sum() == PAINTING.sum() + 3 * 80 * INSIDE.sum()


def test_deep_masks_are_scaled_by_their_kind_of_number(tmp_path):
    import cv2

    deep = np.where(INSIDE, 65535, 0).astype("uint16")
    Image.fromarray(deep).save(tmp_path / "grey.png")
    Image.fromarray(deep).save(tmp_path / "nothing.png", transparency=0)
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([deep * 0 + 40000] * 3 + [deep]))
    Image.fromarray(INSIDE.astype("float32")).save(tmp_path / "fractions.tif")
    for file in sorted(tmp_path.iterdir()):
        np.testing.assert_array_equal(as_mask("mask", file, (12, 12)), INSIDE, str(file))


def test_a_sideways_cutout_is_turned(tmp_path):
    cutout = np.zeros((4, 6, 4), "uint8")
    cutout[:, :3] = [200, 100, 50, 255]
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(cutout).save(tmp_path / "sideways.png", exif=exif)
    pixels, alpha = as_cutout("object", tmp_path / "sideways.png")
    expected = np.rot90(cutout, -1)
    assert (alpha == expected[..., 3] / 255).all()
    assert (pixels == expected[..., :3]).all()


def test_a_mask_that_is_shrunk_keeps_what_is_thin():
    mask = np.zeros((400, 400), "uint8")
    mask[:, ::2] = 255
    np.testing.assert_allclose(as_mask("mask", mask, (40, 40)), 0.5, atol=1e-3)


def test_opaque_alpha_of_a_painting_is_dropped_and_transparency_refused(tmp_path):
    opaque = np.dstack([PAINTING, np.full(PAINTING.shape[:2], 255, "uint8")])
    Image.fromarray(opaque).save(tmp_path / "opaque.png")
    for image in (opaque, opaque.astype("float32"), tmp_path / "opaque.png"):
        assert (as_image("content", image) == PAINTING).all()
    opaque[0, 0, 3] = 0
    Image.fromarray(opaque).save(tmp_path / "hole.png")
    for image in (opaque, tmp_path / "hole.png", Image.fromarray(opaque)):
        with pytest.raises(ValueError, match=r"`content` must have no transp.*kp\.read_image"):
            as_image("content", image)
