"""A cleaned index, and data sets made from it."""

import numpy as np
import pytest
from PIL import Image

from keras_practical import ImageIndex, ImageRecord, load_images
from keras_practical.data.decisions import apply_decisions
from keras_practical.data.image_set import ImageFinder

INDEX = ImageIndex(
    (ImageRecord("a", 0), ImageRecord("b", 0), ImageRecord("ç", 1, "validation")),
    ("cats", "dogs"),
)


@pytest.fixture
def pets(tmp_path):
    for label, name in enumerate(("cats", "dogs")):
        folder = tmp_path / "pets" / name
        folder.mkdir(parents=True)
        for number in range(5):
            Image.new("L", (12, 8), 100 * label + number).save(folder / f"{number}.png")
    return tmp_path / "pets"


def load(source, **options):
    return load_images(source, image_size=4, verbose=False, **options)


def greys(dataset):
    return sorted(
        (int(image[0, 0, 0]), int(label))
        for images, labels in dataset
        for image, label in zip(images, labels, strict=True)
    )


def write(folder, text, encoding="utf-8"):
    file = folder / "decisions.csv"
    file.write_text(text, encoding=encoding)
    return file


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_decisions_come_from_any_spreadsheet(tmp_path, separator, end):
    rows = ["name,decision,label", "ç,Relabel,cats", "a,delete,", "b,,", ",,"]
    text = end.join(rows).replace(",", separator) + end
    found = apply_decisions(INDEX, write(tmp_path, text, "utf-8-sig"))
    assert [(r.name, r.label, r.split) for r in found] == [
        ("b", 0, "train"),
        ("ç", 0, "validation"),
    ]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name,decision\na,keep", r"decisions\.csv has no column 'label'; .* name, decision\."),
        ("", r"is empty"),
        ("name,decision,label\na,keep,\nx,keep,", "line 3: the index has no image 'x'"),
        ("name,decision,label\na,burn,", "line 2: 'burn' is no decision; use keep, relabel, del"),
        ("name,decision,label\na,relabel,cows", "line 2: 'cows' is no class; .* cats, dogs"),
        ("name,decision,label\na,relabel,", "line 2: '' is no class"),
        ("name,decision,label\na,keep,\na,delete,", "line 3: 'a' was decided otherwise on line 2"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_changes(tmp_path, text, match):
    with pytest.raises(ValueError, match=match):
        apply_decisions(INDEX, write(tmp_path, text))


def test_the_same_decision_twice_is_no_contradiction(tmp_path):
    file = write(tmp_path, "name,decision,label\na,delete,\na,delete,\n")
    assert [record.name for record in apply_decisions(INDEX, file)] == ["b", "ç"]


def test_an_index_refuses_names_that_it_lacks():
    with pytest.raises(ValueError, match=r"no image 'x'\. Names are .* such as 'a'"):
        INDEX.without(["x"])
    with pytest.raises(ValueError, match="'a' can't become 'cows': the classes are cats, dogs"):
        INDEX.relabelled({"a": "cows"})


def test_an_index_of_files_is_a_source(pets):
    first = load(pets)
    victim = str(pets / "cats" / "3.png")
    moved = str(pets / "dogs" / "2.png")
    again = load(first.index.without([victim]).relabelled({moved: "cats"}))
    splits = {record.name: record.split for record in first.index}
    assert {r.name: r.split for r in again.index} == {
        name: split for name, split in splits.items() if name != victim
    }
    found = greys(again.train) + greys(again.validation)
    assert (102, 0) in found
    assert (3, 0) not in found
    assert len(found) == 9


def test_an_index_without_validation_gets_some(pets):
    index = load(pets, validation_fraction=0.0).index
    again = load(index, validation_fraction=0.4)
    held_out = [record.name for record in again.index.split("validation")]
    assert held_out == [
        r.name for r in load(pets, validation_fraction=0.4).index.split("validation")
    ]


def test_groups_outlive_the_index(pets):
    index = load(pets, groups=lambda record: record.name[-5]).index
    assert {record.group for record in load(index).index} == set("01234")


def test_an_index_of_pictures_in_memory_says_what_to_do():
    digits = load_images("digits", verbose=False)
    with pytest.raises(ValueError, match=r"no 'images\[0\]'.*`with_index`"):
        load_images(digits.index)


@pytest.mark.parametrize("cache", ["auto", None])
def test_data_with_another_index_read_nothing_again(pets, cache):
    data = load(pets, cache=cache)
    victim = data.index.split("train")[0].name
    moved = data.index.split("train")[-1].name
    other = data.with_index(data.index.without([victim]).relabelled({moved: "cats"}))
    before, after = dict(greys(data.train)), dict(greys(other.train))
    assert len(before) - len(after) == 1
    changed = {grey: label for grey, label in after.items() if before[grey] != label}
    assert list(changed.values()) == [0]
    assert greys(other.validation) == greys(data.validation)
    assert len(other.index) == 9


def test_data_can_be_given_one_index_after_another(pets):
    data = load(pets)
    victims = [data.index.split("train")[0].name, data.index.split("train")[-1].name]
    once = data.with_index(data.index.without(victims[:1]))
    twice = once.with_index(once.index.without(victims[1:]))
    assert len(greys(data.train)) - len(greys(twice.train)) == 2
    assert set(greys(twice.train)) < set(greys(data.train))
    assert greys(twice.validation) == greys(data.validation)
    with pytest.raises(ValueError, match="no image"):
        twice.with_index(data.index)


def test_data_with_another_index_keep_what_can_t_be_read_out(pets):
    (pets / "cats" / "9.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="1 of 11"):
        data = load(pets)
    again = data.with_index(ImageIndex(data.index.records, data.index.class_names))
    assert [record.problem for record in again.index.problems] == ["the file is empty"]
    assert greys(again.train) == greys(data.train)


def test_data_refuse_an_index_of_others_or_an_empty_class(pets):
    data = load(pets)
    with pytest.raises(ValueError, match="These data have no image 'a'"):
        data.with_index(INDEX)
    cats = [record.name for record in data.index if record.label == 0]
    with pytest.raises(ValueError, match="'cats' has no readable image for train"):
        data.with_index(data.index.without(cats))


def test_pictures_are_found_by_name(pets):
    data = load(pets)
    name = str(pets / "dogs" / "1.png")
    for sources in ([], [data.train.source, data.validation.source]):
        find = ImageFinder(data.index, sources)
        assert find(name).shape == (8, 12, 3)
        assert (find(name) == 101).all()
        small = find(name, image_size=6)
        assert small.shape == (6, 6, 3)
        # The whole picture with borders.
        assert (small[1:5] == 101).all()
        assert (small[[0, 5]] == 0).all()
    assert ImageFinder(data.index)(str(pets / "none.png")) is None


def test_pictures_in_memory_are_found_too():
    images = np.arange(2 * 5 * 4).reshape(2, 5, 4).astype("uint8")
    data = load_images((images, [0, 1]), validation_fraction=0.0, image_size=3, verbose=False)
    find = ImageFinder(data.index, [data.train.source])
    assert (find("images[1]")[..., 0] == images[1]).all()
