"""Label errors: planted ones are found, ranked, written down, decided on; nothing else changes."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from tiny import blobs

import keras_practical as kp
from keras_practical.data.features import Embeddings

# Also run on JAX.
pytestmark = pytest.mark.any_backend

QUIET = {"verbose": False, "strength": 0.1}
NAMES = ("cats", "dogs", "mice")


def planted(n=240, wrong=12, seed=0, distance=4.0):
    """Return embeddings of clear classes, some labels wrong, the true labels, and where."""
    clean = replace(blobs(n, distance=distance, seed=seed), class_names=NAMES)
    rng = np.random.default_rng(seed)
    places = rng.choice(n, wrong, replace=False)
    labels = clean.labels.copy()
    labels[places] = (labels[places] + rng.integers(1, 3, wrong)) % 3
    return replace(clean, labels=labels), clean.labels, set(places.tolist())


def places_of(found):
    return [int(error.name[7:-1]) for error in found]


def test_planted_errors_are_found_with_what_they_were():
    embeddings, truth, wrong = planted()
    found = kp.label_errors(embeddings, **QUIET)
    assert wrong <= set(places_of(found))
    assert len(found) <= len(wrong) + 3
    for error in found:
        place = int(error.name[7:-1])
        assert error.label == NAMES[embeddings.labels[place]]
        if place in wrong:
            assert error.suggestion == NAMES[truth[place]]
        assert error.confidence == pytest.approx(
            found.probabilities[place, NAMES.index(error.suggestion)]
        )


def test_clean_labels_stay_unsuspected():
    embeddings = planted(wrong=0, distance=6.0)[0]
    found = kp.label_errors(embeddings, **QUIET)
    assert len(found) == 0
    assert "0 of 240 labels may be wrong (0.0 %)" in str(found)
    assert found.review_items() == ()
    with pytest.raises(ValueError, match="no label error was found"):
        found.plot()


def test_probabilities_are_those_of_models_that_have_not_seen_the_picture():
    embeddings, _, _ = planted()
    found = kp.label_errors(embeddings, seed=3, **QUIET)
    crossed = kp.cross_validate(
        lambda part: kp.fit_probe(part, strength=0.1), embeddings, seed=3, verbose=False
    )
    np.testing.assert_allclose(found.cross_validation.folds, crossed.folds)
    # The labels' own model has seen them and believes more of the wrong ones.
    seen = kp.fit_probe(embeddings, strength=0.1).predict_proba(embeddings.features)
    rows = np.arange(240), embeddings.labels
    wrong = places_of(found)
    assert seen[rows][wrong].mean() > found.probabilities[rows][wrong].mean()


def test_the_worst_come_first():
    embeddings, _, _ = planted(distance=2.0, wrong=30)
    found = kp.label_errors(embeddings, **QUIET)
    chances = [found.scores[place] for place in places_of(found)]
    assert len(chances) > 10
    assert chances == sorted(chances)


def test_seed_decides():
    embeddings, _, _ = planted(distance=1.0)
    first, again, other = (
        kp.label_errors(embeddings, seed=seed, **QUIET).probabilities for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_strength_is_chosen_where_none_is_given():
    embeddings, _, wrong = planted(n=90, wrong=5)
    assert wrong <= set(places_of(kp.label_errors(embeddings, verbose=False)))


def test_groups_are_kept_together():
    embeddings, _, _ = planted()
    patients = np.arange(240) // 6
    found = kp.label_errors(embeddings, groups=patients, **QUIET)
    folds = found.cross_validation.folds[0]
    assert all(len(set(folds[patients == patient])) == 1 for patient in range(40))
    by_name = kp.label_errors(
        embeddings, groups=lambda record: int(record.name[7:-1]) // 6, **QUIET
    )
    np.testing.assert_array_equal(by_name.probabilities, found.probabilities)


def test_a_class_in_one_group_is_no_heap_of_errors():
    embeddings, _, _ = planted(wrong=0)
    groups = np.where(embeddings.labels == 2, "one", np.arange(240).astype(str))
    with pytest.raises(ValueError, match="All images of class 'mice' are in one fold"):
        kp.label_errors(embeddings, groups=groups, **QUIET)


def test_a_class_without_pictures_is_no_hindrance():
    embeddings, _, wrong = planted()
    embeddings = replace(
        embeddings,
        labels=np.array([0, 2, 3])[embeddings.labels],
        class_names=("cats", "unicorns", "dogs", "mice"),
    )
    found = kp.label_errors(embeddings, **QUIET)
    assert wrong <= set(places_of(found))
    assert "unicorns" not in {error.suggestion for error in found}
    assert found.probabilities.shape == (240, 4)


def test_several_embeddings_are_judged_together():
    whole, _, _ = planted()
    records = tuple(kp.ImageRecord(f"images[{place}]", 0) for place in range(240))
    whole = replace(whole, index=records)
    parts = [whole.take(np.arange(180)), whole.take(np.arange(180, 240))]
    together = kp.label_errors(parts, **QUIET)
    np.testing.assert_array_equal(
        together.probabilities, kp.label_errors(whole, **QUIET).probabilities
    )
    with pytest.raises(ValueError, match="of different images"):
        kp.label_errors([whole, whole], **QUIET)


def test_a_table_to_fill_in_changes_the_index_and_nothing_else(tmp_path):
    embeddings, _, _ = planted()
    found = kp.label_errors(embeddings, **QUIET)
    file = found.to_csv(tmp_path / "errors.csv")
    before = tuple(found.index)
    assert tuple(found.apply(file)) == before
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows] == [error.name for error in found]
    assert rows[0]["given"] == found.errors[0].label
    decisions = ["relabel", "delete", "keep"]
    for row, decision in zip(rows, decisions, strict=False):
        row["decision"] = decision
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    after = {record.name: record.label for record in found.apply(file)}
    assert after[rows[0]["name"]] == NAMES.index(rows[0]["label"])
    assert rows[1]["name"] not in after
    unchanged = {record.name: record.label for record in before if record.name in after}
    unchanged[rows[0]["name"]] = after[rows[0]["name"]]
    assert after == unchanged
    assert tuple(found.index) == before


def test_names_that_look_like_formulas_come_back(tmp_path):
    embeddings, _, _ = planted()
    index = tuple(kp.ImageRecord(f'=cmd|{place}!A1, "x"', 0) for place in range(240))
    embeddings = replace(embeddings, index=index, class_names=("-1", "+1", "@home"))
    found = kp.label_errors(embeddings, **QUIET)
    file = found.to_csv(tmp_path / "errors.csv")
    with file.open(encoding="utf-8-sig", newline="") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    assert not [cell for cell in cells if cell.startswith(tuple("=+-@"))]
    text = file.read_text(encoding="utf-8-sig").replace(",,", ",relabel,")
    file.write_text(text, encoding="utf-8")
    labels = {record.name: record.label for record in found.apply(file)}
    for error in found:
        assert labels[error.name] == found.index.class_names.index(error.suggestion)


@pytest.mark.tf_only
def test_pictures_of_load_images_are_found_and_all_of_the_index_is_kept():
    digits = kp.load_images("digits", verbose=False)
    pixels = digits.train.source.store.read(digits.train.source.rows)[0]
    features = Embeddings(
        pixels[..., 0].reshape(len(pixels), -1).astype("float32"),
        digits.train.source.labels,
        digits.train.source.records,
        digits.class_names,
    ).take(range(400))
    options = {"verbose": False, "strength": 1e-3}
    found = kp.label_errors(features, data=digits, **options)
    assert found.index is digits.index
    assert len(kp.label_errors(features, data=digits.train, **options).index) == 1438
    assert found.images(found.names[0]).shape == (8, 8, 3)
    other = digits.index.relabelled({found.names[5]: "3" if features.labels[5] != 3 else "4"})
    with pytest.raises(ValueError, match=r"no image .* with the label that it has"):
        kp.label_errors(features, data=digits.with_index(other), **options)


def test_pictures_of_arrays_are_drawn_with_both_labels():
    embeddings, _, _ = planted()
    images = np.zeros((240, 8, 8, 1), "uint8")
    found = kp.label_errors(embeddings, data=(images, embeddings.labels), **QUIET)
    ax = found.plot(n=4, columns=2)
    first = found.errors[0]
    assert len(ax.texts) == 4
    assert ax.texts[0].get_text() == f"{first.label}, or rather\n{first.suggestion}?"
    with pytest.raises(ValueError, match="Pass label_errors"):
        kp.label_errors(embeddings, **QUIET).plot()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"labels": np.zeros(240, int)}, "at least two classes.*240 images of 1 class"),
        ({"labels": np.arange(240) % 4}, "Labels must be from 0 to 2.*Received: 0 to 3"),
        ({"labels": np.arange(240) % 2 - 1}, "Received: -1 to 0"),
        ({"labels": np.zeros((240, 3))}, "one integer label"),
        ({"labels": np.linspace(0, 1, 240)}, "one integer label"),
        ({"features": np.full((240, 8), np.nan)}, "NaN or infinity for image 0"),
    ],
)
def test_unusable_embeddings_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        kp.label_errors(replace(planted()[0], **change), verbose=False)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"method": "guess"}, "`method` must be one of"),
        ({"folds": 1}, "`folds`"),
        ({"repeats": 0}, "`repeats`"),
        ({"strength": 0}, "`strength` must be a number > 0"),
        ({"groups": [1, 2]}, "`groups` must have one value an example. Received: 2 for 240"),
        ({"data": "photos"}, "`data` must be what `load_images` returned.*str"),
    ],
)
def test_wrong_arguments_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        kp.label_errors(planted()[0], **{**QUIET, **options})


def test_no_pictures_are_refused():
    with pytest.raises(ValueError, match="Received: 0 images"):
        kp.label_errors(planted()[0].take(np.zeros(0, int)), **QUIET)


def test_later_passes_learn_nothing_from_suspects():
    embeddings, _, _ = planted(distance=1.5, wrong=48)
    once, twice = (kp.label_errors(embeddings, passes=passes, **QUIET) for passes in (1, 2))
    suspects = set(places_of(once))
    believed = np.array([place not in suspects for place in range(240)])
    for fold in range(5):
        held_out = twice.cross_validation.folds[0] == fold
        model = kp.fit_probe(embeddings.take(np.flatnonzero(believed & ~held_out)), strength=0.1)
        np.testing.assert_allclose(
            twice.probabilities[held_out], model.predict_proba(embeddings.features[held_out])
        )


def test_a_table_lists_what_was_found():
    found = kp.label_errors(planted(distance=1.0, wrong=40)[0], **QUIET)
    lines = str(found).splitlines()
    assert len(found) > 20
    assert lines[1].split() == ["label", "suggestion", "sure", "name"]
    assert len({line.index("images[") for line in lines[2:22]} | {lines[1].index("name")}) == 1
    assert lines[22] == f"... and {len(found) - 20} more"


@pytest.mark.parametrize("embeddings", [[], np.zeros((3, 2)), [1]])
def test_what_is_no_embedding_is_refused(embeddings):
    with pytest.raises(ValueError, match="`embeddings` must be what `embed` returned"):
        kp.label_errors(embeddings)
