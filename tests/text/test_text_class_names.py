"""Labels of texts count by the names of their classes, whatever order a set lists them in."""

import keras
import numpy as np
import pytest

import keras_practical as kp
from keras_practical.models import class_names_of

NAMES = ("politics", "sports", "weather")
TEXTS = ("rul vas lem", "kan kal mir", "ter pes von")


def texts_of(order, only=NAMES, copies=6):
    """Return texts of the classes `only`, whose names are listed in `order`."""
    classes = [name for name in only for _ in range(copies)]
    texts = [TEXTS[NAMES.index(name)] for name in classes]
    labels = np.array([order.index(name) for name in classes], "int64")
    return kp.text.LabelledTexts(tuple(texts), labels, order, tuple(map(str, range(len(texts)))))


@pytest.fixture(scope="module")
def language():
    vocabulary = kp.text.build_vocabulary(TEXTS * 9, size=40, verbose=False)
    return kp.text.language_model(vocabulary, texts=TEXTS * 9, vector_size=8, state_size=8)


@pytest.fixture(scope="module")
def network(language):
    model = kp.text.classifier(language, NAMES)
    kp.text.fine_tune(model, texts_of(NAMES), epochs=0, verbose=0)
    return model


OTHERS = [
    (("weather", "politics", "sports"), NAMES),
    (("weather", "sports"), ("sports", "weather")),
    (("sports",), ("sports",)),
    (tuple(np.array(["weather", "sports"])), ("sports", "weather")),
    # A class that is listed but has no texts matters to nobody.
    (("art", "weather", "sports"), ("sports", "weather")),
]


@pytest.mark.parametrize(("order", "only"), OTHERS)
def test_baseline_and_mistakes_go_by_name(order, only, network):
    judge = kp.text.baseline(texts_of(NAMES))
    test = texts_of(order, only)
    found = judge.evaluate(test)
    assert found.accuracy == 1.0
    assert found.class_names == NAMES
    expected = [sum(name == of for _, of in test) for name in NAMES]
    assert list(found.class_counts) == expected
    for model in (judge, network):
        assert kp.text.confident_mistakes(model, test, verbose=False) == ()


def test_mistakes_are_named_by_the_model(network):
    test = texts_of(("weather", "politics", "sports"))
    wrong = kp.text.LabelledTexts(
        test.texts[:1], np.array([0]), ("weather", "politics"), test.places[:1]
    )
    for model in (network, kp.text.baseline(texts_of(NAMES))):
        [mistake] = kp.text.confident_mistakes(model, wrong, verbose=False)
        assert (mistake.predicted, mistake.truth) == ("politics", "weather")


def test_renumbered_by_hand():
    test = texts_of(("weather", "sports"), ("sports", "weather"), copies=1)
    assert test.labels.tolist() == [1, 0]
    found = test.renumbered(NAMES)
    assert (found.labels.tolist(), found.class_names) == ([1, 2], NAMES)
    assert (found.texts, found.places) == (test.texts, test.places)
    assert list(found) == list(test)
    # Labels that are numbers go by number where the other side has names, and by name otherwise.
    numbered = kp.text.LabelledTexts(("a", "b"), np.array([0, 1]), ("0", "1"), ("", ""))
    assert numbered.renumbered(NAMES).labels.tolist() == [0, 1]
    gaps = kp.text.LabelledTexts(("a", "b"), np.array([0, 1]), ("0", "2"), ("", ""))
    assert gaps.renumbered(("0", "1", "2")).labels.tolist() == [0, 2]
    assert not len(test.take([]).renumbered(NAMES))


@pytest.mark.parametrize(
    ("order", "known", "match"),
    [
        (("art", "sports"), ("sports", "weather"), "class 'art', which the model doesn't know"),
        (("0", "2"), ("sports", "weather"), "class '0', which the model doesn't know"),
        (("0", "1", "2"), ("sports", "weather"), "Received: texts of the class '2'"),
        (("sports", "weather"), ("0", "1", "2"), "knows its 3 classes by number only"),
    ],
)
def test_unknown_classes_are_named(order, known, match):
    labels = np.arange(len(order))
    test = kp.text.LabelledTexts(tuple(order), labels, order, tuple(order))
    with pytest.raises(ValueError, match=match):
        test.renumbered(known)


def test_strangers_are_refused_everywhere(language, network):
    two = texts_of(("sports", "weather"), ("sports", "weather"))
    judge = kp.text.baseline(two)
    named = kp.text.classifier(language, two.class_names)
    match = "class 'politics', which the model doesn't know; its classes are sports, weather"
    with pytest.raises(ValueError, match=match):
        judge.evaluate(texts_of(NAMES))
    for model in (judge, named):
        with pytest.raises(ValueError, match=match):
            kp.text.confident_mistakes(model, texts_of(NAMES), verbose=False)
        with pytest.raises(ValueError, match=match):
            kp.text.explain_text(model, TEXTS[0], class_names=NAMES, verbose=False)
    before = named.get_weights()
    with pytest.raises(ValueError, match=match):
        kp.text.fine_tune(named, texts_of(NAMES), verbose=0)
    with pytest.raises(ValueError, match=match):
        kp.text.fine_tune(named, two, validation_data=texts_of(NAMES), verbose=0)
    for one, other in zip(before, named.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)  # A refused call changes nothing.
    for call in (judge.evaluate, lambda pair: kp.text.confident_mistakes(judge, pair)):
        with pytest.raises(ValueError, match="`texts` must be LabelledTexts"):
            call((TEXTS, [0, 1, 2]))
    with pytest.raises(ValueError, match="`validation_data` must be LabelledTexts"):
        kp.text.fine_tune(network, texts_of(NAMES), validation_data=(TEXTS, [0, 1, 2]))


@pytest.mark.parametrize("classes", [NAMES, 3])
def test_fine_tune_maps_training_and_validation_by_name(language, classes):
    model = kp.text.classifier(language, classes)
    order = ("weather", "politics", "sports")
    train, known = (texts_of(order), NAMES) if classes == NAMES else (texts_of(NAMES), NAMES)
    history = kp.text.fine_tune(
        model, train, validation_data=texts_of(order[::-1]), epochs=1, verbose=0
    )
    assert history.history["val_accuracy"] == [1.0]
    answers = kp.text.predict_texts(model, TEXTS, verbose=False).argmax(1)
    assert [known[answer] for answer in answers] == list(NAMES)


def test_validation_of_a_class_that_training_lacks_is_warned_of(language):
    model = kp.text.classifier(language, NAMES)
    train = texts_of(("weather", "sports"), ("sports", "weather"))
    with pytest.warns(UserWarning, match="has texts of politics, of which `train` has none"):
        history = kp.text.fine_tune(
            model, train, validation_data=texts_of(NAMES), epochs=1, verbose=0
        )
    np.testing.assert_allclose(history.history["val_accuracy"], [2 / 3], rtol=1e-6)


def test_names_survive_a_file_and_name_an_explanation(network, tmp_path):
    network.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert class_names_of(loaded) == NAMES
    for model in (network, loaded, kp.text.baseline(texts_of(NAMES))):
        for names in (None, NAMES, NAMES[::-1], NAMES[1:]):
            found = kp.text.explain_text(model, TEXTS[1], class_names=names, verbose=False)
            assert found.class_name == "sports"
    assert kp.text.confident_mistakes(loaded, texts_of(NAMES[::-1]), verbose=False) == ()


def test_a_model_without_names_takes_given_ones(language):
    model = kp.text.classifier(language, np.int64(3))
    assert class_names_of(model) is None
    kp.text.fine_tune(model, texts_of(NAMES), epochs=0, verbose=0)
    found = kp.text.explain_text(model, TEXTS[2], class_names=NAMES, verbose=False)
    assert found.class_name == "weather"
    assert kp.text.explain_text(model, TEXTS[2], verbose=False).class_name == "2"
    with pytest.raises(ValueError, match="Received: 2 names"):
        kp.text.explain_text(model, TEXTS[2], class_names=NAMES[1:], verbose=False)
    with pytest.raises(ValueError, match="knows its 3 classes by number only"):
        kp.text.confident_mistakes(model, texts_of(NAMES[1:], NAMES[1:]), verbose=False)
