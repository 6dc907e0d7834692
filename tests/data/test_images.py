"""One image: orientation, geometry, the fast road for JPEG, arguments, headers."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from keras_practical.data import reading
from keras_practical.data.reading import Header, inspect, read_image

# What a viewer shows for the stored pixels [[1, 2, 3], [4, 5, 6]], by EXIF orientation.
UPRIGHT = {
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[4, 1], [5, 2], [6, 3]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[3, 6], [2, 5], [1, 4]],
}


def encoded(pixels, file_format, orientation=None, **options):
    """Return an image file's bytes."""
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    stream = io.BytesIO()
    Image.fromarray(np.asarray(pixels, "uint8")).save(stream, file_format, **options)
    return stream.getvalue()


def gradient(height, width):
    """Return an image without symmetry, smooth enough for JPEG."""
    down, right = np.mgrid[0:height, 0:width]
    red, green = 250 * down / height, 250 * right / width
    return np.stack([red, green, 250 - (red + green) / 2], axis=2).astype("uint8")


def largest_difference(first, second):
    assert first.shape == second.shape
    return np.abs(first.astype(int) - second.astype(int)).max()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_orientation_turns_known_pixels(file_format, orientation):
    upright = read_image(encoded([[1, 2, 3], [4, 5, 6]], file_format, orientation))
    assert upright[:, :, 0].tolist() == UPRIGHT[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation_equals_pillows(file_format, orientation):
    data = encoded(gradient(48, 80), file_format, orientation)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert largest_difference(read_image(data), expected) <= 2
    header = inspect(data)
    assert (header.height, header.width) == expected.shape[:2]


@pytest.mark.parametrize("aspect", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
def test_orientation_comes_before_resizing(file_format, orientation, aspect):
    data = encoded(gradient(96, 160), file_format, orientation, quality=95)
    with Image.open(io.BytesIO(data)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    expected = read_image(upright, image_size=(20, 30), aspect=aspect)
    small = read_image(data, image_size=(20, 30), aspect=aspect)
    assert largest_difference(small, expected) <= 4


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_orientation_may_come_from_xmp(file_format):
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    options = {"pnginfo": info} if file_format == "PNG" else {"xmp": xmp}
    assert read_image(encoded(gradient(8, 16), file_format, **options)).shape == (16, 8, 3)


@pytest.mark.parametrize("orientation", [0, 9, 700])
def test_orientation_that_makes_no_sense_is_upright(orientation):
    pixels = gradient(8, 16)
    assert (read_image(encoded(pixels, "PNG", orientation)) == pixels).all()


def test_crop_keeps_the_middle_at_its_scale():
    ramp = np.tile(2 * np.arange(80, dtype="uint8"), (40, 1))
    # Half the scale makes 20 x 40; the middle 30 columns start at source column 10.
    columns = read_image(ramp, image_size=(20, 30))[7, :, 0]
    assert columns.tolist() == [21 + 4 * column for column in range(30)]


def test_crop_without_resizing_copies():
    block = np.array([[9, 1, 2, 8], [9, 3, 4, 8]], "uint8")
    assert read_image(block, image_size=2)[:, :, 0].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("aspect", "corners"),
    [
        ("stretch", [(0, 0), (0, 19), (19, 0), (19, 19)]),
        ("pad", [(5, 0), (5, 19), (14, 0), (14, 19)]),
        ("crop", []),
    ],
)
def test_aspect_moves_the_corners(aspect, corners):
    picture = np.zeros((40, 80, 3), "uint8")
    colors = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]]
    picture[:12, :16], picture[:12, -16:] = colors[0], colors[1]
    picture[-12:, :16], picture[-12:, -16:] = colors[2], colors[3]
    result = read_image(picture, image_size=20, aspect=aspect)
    assert result.shape == (20, 20, 3)
    for corner, color in zip(corners, colors, strict=False):
        assert result[corner].tolist() == color
    if aspect == "crop":
        assert not result.any()
    if aspect == "pad":
        assert not result[:5].any()
        assert not result[15:].any()


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [((2, 4), (1, 3), (0, 4)), ((4, 2), (0, 5), (0, 3)), ((5, 4), (0, 5), (0, 4))],
)
def test_pad_adds_black_around_the_whole_picture(shape, rows, columns):
    result = read_image(np.full(shape, 255, "uint8"), image_size=(5, 4), aspect="pad")
    expected = np.zeros((5, 4), "uint8")
    expected[slice(*rows), slice(*columns)] = 255
    assert (result == expected[:, :, None]).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 2)])
@pytest.mark.parametrize("aspect", ["crop", "pad", "stretch"])
def test_image_size_is_met_from_any_shape(shape, aspect):
    assert read_image(np.ones(shape, "uint8"), image_size=(7, 4), aspect=aspect).shape == (7, 4, 3)


@pytest.mark.parametrize(
    "options", [{}, {"subsampling": 0}, {"progressive": True}, {"restart_marker_blocks": 2}]
)
@pytest.mark.parametrize("grey", [False, True])
def test_fast_jpeg_equals_pillow(options, grey, monkeypatch, rng):
    coarse = Image.fromarray(rng.integers(0, 256, (9, 13, 3), "uint8"))
    pixels = np.asarray(coarse.resize((130, 90)))
    data = encoded(pixels[:, :, 0] if grey else pixels, "JPEG", quality=90, **options)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB"))
    monkeypatch.setattr(reading, "_decode_with_pillow", None)  # The fast road must suffice.
    result = read_image(data)
    assert largest_difference(result, expected) <= 4
    assert np.abs(result.astype(int) - expected).mean() <= 0.5


# Sides that are no multiple of 8 shift by part of a pixel; a whole one would cost 4.5 on average.
@pytest.mark.parametrize(("width", "height", "bound"), [(800, 608, 0.6), (801, 603, 2.7)])
@pytest.mark.parametrize("aspect", ["crop", "pad", "stretch"])
def test_scaled_jpeg_nearly_equals_resizing_all_of_it(aspect, width, height, bound, rng):
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), "uint8"))
    data = encoded(coarse.resize((width, height), Image.Resampling.BICUBIC), "JPEG", quality=92)
    with Image.open(io.BytesIO(data)) as image:
        expected = read_image(np.asarray(image), image_size=(96, 90), aspect=aspect)
    difference = read_image(data, image_size=(96, 90), aspect=aspect).astype(int) - expected
    assert np.abs(difference).mean() <= bound
    assert np.abs(difference).max() <= 24


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (2, 3, 3)])
def test_array_of_any_shape_and_dtype(shape, dtype):
    result = read_image(np.full(shape, 200, dtype))
    assert (result.dtype, result.shape, set(result.flat)) == (np.uint8, (2, 3, 3), {200})


def test_array_is_rounded():
    assert read_image(np.array([[0.4, 99.6, 255.0]]))[0, :, 0].tolist() == [0, 100, 255]


@pytest.mark.parametrize(
    "values", [[-5.0, 99.0], [0, 300], [0.0, 0.5, 1.0], [-1000, 3000], [0.0, np.nan], [0, 65535]]
)
def test_array_of_another_range_is_refused(values):
    with pytest.raises(ValueError, match=r"values must lie in \[0, 255\].*images \* 255"):
        read_image(np.array([values]))


def test_truth_values_are_a_mask_and_said_to_be():
    with pytest.warns(UserWarning, match="white where true"):
        assert read_image(np.array([[True, False]]))[0, :, 0].tolist() == [255, 0]


def test_transparency_of_an_array_becomes_white():
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51]]], "uint8")
    assert read_image(pixels)[0].tolist() == [[10, 20, 30], [255, 255, 255], [204, 204, 204]]


def test_pillows_own_image_is_read_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], "uint8"))
    stored.getexif()[0x0112] = 6
    # A quarter turn clockwise: the left pixel comes to the top.
    assert read_image(stored)[:, 0].tolist() == [[255, 0, 0], [0, 0, 255]]


@pytest.mark.parametrize("shape", [(3,), (2, 2, 5), (2, 2, 2), (0, 3), (1, 2, 2, 3)])
def test_array_of_a_wrong_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"the image given: an array must be of shape"):
        read_image(np.zeros(shape, "uint8"))


def test_result_is_the_callers_own():
    given = np.zeros((2, 2, 3), "uint8")
    for source in (given, encoded(given, "PNG"), encoded(given, "JPEG")):
        read_image(source)[:] = 7
    assert not given.any()


def test_grayscale_weighs_the_colors():
    colors = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [80, 80, 80]]], "uint8")
    grey = read_image(colors, color_mode="grayscale")
    assert (grey.dtype, grey.shape) == (np.uint8, (1, 4, 1))
    assert grey.ravel().tolist() == [76, 150, 29, 80]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("aspect", "fit"),
        ("color_mode", "rgba"),
        *[("image_size", value) for value in (0, -1, 8.0, "8", True, (8, 0), (8, 8, 3), ())],
    ],
)
def test_read_image_names_a_bad_argument(argument, value):
    with pytest.raises(ValueError, match=f"`{argument}` must be"):
        read_image(np.zeros((2, 2)), **{argument: value})


def test_inspect_reads_the_header_only():
    data = bytearray(encoded(gradient(8, 16), "PNG"))
    data[data.index(b"IDAT") + 10] ^= 255
    assert inspect(bytes(data)) == Header(width=16, height=8)
    with pytest.raises(ValueError, match="broken data stream"):
        read_image(bytes(data))


@pytest.mark.parametrize("behind", [b"", b"\xff\xe0\x00\x04ab", b"\xff\xff\xff\xfe\x00\x03a\xff"])
def test_orientation_is_found_behind_other_segments(behind):
    data = encoded(gradient(48, 80), "JPEG", orientation=6)
    data = data[:2] + behind + data[2:]
    assert read_image(data).shape == (80, 48, 3)
    assert inspect(data) == Header(48, 80, orientation=6)


def test_inspect_of_a_plain_jpeg_equals_pillows_header(monkeypatch):
    data = encoded(gradient(48, 80), "JPEG")
    fast = inspect(data)
    monkeypatch.setattr(reading, "_inspect_plain_jpeg", lambda head, tail: None)
    assert fast == inspect(data) == Header(80, 48)


@pytest.mark.parametrize("number", [0, 3])
def test_a_number_is_no_file(number):
    # `open` would read from, and close, the file that the program has open under that number.
    with pytest.raises(ValueError, match="Can't read the image given"):
        read_image(number)


def test_inspect_takes_arrays():
    assert inspect(np.zeros((2, 5, 3))) == Header(width=5, height=2)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_inspect_notices_a_missing_end(file_format, tmp_path):
    data = encoded(gradient(40, 60), file_format)
    file = tmp_path / "cut.bin"
    file.write_bytes(data[: len(data) * 3 // 4])
    assert inspect(file).problem == "the file is cut off: its end is missing"
    file.write_bytes(data)
    assert inspect(file).problem is None


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_inspect_lets_a_film_behind_the_picture_pass(file_format):
    data = encoded(gradient(40, 60), file_format) + bytes(100_000)
    assert inspect(data) == Header(width=60, height=40)
    assert read_image(data).shape == (40, 60, 3)


@pytest.mark.parametrize("data", [b"", b"no image", zlib.compress(bytes(99)), b"\xff\xd8\xff"])
def test_inspect_gives_a_reason_for_what_is_no_picture(data):
    assert inspect(data).problem
