"""Folders as people have them: splits of any name, what systems leave there, links."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import keras_practical as kp
from keras_practical.data.folders import files_below, split_folders


def photo(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), "uint8")
    Image.fromarray(pixels).save(path)


def fill(root, *paths):
    for number, path in enumerate(paths):
        photo(root / path, number)
    return root


def pets(root, n=4, form="{c}/{k}.png"):
    names = [form.format(c=c, k=k) for c in ("cat", "dog") for k in range(n)]
    return fill(root, *names)


def load(source, **options):
    return kp.load_images(source, image_size=8, verbose=False, **options)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("train", "val"), ("train", "validation")),
        (("Training", "Testing"), ("train", "test")),
        (("train", "dev", "test"), ("train", "validation", "test")),
    ],
)
def test_splits_by_their_usual_names(names, expected, tmp_path):
    for name in names:
        pets(tmp_path / name)
    parts = split_folders(tmp_path).folders
    assert {part or "train" for part in parts} == set(expected)


@pytest.mark.parametrize(
    "names",
    [
        ("seg_train", "seg_test"),
        ("val", "test"),
        ("train_set", "test_set"),
        ("training_data", "testing_data"),
        ("train", "eval"),
    ],
)
def test_folders_that_look_like_splits_are_no_classes(names, tmp_path):
    for name in names:
        pets(tmp_path / name)
    with pytest.raises(ValueError, match=r"look like parts of the data.*splits=\{'train'"):
        load(tmp_path)


def test_flat_folders_called_train_and_test_are_no_classes(tmp_path):
    fill(tmp_path, *(f"{part}/{k}.png" for part in ("train", "test") for k in range(4)))
    with pytest.raises(ValueError, match="look like parts of the data"):
        load(tmp_path)


def test_trains_may_be_a_class_among_vehicles(tmp_path):
    fill(tmp_path, *(f"{name}/{k}.png" for name in ("car", "bus", "train") for k in range(4)))
    assert load(tmp_path).class_names == ("bus", "car", "train")


def test_splits_says_which_folder_is_which(tmp_path):
    # As Kaggle's archives unpack: a folder in a folder of the same name, and one without classes.
    pets(tmp_path / "seg_train" / "seg_train", 6)
    pets(tmp_path / "seg_test" / "seg_test", 2)
    photo(tmp_path / "seg_pred" / "1.png")
    data = load(tmp_path, splits={"train": "seg_train", "test": "seg_test"})
    assert data.class_names == ("cat", "dog")
    sizes = [len(data.index.split(split)) for split in ("train", "validation", "test")]
    assert (sizes[0] + sizes[1], sizes[2]) == (12, 4)
    assert [Path(item.name).name for item in data.index.passed_over] == ["seg_pred"]
    with pytest.raises(ValueError, match=r"says that 'test' is in .*no such folder"):
        load(tmp_path, splits={"train": "seg_train", "test": "nowhere"})
    with pytest.raises(ValueError, match="`splits` must say which folder is 'train'"):
        load(tmp_path, splits={"test": "seg_test"})


def test_every_file_is_accounted_for(tmp_path, capsys):
    pets(tmp_path, 4)
    photo(tmp_path / "loose.png")
    photo(tmp_path / "cat" / "@eaDir" / "0.png" / "SYNOPHOTO_THUMB_M.jpg")
    photo(tmp_path / "__MACOSX" / "cat" / "0.png")
    for name in ("cat/0.png.json", "dog/Thumbs.db", "dog/notes.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "cat" / "broken.png").write_bytes(b"x")
    with pytest.warns(UserWarning, match="1 of 9 images can't be read"):
        index = kp.load_images(tmp_path, image_size=8).index
    assert len(index) == 9
    reasons = {Path(item.name).name: item.reason for item in index.passed_over}
    assert reasons == {
        "loose.png": "it lies in no class's folder",
        "@eaDir": "a folder of the system's",
        "0.png.json": ".json is no image",
        "Thumbs.db": "a file of the system's, or about the data",
        "notes.txt": ".txt is no image",
    }
    assert "1 × .json is no image" in capsys.readouterr().out


def test_side_files_have_no_say_in_the_split(tmp_path):
    pets(tmp_path, 8)
    plain = {record.name for record in load(tmp_path).index.split("validation")}
    for file in tmp_path.rglob("*.png"):
        file.with_suffix(".png.json").write_text("{}")
    assert {record.name for record in load(tmp_path).index.split("validation")} == plain


@pytest.mark.parametrize("bad", range(6))
@pytest.mark.parametrize("cache", ["memory", None])
def test_one_broken_file_of_few_never_stops_a_run(bad, cache, tmp_path):
    pets(tmp_path, 6)
    (tmp_path / "dog" / f"{bad}.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="1 of 12 images can't be read"):
        data = load(tmp_path, cache=cache)
    assert data.index.counts("validation") == {"cat": 1, "dog": 1}
    assert data.index.counts("train") == {"cat": 5, "dog": 4}


def test_links_to_folders_are_followed_once(tmp_path):
    pets(tmp_path / "pets", 4)
    fill(tmp_path / "disk", *(f"{k}.png" for k in range(3)))
    for name, target in (("more", "disk"), ("again", "disk"), ("loop", "pets")):
        (tmp_path / "pets" / "cat" / name).symlink_to(tmp_path / target)
    below = files_below(tmp_path / "pets" / "cat")
    assert len(below.files) == 4 + 3
    assert [Path(item.name).name for item in below.passed_over] == ["loop", "more"]
    assert {item.reason for item in below.passed_over} == {"a link to a folder that is read anyway"}


def test_patients_folders_are_said_and_kept_together(tmp_path):
    for c in ("ill", "well"):
        for p in range(10):
            fill(tmp_path, *(f"{c}/patient_{c}{p}/slice_{s}.png" for s in range(4)))
    with pytest.warns(UserWarning, match='are in training and in validation.*groups="folder"'):
        load(tmp_path)
    data = load(tmp_path, groups="folder")
    sides = {}
    for record in data.index:
        sides.setdefault(record.group, set()).add(record.split)
    assert len(sides) == 20
    assert all(len(own) == 1 for own in sides.values())
    assert 8 <= len(data.index.split("validation")) <= 24
    assert "group across splits" in kp.audit(tmp_path, verbose=False).kinds
    assert "group across splits" not in kp.audit(data, verbose=False).kinds


def test_copies_stay_on_one_side(tmp_path):
    pets(tmp_path, 12)
    for c in ("cat", "dog"):
        for k in range(6):
            (tmp_path / c / f"copy{k}.png").write_bytes((tmp_path / c / f"{k}.png").read_bytes())
    for seed in range(5):
        sides = {}
        for record in load(tmp_path, seed=seed).index:
            path = Path(record.name)
            key = (path.parent.name, path.stem.removeprefix("copy"))
            sides.setdefault(key, set()).add(record.split)
        assert all(len(own) == 1 for own in sides.values())
        assert {side for own in sides.values() for side in own} == {"train", "validation"}


def test_names_that_are_not_utf_8(tmp_path):
    pets(tmp_path, 6)
    (tmp_path / "cat" / "0.png").rename(tmp_path / "cat" / os.fsdecode(b"caf\xe9.png"))
    (tmp_path / "cat" / os.fsdecode(b"b\xe9.png")).write_bytes(b"broken")
    with pytest.warns(UserWarning, match=r"b\\udce9\.png"):
        data = load(tmp_path)
    assert len(data.index.split("train")) + len(data.index.split("validation")) == 12
    findings = kp.audit(tmp_path, verbose=False)
    file = findings.to_csv(tmp_path / "found.csv")
    assert "b\\udce9.png" in file.read_text("utf-8-sig")
    findings.to_json(tmp_path / "found.json").read_text("utf-8")
    # What a person writes beside that name comes back to the file.
    text = file.read_text("utf-8-sig")
    [line] = [line for line in text.splitlines() if "udce9" in line and "unreadable" in line]
    name = line.split(",")[0]
    (tmp_path / "mine.csv").write_text(f"name,decision,label\n{name},delete,\n")
    assert len(findings.apply(tmp_path / "mine.csv")) == len(findings.index) - 1


def test_ids_without_extension_say_what_is_missing(tmp_path):
    pets(tmp_path, 3)
    rows = [f"{c}/{k},{c}" for c in ("cat", "dog") for k in range(3)]
    (tmp_path / "list.csv").write_text("path,label\n" + "\n".join(rows))
    with pytest.raises(ValueError, match=r"None of the 6 files is there.*suffix=\"\.png\""):
        load(tmp_path / "list.csv")
    assert len(load(tmp_path / "list.csv", suffix=".png").index) == 6


def test_images_of_an_unclear_range_are_said_once(tmp_path):
    for c in ("cat", "dog"):
        (tmp_path / c).mkdir()
        for k in range(3):
            Image.fromarray(np.full((8, 8), 4000 + k, "uint16")).save(tmp_path / c / f"{k}.png")
    with pytest.warns(UserWarning, match=r"6 of 6 images: its 16-bit values end at 4000"):
        load(tmp_path)


@pytest.mark.parametrize(
    "label_from", [r"([^/]+)_\d+\.png$", lambda name: Path(name).name.rpartition("_")[0]]
)
def test_names_of_files_may_say_the_class(label_from, tmp_path):
    breeds = ("beagle", "great_dane")
    fill(tmp_path, *(f"{k % 2}/{breed}_{k}.png" for breed in breeds for k in range(4)))
    (tmp_path / "readme.txt").write_text("x")
    data = load(tmp_path, label_from=label_from)
    assert data.class_names == breeds
    assert all(breeds[r.label] == Path(r.name).name.rpartition("_")[0] for r in data.index)
    assert [Path(item.name).name for item in data.index.passed_over] == ["readme.txt"]


@pytest.mark.parametrize(
    ("label_from", "message"),
    [
        (r"(\d+)", "finds no class in 'cat/a.png'"),
        (r"\d+", "must have a group"),
        ("(", "isn't a regular expression"),
        ("(a)", "has one class"),
    ],
)
def test_what_says_no_class_is_named(label_from, message, tmp_path):
    fill(tmp_path, "cat/a.png", "dog/a.png")
    with pytest.raises(ValueError, match=message):
        load(tmp_path, label_from=label_from)


@pytest.mark.parametrize("broken", range(3))
def test_audit_judges_the_split_that_loading_makes_of_readable_files(broken, tmp_path):
    pets(tmp_path, 10)
    for k in range(broken):
        (tmp_path / "cat" / f"{3 * k}.png").write_bytes(b"")
    audited = kp.audit(tmp_path, verbose=False).index
    if broken:
        with pytest.warns(UserWarning, match="can't be read"):
            loaded = load(tmp_path).index
    else:
        loaded = load(tmp_path).index
    for split in ("train", "validation"):
        assert [r.name for r in audited.split(split)] == [r.name for r in loaded.split(split)]


def test_a_class_whose_accents_are_written_apart_is_the_same(tmp_path):
    import unicodedata

    apart = unicodedata.normalize("NFD", "Bär")
    for part, name in (("train", "Bär"), ("test", apart)):
        fill(tmp_path, *(f"{part}/{c}/{k}.png" for c in (name, "Wolf") for k in range(3)))
    data = load(tmp_path)
    assert data.class_names == ("Bär", "Wolf")
    assert data.index.counts("test") == {"Bär": 3, "Wolf": 3}
    data = load(tmp_path, class_names=[apart, "Wolf"])
    assert data.index.counts("test") == {"Bär": 3, "Wolf": 3}
