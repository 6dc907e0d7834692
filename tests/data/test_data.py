"""`load_images`: the split, the data sets, broken files, arguments."""

import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_practical import load_images
from keras_practical.data.image_set import dataset_of


def paint(file, grey, size=(8, 8)):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, grey).save(file)


def break_in_the_middle(file):
    """Leave header and end as they are, so that only decoding finds out."""
    data = bytearray(file.read_bytes())
    data[data.index(b"IDAT") + 6] ^= 255
    file.write_bytes(data)


@pytest.fixture
def pets(tmp_path):
    """Ten images of each of two classes; the grey is 100 x class + position."""
    root = tmp_path / "pets"
    for label, name in enumerate(("cats", "dogs")):
        for number in range(10):
            paint(root / name / f"{number}.png", 100 * label + number)
    return root


def load(source, **changes):
    settings = {"image_size": 4, "batch_size": 4, "verbose": False} | changes
    return load_images(source, **settings)


def greys(dataset):
    """Return a data set's greys in its order, after checking them against the labels."""
    found = []
    for images, labels in dataset:
        grey = images[:, 0, 0, 0].numpy().astype(int)
        assert (images.numpy() == grey[:, None, None, None]).all()
        assert (grey // 100 == labels.numpy()).all()
        found += grey.tolist()
    return found


def names(data, split, root):
    return [record.name.removeprefix(f"{root}/") for record in data.index.split(split)]


def test_data_sets_are_ready_for_fit(pets):
    data = load(pets, image_size=(4, 6))
    assert (data.class_names, data.image_size) == (("cats", "dogs"), (4, 6))
    assert data.test is None
    assert (data.train.cardinality(), data.validation.cardinality()) == (4, 1)
    images, labels = data.train.element_spec
    assert (images.shape.as_list(), images.dtype) == ([None, 4, 6, 3], tf.float32)
    assert (labels.shape.as_list(), labels.dtype) == ([None], tf.int64)
    assert data.train.class_names == data.validation.class_names == ["cats", "dogs"]
    assert sorted(greys(data.train) + greys(data.validation)) == [*range(10), *range(100, 110)]


def test_pixels_span_0_to_255_and_grayscale_has_one_channel():
    pictures = np.zeros((4, 2, 2), "uint8")
    pictures[:, 0] = 255
    data = load((pictures, [0, 1, 0, 1]), image_size=None, color_mode="grayscale")
    images, _ = next(iter(data.train))
    assert images[0, :, :, 0].numpy().tolist() == [[255.0, 255.0], [0.0, 0.0]]
    assert data.train.element_spec[0].shape.as_list() == [None, 2, 2, 1]


@pytest.mark.parametrize(
    ("fraction", "expected"), [(0.01, 1), (0.2, 2), (0.25, 2), (0.26, 3), (0.5, 5), (0.9, 9)]
)
def test_split_takes_its_part_of_each_class(fraction, expected, pets):
    paint(pets / "cats" / "new.png", 10)
    paint(pets / "cats" / "newer.png", 11)
    index = load(pets, validation_fraction=fraction).index
    of_cats = round(12 * fraction) or 1
    assert index.counts("validation") == {"cats": of_cats, "dogs": expected}
    assert index.counts("train") == {"cats": 12 - of_cats, "dogs": 10 - expected}


def test_split_always_leaves_a_picture_for_training():
    data = load((np.zeros((4, 4, 4)), [0, 0, 1, 1]), validation_fraction=0.9)
    assert data.index.counts("train") == data.index.counts("validation") == {"0": 1, "1": 1}


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        # The two smallest of sha256(f"{seed}:cats/{n}.png"), and of the dogs'.
        (0, ["cats/2.png", "cats/5.png", "dogs/1.png", "dogs/3.png"]),
        (1, ["cats/5.png", "cats/6.png", "dogs/8.png", "dogs/9.png"]),
    ],
)
def test_split_is_the_same_for_ever(seed, expected, pets):
    assert names(load(pets, seed=seed), "validation", pets) == expected


def test_split_is_the_same_for_either_unicode_form(tmp_path):
    splits = []
    for form in ("NFC", "NFD"):
        root = tmp_path / form
        for name in ("Élan", "Zèbre"):
            for number in range(8):
                path = f"{name}/café {number}.png"
                paint(root / unicodedata.normalize(form, path), number)
        found = names(load(root, validation_fraction=0.5), "validation", root)
        splits.append([unicodedata.normalize("NFC", name) for name in found])
    assert splits[0] == splits[1]
    assert len(splits[0]) == 8


def test_split_of_the_others_survives_a_new_picture(pets):
    def held_out():
        return set(names(load(pets, validation_fraction=0.5), "validation", pets))

    before = held_out()
    for number in range(3):
        new = f"cats/new {number}.png"
        paint(pets / new, 50)
        after = held_out()
        assert len(before - after) <= 1
        assert len(after - before) <= 1
        before = after


def test_split_of_the_source_is_kept(tmp_path):
    for part, split in enumerate(("train", "val", "test")):
        for label, name in enumerate("ab"):
            paint(tmp_path / split / name / "1.png", 100 * label + part)
    data = load(tmp_path, validation_fraction=0.9)
    assert sorted(greys(data.train)) == [0, 100]
    assert (greys(data.validation), greys(data.test)) == ([1, 101], [2, 102])


def test_no_validation_when_none_is_asked_for(pets):
    data = load(pets, validation_fraction=0)
    assert data.validation is None
    assert data.index.counts("train") == {"cats": 10, "dogs": 10}


def test_csv_is_loaded(pets):
    table = pets / "table.csv"
    rows = [f"{name}/{n}.png;{name};train" for name in ("cats", "dogs") for n in range(3)]
    rows += ["cats/5.png;cats;test", "dogs/5.png;dogs;test"]
    table.write_text("\n".join(["file;label;split", *rows]))
    data = load(table, columns={"path": "file"})
    assert data.index.counts("train") == {"cats": 2, "dogs": 2}
    assert greys(data.test) == [5, 105]


def test_csv_without_training_pictures_is_refused(pets):
    (pets / "t.csv").write_text("path,label,split\ncats/1.png,cats,test\ndogs/1.png,dogs,test")
    with pytest.raises(ValueError, match="Class 'cats' has no readable image for train"):
        load(pets / "t.csv")


def test_training_is_shuffled_anew_in_each_epoch_by_the_seed(pets):
    def two_epochs(seed):
        train = load(pets, seed=seed, validation_fraction=0).train
        return greys(train), greys(train)

    first, second = two_epochs(0)
    assert first != second
    assert sorted(first) == sorted(second) == [*range(10), *range(100, 110)]
    assert first != sorted(first)
    assert two_epochs(0) == (first, second)
    assert two_epochs(1)[0] != first


def test_validation_keeps_the_order_of_the_index(pets):
    data = load(pets, validation_fraction=0.5)
    paths = [record.name for record in data.index.split("validation")]
    expected = [int(np.asarray(Image.open(path))[0, 0]) for path in paths]
    assert greys(data.validation) == greys(data.validation) == expected


@pytest.mark.parametrize("cache", ["memory", None])
def test_unreadable_pictures_are_left_out_with_one_warning(cache, pets):
    (pets / "cats" / "3.png").write_bytes(b"")
    (pets / "dogs" / "7.png").write_text("no image")
    with pytest.warns(UserWarning, match="2 of 20 images can't be read") as caught:
        data = load(pets, cache=cache)
    (warning,) = caught
    assert warning.filename == __file__
    text = str(warning.message)
    assert f"{pets / 'cats' / '3.png'}: the file is empty" in text
    assert f"{pets / 'dogs' / '7.png'}: it is not an image" in text
    assert len(data.index.problems) == 2
    found = greys(data.train) + greys(data.validation)
    assert sorted(found) == [n for n in (*range(10), *range(100, 110)) if n not in (3, 107)]


def test_the_warning_lists_twenty(tmp_path):
    for name in "ab":
        for number in range(14):
            paint(tmp_path / name / f"{number}.png", 0)
        for number in range(11):
            (tmp_path / name / f"bad {number}.png").touch()
    with pytest.warns(UserWarning, match=r"(?s)22 of 50.*and 2 more, in index\.problems") as caught:
        load(tmp_path)
    assert str(caught[0].message).count("the file is empty") == 20


def test_on_error_raise_stops_and_lists(pets):
    (pets / "cats" / "3.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"3\.png: the file is empty\n.*on_error=\"skip\""):
        load(pets, on_error="raise")


@pytest.mark.parametrize("broken", [["cats"], ["cats", "dogs"]])
@pytest.mark.filterwarnings("ignore:.*can't be read")
def test_class_without_a_readable_picture_is_refused(broken, pets):
    for name in broken:
        for file in (pets / name).iterdir():
            file.write_bytes(b"")
    with pytest.raises(ValueError, match="Class 'cats' has no readable image for train"):
        load(pets)


@pytest.mark.filterwarnings("ignore:.*can't be read")
def test_split_without_a_readable_picture_is_refused(tmp_path):
    for split in ("train", "test"):
        for name in "ab":
            paint(tmp_path / split / name / "1.png", 0)
            paint(tmp_path / split / name / "2.png", 0)
    for file in (tmp_path / "test").rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(ValueError, match="Class 'a' has no readable image for test"):
        load(tmp_path)


def test_class_with_one_picture_cannot_be_split():
    arrays = np.zeros((3, 4, 4)), [0, 0, 1]
    with pytest.raises(ValueError, match=r"Class '1' has one image.*validation_fraction=0"):
        load(arrays)
    assert load(arrays, validation_fraction=0).index.counts("train") == {"0": 2, "1": 1}


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_training_goes_on_over_broken_files(batch_size, pets):
    for record in load(pets).index.split("train")[::4]:
        break_in_the_middle(pets / record.name)
    data = load(pets, cache=None, batch_size=batch_size)  # The headers look good.
    assert data.index.problems == ()
    with pytest.warns(UserWarning, match=r"^Left out .*png: broken data stream") as caught:
        sizes = [len(labels) for _, labels in data.train]
    assert len(caught) == 4
    assert (len(sizes), sum(sizes)) == (len(data.train), 16)
    found = greys(data.train)  # Nothing is reported twice, and labels still match.
    assert len(found) == 16
    assert len(set(found)) <= 12


def test_broken_validation_files_are_found_before_training(pets):
    broken = load(pets).index.split("validation")[0]
    break_in_the_middle(pets / broken.name)
    with pytest.warns(UserWarning, match=r"1 of 20 images can't be read:\n.*broken data"):
        data = load(pets, cache=None)
    assert [record.name for record in data.index.problems] == [broken.name]
    assert (len(greys(data.train)), len(greys(data.validation))) == (15, 4)


@pytest.mark.filterwarnings("ignore:Left out")
def test_training_stops_when_nothing_is_left(pets):
    data = load(pets, cache=None)
    for file in pets.rglob("*.png"):
        file.unlink()
    with pytest.raises(tf.errors.OpError, match="Not one of the training images can be read"):
        list(data.train)


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("batch_size", [0, 2.0, True]),
        ("validation_fraction", [-0.1, 0.95, "half", True, float("nan")]),
        ("seed", [None, -1, 0.5, "x"]),
        ("aspect", ["fit", None]),
        ("color_mode", ["rgba"]),
        ("cache", ["ram", False]),
        ("on_error", ["ignore"]),
        ("image_size", [0, -8, (8,), "8", 8.5]),
        ("source", [3, None, ["a"], np.zeros(3)]),
    ],
)
def test_bad_argument_is_named(argument, values):
    for value in values:
        arguments = {"source": (np.zeros((4, 4, 4)), [0, 1, 0, 1]), argument: value}
        with pytest.raises(ValueError, match=f"`{argument}` must be"):
            load_images(**arguments, verbose=False)


@pytest.mark.parametrize(
    ("option", "value", "owner"),
    [
        ("class_names", ["a", "b"], "arrays, a folder and a CSV file"),
        ("splits", {"train": "a"}, "a folder"),
        ("suffix", ".png", "a CSV file"),
        ("encoding", "cp1252", "a CSV file"),
        ("columns", {"path": "image"}, "a CSV file"),
        ("data_dir", "data", '"tfds:NAME"'),
    ],
)
def test_option_of_another_source_is_refused(option, value, owner):
    with pytest.raises(ValueError, match=f"`{option}` means nothing .* only for {owner}. Received"):
        load_images("digits", **{option: value})


def test_source_reaches_the_pictures_out_of_their_turn():
    data = load_images("digits", seed=2, verbose=False)
    source = data.validation.source
    assert [record.name for record in source.records] == [
        record.name for record in data.index.split("validation")
    ]
    part = dataset_of(source.take([5, 1]))
    [(images, labels)] = part
    everything = np.concatenate([batch for batch, _ in data.validation])
    np.testing.assert_array_equal(images, everything[[5, 1]])
    np.testing.assert_array_equal(labels, source.labels[[5, 1]])
    assert part.class_names == list(data.class_names)
    assert part.source.order is None


def test_part_of_a_training_source_is_shuffled_by_itself():
    data = load_images("digits", seed=2, verbose=False)
    part = dataset_of(data.train.source.take(range(50)))
    first, second = (np.concatenate([labels for _, labels in part]) for _ in range(2))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(np.sort(first), np.sort(second))
    assert not hasattr(data.train.map(lambda *pair: pair), "source")


def test_data_and_index_print_in_one_line():
    digits = load_images("digits", verbose=False)
    assert str(digits) == "1,438 training and 359 validation images, 10 classes, 8 x 8 pixels"
    assert str(digits.index.records[3]) == "images[3] (train, class 3)"
