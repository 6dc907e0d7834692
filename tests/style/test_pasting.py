"""An object on a painting: where it lands, how it blends, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from keras_practical import style
from keras_practical.style.pasting import (
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
    found = as_image("object", tmp_path / "object.gif", alpha=True)
    assert found[..., 3].tolist() == [[0, 255], [255, 255]]


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
        ({"mask": np.ones(24)}, r"`mask` must be of shape \(height, width\)"),
        ({"mask": -np.ones((4, 6))}, "`mask` must have booleans, values in"),
        ({"object": an_object()[..., :3] / 255.0}, r"`object` must have pixels in \[0, 255\]"),
        ({"object": np.zeros(5)}, r"`object` must be a path or an array of shape"),
        ({"object": np.zeros((0, 4, 3))}, "`object` must be a path or an array of shape"),
        ({"painting": np.full((30, 40, 3), 0.5)}, r"`painting` must have pixels in \[0, 255\]"),
        ({"painting": an_object(30, 40)}, "`painting` must have three channels"),
    ],
)
def test_errors_name_the_culprit(changes, match):
    arguments = {"object": an_object(), "painting": PAINTING, "position": (20, 15)}
    with pytest.raises(ValueError, match=match):
        style.paste(**{**arguments, **changes})


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png"):
        style.paste(tmp_path / "nowhere.png", PAINTING, (20, 15))


def test_a_mask_with_channels_is_their_mean():
    mask = np.zeros((2, 2, 3))
    mask[0, 0] = 255
    assert as_mask("mask", mask, (2, 2)).tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_mask_that_overshoots_by_rounding_is_still_from_0_to_1():
    mask = np.full((4, 4), 1.0 + 1e-6, "float32")
    np.testing.assert_array_equal(as_mask("mask", mask, (4, 4)), np.ones((4, 4)))


def test_mask_with_nan_is_refused():
    with pytest.raises(ValueError, match=r"in \[nan, nan\]"):
        as_mask("mask", np.array([[0.0, np.nan], [1.0, 1.0]]), (2, 2))
