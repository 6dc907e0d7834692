"""Losses, bits and perplexity against a loop over single pieces, in every precision."""

import math

import keras
import numpy as np
import pytest
from keras import ops

import keras_practical as kp
from keras_practical.text.characters.vocabulary import CharacterEmbedding
from keras_practical.text.layers import CheckedEmbedding, RunningMean

POLICIES = ["float32", "mixed_bfloat16", "mixed_float16"]
CORPUS = ["one fish, two fish, red fish, blue fish", "a fish is a fish"] * 10
LENGTH = 8  # Of the windows.


@pytest.fixture
def policy(request):
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_global_policy(request.param)
    yield request.param
    keras.mixed_precision.set_global_policy(before)


def array(value):
    return ops.convert_to_numpy(value).astype("float64")


@pytest.fixture(scope="module")
def vocabulary():
    return kp.text.build_vocabulary(CORPUS, size=40, verbose=False)


def with_pieces(vocabulary, count):
    """Return a text of `count` pieces."""
    text = " ".join(CORPUS)
    parts = (text[start:end].strip() for end in range(100) for start in range(end))
    return next(part for part in parts if len(vocabulary.numbers([part])[0]) == count + 1)


def piece_losses(model, numbers):
    """Foresee one piece after the other, the model called on a window's beginning each time."""
    found = []
    for place in range(1, len(numbers)):
        start = (place - 1) // LENGTH * LENGTH
        rows = np.zeros((1, LENGTH), "int32")
        rows[0, : place - start] = numbers[start:place]
        outputs = array(model(rows))[0, place - start - 1]
        lower = outputs - outputs.max()
        found.append(math.log(sum(math.exp(value) for value in lower)) - lower[numbers[place]])
    return found


@pytest.mark.parametrize("policy", POLICIES, indirect=True)
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_language_models_are_measured_piece_by_piece(policy, vocabulary, scale):
    model = kp.text.language_model(vocabulary, texts=CORPUS, vector_size=8, state_size=8)
    kernel = model.get_layer("next_piece").kernel
    kernel.assign(kernel * scale)  # A very sure model.
    counts = (1, 2, LENGTH - 1, LENGTH, LENGTH + 1, LENGTH + 2, 2 * LENGTH, 3 * LENGTH + 5)
    single = [with_pieces(vocabulary, count) for count in counts]
    sets = [[text] for text in single] + [
        ["", *single, ""],
        ["z\u00e9\u4e2d\u4e2d fish", single[0]],
    ]
    for texts in sets:
        for batch_size in (1, 3, 16):
            found = kp.text.evaluate_language_model(
                model, texts, length=LENGTH, batch_size=batch_size, verbose=False
            )
            losses = [piece_losses(model, numbers) for numbers in vocabulary.numbers(texts)]
            total, n = sum(map(sum, losses)), sum(map(len, losses))
            assert found.n == n
            # In half precision a sure model makes much of how single rows are rounded.
            rtol = 1e-5 if policy == "float32" or scale == 1 else 2e-3
            np.testing.assert_allclose(found.loss, total / n, rtol=rtol)
            characters = sum(len(text) for text in texts)
            np.testing.assert_allclose(
                found.bits_per_character, total / math.log(2) / characters, rtol=rtol
            )
            np.testing.assert_allclose(found.perplexity, np.exp(found.loss), rtol=1e-9)
    assert found.unknown == 4  # é, 中, 中 and z: no text of the corpus has them.
    assert "; 4 unknown characters" in str(found)


def test_texts_without_pieces_and_models_without_numbers_are_refused(vocabulary):
    model = kp.text.language_model(vocabulary, vector_size=4, state_size=4)
    for texts in ([], [""], ["", " "]):
        with pytest.raises(ValueError, match="`texts` must hold text"):
            kp.text.evaluate_language_model(model, texts, verbose=False)
    model.get_layer("next_piece").bias.assign(np.full(vocabulary.size, np.nan))
    with pytest.raises(ValueError, match="log-probabilities must be finite"):
        kp.text.evaluate_language_model(model, ["fish"], verbose=False)


@pytest.mark.parametrize("policy", POLICIES, indirect=True)
def test_everything_trains_in_every_precision(policy, vocabulary, tmp_path):
    model = kp.text.language_model(vocabulary, texts=CORPUS, vector_size=8, state_size=8)
    history = kp.text.pretrain(model, CORPUS, epochs=3, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert model.output.dtype == "float32"
    classifier = kp.text.classifier(model, ["a", "b"])
    train = kp.text.LabelledTexts(
        ("one fish", "blue", "", "two") * 4, np.arange(16) % 2, ("a", "b"), ("",) * 16
    )
    tuned = kp.text.fine_tune(
        classifier, train, validation_data=train, epochs=6, batch_size=4, verbose=0
    )
    for values in tuned.history.values():
        assert np.isfinite(values).all()
    for weights in (*model.get_weights(), *classifier.get_weights()):
        assert np.isfinite(weights).all()
    classifier.save(tmp_path / "m.keras")
    texts = ["fish", "", "one " * 700, "\U0001f41f", "!?"]
    for reader in (classifier, keras.models.load_model(tmp_path / "m.keras")):
        chances = kp.text.predict_texts(reader, texts, verbose=False)
        assert chances.dtype == np.float32
        np.testing.assert_allclose(chances.sum(1), 1.0, rtol=1e-5)


@pytest.mark.tf_only
@pytest.mark.parametrize("policy", ["mixed_float16"], indirect=True)
def test_an_overflow_at_one_place_of_a_piece_is_noticed(policy):
    layer = CheckedEmbedding(3, 1, embeddings_initializer="ones")
    inputs = keras.Input((2,), dtype="int32")
    factors = keras.Input((2, 1), dtype="float32")
    model = keras.Model(
        [inputs, factors], keras.layers.Multiply(dtype="float32")([layer(inputs), factors])
    )
    model.compile("sgd", loss=lambda true, found: ops.sum(found))
    # The gradient is infinite at the first place, and 1 at the second, of the same piece.
    model.fit([np.array([[1, 1]]), np.array([[[3e38], [1.0]]])], np.zeros((1, 2, 1)), verbose=0)
    assert np.isfinite(array(layer.embeddings)).all()


@pytest.mark.parametrize("policy", POLICIES, indirect=True)
def test_running_mean_of_a_long_text(policy):
    sequence = np.ones((1, 5000, 1), "float32")
    np.testing.assert_allclose(array(RunningMean()(sequence)), 1.0, rtol=1e-6)


def character_network(scale, *, stateful=False, last_only=False, dtype=None, rows=1):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((None,), batch_size=rows if stateful else None)
    vectors = CharacterEmbedding("ab c", 6)(inputs)
    seen = keras.layers.GRU(7, return_sequences=not last_only, stateful=stateful)(vectors)
    outputs = keras.layers.Dense(5, activation="softmax", dtype=dtype)(seen)
    model = keras.Model(inputs, outputs)
    head = model.layers[-1]
    head.kernel.assign(head.kernel * scale)
    return model


def character_losses(model, numbers):
    """Read character by character from the whole beginning, without a state from before."""
    body = keras.Model(model.inputs[0], model.layers[-2].output)
    kernel, bias = (array(part) for part in model.layers[-1].weights)
    found = []
    for place in range(1, len(numbers)):
        for layer in model.layers:
            if getattr(layer, "stateful", False):
                layer.reset_state()
        state = array(body(numbers[None, :place]))
        state = state if state.ndim == 2 else state[:, -1]
        logits = state[0] @ kernel + bias
        lower = logits - logits.max()
        found.append(math.log(sum(map(math.exp, lower))) - lower[numbers[place]])
    return found


@pytest.mark.parametrize("scale", [1.0, 40.0, 1000.0])
@pytest.mark.parametrize("kind", [{}, {"stateful": True}, {"stateful": True, "last_only": True}])
def test_characters_are_measured_one_by_one_however_sure_the_model(scale, kind):
    model = character_network(scale, **kind)
    vocabulary = kp.text.CharacterVocabulary("ab c")
    before = model.predict(np.ones((1, 3)), verbose=0)  # Compiled before, and to be used after.
    for count in (2, 3, 9, 10, 11, 23):
        text = ("ab acxab\U0001f41f cba" * 3)[:count]
        numbers = vocabulary.encode(text, allow_unknown=True)
        # A model that carries no state sees so far back.
        context = 9 if kind else count
        found = kp.text.evaluate_characters(model, text, context_length=context, verbose=False)
        losses = character_losses(model, numbers)
        assert found.n == count - 1
        assert found.unknown == sum(character not in "ab c" for character in text[1:])
        np.testing.assert_allclose(found.nats, np.mean(losses), rtol=1e-5)
        np.testing.assert_allclose(found.bits, np.mean(losses) / math.log(2), rtol=1e-5)
        assert np.isfinite(found.nats)
    for layer in model.layers:
        if getattr(layer, "stateful", False):
            layer.reset_state()
    np.testing.assert_allclose(model.predict(np.ones((1, 3)), verbose=0), before, rtol=1e-6)
    np.testing.assert_allclose(before.sum(-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("policy", POLICIES[1:], indirect=True)
@pytest.mark.parametrize("dtype", [None, "float32"])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_characters_in_half_precision_cost_what_the_outputs_say(policy, dtype, scale):
    model = character_network(scale, dtype=dtype)
    vocabulary = kp.text.CharacterVocabulary("ab c")
    text = "ab acxab cba" * 2
    numbers = vocabulary.encode(text, allow_unknown=True)
    found = kp.text.evaluate_characters(model, text, context_length=len(text), verbose=False)
    outputs = array(model.predict(numbers[None, :-1], verbose=0))[0]
    chances = [outputs[place, number] for place, number in enumerate(numbers[1:])]
    assert np.isfinite(found.nats)
    assert math.isfinite(found.perplexity)
    if min(chances) > 1e-30:
        np.testing.assert_allclose(found.nats, -np.log(chances).mean(), rtol=1e-5)
    written = kp.text.generate(model, "ab", length=3, verbose=False)
    assert len(written) == 3


def test_the_highest_cost_has_a_perplexity():
    found = kp.text.CharacterEvaluation(nats=1e4, interval=(1.0, 2.0), n=1, unknown=0)
    assert found.perplexity == math.inf
