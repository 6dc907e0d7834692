"""Listings of folders, CSV files, arrays and digits, and what they say of wrong ones."""

import unicodedata

import numpy as np
import pytest

from keras_practical.data import sources
from keras_practical.data.named_sets import from_digits
from keras_practical.data.sources import from_arrays, from_csv, from_folder


def fill(root, *paths):
    """Make files that hold their own path; nothing is decoded here."""
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    return root


def test_folder_lists_by_class_and_path(tmp_path):
    listing = from_folder(fill(tmp_path, "dogs/b.jpg", "cats/z.png", "dogs/a", "cats/B.JPG"))
    assert listing.class_names == ("cats", "dogs")
    assert listing.names == ("cats/B.JPG", "cats/z.png", "dogs/a", "dogs/b.jpg")
    assert listing.images == tuple(tmp_path / name for name in listing.names)
    assert listing.labels == (0, 0, 1, 1)
    assert listing.splits == (None,) * 4
    assert listing.native_size is None


def test_folder_passes_over_what_systems_leave(tmp_path):
    fill(tmp_path, "a/1", "b/1", "a/.DS_Store", "a/Thumbs.db", "b/DESKTOP.INI", "b/.thumbs/1")
    fill(tmp_path, ".git/1", "readme.txt", "b/._1")
    assert from_folder(str(tmp_path)).names == ("a/1", "b/1")


def test_folder_goes_into_subfolders_of_a_class(tmp_path):
    listing = from_folder(fill(tmp_path, "a/x/y/1", "a/0", "a/train/2", "b/1"))
    assert listing.names == ("a/0", "a/train/2", "a/x/y/1", "b/1")
    assert listing.labels == (0, 0, 0, 1)


@pytest.mark.parametrize("validation", ["validation", "valid", "val", "Val", "VALIDATION"])
@pytest.mark.parametrize("train", ["train", "Train", "training"])
def test_folder_with_validation_keeps_the_splits(train, validation, tmp_path):
    fill(tmp_path, *(f"{split}/{name}/1" for split in (train, validation) for name in "ab"))
    listing = from_folder(fill(tmp_path, "Test/a/1", "Test/b/1", "others/c/1"))
    found = dict(zip(listing.names, listing.splits, strict=True))
    assert found == {
        f"{folder}/{name}/1": split
        for folder, split in ((train, "train"), (validation, "validation"), ("Test", "test"))
        for name in "ab"
    }


@pytest.mark.parametrize("splits", [{"train": None}, {"train": None, "test": "test"}])
def test_folder_without_validation_leaves_training_open(splits, tmp_path):
    fill(tmp_path, *(f"{split}/{name}/1" for split in splits for name in "ab"))
    listing = from_folder(tmp_path)
    assert {
        name.split("/")[0]: s for name, s in zip(listing.names, listing.splits, strict=True)
    } == (splits)


def test_folder_order_is_the_same_for_either_unicode_form(tmp_path):
    names = ["zebra/z.jpg", "zebra/é.jpg", "élan/1.jpg"]
    for form in ("NFC", "NFD"):
        fill(tmp_path / form, *(unicodedata.normalize(form, name) for name in names))
        listing = from_folder(tmp_path / form)
        assert [unicodedata.normalize("NFC", name) for name in listing.names] == names
        assert listing.labels == (0, 0, 1)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "has no classes; a classifier needs at least two"),
        (["1.jpg", "2.jpg"], "has no classes"),
        (["cats/1"], r"has one class \('cats'\)"),
        (["train/cats/1"], r"has one class \('cats'\)"),
        (["cats/1", "dogs/.hidden"], "Class 'dogs' has no images: .*dogs' is empty"),
        (["cats/1", "dogs/thumbs.db"], "Class 'dogs' has no images"),
        (
            ["train/a/1", "train/b/1", "val/a/1", "val/b/1", "val/c/1"],
            "Class 'c' is in validation but not in train",
        ),
        (["train/a/1", "train/b/1", "test/a/1"], "Class 'b' is in train but not in test"),
        (
            ["train/a/1", "train/b/1", "val/a/1", "valid/a/1"],
            "two folders for validation: 'val' and 'valid'",
        ),
    ],
)
def test_folder_says_what_is_wrong(paths, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        from_folder(fill(tmp_path, *paths))


def test_folder_with_an_empty_class_folder_is_refused(tmp_path):
    (fill(tmp_path, "cats/1") / "dogs" / "subfolder").mkdir(parents=True)
    with pytest.raises(ValueError, match="Class 'dogs' has no images"):
        from_folder(tmp_path)


def test_missing_folder_says_where_it_looked(tmp_path):
    with pytest.raises(ValueError, match=r"There is no folder '.*gone'.*looked in"):
        from_folder(tmp_path / "gone")
    with pytest.raises(ValueError, match="There is no folder"):
        from_folder(fill(tmp_path, "file") / "file")


def table(tmp_path, text, name="table.csv", encoding="utf-8"):
    file = tmp_path / name
    file.write_bytes(text.encode(encoding))
    return file


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv_of_any_dialect(separator, newline, encoding, tmp_path):
    lines = [["path", "label"], ["x/2.jpg", "dög"], [" 1.jpg ", "cat"], ["0.jpg", "dög"]]
    text = newline.join(separator.join(cells) for cells in lines) + newline * 2
    listing = from_csv(table(tmp_path, text, encoding=encoding))
    assert listing.class_names == ("cat", "dög")
    assert listing.names == ["1.jpg", "0.jpg", "x/2.jpg"]
    assert listing.images == [tmp_path / name for name in listing.names]
    assert listing.labels == [0, 1, 1]
    assert listing.splits == [None] * 3


def test_csv_columns_may_have_other_names(tmp_path):
    file = table(tmp_path, 'id,age,dx,fold\n"a,1.jpg",3,mel,train\nb.jpg,4,nev,Valid\n')
    listing = from_csv(str(file), columns={"path": "id", "label": "dx", "split": "fold"})
    assert listing.names == ["a,1.jpg", "b.jpg"]
    assert listing.splits == ["train", "validation"]
    assert from_csv(file, columns={"path": "id", "label": "dx"}).splits == [None, None]


@pytest.mark.parametrize(
    ("given", "splits"),
    [
        (["train", "val", "test"], ["train", "validation", "test"]),
        (["Training", "TRAIN", "test"], [None, None, "test"]),
        (["train", "train", "train"], [None, None, None]),
    ],
)
def test_csv_split_column(given, splits, tmp_path):
    rows = zip(("1,a", "2,a", "3,b"), given, strict=True)
    text = "path,label,split\n" + "\n".join(",".join(row) for row in rows)
    assert from_csv(table(tmp_path, text)).splits == splits


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("", None, "has no column 'path'; its columns are none"),
        ("file,label\n1,a\n2,b\n", None, "no column 'path'; its columns are file, label"),
        ("path,kind\n1,a\n2,b\n", None, "no column 'label'"),
        ("path,label\n1,a\n2,b\n", {"label": "dx"}, "no column 'dx'"),
        ("path,label\n1,a\n2,b\n", {"split": "fold"}, "no column 'fold'"),
        ("path,label\n1,a\n2,\n", None, "line 3: column 'label' is empty"),
        ("path,label\n1,a\n\n  ,b\n", None, "line 4: column 'path' is empty"),
        ("path,label\n1,a\n2\n", None, "line 3: column 'label' is empty"),
        ("path,label,split\n1,a,train\n2,b,\n", None, "line 3: column 'split' is empty"),
        ("path,label,split\n1,a,train\n2,b,dev\n", None, "line 3: 'dev' is no split"),
        ("path,label\n1,a\n2,a\n", None, r"Column 'label' of .* has one class \('a'\)"),
        ("path,label\n", None, "no classes"),
    ],
)
def test_csv_says_what_is_wrong(text, columns, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        from_csv(table(tmp_path, text), columns=columns)


def test_csv_of_another_encoding_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"table\.csv isn't in UTF-8"):
        from_csv(table(tmp_path, "path;label\n1;dög\n2;cat\n", encoding="cp1252"))


def test_missing_csv_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"There is no file '.*gone\.csv'"):
        from_csv(tmp_path / "gone.csv")


def test_arrays_keep_their_order():
    images = np.arange(3 * 2 * 4).reshape(3, 2, 4)
    listing = from_arrays((images, [1, 0, 1]), class_names=["no", "yes"])
    assert (np.stack(listing.images) == images).all()
    assert listing.names == ["images[0]", "images[1]", "images[2]"]
    assert listing.labels == [1, 0, 1]
    assert listing.splits == [None, None, None]
    assert listing.class_names == ("no", "yes")
    assert listing.native_size == (2, 4)


def test_arrays_by_split():
    pair = np.full((2, 4, 4, 3), 9, "uint8"), np.array([0, 1])
    listing = from_arrays({"train": pair, "validation": pair, "test": pair})
    assert listing.splits == ["train"] * 2 + ["validation"] * 2 + ["test"] * 2
    assert listing.names[::2] == ["train[0]", "validation[0]", "test[0]"]
    assert from_arrays({"train": pair, "test": pair}).splits == [None, None, "test", "test"]


IMAGES = np.full((2, 4, 4), 9, "uint8")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"test": (IMAGES, [0, 1])}, "need a 'train' pair"),
        ({"train": (IMAGES, [0, 1]), "dev": (IMAGES, [0, 1])}, r"Received: \['train', 'dev'\]"),
        ({}, "need a 'train' pair"),
        ((IMAGES, [0, 1], IMAGES), r"give one \(images, labels\) pair"),
        ((IMAGES,), r"give one \(images, labels\) pair"),
        (((IMAGES, [0, 1]), (IMAGES, [0, 1])), r"give one \(images, labels\) pair"),
        (([np.ones((2, 2)), np.ones((3, 3))], [0, 1]), "all images of one size"),
        ({"train": IMAGES[:1]}, "images: give one"),
        ((IMAGES[0], [0, 1]), r"images: images must be of shape .* Received: shape \(4, 4\)"),
        ((np.ones((2, 4, 4, 4)), [0, 1]), r"shape \(2, 4, 4, 4\)"),
        ((IMAGES[:0], []), "one label for each of at least one image"),
        ((IMAGES, [0, 1, 1]), "Received: 2 images, labels of shape"),
        ((IMAGES, [[0], [1]]), r"labels of shape \(2, 1\)"),
        ((IMAGES, [0.0, 1.0]), "labels must be whole numbers >= 0, not float64"),
        ((IMAGES, ["a", "b"]), "labels must be whole numbers"),
        ((IMAGES, [-1, 1]), "labels must be whole numbers >= 0"),
        ((IMAGES, [0, 0]), r"The labels has one class \('0'\)"),
        ((IMAGES, [0, 2]), r"labels \[0, 2\] for 3 classes"),
        ((IMAGES / 9.0, [0, 1]), r"must lie in \[0, 255\]. Received: values from 1 to 1.*\* 255"),
        ((IMAGES * 100.0, [0, 1]), "values from 900 to 900"),
        ((IMAGES - 10.0, [0, 1]), "values from -1 to -1"),
        ((IMAGES * np.nan, [0, 1]), "values from nan to nan"),
    ],
)
def test_arrays_say_what_is_wrong(arrays, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(arrays)


@pytest.mark.parametrize(
    ("class_names", "message"), [(["a"], "one class"), (["a", "b", "c"], r"\[0, 1\] for 3 classes")]
)
def test_arrays_need_as_many_names_as_classes(class_names, message):
    with pytest.raises(ValueError, match=message):
        from_arrays((IMAGES, [0, 1]), class_names=class_names)


def test_digits_are_scaled_to_bytes():
    digits = from_digits()
    pixels = np.stack(digits.images)
    assert (pixels.shape, pixels.dtype) == ((1797, 8, 8), np.uint8)
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert digits.class_names == tuple("0123456789")
    assert digits.native_size == (8, 8)
    # The first row of the first picture, a zero: 0 0 5 13 9 1 0 0 of 16.
    assert pixels[0, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]
    assert digits.labels[:5] == [0, 1, 2, 3, 4]


def test_listing_does_not_depend_on_the_file_systems_order(tmp_path, monkeypatch):
    fill(tmp_path, *(f"{name}/{number}" for name in "ab" for number in range(5)))
    walk, listings = sources.os.walk, []
    for reverse in (False, True):
        monkeypatch.setattr(
            sources.os,
            "walk",
            lambda top, reverse=reverse: (
                (parent, folders, sorted(files, reverse=reverse))
                for parent, folders, files in walk(top)
            ),
        )
        listings.append(from_folder(tmp_path))
    assert listings[0] == listings[1]
