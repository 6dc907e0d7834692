"""Listings of folders, CSV files, arrays and digits, and what they say of wrong ones."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from keras_practical.data import folders
from keras_practical.data.array_source import from_arrays
from keras_practical.data.named_sets import from_digits
from keras_practical.data.sources import from_csv, from_folder, source_kind


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
    with pytest.raises(ValueError, match="is a file, and neither a folder nor a table"):
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
        ("", None, "is empty"),
        ("file,label\n1,a\n2,b\n", None, "no column 'path'; its columns are file, label"),
        ("path,kind\n1,a\n2,b\n", None, "no column 'label'"),
        ("path,label\n1,a\n2,b\n", {"label": "dx"}, "no column 'dx'"),
        ("path,label\n1,a\n2,b\n", {"split": "fold"}, "no column 'fold'"),
        ("path,label\n1,a\n2,\n", None, "line 3: column 'label' is empty"),
        ("path,label\n1,a\n\n  ,b\n", None, "line 4: column 'path' is empty"),
        ("path,label\n1,a\n2\n", None, "line 3: 1 cells where the first line has 2"),
        ("path,label,split\n1,a,train\n2,b,\n", None, "line 3: column 'split' is empty"),
        ("path,label,split\n1,a,train\n2,b,later\n", None, "line 3: 'later' is no split"),
        ("path,label\n1,a\n2,a\n", None, r"Column 'label' of .* has one class \('a'\)"),
        ("path,label\n", None, "no classes"),
    ],
)
def test_csv_says_what_is_wrong(text, columns, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        from_csv(table(tmp_path, text), columns=columns)


def test_csv_of_another_encoding_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"table\.csv, line 2: this isn't utf-8"):
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
    walk, listings = folders.os.walk, []
    for reverse in (False, True):
        monkeypatch.setattr(
            folders.os,
            "walk",
            lambda top, followlinks, reverse=reverse: (
                (parent, folders, sorted(files, reverse=reverse))
                for parent, folders, files in walk(top, followlinks=followlinks)
            ),
        )
        listings.append(from_folder(tmp_path))
    assert listings[0] == listings[1]


def test_an_image_on_two_lines_counts_once_and_is_accounted_for(tmp_path):
    text = "path,label\na.png,cat\nb.png,dog\n./a.png,cat\n"
    listing = from_csv(table(tmp_path, text))
    assert listing.names == ["a.png", "b.png"]
    [line] = listing.passed_over
    assert (line.name[-6:], line.reason) == ("line 4", "line 2 names this image already")


@pytest.mark.parametrize("columns", ["label", "split", "group"])
def test_an_image_that_two_lines_describe_otherwise_is_refused(columns, tmp_path):
    rows = {"label": "a.png,dog,train,p", "split": "a.png,cat,test,p", "group": "a.png,cat,train,q"}
    text = f"path,label,split,who\na.png,cat,train,p\nb.png,dog,train,p\n{rows[columns]}\n"
    with pytest.raises(ValueError, match=rf"line 4: 'a\.png' has the {columns} .* on line 2"):
        from_csv(table(tmp_path, text), group="who")


def test_absolute_paths_give_the_names_that_relative_ones_give(tmp_path):
    rows = [f"x/{name}{number}.png,{name}" for name in ("cat", "dog") for number in range(3)]
    near = from_csv(table(tmp_path, "path,label\n" + "\n".join(rows)))
    whole = "path,label\n" + "\n".join(f"{tmp_path}/{row}" for row in rows)
    assert from_csv(table(tmp_path, whole)).names == near.names
    assert near.names[0] == "x/cat0.png"
    # The list may lie elsewhere: then names count from the folder that all files share.
    (tmp_path / "lists").mkdir()
    assert from_csv(table(tmp_path / "lists", whole)).names == [n[2:] for n in near.names]


def test_kaggles_table_of_ids(tmp_path):
    text = "id_code,diagnosis\n000c,0\n0a1b,2\n"
    listing = from_csv(
        table(tmp_path, text),
        columns={"path": "id_code", "label": "diagnosis"},
        folder=tmp_path / "train_images",
        suffix=".png",
    )
    assert listing.images == [tmp_path / "train_images" / f"{n}.png" for n in ("000c", "0a1b")]
    assert listing.class_names == ("0", "2")


def test_data_frame_is_a_table(tmp_path):
    import pandas

    frame = pandas.DataFrame(
        {"path": ["a.png", "b.png", "c.png"], "label": ["x", "y", "x"], "who": [7.0, 8.0, 7.0]}
    )
    listing = from_csv(frame, group="who", folder=tmp_path)
    assert listing.groups == ["7", "7", "8"]
    assert listing.images[1] == tmp_path / "c.png"
    frame.loc[1, "label"] = None
    with pytest.raises(ValueError, match="the DataFrame, line 1: column 'label' is empty"):
        from_csv(frame)


@pytest.mark.parametrize("cell", ["nan", "NaN", "N/A"])
def test_what_stands_for_nothing_is_no_class(cell, tmp_path):
    with pytest.raises(ValueError, match="line 3: column 'label' is empty"):
        from_csv(table(tmp_path, f"path,label\na,x\nb,{cell}\n"))


@pytest.mark.parametrize("pair", [("Cat", "cat"), ("2", "2.0"), ("big_dog", "Big dog")])
def test_classes_that_differ_in_spelling_only_are_said(pair, tmp_path):
    text = f"path,label\na,{pair[0]}\nb,{pair[1]}\nc,other\n"
    with pytest.warns(UserWarning, match=f"{pair[0]}.*{pair[1]}.*differ in spelling only|.*only"):
        assert len(from_csv(table(tmp_path, text)).class_names) == 3


def test_class_names_choose_and_order(tmp_path):
    fill(tmp_path, "cats/1", "dogs/1", "dogs/2", "horses/1")
    listing = from_folder(tmp_path, class_names=["horses", "cats"])
    assert listing.class_names == ("horses", "cats")
    assert list(zip(listing.names, listing.labels, strict=True)) == [("horses/1", 0), ("cats/1", 1)]
    assert [Path(item.name).name for item in listing.passed_over] == ["dogs"]
    # A class without a folder keeps its number.
    assert from_folder(tmp_path, class_names=["birds", "cats"]).labels == (1,)
    with pytest.raises(ValueError, match="a folder for none of the classes"):
        from_folder(tmp_path, class_names=["birds", "fish"])
    text = "path,label\n1,cat\n2,dog\n3,cow\n"
    listing = from_csv(table(tmp_path, text), class_names=["dog", "cat"])
    assert (listing.names, listing.labels) == (["2", "1"], [0, 1])
    assert "line 4" in listing.passed_over[0].name


def test_a_folder_called_digits_is_the_users(tmp_path, monkeypatch):
    monkeypatch.chdir(fill(tmp_path, "digits/zero/1", "digits/one/1"))
    assert source_kind("digits") == "folder"
    monkeypatch.chdir(tmp_path / "digits")
    assert source_kind("digits") == "digits"
