"""What is measured of an image."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter
from planted_copies import photo

from keras_practical.data.index import ImageIndex, ImageRecord
from keras_practical.inspection.measures import lying_extension, measure_image, measure_images


def saved(image, file_format="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def test_brightness_color_and_spread_are_those_of_the_pixels():
    pixels = np.zeros((100, 200, 3), "uint8")
    pixels[:, :100] = (200, 100, 0)
    found = measure_image(saved(Image.fromarray(pixels)))
    assert (found.width, found.height, found.file_format) == (200, 100, "PNG")
    np.testing.assert_allclose(found.color, (100, 50, 0), atol=0.6)
    # ITU-R 601: 0.299 * 200 + 0.587 * 100.
    assert found.brightness == pytest.approx(118.5 / 2, abs=0.6)
    assert found.spread == pytest.approx(118.5 / 2, abs=0.6)
    assert found.highlight == pytest.approx(118.5, abs=1)


def test_the_border_has_its_own_color():
    image = Image.new("RGB", (100, 50), (10, 20, 30))
    image.paste((90, 90, 90), (4, 2, 96, 48))
    found = measure_image(saved(image))
    np.testing.assert_allclose(found.border_color, (10, 20, 30), atol=1)
    assert found.color[0] > 60


def test_a_turned_photo_is_measured_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    found = measure_image(saved(photo(0, (60, 40)), "JPEG", exif=exif))
    assert (found.width, found.height, found.orientation) == (40, 60, 6)
    assert found.thumbnail.shape == (64, 64)


@pytest.mark.parametrize("size", [(128, 96), (640, 480)])
def test_blur_grows_with_the_blur(size):
    images = [photo(1, size)]
    for part in (0.005, 0.01, 0.02):
        images.append(images[0].filter(ImageFilter.GaussianBlur(part * size[0])))
    blur = [measure_image(saved(image)).blur for image in images]
    assert blur == sorted(blur)
    assert blur[0] < 0.6 < blur[-1]


def test_blur_is_unknown_where_there_is_nothing_to_see():
    assert np.isnan(measure_image(saved(photo(0, (30, 30)))).blur)
    assert np.isnan(measure_image(saved(Image.new("L", (200, 200), 90))).blur)


def test_large_pictures_are_measured_like_small_ones():
    large = photo(2, (1600, 1200))
    small = large.resize((256, 192), Image.Resampling.BOX)
    one, other = measure_image(saved(large, "JPEG", quality=95)), measure_image(saved(small))
    assert abs(one.brightness - other.brightness) < 1
    assert abs(one.blur - other.blur) < 0.05
    assert np.abs(one.thumbnail.astype(int) - other.thumbnail).mean() < 3


def test_contents_differ_as_bytes_do():
    image = photo(3, (40, 40))
    png, again, bmp = saved(image), saved(image), saved(image, "BMP")
    contents = [measure_image(data).content for data in (png, again, bmp)]
    assert contents[0] == contents[1] != contents[2]
    wide, tall = np.zeros((2, 8), "uint8"), np.zeros((8, 2), "uint8")
    assert measure_image(wide).content != measure_image(tall).content


@pytest.mark.parametrize(
    "data", [b"", b"no image", saved(photo(0, (64, 64)), "JPEG")[:-400], saved(photo(0))[:600]]
)
def test_what_is_broken_says_why(data):
    found = measure_image(data)
    assert found.problem
    assert found.thumbnail is None


@pytest.mark.parametrize(
    ("name", "file_format", "promised"),
    [
        ("a.jpg", "PNG", "JPEG"),
        ("a.PNG", "JPEG", "PNG"),
        ("a.jpeg", "JPEG", None),
        ("a.JFIF", "JPEG", None),
        ("a.tif", "TIFF", None),
        ("a.apng", "PNG", None),
        ("a.dcm", "JPEG", "DICOM"),
        ("a.jpg", "", None),
        ("a", "PNG", None),
        ("a.photo", "PNG", None),
        ("images[3]", "", None),
    ],
)
def test_extensions_that_lie(name, file_format, promised):
    assert lying_extension(name, file_format) == promised


def test_all_pictures_are_measured_in_order(tmp_path):
    names = []
    for number in range(11):
        file = tmp_path / f"ü {number}.png"
        Image.new("L", (9, 9), 10 * number).save(file)
        names.append(str(file))
    names.insert(4, str(tmp_path / "gone.png"))
    index = ImageIndex(tuple(ImageRecord(name, 0) for name in names), ("x", "y"))
    found = measure_images(index, lambda name: None, verbose=False)
    assert [measure.brightness for measure in found if not measure.problem] == [
        10.0 * number for number in range(11)
    ]
    assert found[4].problem == "there is no such file"
