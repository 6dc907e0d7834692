import keras
import numpy as np
import pytest

import keras_practical as kp
from keras_practical.evaluation import predict_with_labels, wilson_interval

# Also run on JAX.
pytestmark = pytest.mark.any_backend

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
LABELS = np.array([0, 1, 1, 2])


def identity(units=3):
    """Return a model that gives back what it is given: outputs as one likes."""
    return keras.Sequential([keras.Input((units,)), keras.layers.Identity()])


def hand_wilson(successes, n, z=1.959963984540054):
    p = successes / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return middle - half, middle + half


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (8, 10), (984, 1000), (50, 100)])
def test_wilson_interval_equals_the_formula(successes, n):
    np.testing.assert_allclose(wilson_interval(successes, n), hand_wilson(successes, n), atol=1e-9)


def test_wilson_interval_widens_with_confidence():
    assert wilson_interval(8, 10, confidence=0.99)[0] < wilson_interval(8, 10)[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((1, 0), "`n` must be"), ((3, 2), "`successes` must be"), ((-1, 2), "`successes` must be")],
)
def test_wilson_interval_names_the_bad_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        wilson_interval(*arguments)


def test_evaluate_equals_hand_computed_numbers():
    result = kp.evaluate(identity(), (PROBABILITIES, LABELS), class_names=["a", "b", "c"])
    assert result.accuracy == 0.75
    assert result.n == 4
    assert result.recall == (1.0, 0.5, 1.0)
    assert result.class_counts == (1, 2, 1)
    np.testing.assert_allclose(result.accuracy_interval, hand_wilson(3, 4), atol=1e-9)
    np.testing.assert_allclose(result.recall_intervals[1], hand_wilson(1, 2), atol=1e-9)
    expected = -np.log([0.7, 0.8, 0.3, 0.6]).mean()
    assert result.loss == pytest.approx(expected, rel=1e-5)


def test_evaluate_prints_for_people():
    result = kp.evaluate(identity(), (PROBABILITIES, LABELS), class_names=["a", "bb", "c"])
    lines = str(result).splitlines()
    assert lines[0] == "accuracy 0.750 (95 % interval 0.301–0.954, n=4)"
    assert lines[4].startswith("log-loss 0.574 (")
    assert lines[7] == "bb         2  0.500 (0.095–0.905)   1.000 (0.207–1.000)"


def test_evaluate_says_unknown_for_a_class_without_examples():
    result = kp.evaluate(identity(), (PROBABILITIES[:2], LABELS[:2]))
    assert np.isnan(result.recall[2])
    assert str(result).splitlines()[-1] == "2          0  unknown               unknown"


def batches(tf):
    return tf.data.Dataset.from_tensor_slices((PROBABILITIES, LABELS)).batch(3)


class Pairs(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        chosen = slice(3 * index, 3 * index + 3)
        return PROBABILITIES[chosen], LABELS[chosen]


@pytest.mark.parametrize(
    "make",
    [
        lambda tf: batches(tf),
        lambda tf: batches(tf).filter(lambda *_: True),
        lambda tf: Pairs(),
        lambda tf: (PROBABILITIES, LABELS[:, None]),
        lambda tf: (PROBABILITIES, np.eye(3)[LABELS]),
        lambda tf: (PROBABILITIES.tolist(), LABELS.tolist()),
    ],
    ids=["dataset", "unknown length", "PyDataset", "labels (n, 1)", "one-hot", "lists"],
)
def test_evaluate_takes_any_data(make):
    tf = pytest.importorskip("tensorflow")
    result = kp.evaluate(identity(), make(tf), batch_size=3, verbose=False)
    assert (result.accuracy, result.n) == (0.75, 4)


def test_evaluate_takes_the_class_names_of_the_data_set():
    tf = pytest.importorskip("tensorflow")
    data = batches(tf)
    data.class_names = ["x", "y", "z"]
    assert kp.evaluate(identity(), data).class_names == ("x", "y", "z")


@pytest.mark.parametrize("shape", [(-1, 1), (-1,)])
def test_evaluate_takes_one_output_as_the_probability_of_class_1(shape):
    positive = np.array([0.9, 0.2, 0.6])
    layers = [keras.layers.Identity()] if shape == (-1, 1) else [keras.layers.Reshape(())]
    model = keras.Sequential([keras.Input((1,)), *layers])
    result = kp.evaluate(model, (positive[:, None], np.array([1, 0, 0])))
    assert result.accuracy == pytest.approx(2 / 3)
    assert result.loss == pytest.approx(-np.log([0.9, 0.8, 0.4]).mean(), rel=1e-5)


def test_evaluate_turns_logits_into_probabilities():
    logits = np.log(PROBABILITIES) + 5.0
    result = kp.evaluate(identity(), (logits, LABELS), from_logits=True)
    assert result.loss == pytest.approx(-np.log([0.7, 0.8, 0.3, 0.6]).mean(), rel=1e-4)
    odds = np.array([[0.0], [np.log(3.0)]])
    both = kp.evaluate(identity(1), (odds, np.array([0, 1])), from_logits=True)
    assert both.loss == pytest.approx(-np.log([0.5, 0.75]).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("outputs", "labels", "options", "message"),
    [
        (np.log(PROBABILITIES), LABELS, {}, "not probabilities.*from_logits=True"),
        (PROBABILITIES, LABELS + 1, {}, r"Labels must be from 0 to 2.*from 1 to 3"),
        (PROBABILITIES, np.eye(4)[LABELS], {}, "One-hot labels have 4 columns, the model 3"),
        (PROBABILITIES, LABELS, {"class_names": ["a", "b"]}, "3 classes apart.*2 class names"),
        (PROBABILITIES[:0], LABELS[:0], {}, "has no examples"),
    ],
)
def test_evaluate_says_what_is_wrong(outputs, labels, options, message):
    with pytest.raises(ValueError, match=message):
        kp.evaluate(identity(), (outputs, labels), **options)


def test_evaluate_refuses_outputs_that_are_no_rows():
    model = keras.Sequential([keras.Input((2, 2)), keras.layers.Identity()])
    with pytest.raises(ValueError, match=r"one row of class probabilities.*\(1, 2, 2\)"):
        kp.evaluate(model, (np.zeros((1, 2, 2)), np.zeros(1, int)))


def test_predict_with_labels_keeps_the_order_of_a_shuffled_data_set():
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices((np.eye(8), np.arange(8))).shuffle(8, seed=1).batch(3)
    probabilities, labels = predict_with_labels(identity(8), data)
    assert labels.tolist() != list(range(8))
    np.testing.assert_array_equal(probabilities.argmax(axis=1), labels)


def test_predict_with_labels_gives_the_model_batches_of_one_size():
    sizes = []

    class Spy(keras.Model):
        def call(self, inputs):
            return inputs

        def predict_on_batch(self, x):
            sizes.append(len(x))
            return super().predict_on_batch(x)

    predict_with_labels(Spy(), (PROBABILITIES, LABELS), batch_size=3)
    assert sizes == [3, 3]


def test_evaluation_draws_its_confusion_matrix():
    probabilities = np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7]])
    found = kp.evaluate_predictions(probabilities, np.array([0, 1, 1]), class_names=["a", "b"])
    ax = found.plot()
    assert [text.get_text() for text in ax.texts] == ["1", "1", "1"]
    several = kp.evaluate_predictions(probabilities, np.eye(2)[[0, 1, 1]], multi_label=True)
    with pytest.raises(ValueError, match=r"one label for each example.*\(3, 2\)"):
        several.plot()


@pytest.mark.tf_only
def test_a_held_out_photo_that_breaks_meanwhile_is_not_judged_as_black(tmp_path):
    """Here black is the second class: black images in place of broken ones would be wrong."""
    for name, value in (("bright", 250), ("dark", 0)):
        (tmp_path / name).mkdir()
        for number in range(20):
            pixels = np.full((8, 8, 3), value, "uint8")
            pixels[0, 0] = number
            keras.utils.save_img(tmp_path / name / f"{number}.png", pixels, scale=False)
    photos = kp.load_images(tmp_path, image_size=8, cache=None, verbose=False)
    held_out = photos.index.split("validation")
    victim = next(record for record in held_out if record.label == 0)
    (tmp_path / victim.name).unlink()
    layers = [keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([*layers, keras.layers.Dense(2, activation="softmax")])
    model.layers[-1].set_weights([np.array([[1.0, -1.0]] * 3), np.array([-200.0, 200.0])])
    with pytest.warns(UserWarning, match="Left out"):
        found = kp.evaluate(model, photos.validation, verbose=False)
    assert (found.accuracy, found.n) == (1.0, len(held_out) - 1)
