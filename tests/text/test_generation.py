"""What a model of characters writes, and how surprised it is by a text."""

import keras
import numpy as np
import pytest
from reading_models import losses_by_hand, outputs_of, recurrent, state_of, with_weights_of

from keras_practical.text.characters.evaluation import CharacterEvaluation, evaluate_characters
from keras_practical.text.characters.generation import generate, sampling_probabilities
from keras_practical.text.characters.vocabulary import CharacterEmbedding, CharacterVocabulary
from keras_practical.utils.keras_internals.recurrent import reset

# Also run on JAX.
pytestmark = pytest.mark.any_backend

VOCABULARY = CharacterVocabulary("abcd")
TEXT = "".join(np.random.default_rng(1).choice(list("abcd"), 131))
LAYERS = ["SimpleRNN", "GRU", "LSTM"]


def written(model, prompt="abcab", **options):
    return generate(
        model, prompt, **{"length": 20, "vocabulary": VOCABULARY, "verbose": False} | options
    )


def measured(model, text=TEXT, **options):
    return evaluate_characters(
        model, text, **{"vocabulary": VOCABULARY, "verbose": False} | options
    )


def by_hand(model, prompt, length, temperature, top_p, seed):
    """Write with one pass over the whole text so far for each character."""
    numbers, rng = VOCABULARY.encode(prompt).tolist(), np.random.default_rng(seed)
    for _ in range(length):
        outputs = outputs_of(model, [numbers])[0]
        known = (outputs if outputs.ndim == 1 else outputs[-1]).astype("float64")
        known[0] = 0
        p = sampling_probabilities(known / known.sum(), temperature=temperature, top_p=top_p)
        numbers.append(int(rng.choice(5, p=p)))
    return VOCABULARY.decode(numbers[len(prompt) :])


# The next character's probabilities


def test_sampling_at_temperature_one_changes_nothing():
    probabilities = np.array([0.5, 0.25, 0.25, 0.0])
    np.testing.assert_allclose(sampling_probabilities(probabilities), probabilities, atol=1e-15)


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [
        (1e-10, [0, 1, 0, 0]),
        (0.4, [0, 1, 0, 0]),
        (0.41, [0, 4 / 7, 3 / 7, 0]),
        (0.7, [0, 4 / 7, 3 / 7, 0]),  # .4 and .3 are exactly enough
        (0.71, [0, 4 / 9, 3 / 9, 2 / 9]),
        (0.91, [0.1, 0.4, 0.3, 0.2]),
        (1.0, [0.1, 0.4, 0.3, 0.2]),
        (1e-6, [0, 1, 0, 0]),
    ],
)
def test_top_p_keeps_the_fewest_that_are_enough(top_p, expected):
    found = sampling_probabilities(np.array([0.1, 0.4, 0.3, 0.2]), top_p=top_p)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("n", [3, 7, 85])
def test_top_p_isnt_fooled_by_rounding(n):
    # Sums of k times 1/n are rounded: exactly k are enough for k/n.
    for k in range(1, n):
        found = sampling_probabilities(np.full(n, 1 / n), top_p=k / n)
        assert (found > 0).sum() == k


def test_top_p_counts_after_the_temperature():
    # Squared and normalised: 16/26, 9/26, 1/26. By itself .5 would need both of the first.
    found = sampling_probabilities(np.array([0.5, 0.375, 0.125]), temperature=0.5, top_p=0.6)
    assert found.tolist() == [1, 0, 0]


def test_temperature_is_a_power_of_the_probabilities_and_its_limits_are_greedy_and_uniform():
    probabilities = np.array([0.1, 0.6, 0.3, 0.0])
    for temperature in (0.3, 2.0):
        expected = probabilities ** (1 / temperature)
        found = sampling_probabilities(probabilities, temperature=temperature)
        np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-12)
    greedy = sampling_probabilities(probabilities, temperature=0)
    assert greedy.tolist() == [0, 1, 0, 0]
    nearly = sampling_probabilities(probabilities, temperature=1e-4)
    np.testing.assert_allclose(nearly, greedy, atol=1e-12)
    hot = sampling_probabilities(probabilities, temperature=100)
    np.testing.assert_allclose(hot, [1 / 3, 1 / 3, 1 / 3, 0], atol=0.01)
    assert hot[3] == 0  # What is impossible stays so.


def test_temperature_zero_takes_the_first_of_several():
    assert sampling_probabilities(np.array([0.2, 0.4, 0.4]), temperature=0).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("probabilities", "options", "message"),
    [
        ([0.5, 0.6], {}, "must be one row of numbers >= 0 that sum to 1"),
        ([-0.5, 1.5], {}, "must be one row of numbers >= 0"),
        ([np.nan, 1.0], {}, "must be one row of numbers >= 0"),
        ([], {}, "must be one row of numbers >= 0"),
        ([[0.5, 0.5]], {}, r"Received: shape \(1, 2\)"),
        ([0.5, 0.5], {"temperature": -1}, "`temperature` must be a number from 0 to 100"),
        ([0.5, 0.5], {"temperature": np.inf}, "`temperature` must be a number"),
        ([0.5, 0.5], {"top_p": 0}, "`top_p` must be a number > 0"),
        ([0.5, 0.5], {"top_p": 1.1}, "`top_p` must be a number from 0 to 1"),
        ([0.5, 0.5], {"top_p": "0.9"}, "`top_p` must be a number from 0 to 1"),
    ],
)
def test_sampling_refuses_bad_input(probabilities, options, message):
    with pytest.raises(ValueError, match=message):
        sampling_probabilities(np.array(probabilities), **options)


# Writing


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 0.8), (0, 1.0)])
def test_generate_draws_as_by_hand_stateful_or_not(temperature, top_p):
    stateless = recurrent(5)
    options = {"temperature": temperature, "top_p": top_p, "seed": 3}
    expected = by_hand(stateless, "abcab", 8, **options)
    assert written(stateless, length=8, context_length=30, **options) == expected
    for rows in (1, 3):
        stateful = with_weights_of(recurrent(5, rows=rows, stateful=True), stateless)
        assert written(stateful, length=8, **options) == expected


@pytest.mark.parametrize("layer", LAYERS)
def test_generate_reads_the_whole_prompt_whatever_the_layer(layer):
    # Far enough back for a window of 100 not to matter; two prompts differ in the first character.
    stateless = recurrent(5, layer)
    stateful = with_weights_of(recurrent(5, layer, rows=2, stateful=True), stateless)
    for prompt in ("adcb", "bdcb"):
        expected = by_hand(stateless, prompt, 6, 1.0, 1.0, 1)
        assert written(stateful, prompt, length=6, seed=1) == expected


def test_generate_looks_back_so_far_and_no_farther():
    model = recurrent(5)
    long, short = "abcdd" + "cbadcb", "cbadcb"
    assert written(model, long, context_length=6) == written(model, short, context_length=6)
    by_one = written(model, short, length=1, context_length=6, seed=5)
    assert by_one == by_hand(model, short, 1, 1.0, 1.0, 5)


@pytest.mark.parametrize("length", [3, None])
def test_generate_lets_a_model_that_answers_at_the_end_see_full_windows(length):
    model = recurrent(5, length=length, sequences=False)
    options = {} if length else {"context_length": 3}
    # By hand: only ever the last three.
    text = "abc"
    for seed in range(6):
        text += by_hand(model, text[-3:], 1, 1.0, 1.0, seed)
        assert written(model, text[:-1], length=1, seed=seed, **options) == text[-1]
    assert len(written(model, "abc", length=9)) == 9
    with pytest.raises(ValueError, match="`prompt` must have at least 3 characters"):
        written(model, "ab", context_length=3)


def test_generate_leaves_the_state_and_the_next_training_step_as_they_were():
    model = recurrent(5, "LSTM", rows=2, stateful=True)
    model.compile("sgd", loss="sparse_categorical_crossentropy")
    reset(model)
    batch = np.array([[1, 2, 3], [4, 3, 2]])
    model.predict_on_batch(batch)
    before = state_of(model)
    assert before.any()
    first = written(model)
    assert np.array_equal(state_of(model), before)
    model.predict_on_batch(batch)
    assert written(model) == first  # From an empty state, whatever was read in between.


def test_generate_is_decided_by_its_seed():
    model = recurrent(5)
    texts = [written(model, seed=seed, temperature=2.0) for seed in (0, 0, 1, 2)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


def test_generate_never_writes_what_is_unknown():
    model = recurrent(5)
    weights = model.get_weights()
    weights[-1][0] = 5.0  # The unknown character is nearly certain.
    model.set_weights(weights)
    assert set(written(model, length=50)) <= set("abcd")


def test_generate_finds_the_vocabulary_in_a_saved_model(tmp_path):
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((None,), batch_size=2),
        CharacterEmbedding("ab\nے", 3),
        keras.layers.GRU(4, return_sequences=True, stateful=True),
        keras.layers.Dense(5, activation="softmax"),
    ]
    model = keras.Sequential(layers)
    expected = generate(model, "a\nے", length=30, seed=4, verbose=False)
    assert len(expected) == 30
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert generate(loaded, "a\nے", length=30, seed=4, verbose=False) == expected


def test_generate_takes_logits_when_told_so():
    probabilities = recurrent(5)
    config = probabilities.get_config()
    config["layers"][-1]["config"]["activation"] = "linear"
    logits = with_weights_of(keras.Sequential.from_config(config), probabilities)
    assert written(logits, from_logits=True) == written(probabilities)
    assert measured(logits, from_logits=True).nats == pytest.approx(
        measured(probabilities).nats, abs=1e-5
    )
    with pytest.raises(ValueError, match="pass from_logits=True if they are logits"):
        written(logits)


def test_generate_of_no_characters_is_an_empty_text():
    assert written(recurrent(5), length=0) == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": ""}, "`prompt` must have at least one character"),
        ({"prompt": None}, "`prompt` must be a str. Received: NoneType"),
        ({"prompt": b"ab"}, r"`prompt` must be a str. Decode it first"),
        ({"prompt": "abé"}, r"it doesn't know: 'é' \(U\+00E9\)"),
        ({"length": -1}, "`length` must be a whole number >= 0"),
        ({"seed": None}, "`seed` must be a whole number >= 0"),
        ({"temperature": np.nan}, "`temperature` must be a number"),
        ({"top_p": 0.0}, "`top_p` must be a number > 0"),
        ({"context_length": 0}, "`context_length` must be a whole number >= 1"),
        ({"vocabulary": None}, "`vocabulary` must be given for a model without"),
        ({"vocabulary": CharacterVocabulary("abc")}, r"answer with \(rows, characters, 4\)"),
    ],
)
def test_generate_refuses_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        written(recurrent(5), **options)


def test_generate_refuses_models_that_it_cant_use():
    with pytest.raises(ValueError, match=r"`model` must be a keras\.Model\. Received: str"):
        written("model.keras")
    with pytest.raises(ValueError, match="must take sequences of any length"):
        written(recurrent(5, rows=2, length=4, stateful=True))
    with pytest.raises(ValueError, match="`context_length` must be 4, the length of the model's"):
        written(recurrent(5, length=4), context_length=5)
    with pytest.raises(ValueError, match="built Sequential or functional model"):
        written(keras.Sequential([keras.layers.Embedding(5, 5)]))
    inputs = [keras.Input((3,)), keras.Input((3,))]
    two = keras.Model(inputs, keras.layers.Dense(5)(keras.layers.Concatenate()(inputs)))
    with pytest.raises(ValueError, match="must have one input and one output"):
        written(two)


@pytest.mark.parametrize("use", [written, measured], ids=["generate", "evaluate"])
def test_a_model_that_looks_ahead_is_found_out(use):
    layers = [
        keras.Input((None,)),
        keras.layers.Embedding(5, 3),
        keras.layers.Bidirectional(keras.layers.GRU(4, return_sequences=True)),
        keras.layers.Dense(5, activation="softmax"),
    ]
    keras.utils.set_random_seed(0)
    with pytest.raises(ValueError, match="The model must look back only"):
        use(keras.Sequential(layers))


# Reading


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("layer", LAYERS)
def test_evaluate_of_a_stateful_model_equals_one_pass_over_each_row(layer, rows):
    stateless = recurrent(5, layer)
    stateful = with_weights_of(recurrent(5, layer, rows=rows, stateful=True), stateless)
    numbers = VOCABULARY.encode(TEXT)
    length = -(-130 // rows)  # 130 predictions; the last row is shorter.
    expected = np.concatenate(
        [losses_by_hand(stateless, numbers[r * length :][: length + 1]) for r in range(rows)]
    )
    for context_length in (7, 40):
        found = measured(stateful, context_length=context_length)
        assert found.n == len(expected) == 130
        assert found.nats == pytest.approx(expected.mean(), abs=1e-5)
    assert found.bits == pytest.approx(expected.mean() / np.log(2), abs=1e-5)
    assert found.perplexity == pytest.approx(np.exp(expected.mean()), abs=1e-4)


def test_evaluate_leaves_the_state_as_it_was():
    model = recurrent(5, rows=2, stateful=True)
    reset(model)
    model.predict_on_batch(np.array([[1, 2], [3, 4]]))
    before = state_of(model)
    first = measured(model)
    assert np.array_equal(state_of(model), before)
    assert measured(model).nats == first.nats


@pytest.mark.parametrize("context", [6, 7])
def test_evaluate_of_a_stateless_model_judges_the_second_half_of_each_window(context):
    model, numbers = recurrent(5), VOCABULARY.encode(TEXT)
    stride = context // 2
    expected = losses_by_hand(model, numbers[: context + 1]).tolist()
    start = stride
    while len(expected) < 130:
        losses = losses_by_hand(model, numbers[start : start + context + 1])
        expected += losses[context - stride :].tolist()
        start += stride
    found = measured(model, context_length=context)
    assert found.n == len(expected) == 130
    assert found.nats == pytest.approx(np.mean(expected), abs=1e-5)


def test_evaluate_of_a_window_longer_than_the_text_is_one_pass():
    model = recurrent(5)
    expected = losses_by_hand(model, VOCABULARY.encode(TEXT))
    found = measured(model, context_length=500)
    assert found.nats == pytest.approx(expected.mean(), abs=1e-5)
    assert found.n == 130


def test_evaluate_of_a_model_that_answers_at_the_end_takes_every_window():
    model, numbers = recurrent(5, length=3, sequences=False), VOCABULARY.encode(TEXT)
    windows = np.stack([numbers[i : i + 3] for i in range(128)])
    expected = -np.log(outputs_of(model, windows)[np.arange(128), numbers[3:]])
    found = measured(model)
    assert found.n == 128
    assert found.nats == pytest.approx(expected.mean(), abs=1e-5)


def test_evaluate_counts_unknown_characters_as_number_zero():
    model = recurrent(5)
    found = measured(model, "abzcx", context_length=10)
    expected = losses_by_hand(model, np.array([1, 2, 0, 3, 0]))
    assert found.unknown == 2
    assert found.nats == pytest.approx(expected.mean(), abs=1e-5)
    assert "; 2 unknown characters" in str(found)


def test_evaluate_interval_is_of_stretches_and_covers_the_mean():
    found = measured(recurrent(5, rows=1, stateful=True))
    assert found.interval[0] < found.nats < found.interval[1]


def test_evaluation_prints_nats_bits_and_perplexity():
    found = CharacterEvaluation(nats=np.log(8), interval=(2.0, 2.2), n=12345, unknown=0)
    assert str(found) == (
        "2.079 nats a character (95 % interval 2.000–2.200, n=12,345) = 3.000 bits; perplexity 8.00"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": "a"}, "`text` must have at least 2 characters. Received: 1"),
        ({"text": ""}, "`text` must have at least 2 characters. Received: 0"),
        ({"text": ["abc"]}, "`text` must be a str. Received: list"),
        ({"context_length": 2.5}, "`context_length` must be a whole number"),
    ],
)
def test_evaluate_refuses_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        measured(recurrent(5), **options)


def test_evaluate_names_outputs_that_arent_numbers():
    model = recurrent(5)
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    with pytest.raises(ValueError, match="outputs must be finite numbers"):
        measured(model)


def test_generate_says_that_only_an_unknown_character_is_expected():
    model = keras.Sequential([keras.Input((None,)), keras.layers.Embedding(3, 3)])
    model.add(keras.layers.Softmax())
    model.layers[0].set_weights([np.array([[500.0, 0, 0]] * 3)])
    with pytest.raises(ValueError, match="probability 0 after 'a': it expects an unknown one"):
        written(model, "a", vocabulary=CharacterVocabulary("ab"))
