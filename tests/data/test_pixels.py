"""The pixel store: memory, file, neither; and files that change or go."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from keras_practical import load_images
from keras_practical.data import loading, pixel_store, reading
from keras_practical.data.pixel_store import PixelStore
from keras_practical.data.reading import Header

GREYS = (10, 20, 30)


@pytest.fixture
def files(tmp_path):
    """Three 4 x 4 PNG files of one grey each."""
    paths = [tmp_path / f"{grey}.png" for grey in GREYS]
    for path, grey in zip(paths, GREYS, strict=True):
        Image.new("L", (4, 4), grey).save(path)
    return paths


@pytest.fixture
def decoded(monkeypatch):
    """What has been decoded so far."""
    sources = []

    def decode(source, *rest):
        sources.append(source)
        return reading.decode(source, *rest)

    monkeypatch.setattr(pixel_store, "decode", decode)
    return sources


def store(pictures, **changes):
    settings = {"size": (2, 2), "aspect": "crop", "color_mode": "rgb"} | changes
    return PixelStore(pictures, **settings)


def greys(the_store, positions=(0, 1, 2)):
    """Return the grey of each image, after checking that it is one grey all over."""
    batch, readable = the_store.read(list(positions))
    assert readable.all()
    assert (batch == batch[:, :1, :1, :1]).all()
    return batch[:, 0, 0, 0].tolist()


def test_memory_decodes_each_picture_once(files, decoded):
    in_memory = store(files)
    headers = in_memory.decode_all(None, verbose=False)
    assert headers == [Header(width=4, height=4)] * 3
    assert greys(in_memory, [2, 0, 0]) == [30, 10, 10]
    assert sorted(decoded) == sorted(files)


@pytest.mark.parametrize(("color_mode", "channels"), [("rgb", 3), ("grayscale", 1)])
def test_shape_and_size_in_memory(color_mode, channels):
    some = store([np.zeros((9, 9))] * 5, size=(3, 7), color_mode=color_mode)
    assert some.shape == (3, 7, channels)
    assert some.nbytes == 5 * 3 * 7 * channels


def test_read_takes_arrays_and_bytes(files):
    mixed = store([files[0], files[1].read_bytes(), np.full((4, 4), 30)])
    mixed.decode_all(None, verbose=False)
    assert greys(mixed) == list(GREYS)


def test_file_is_found_again(files, decoded, tmp_path):
    cache = tmp_path / "deep" / "cache"
    first, second = store(files), store(files)
    headers = first.decode_all(str(cache), verbose=False)
    assert len(decoded) == 3
    assert second.decode_all(cache, verbose=False) == headers
    assert len(decoded) == 3
    assert greys(first) == greys(second) == list(GREYS)
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]


def test_file_keeps_the_problems(files, tmp_path):
    files[1].write_bytes(b"")
    for _ in range(2):
        headers = store(files).decode_all(tmp_path / "cache", verbose=False)
        assert headers[1] == Header(problem="the file is empty")


def test_file_is_rebuilt_when_a_picture_changes(files, decoded, tmp_path):
    store(files).decode_all(tmp_path / "cache", verbose=False)
    Image.new("L", (5, 5), 99).save(files[1])
    again = store(files)
    again.decode_all(tmp_path / "cache", verbose=False)
    assert greys(again) == [10, 99, 30]
    assert len(decoded) == 6


def test_file_is_rebuilt_when_only_the_time_changes(files, decoded, tmp_path):
    store(files).decode_all(tmp_path / "cache", verbose=False)
    os.utime(files[1], ns=(1, 1))
    store(files).decode_all(tmp_path / "cache", verbose=False)
    assert len(decoded) == 6


@pytest.mark.parametrize(
    "change", [{"size": (2, 3)}, {"aspect": "pad"}, {"color_mode": "grayscale"}]
)
def test_file_belongs_to_one_setting(change, files, decoded, tmp_path):
    store(files).decode_all(tmp_path / "cache", verbose=False)
    store(files, **change).decode_all(tmp_path / "cache", verbose=False)
    assert len(decoded) == 6


def test_file_belongs_to_one_order_of_pictures(files, tmp_path):
    store(files).decode_all(tmp_path / "cache", verbose=False)
    backwards = store(files[::-1])
    backwards.decode_all(tmp_path / "cache", verbose=False)
    assert greys(backwards) == [30, 20, 10]


@pytest.mark.parametrize("kind", ["array", "bytes"])
def test_file_depends_on_the_content_of_what_has_no_path(kind, decoded, tmp_path):
    for grey in (1, 2, 2):
        picture = np.full((4, 4), grey, "uint8")
        some = store([picture if kind == "array" else b"P5 2 2 255 " + bytes([grey] * 4)])
        some.decode_all(tmp_path, verbose=False)
        assert greys(some, [0]) == [grey]
    assert len(decoded) == 2


def test_file_is_rebuilt_once_pillow_can_read_more(files, decoded, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.delitem(Image.OPEN, "QOI")
        store(files).decode_all(tmp_path / "cache", verbose=False)
    store(files).decode_all(tmp_path / "cache", verbose=False)
    assert len(decoded) == 6


@pytest.mark.parametrize("suffix", [".npy", ".json"])
@pytest.mark.parametrize("damage", ["gone", "empty", "short", "garbage", "other"])
def test_damaged_file_is_rebuilt(damage, suffix, files, tmp_path):
    store(files).decode_all(tmp_path / "cache", verbose=False)
    (cached,) = (tmp_path / "cache").glob(f"*{suffix}")
    content = cached.read_bytes()
    if damage == "gone":
        cached.unlink()
    elif damage == "other" and suffix == ".npy":
        np.save(cached, np.zeros((1, 2, 2, 3), "uint8"))
    elif damage == "other":
        cached.write_text(json.dumps([{"width": 1}]))
    else:
        new = {"empty": b"", "short": content[:-5], "garbage": b"\x80" * len(content)}
        cached.write_bytes(new[damage])
    again = store(files)
    assert again.decode_all(tmp_path / "cache", verbose=False) == [Header(4, 4)] * 3
    assert greys(again) == list(GREYS)
    assert cached.read_bytes() == content


def test_interrupted_build_leaves_no_file(files, tmp_path, monkeypatch):
    def interrupted(source, *rest):
        if source == files[1]:
            raise KeyboardInterrupt
        return reading.decode(source, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(pixel_store, "decode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store(files).decode_all(tmp_path / "cache", verbose=False)
    assert list((tmp_path / "cache").iterdir()) == []
    again = store(files)
    again.decode_all(tmp_path / "cache", verbose=False)
    assert greys(again) == list(GREYS)


def test_check_rows_decodes_what_check_headers_only_looks_at(files, decoded):
    data = bytearray(files[0].read_bytes())
    data[data.index(b"IDAT") + 6] ^= 255
    broken = files[0].with_name("broken.png")
    broken.write_bytes(data)
    some = store([broken, broken, files[0]])
    assert some.check_headers(verbose=False) == [Header(4, 4)] * 3
    [header] = some.check_rows([0], verbose=False)
    assert header.problem == "broken data stream when reading image file"
    assert decoded == [broken]


def test_read_reports_a_file_that_went_once(files):
    some = store(files)
    assert some.check_headers(verbose=False) == [Header(4, 4)] * 3
    files[1].unlink()
    with pytest.warns(UserWarning, match=r"^Left out .*20\.png: there is no such file\.$"):
        batch, readable = some.read([0, 1])
    assert readable.tolist() == [True, False]
    assert batch[:, 0, 0, 0].tolist() == [10, 0]
    assert not batch[1].any()
    batch, readable = some.read([1])  # A second warning would be an error here.
    assert not batch.any()
    assert not readable.any()


def test_read_names_a_picture_without_a_path_by_its_position():
    some = store([np.zeros((4, 4)), b"broken"])
    with pytest.warns(UserWarning, match="Left out image 1: it is not an image"):
        some.read([1])


def test_verbose_shows_a_bar_that_changes_nothing(files, capsys):
    some = store(files)
    assert some.decode_all(None, verbose=True) == [Header(4, 4)] * 3
    assert greys(some) == list(GREYS)
    capsys.readouterr()
    some.decode_all(None, verbose=False)
    assert capsys.readouterr().out == ""


def test_load_images_gives_the_same_pixels_from_every_cache(tmp_path, rng):
    for path in ("a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"):
        file = tmp_path / "photos" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (50, 70, 3), "uint8")).save(file)
    batches = []
    cases = {"memory": {}, "disk": {"cache_dir": tmp_path / "cache"}, None: {}, "auto": {}}
    for cache, more in cases.items():
        loaded = load_images(tmp_path / "photos", image_size=8, cache=cache, verbose=False, **more)
        batches.append([next(iter(part))[0].numpy() for part in (loaded.train, loaded.validation)])
    assert np.array_equal(batches, [batches[0]] * 4)


def test_load_images_wants_a_folder_for_the_file_and_only_then(tmp_path):
    arrays = np.zeros((4, 4, 4)), [0, 1, 0, 1]
    for wrong in ({"cache": "disk"}, {"cache_dir": tmp_path}):
        with pytest.raises(ValueError, match='`cache="disk"` and `cache_dir` go together'):
            load_images(arrays, verbose=False, **wrong)


def test_auto_stops_keeping_pictures_at_its_limit(capsys, monkeypatch):
    arrays = np.zeros((4, 4, 4)), [0, 1, 0, 1]
    for limit, expected in ((4 * 4 * 4 * 3, "decoded once"), (4 * 4 * 4 * 3 - 1, "decoded anew")):
        monkeypatch.setattr(loading, "_MEMORY_LIMIT_BYTES", limit)
        load_images(arrays)
        assert expected in capsys.readouterr().out


def test_load_images_notes_size_and_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for path in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        Image.new("L", (30, 20)).save(tmp_path / path, exif=exif)
    for cache in ("memory", None):
        record = load_images(tmp_path, cache=cache, verbose=False).index.records[0]
        assert record.name == str(tmp_path / "a" / "1.png")
        assert (record.width, record.height, record.orientation) == (20, 30, 6)


def test_verbose_says_in_one_line_what_was_loaded(capsys):
    pictures, labels = np.zeros((1002, 2, 3)), [0, 1] * 501
    load_images({"train": (pictures, labels), "test": (pictures[:4], labels[:4])})
    assert capsys.readouterr().out.strip() == (
        "load_images: 802 training and 200 validation and 4 test images, 2 classes, "
        "2 x 3 pixels, decoded once into memory (0.0 MB)"
    )
