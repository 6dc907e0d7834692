"""Where a model errs, against numpy; and its images, from whatever data they are in."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import keras_practical as kp
from keras_practical.data.decisions import apply_decisions
from keras_practical.evaluation.properties import accuracy_by_property

# Also run on JAX.
pytestmark = pytest.mark.any_backend

CHANCES = np.array(
    [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.5, 0.1, 0.4]]
)
LABELS = np.array([0, 1, 1, 2, 1])
NAMES = ("a", "b", "c")


def echo(units=3):
    """Return a model that gives an image of one pixel back as its outputs."""
    return keras.Sequential([keras.Input((1, 1, units)), layers.Flatten()])


def pixels(values):
    return np.asarray(values).reshape(len(values), 1, 1, -1)


@pytest.fixture
def found():
    return kp.interpret(echo(), (pixels(CHANCES), LABELS), class_names=NAMES, verbose=False)


def test_losses_and_mistakes_equal_hand_computed_ones(found):
    losses = -np.log(CHANCES[range(5), LABELS])
    np.testing.assert_allclose(found.losses, losses, rtol=1e-6)
    assert found.wrong.tolist() == [False, False, True, False, True]
    top = found.top_losses(3)
    assert [one.name for one in top] == ["images[4]", "images[2]", "images[3]"]
    assert (top[0].label, top[0].prediction, top[0].confidence) == ("b", "a", pytest.approx(0.5))
    assert [one.place for one in found.most_certain(2)] == [1, 0]
    assert [one.place for one in found.top_losses(9, class_name="b")] == [4, 2, 1]
    assert [one.place for one in found.mistakes()] == [4, 2]
    assert found.mistakes(class_name="a") == ()
    assert [one.place for one in found.mistakes(predicted="a")] == [4, 2]


def test_confusion_counts_and_parts(found):
    assert found.confusion().tolist() == [[1, 0, 0], [2, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(found.confusion(normalize=True)[1], [2 / 3, 1 / 3, 0])
    (pair,) = found.most_confused(5)
    assert (pair.label, pair.prediction, pair.count, pair.n) == ("b", "a", 2, 3)
    assert pair.names == ("images[4]", "images[2]")
    assert str(pair) == "b taken for a: 2 of 3 (66.7 %)"


def test_a_class_without_pictures_has_no_parts():
    found = kp.interpret(echo(), (pixels(CHANCES[:2]), LABELS[:2]), verbose=False)
    assert np.isnan(found.confusion(normalize=True)[2]).all()
    assert found.class_names == ("0", "1", "2")
    found.plot_confusion(normalize=True)


def test_of_equally_many_the_larger_part_of_a_class_comes_first():
    chances = np.eye(3)[[1, 0, 1, 1]] * 0.8 + 0.1
    found = kp.interpret(echo(), (pixels(chances / chances.sum(1, keepdims=True)), [0, 1, 1, 2]))
    assert [(pair.label, pair.prediction) for pair in found.most_confused(3)] == [
        ("0", "1"),
        ("2", "1"),
        ("1", "0"),
    ]


def test_it_prints_for_people(found):
    lines = str(found).splitlines()
    assert lines[0] == "5 images, 2 wrong: accuracy 0.600 (95 % interval 0.231–0.882)"
    assert lines[2] == "  images[4]: is b, said a (0.50), loss 2.30"
    assert lines[5] == "  b taken for a: 2 of 3 (66.7 %)"
    right = kp.interpret(echo(), (pixels(CHANCES[:1]), LABELS[:1]))
    assert str(right) == "1 image, 0 wrong: accuracy 1.000 (95 % interval 0.207–1.000)"


def test_logits_and_one_output():
    logits = kp.interpret(echo(), (pixels(np.log(CHANCES) + 3), LABELS), from_logits=True)
    np.testing.assert_allclose(logits.losses, -np.log(CHANCES[range(5), LABELS]), rtol=1e-5)
    single = kp.interpret(echo(1), (pixels([0.9, 0.2]), [[0], [0]]))
    np.testing.assert_allclose(single.losses, -np.log([0.1, 0.8]), rtol=1e-5)
    assert single.confusion().tolist() == [[1, 1], [0, 0]]


def test_several_labels_a_picture():
    chances, labels = [[0.9, 0.8, 0.1], [0.2, 0.6, 0.4]], [[1, 1, 0], [1, 0, 0]]
    found = kp.interpret(echo(), (pixels(chances), labels), class_names=NAMES, multi_label=True)
    expected = [-np.log([0.9, 0.8, 0.9]).mean(), -np.log([0.2, 0.4, 0.6]).mean()]
    np.testing.assert_allclose(found.losses, expected, rtol=1e-5)
    assert found.wrong.tolist() == [False, True]
    worst = found.top_losses(1)[0]
    assert (worst.label, worst.prediction, worst.confidence) == ("a", "b", pytest.approx(0.8))
    assert [one.place for one in found.top_losses(5, class_name="b")] == [0]
    assert found.top_losses(2)[1].label == "a + b"
    assert found.review_items()[0].suggestion is None
    assert "1 wrong" in str(found)
    with pytest.raises(ValueError, match="no one class to be taken for another"):
        found.confusion()


def test_what_is_wrong_is_named(found):
    pair = keras.Model(inputs := keras.Input((1, 1, 3)), [inputs, layers.Flatten()(inputs)])
    data = pixels(CHANCES), LABELS
    for arguments, options, message in [
        ((pair, data), {}, "must have one output.*2 outputs"),
        ((echo(), data), {"class_names": ["a"]}, "3 classes apart, but there are 1"),
        ((echo(), data), {"batch_size": 0}, "`batch_size`"),
        ((echo(), (pixels(CHANCES)[:0], LABELS[:0])), {}, "has no images"),
        ((echo(), (CHANCES, LABELS)), {}, r"shape \(n, height, width, channels\)"),
        ((echo(), (pixels(CHANCES + 1), LABELS)), {}, "are not probabilities"),
        ((echo(), "photos/"), {}, "must be a data set of `load_images`.*str"),
    ]:
        with pytest.raises(ValueError, match=message):
            kp.interpret(*arguments, **options)
    with pytest.raises(ValueError, match="`class_name` must be one of 'a', 'b', 'c'"):
        found.top_losses(1, class_name="d")
    with pytest.raises(ValueError, match="`predicted` must be one of"):
        found.mistakes(predicted="d")
    with pytest.raises(ValueError, match="`n` must be"):
        found.top_losses(0)
    with pytest.raises(ValueError, match="`predictions` is empty"):
        found.gallery([])


# Pictures from all kinds of data.

GREYS = np.arange(40, dtype="float32") * 6


def grey_pictures():
    return np.broadcast_to(GREYS[:, None, None, None], (40, 4, 6, 3)).copy()


def brightness_model():
    """Return a model that takes images brighter than 117 for class 1, the surer the further."""
    model = keras.Sequential(
        [
            keras.Input((4, 6, 3)),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.layers[-1].set_weights([np.full((3, 1), 0.01), np.array([-3.51])])
    return model


class Pictures(keras.utils.PyDataset):
    readings = 0

    def __len__(self):
        return 5

    def __getitem__(self, number):
        Pictures.readings += 1
        part = slice(8 * number, 8 * number + 8)
        return grey_pictures()[part], GREYS[part] > 100


def tf_data(*, shuffled=False, augmented=False, labels=None):
    tf = pytest.importorskip("tensorflow")
    labels = (GREYS > 100).astype("int64") if labels is None else labels
    data = tf.data.Dataset.from_tensor_slices((grey_pictures(), labels))
    if shuffled:
        data = data.shuffle(40, reshuffle_each_iteration=True)
    if augmented:
        # A generator of its own: after `set_random_seed`, plain operations repeat themselves.
        drawn = tf.random.Generator.from_seed(0)
        data = data.map(lambda image, label: (image + drawn.uniform((), 0, 1), label))
    return data.batch(7)


def data_of(kind):
    if kind == "arrays":
        return grey_pictures(), (GREYS > 100).astype(int)
    if kind == "zero to one":
        return grey_pictures() / 255, (GREYS > 100).astype(int)
    return Pictures() if kind == "PyDataset" else tf_data(shuffled=kind == "shuffled")


@pytest.mark.parametrize("kind", ["arrays", "zero to one", "PyDataset", "tf.data", "shuffled"])
def test_pictures_are_found_in_any_data(kind):
    model = brightness_model()
    if kind == "zero to one":
        model.layers[-1].set_weights([np.full((3, 1), 2.55), np.array([-3.51])])
    found = kp.interpret(model, data_of(kind), batch_size=16, verbose=False)
    assert int(found.wrong.sum()) == 3
    greys = found.properties["brightness"]
    white = 255 / 234 if kind == "zero to one" else 1
    for one in found.mistakes():
        picture = found.images(one.name)
        assert picture.shape == (4, 6, 3)
        assert picture.dtype == np.uint8
        assert picture[0, 0, 0] == pytest.approx(greys[one.place], abs=0.51)
        assert 100 < picture[0, 0, 0] <= 117 * white
    np.testing.assert_allclose(np.sort(greys), GREYS, atol=0.01)
    assert found.images(found.index.records[0].name, image_size=12).shape == (12, 12, 3)


def test_a_gallery_reads_the_data_once_more():
    found = kp.interpret(brightness_model(), Pictures(), verbose=False)
    Pictures.readings = 0
    ax = found.plot_top_losses(n=12)
    assert len(ax.texts) == 12
    assert Pictures.readings <= 5
    Pictures.readings = 0
    items = found.review_items()
    assert Pictures.readings == 0
    with ThreadPoolExecutor(4) as threads:
        fetched = list(threads.map(found.images, [item.name for item in items]))
    assert all(picture is not None for picture in fetched)
    assert Pictures.readings <= 5


def test_many_expected_pictures_are_read_a_part_at_a_time(monkeypatch):
    monkeypatch.setattr("keras_practical.evaluation.images._FETCHED_TOGETHER", 10)
    found = kp.interpret(brightness_model(), Pictures(), verbose=False)
    names = [one.name for one in found.top_losses(40)]
    found.images.expect(names)
    Pictures.readings = 0
    greys = [int(found.images(name)[0, 0, 0]) for name in names]
    places = [one.place for one in found.top_losses(40)]
    assert greys == GREYS[places].astype(int).tolist()
    # Four times ten pictures, five batches at most for each.
    assert 4 <= Pictures.readings <= 20


def test_data_that_change_are_named():
    found = kp.interpret(brightness_model(), tf_data(augmented=True), verbose=False)
    with pytest.raises(ValueError, match="gave other images when it was read again"):
        found.plot_top_losses(n=2)


@pytest.fixture
def folder(tmp_path):
    for label, name in enumerate(("cats", 'dögs, "big"')):
        (tmp_path / name).mkdir()
        for number in range(10):
            grey = 20 * number + label
            exif = Image.Exif()
            exif[0x0112] = 6 if number == 3 else 1
            image = Image.new("RGB", (60, 40 + number), (grey, grey, grey))
            image.save(tmp_path / name / f"{number} ü.png", exif=exif)
    return tmp_path


def photo_model():
    model = keras.Sequential(
        [
            keras.Input((4, 6, 3)),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    weights = np.repeat([[-0.01, 0.01]], 3, 0)
    model.layers[-1].set_weights([weights, np.array([2.7, -2.7])])
    return model


def load(folder, **options):
    return kp.load_images(folder, image_size=(4, 6), verbose=False, **options)


@pytest.mark.parametrize("cache", ["memory", None])
def test_photos_keep_their_names_and_their_order(folder, cache):
    photos = load(folder, cache=cache)
    found = kp.interpret(photo_model(), photos.train, verbose=False)
    assert found.index.records == photos.index.split("train")
    assert found.class_names == photos.class_names
    for record, grey, chances in zip(
        found.index, found.properties["brightness"], found.probabilities, strict=True
    ):
        picture = found.images(record.name)
        assert picture.shape == (record.height, record.width, 3)
        assert picture[0, 0, 0] == round(grey)
        assert (chances[1] > 0.5) == (grey > 90)
    turned = [r.name for r in found.index if r.orientation == 6]
    assert turned
    assert all("/3 ü.png" in name for name in turned)
    tables = {table.property: table for table in found.by_property()}
    assert {part.name for part in tables["orientation"].bins} == {"upright", "turned (EXIF 6)"}
    assert sum(part.n for part in tables["shorter side"].bins) == len(found)
    found.gallery(found.mistakes()[:3] or found.top_losses(3)).figure.canvas.draw()


def test_what_a_person_decides_makes_a_new_index(folder, tmp_path):
    photos = load(folder)
    found = kp.interpret(photo_model(), photos.train, verbose=False)
    first, second = found.review_items()[:2]
    assert first.evidence.startswith(f"said {first.suggestion} with ")
    assert first.label != first.suggestion
    file = tmp_path / "decisions.csv"
    quoted = [text.replace('"', '""') for text in (first.name, second.name, second.suggestion)]
    rows = ["name,decision,label", '"{}",delete,', '"{}",relabel,"{}"', ""]
    file.write_bytes("\r\n".join(rows).format(*quoted).encode("utf-8-sig"))
    cleaned = found.apply(file)
    assert len(cleaned) == len(found) - 1
    names = {record.name: record.label for record in cleaned}
    assert first.name not in names
    assert photos.class_names[names[second.name]] == second.suggestion
    everything = found.apply(file, index=photos.index)
    assert everything == apply_decisions(photos.index, file)
    assert len(photos.with_index(everything).index) == 19


def test_a_photo_that_breaks_meanwhile_is_left_out(folder):
    photos = load(folder, cache=None)
    victim = photos.index.split("train")[2].name
    with open(victim, "wb") as file:  # noqa: PTH123
        file.write(b"no image")
    with (
        pytest.warns(UserWarning, match="Left out"),
        pytest.warns(UserWarning, match="interpret leaves out 1 images that can't be read"),
    ):
        found = kp.interpret(photo_model(), photos.train, verbose=False)
    assert victim not in {record.name for record in found.index}
    whole = [r for r in photos.index.split("train") if r.name != victim]
    assert list(found.index) == whole
    assert len(found.losses) == len(found.properties["orientation"]) == len(whole)


def test_a_photo_that_is_gone_is_drawn_grey(folder):
    from pathlib import Path

    photos = load(folder)
    found = kp.interpret(photo_model(), photos.train, verbose=False)
    worst = found.top_losses(1)
    Path(worst[0].name).unlink()
    assert found.images(worst[0].name) is None
    drawn = found.gallery(worst).get_images()[0].get_array()
    assert (drawn[:100, :100, :3] == 128).all()


# Accuracy by property.


def test_bins_are_of_about_equal_size_and_counts_are_right(rng):
    values = rng.permutation(100).astype(float)
    right = values >= 25
    table = accuracy_by_property("brightness", values, right)
    assert [(part.n, part.right) for part in table.bins] == [(25, 0), (25, 25), (25, 25), (25, 25)]
    assert table.bins[0].name == "0 to 24"
    assert table.bins[0].interval == kp.evaluation.wilson_interval(0, 25)
    assert table.p_value < 0.001


def test_unknown_and_equal_values_are_parts_of_their_own():
    table = accuracy_by_property("side", [1.0, np.nan, 1.0, 5.0], [True, False, True, True])
    assert [(part.name, part.n) for part in table.bins] == [("1", 2), ("5", 1), ("unknown", 1)]
    same = accuracy_by_property("side", [2.0] * 9 + [3, 4, 5, 6, 7], [True] * 14)
    assert [part.n for part in same.bins] == [10, 4]
    assert same.p_value == 1.0


def test_the_p_value_is_the_exact_one():
    # Both errors among 3 of 8: 3 of 28 ways; both among the other 5: 10 of 28, less uneven.
    values, right = np.repeat([0.0, 1.0], [3, 5]), np.array([0, 0, 1, 1, 1, 1, 1, 1], bool)
    assert accuracy_by_property("x", values, right).p_value == pytest.approx(3 / 28, abs=0.015)


def test_without_a_connection_p_values_are_seldom_small(rng):
    small = 0
    for seed in range(100):
        right = rng.uniform(size=60) < 0.9
        table = accuracy_by_property("x", rng.normal(size=60), right, seed=seed)
        small += table.p_value < 0.05
    # Of 100 with a chance of at most 5 %, more than 12 are very unlikely (p < .002).
    assert small <= 12


def test_a_property_of_ones_own(found):
    tables = found.by_property(more={"camera": ["A", "A", "B", "A", "B"]})
    assert [(part.name, part.right, part.n) for part in tables[-1].bins] == [
        ("A", 3, 3),
        ("B", 0, 2),
    ]
    ax = found.plot_properties(more={"camera": ["A", "A", "B", "A", "B"]})
    assert "camera B (2)" in [label.get_text() for label in ax.get_yticklabels()]
    with pytest.raises(ValueError, match="one value of 'camera' for each"):
        found.by_property(more={"camera": ["A"]})


def test_dark_pictures_that_a_model_gets_wrong_stand_out():
    found = kp.interpret(
        brightness_model(), (grey_pictures(), np.ones(40, int)), class_names=["x", "y"]
    )
    text = str(found)
    assert "accuracy by brightness (p < 0.001)" in text
    assert "0 to 54" in text
