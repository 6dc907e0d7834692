"""Files as people have them: deep, transparent, animated, mislabelled, cut off, dangerous."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from shared_data import data_folder

from keras_practical.data.reading import inspect, read_image

GARBAGE = np.random.default_rng(0).bytes(400)


def saved(image, file_format, **options):
    """Return an image file's bytes."""
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def colors_of(data):
    """Return the colours of a one-row image."""
    return read_image(data)[0].tolist()


def greys_of(data):
    """Return the values of a one-row image that must be grey."""
    pixels = read_image(data)
    assert (pixels == pixels[:, :, :1]).all()
    return pixels[0, :, 0].tolist()


def row(mode, *values):
    """Return an image of one row."""
    image = Image.new(mode, (len(values), 1))
    image.putdata(values)
    return image


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP"])
def test_transparent_becomes_white(file_format):
    image = row("RGBA", (9, 8, 7, 255), (0, 0, 0, 0), (200, 0, 0, 0))
    data = saved(image, file_format, **({"lossless": True} if file_format == "WEBP" else {}))
    assert colors_of(data) == [[9, 8, 7], [255, 255, 255], [255, 255, 255]]


def test_half_transparent_lets_the_white_through():
    assert colors_of(saved(row("RGBA", (0, 0, 0, 51)), "PNG")) == [[204, 204, 204]]


def test_transparent_grey_becomes_white():
    assert greys_of(saved(row("LA", (50, 255), (50, 0)), "PNG")) == [50, 255]


@pytest.mark.parametrize("file_format", ["PNG", "GIF"])
def test_transparent_palette_entry_becomes_white(file_format):
    image = row("P", 0, 1, 2)
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    data = saved(image, file_format, transparency=1)
    assert colors_of(data) == [[10, 20, 30], [255, 255, 255], [70, 80, 90]]


def test_transparent_color_key_becomes_white():
    data = saved(row("RGB", (1, 2, 3), (4, 5, 6)), "PNG", transparency=(4, 5, 6))
    assert colors_of(data) == [[1, 2, 3], [255, 255, 255]]


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP"])
def test_one_bit_is_black_and_white(file_format):
    assert greys_of(saved(row("1", 0, 255, 0), file_format)) == [0, 255, 0]


def test_cmyk_becomes_rgb():
    ink = row("CMYK", (0, 255, 255, 0), (255, 0, 255, 0), (0, 0, 0, 0), (0, 0, 0, 255))
    expected = [[255, 0, 0], [0, 255, 0], [255, 255, 255], [0, 0, 0]]
    assert colors_of(saved(ink, "TIFF")) == expected
    blocks = saved(ink.resize((32, 8), Image.Resampling.NEAREST), "JPEG", quality=100)
    assert np.abs(read_image(blocks)[4, 4::8].astype(int) - expected).max() <= 6


@pytest.mark.parametrize(
    ("dtype", "file_format"), [("<u2", "PNG"), ("<u2", "TIFF"), (">u2", "TIFF")]
)
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 257, 32896, 65535], [0, 1, 128, 255]),
        # A dark picture stays dark: its depth decides, not its brightest pixel.
        ([0, 100, 200, 255], [0, 0, 1, 1]),
    ],
)
@pytest.mark.filterwarnings("ignore:the image given. its 16-bit values end at 255")
def test_16_bits_are_scaled_by_257(values, expected, dtype, file_format):
    image = Image.fromarray(np.array([values], dtype))
    assert greys_of(saved(image, file_format)) == expected


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("float32", [0.0, 0.2, 1.0], [0, 51, 255]),
        ("float32", [0.0, 51.0, 200.0], [0, 51, 200]),
        ("float32", [np.nan, np.inf, 1.0], [0, 0, 255]),
        ("float32", [0.0, 0.0, 0.0], [0, 0, 0]),
        ("int32", [0, 7, 255], [0, 7, 255]),
    ],
)
def test_deep_tiff_is_scaled_by_its_range(dtype, values, expected):
    assert greys_of(saved(Image.fromarray(np.array([values], dtype)), "TIFF")) == expected


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("float32", [-3.0, 51.0, 200.0]),
        ("float32", [0.0, 200.0, 1000.0]),
        ("int32", [-1, 7, 255]),
        ("int32", [0, 257, 65535]),
        ("int32", [-1000, 0, 3000]),
    ],
)
def test_deep_tiff_of_another_range_needs_a_window(dtype, values):
    data = saved(Image.fromarray(np.array([values], dtype)), "TIFF")
    with pytest.raises(ValueError, match=r"its values go from .*: pass window=\(center, width\)"):
        read_image(data)
    low, high = min(values), max(values)
    expected = np.rint(255 * (np.array(values) - low) / (high - low)).astype(int).tolist()
    assert read_image(data, window="full")[0, :, 0].tolist() == expected
    assert read_image(data, window=((low + high) / 2, high - low))[0, :, 0].tolist() == expected


def test_float_tiff_just_above_one_is_read_as_its_neighbours_are():
    ramp = np.linspace(0, 1, 64, dtype="float32")[None]
    below = read_image(saved(Image.fromarray(ramp * 0.999), "TIFF"))
    with pytest.warns(UserWarning, match="its values go to 1.001; those above 1 count as white"):
        above = read_image(saved(Image.fromarray(ramp * 1.001), "TIFF"))
    assert np.abs(below.astype(int) - above).max() <= 1


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_12_bits_in_16_are_said_to_be_nearly_black(file_format):
    data = saved(Image.fromarray(np.array([[0, 2048, 4095]], "uint16")), file_format)
    with pytest.warns(UserWarning, match="16-bit values end at 4095 of 65,535"):
        assert read_image(data)[0, :, 0].tolist() == [0, 8, 16]
    assert read_image(data, window=(2047.5, 4095))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animation_gives_its_first_frame(file_format):
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = saved(first, file_format, save_all=True, append_images=[second], **options)
    assert read_image(data)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(("file_format", "extension"), [("PNG", "jpg"), ("JPEG", "png")])
def test_extension_may_be_wrong(file_format, extension, tmp_path):
    file = tmp_path / f"image.{extension}"
    file.write_bytes(saved(Image.new("RGB", (6, 4), "white"), file_format))
    assert (read_image(file) == np.full((4, 6, 3), 255)).all()
    assert inspect(file).problem is None


def test_every_common_format_is_read():
    image = Image.new("RGB", (6, 4), (0, 0, 255))
    for file_format in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "TGA", "ICO"):
        pixels = read_image(saved(image, file_format), image_size=2).astype(int)
        assert np.abs(pixels - [0, 0, 255]).max() <= 2, file_format


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_truncated_file_is_named(file_format, tmp_path, rng):
    data = saved(Image.fromarray(rng.integers(0, 256, (40, 40, 3), "uint8")), file_format)
    file = tmp_path / "half.img"
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"^Can't read .*half\.img: .+\.$"):
        read_image(file)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"<html>Not found</html>", "it is a text"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC photos need"),
        (GARBAGE, "it is not an image in a known format"),
        (b"\xff\xd8\xff" + GARBAGE, ".+"),
        (b"\x89PNG\r\n\x1a\n" + GARBAGE, ".+"),
        (b"II*\0" + GARBAGE, ".+"),
    ],
)
def test_no_picture_is_named_with_the_reason(data, reason, tmp_path):
    file = tmp_path / "holiday.jpg"
    file.write_bytes(data)
    with pytest.raises(ValueError, match=rf"^Can't read .*holiday\.jpg: {reason}"):
        read_image(str(file))
    assert inspect(file).problem


@pytest.mark.parametrize("source", ["no/such.jpg", None, 3, ["a.jpg"]])
def test_no_file_is_a_value_error(source):
    reason = r"no/such\.jpg: there is no such file" if source == "no/such.jpg" else "the image"
    with pytest.raises(ValueError, match=f"^Can't read {reason}"):
        read_image(source)
    assert inspect(source).problem


def test_folder_is_a_value_error(tmp_path):
    with pytest.raises(ValueError, match="Can't read"):
        read_image(tmp_path)
    assert inspect(tmp_path).problem


def test_heic_says_what_to_install(tmp_path):
    file = tmp_path / "IMG_0001.HEIC"
    file.write_bytes(b"\0\0\0\x18ftypheic" + GARBAGE)
    with pytest.raises(ValueError, match=r"pip install pillow-heif.*register_heif_opener"):
        read_image(file)


def test_eps_is_not_opened():
    """Pillow would start Ghostscript."""
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    with Image.open(io.BytesIO(eps)) as image:
        assert image.format == "EPS"
    with pytest.raises(ValueError, match="not an image in a known format"):
        read_image(eps)
    assert inspect(eps).problem


def test_bomb_is_refused_and_pillows_limit_stays():
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for name, chunk in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        data += struct.pack(">I", len(chunk)) + name + chunk
        data += struct.pack(">I", zlib.crc32(name + chunk))
    with pytest.raises(ValueError, match="exceeds limit of 178956970 pixels"):
        read_image(data)
    assert "exceeds limit" in inspect(data).problem
    assert Image.MAX_IMAGE_PIXELS == 89_478_485


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_bomb_limit_holds_for_each_decoder(file_format, monkeypatch):
    data = saved(Image.new("RGB", (20, 10)), file_format)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 90)
    with pytest.raises(ValueError, match="exceeds limit of 180 pixels"):
        read_image(data, image_size=4)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert read_image(data).shape == (10, 20, 3)


def awkward(name):
    return data_folder() / "awkward_images" / name


@pytest.mark.real_data
@pytest.mark.filterwarnings("default")
def test_real_awkward_files_are_read_or_named():
    files = sorted(awkward("").iterdir())
    reasons = {}
    for file in files:
        header = inspect(file)
        try:
            pixels = read_image(file)
        except ValueError as error:
            name, reason = str(error).removeprefix("Can't read ").split(": ", 1)
            assert name == str(file)
            reasons[file.name] = reason
            continue
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
        assert min(pixels.shape) >= 1
        # A PNG's late orientation apart, the header tells the shape that decoding gives.
        assert header.problem is None
        assert {header.height, header.width} == set(pixels.shape[:2])
    print(f"\n{len(files)} files: {len(files) - len(reasons)} read, {len(reasons)} named")
    print("\n".join(f"  {name}: {reason}" for name, reason in reasons.items()))
    assert all(len(reason) > 1 for reason in reasons.values())
    assert len(reasons) <= 25


@pytest.mark.real_data
def test_real_rotated_portraits_show_the_same():
    first, *others = (
        read_image(awkward(f"exif-orientation__Portrait_{orientation}.jpg"), image_size=(90, 60))
        for orientation in (0, 3, 7)
    )
    for other in others:
        assert np.abs(first.astype(int) - other).mean() < 4


@pytest.mark.real_data
@pytest.mark.parametrize("file", ["pil_sample_cmyk.jpg", "mode_palette.png", "rdf.tif"])
def test_real_files_keep_their_colors(file):
    with Image.open(awkward(f"pillow-images__{file}")) as image:
        expected = np.asarray(image.convert("RGB"))
    assert 0 < expected.mean() < 255
    assert (read_image(awkward(f"pillow-images__{file}")) == expected).all()


@pytest.mark.real_data
@pytest.mark.parametrize("file", ["16bit.cropped.tif", "16bit.MM.deflate.tif"])
def test_real_16_bit_files_are_dark_but_not_black(file):
    with pytest.warns(UserWarning, match="nearly black"):
        grey = read_image(awkward(f"pillow-images__{file}"))
    # 291 to 694 of 65535.
    assert (grey.min(), grey.max()) == (1, 3)
