"""Trivial features that give the class away, and groups that file names tell of."""

import numpy as np
import pytest

from keras_practical.inspection.name_groups import groups_in_names
from keras_practical.inspection.shortcuts import find_shortcuts


def clear(features, labels, **options):
    return {s.feature for s in find_shortcuts(features, labels, **options) if s.is_clear}


@pytest.mark.parametrize("classes", [2, 5])
def test_planted_shortcuts_are_clear_and_noise_is_not(rng, classes):
    labels = np.arange(200) % classes
    features = {
        "size": np.stack([rng.normal(size=200), 5.0 * labels], axis=1),
        # Neither ordered by class nor one number a class.
        "two ranges": np.where(labels == 1, rng.choice([-9.0, 9.0], 200), rng.normal(size=200))
        + 30 * (labels > 1) * labels,
        "noise": rng.normal(size=(200, 3)),
    }
    assert clear(features, labels) == {"size", "two ranges"}


@pytest.mark.parametrize("seed", range(5))
def test_labels_by_chance_have_no_shortcut(seed):
    rng = np.random.default_rng(seed)
    features = {name: rng.normal(size=(60, 3)) for name in "abcd"}
    found = find_shortcuts(features, rng.integers(0, 2, 60), seed=seed)
    assert not any(shortcut.is_clear for shortcut in found)
    assert all(shortcut.interval[0] < 0.65 for shortcut in found)


def test_one_class_that_comes_from_elsewhere_is_clear(rng):
    labels = np.arange(200) % 5
    features = {"file format": labels == 3, "most": (labels == 3) ^ (rng.random(200) < 0.15)}
    found = {shortcut.feature: shortcut for shortcut in find_shortcuts(features, labels)}
    assert (found["file format"].told, found["file format"].is_clear) == (3, True)
    assert (found["most"].told, found["most"].is_clear) == (None, False)


def test_weak_hints_are_allowed_but_can_be_forbidden(rng):
    labels = np.arange(400) % 2
    features = {"color": rng.normal(size=400) + 1.2 * labels}
    assert clear(features, labels) == set()
    assert clear(features, labels, allowed=0.1) == {"color"}


def test_a_large_class_does_not_look_like_a_shortcut(rng):
    labels = (np.arange(400) < 20).astype(int)
    [found] = find_shortcuts({"noise": rng.normal(size=400)}, labels)
    assert not found.is_clear
    assert found.chance == 0.5
    assert found.accuracy < 0.7


def test_groups_stay_together(rng):
    # Each patient has a colour of their own, which says nothing of other patients.
    patients = np.arange(300) // 10
    labels = (np.random.default_rng(5).permutation(30) % 2)[patients]
    features = {"color": rng.normal(size=30)[patients]}
    assert clear(features, labels) == {"color"}
    assert clear(features, labels, groups=[str(patient) for patient in patients]) == set()


def test_shortcuts_need_two_classes_of_ten_and_something_that_differs():
    labels = [0] * 30 + [1] * 9
    assert find_shortcuts({"size": np.array(labels)}, labels) == ()
    assert find_shortcuts({"size": np.ones(40)}, np.arange(40) % 2) == ()
    with pytest.raises(ValueError, match="3 rows of 'size', 2 labels"):
        find_shortcuts({"size": np.ones(3)}, [0, 1])
    with pytest.raises(ValueError, match="`allowed` must be"):
        find_shortcuts({"size": np.ones(2)}, [0, 1], allowed=2)


@pytest.mark.parametrize(
    "pattern",
    [
        "patient_{p}_slice_{i}.png",
        "patient{p:03}-{i}.jpg",
        "P{p} ({i}).JPG",
        "2020.01.24.{p}919183-p{i}-132.png",
        "{p}%{i}.jpg",
        "étude {p}, coupe {i}.png",
        "pt{p}s{i}.png",
    ],
)
def test_groups_are_read_off_names(pattern):
    names = [
        f"data/{'ab'[p % 2]}/{pattern.format(p=p, i=i)}"
        for p in range(20)
        for i in range(3 + p % 4)
    ]
    labels = [int("/b/" in name) for name in names]
    truth = [p for p in range(20) for i in range(3 + p % 4)]
    found = groups_in_names(names, labels)
    assert len(set(found.groups)) == 20
    assert len(set(zip(found.groups, truth, strict=True))) == 20
    assert found.example.startswith("[")


@pytest.mark.parametrize(
    "pattern",
    ["{c}_{i:04}.jpg", "{c}.{i}.jpg", "{i}.png", "IMG_{i}.jpg", "{i:x}a{i}_{i}.jpg", "DSC{i:05}"],
)
def test_running_numbers_are_no_groups(pattern):
    names = [f"{c}/{pattern.format(c=c, i=i)}" for c in ("cat", "dog") for i in range(60)]
    assert groups_in_names(names, [0] * 60 + [1] * 60) is None


def test_a_beginning_that_half_of_the_pictures_share_is_no_group():
    small = [f"site{site}_{i}.png" for site in "abcdefghij" for i in range(5)]
    assert groups_in_names(small, [0, 1] * 25) is not None
    names = [*small, *(f"other_{i}.png" for i in range(50))]
    assert groups_in_names(names, [0, 1] * 50) is None


def test_the_same_names_in_two_folders_are_no_groups():
    names = [f"{split}/cat/cat_{i:03}.jpg" for split in ("train", "test") for i in range(50)]
    assert groups_in_names(names, [0, 1] * 50) is None


def test_names_and_labels_go_together():
    assert groups_in_names([], []) is None
    with pytest.raises(ValueError, match="1 names for 2 labels"):
        groups_in_names(["a"], [0, 1])
