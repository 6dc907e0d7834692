"""Groups stay on one side of a split, classes keep their shares, seeds decide."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from shared_data import data_folder

from keras_practical import cross_validate, load_images
from keras_practical.data.features import Embeddings
from keras_practical.data.index import ImageRecord
from keras_practical.data.sources import Listing
from keras_practical.data.splitting import decide_splits, groups_of
from keras_practical.transfer.probe import fit_probe


def listing(labels, splits=None):
    """Return a listing of as many images as there are labels, without files."""
    names = [f"class_{label}/{place}.png" for place, label in enumerate(labels)]
    splits = splits or [None] * len(labels)
    classes = tuple(f"class_{label}" for label in range(max(labels) + 1))
    return Listing([b""] * len(labels), names, labels, splits, classes)


def patients(seed=0, n=60):
    """Return labels and groups of patients with 1 to 9 images of one class each."""
    rng = np.random.default_rng(seed)
    labels, groups = [], []
    for patient in range(n):
        for _ in range(rng.integers(1, 10)):
            labels.append(int(patient % 3 == 0))
            groups.append(f"p{patient}")
    return labels, groups


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_groups_stay_whole_and_classes_keep_their_share(seed, fraction):
    labels, groups = patients()
    splits = decide_splits(listing(labels), fraction, seed, groups=groups)
    held_out = {g for g, split in zip(groups, splits, strict=True) if split == "validation"}
    assert held_out.isdisjoint(
        g for g, split in zip(groups, splits, strict=True) if split == "train"
    )
    chosen = np.array(splits) == "validation"
    for label in (0, 1):
        share = chosen[np.array(labels) == label].mean()
        assert abs(share - fraction) < 0.03


def test_the_seed_decides_and_the_order_does_not():
    labels, groups = patients()
    whole = listing(labels)
    first = decide_splits(whole, 0.2, 0, groups=groups)
    assert decide_splits(whole, 0.2, 0, groups=groups) == first
    assert decide_splits(whole, 0.2, 1, groups=groups) != first
    turned = Listing(
        whole.images,
        whole.names[::-1],
        labels[::-1],
        whole.splits,
        whole.class_names,
    )
    assert decide_splits(turned, 0.2, 0, groups=groups[::-1]) == first[::-1]


def test_groups_of_both_classes_are_balanced_too():
    labels = [0, 1] * 30
    groups = [str(place // 6) for place in range(60)]
    splits = decide_splits(listing(labels), 0.2, 3, groups=groups)
    assert Counter(zip(splits, labels, strict=True)) == {
        ("train", 0): 24,
        ("train", 1): 24,
        ("validation", 0): 6,
        ("validation", 1): 6,
    }


def test_a_class_of_large_groups_still_gets_one_held_out():
    labels = [0] * 20 + [1] * 20
    groups = [f"a{place}" for place in range(20)] + ["b"] * 9 + ["c"] * 11
    splits = decide_splits(listing(labels), 0.1, 0, groups=groups)
    held_out = Counter(zip(groups, splits, strict=True))
    assert held_out["b", "validation"] == 9
    assert held_out["c", "train"] == 11


def test_a_class_of_one_group_is_named():
    with pytest.raises(ValueError, match="Class 'class_1' has one group"):
        decide_splits(listing([0, 0, 1, 1]), 0.5, 0, groups=["a", "b", "c", "c"])


def test_groups_that_the_sources_splits_tear_apart_are_reported():
    torn = listing([0, 1, 0, 1], ["train", "train", "validation", "validation"])
    with pytest.warns(UserWarning, match=r"1 of 3 groups .*\('x'\).*too good"):
        decide_splits(torn, 0.2, 0, groups=["x", "y", "x", "z"])


def test_groups_come_from_a_function_or_a_mapping():
    whole = listing([0, 1])
    assert groups_of(whole, lambda record: record.label) == ["0", "1"]
    assert groups_of(whole, {"class_0/0.png": 7, "1.png": 8}) == ["7", "8"]
    assert groups_of(whole, None) is None
    with pytest.raises(ValueError, match=r"no group for 'class_1/1\.png'"):
        groups_of(whole, {"0.png": 7})
    with pytest.raises(ValueError, match="must be a function"):
        groups_of(whole, [1, 2])


@pytest.fixture
def table(tmp_path):
    """A CSV file of 24 images of six patients."""
    from PIL import Image

    lines = ["path,label,patient"]
    for place in range(24):
        Image.new("L", (4, 4), 10 * place).save(tmp_path / f"{place}.png")
        lines.append(f"{place}.png,{'ill' if place < 12 else 'well'},p{place // 4}")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    return tmp_path / "table.csv"


def test_load_images_takes_a_column_and_keeps_the_groups(table):
    data = load_images(
        table, image_size=4, groups="patient", validation_fraction=0.3, verbose=False
    )
    sides = {split: {r.group for r in data.index.split(split)} for split in ("train", "validation")}
    assert len(sides["validation"]) == 2
    assert sides["train"].isdisjoint(sides["validation"])
    assert len(sides["train"]) == 4


def test_load_images_takes_a_function_of_the_record(table):
    options = {"image_size": 4, "validation_fraction": 0.3, "verbose": False}
    column = load_images(table, groups="patient", **options)

    def patient(record: ImageRecord) -> str:
        return f"p{int(record.name.removesuffix('.png')) // 4}"

    assert load_images(table, groups=patient, **options).index == column.index


def test_cross_validation_keeps_the_groups_of_load_images(table):
    from sklearn.linear_model import LogisticRegression

    data = load_images(
        table, image_size=4, groups="patient", validation_fraction=0.3, verbose=False
    )

    parts = [part.source for part in (data.train, data.validation)]
    records = sum((part.records for part in parts), ())
    features = np.array([[r.label, place] for place, r in enumerate(records)], "float64")
    embedded = Embeddings(features, np.array([r.label for r in records]), records, ("a", "b"))
    found = cross_validate(
        lambda part: LogisticRegression().fit(part.features, part.labels),
        embedded,
        folds=3,
        verbose=False,
    )
    folds_of = {}
    for record, fold in zip(records, found.folds[0], strict=True):
        folds_of.setdefault(record.group, set()).add(int(fold))
    assert all(len(folds) == 1 for folds in folds_of.values())


def test_wrong_columns_are_named(table, tmp_path):
    with pytest.raises(ValueError, match="no column 'doctor'"):
        load_images(table, groups="doctor")
    with pytest.raises(ValueError, match="a column of a CSV file only"):
        load_images(tmp_path, groups="patient")


def test_the_probes_penalty_is_chosen_with_groups_kept_together():
    """Features that tell patients apart, and classes hardly, need a strong penalty."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(20), 8)
    labels = patients % 2
    features = rng.normal(size=(20, 30))[patients] + 0.1 * rng.normal(size=(160, 30))
    records = [ImageRecord(str(place), int(label)) for place, label in enumerate(labels)]
    alone = Embeddings(features, labels, tuple(records), ("a", "b"))
    grouped = tuple(replace(r, group=str(p)) for r, p in zip(records, patients, strict=True))
    known = Embeddings(features, labels, grouped, ("a", "b"))
    assert fit_probe(known).strength < fit_probe(alone).strength


@pytest.mark.real_data
def test_a_paper_on_both_sides_of_the_official_lung_ct_split_is_found():
    import csv

    folder = data_folder() / "lung_ct"
    with (folder / "names.csv").open() as table:
        papers = {
            f"{row['split']}/{row['class']}/{row['file']}": row["original_name"].split("-p")[0]
            for row in csv.DictReader(table)
        }
    with pytest.warns(UserWarning, match=r"1 of \d+ groups .*'2020\.03\.13\.20035212'"):
        data = load_images(folder, image_size=16, groups=papers, verbose=False)
    assert len(data.index.split("validation")) == 118


def test_groups_spelled_in_two_ways_are_one_and_said():
    data = listing([0, 1] * 12)
    numbers = {f"{n}": n // 3 if n % 2 else float(n // 3) for n in range(24)}
    by_name = dict(zip(data.names, numbers.values(), strict=True))
    # 7 and 7.0 are the same number: nothing to say.
    assert len(set(groups_of(data, by_name))) == 8
    letters = {name: f"{'P' if n % 2 else 'p'}{n // 3}" for n, name in enumerate(data.names)}
    with pytest.warns(UserWarning, match="differ in spelling only count as one"):
        assert len(set(groups_of(data, letters))) == 8


def test_a_group_that_is_not_a_number_is_none():
    data = listing([0, 1] * 4)
    unknown = {name: float("nan") if n % 2 else "p" for n, name in enumerate(data.names)}
    with pytest.raises(ValueError, match="has no group for"):
        groups_of(data, unknown)
