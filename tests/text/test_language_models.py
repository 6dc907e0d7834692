"""Subwords, pretraining, the text classifier, its baseline and its reasons."""

import random
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import ops

import keras_practical as kp
from keras_practical.text.counts import cooccurrence_vectors
from keras_practical.text.layers import ConcatPooling, NextPiece, PieceWeights, RunningMean
from keras_practical.training.curves import evaluate_segments, one_cycle

WEATHER = ("rain", "wind", "cloud", "storm", "sunny")
SPORTS = ("goal", "match", "team", "player", "referee")


def sentences(words, count, rng):
    return [" ".join(rng.choice(words, 8)) + f" {n}" for n in range(count)]


@pytest.fixture(scope="module")
def corpus():
    rng = np.random.default_rng(0)
    return sentences(WEATHER, 60, rng) + sentences(SPORTS, 60, rng)


@pytest.fixture(scope="module")
def vocabulary(corpus):
    return kp.text.build_vocabulary(corpus, size=120, verbose=False)


@pytest.fixture(scope="module")
def language(vocabulary, corpus):
    return kp.text.language_model(vocabulary, texts=corpus, vector_size=8, state_size=12)


def labelled(count, seed=1):
    rng = np.random.default_rng(seed)
    texts = [*sentences(WEATHER, count, rng), *sentences(SPORTS, count, rng)]
    return kp.text.load_texts(
        (texts, ["weather"] * count + ["sports"] * count), validation_fraction=0.3, verbose=False
    )


def array(value):
    return ops.convert_to_numpy(value)


def test_vocabulary_encodes_pads_cuts_and_decodes(vocabulary):
    rows = vocabulary.encode(["rain wind", "", "storm"], length=20)
    assert rows.shape == (3, 20)
    assert rows.dtype == "int32"
    assert rows[:, 0].tolist() == [2, 2, 2]  # Each text starts with the start.
    assert not rows[1, 1:].any()
    assert vocabulary.decode(rows[0]) == "rain wind"
    assert vocabulary.encode([]).shape == (0, 1)
    assert vocabulary.encode(["rain wind storm goal"] * 2, length=3).shape == (2, 3)
    apart = kp.text.build_vocabulary(["caf\u0065\u0301 caf\u00e9"] * 9, size=20, verbose=False)
    assert apart.pieces("cafe\u0301") == apart.pieces("caf\u00e9")


def test_vocabulary_survives_its_configuration_and_refuses_others(vocabulary):
    again = kp.text.SubwordVocabulary.from_config(vocabulary.get_config())
    assert again == vocabulary
    assert again.pieces("rain 77") == vocabulary.pieces("rain 77")
    with pytest.raises(ValueError, match="isn't a sentencepiece model"):
        kp.text.SubwordVocabulary(b"rubbish")
    with pytest.raises(ValueError, match="empty texts"):
        kp.text.build_vocabulary(["", " "])
    with pytest.raises(ValueError, match="one text"):
        kp.text.build_vocabulary("rain")
    with pytest.raises(ValueError, match="one text"):
        vocabulary.encode("rain")
    with pytest.raises(ValueError, match="no vocabulary inside"):
        kp.text.SubwordVocabulary.of(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))


@pytest.mark.any_backend
def test_concat_pooling_by_hand():
    sequence = np.array([[[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]]])
    weights = np.array([[1.0, 3.0, 0.0]])
    found = array(ConcatPooling()([sequence, weights]))[0]
    mean, top, last = np.array([3.0, 12.0]), np.array([3.0, 4.0]), np.array([0.0, 4.0])
    parts = [part / np.linalg.norm(part) for part in (mean, top, last)]
    np.testing.assert_allclose(found, np.concatenate(parts) / np.sqrt(3), rtol=1e-6)
    nothing = array(ConcatPooling()([sequence, np.zeros((1, 3))]))
    assert np.isfinite(nothing).all()
    with pytest.raises(ValueError, match="`parts` must be"):
        ConcatPooling(("median",))


def test_pooling_ignores_padding(language, vocabulary):
    model = kp.text.classifier(language, 3)
    short = vocabulary.encode(["rain wind"])
    long = vocabulary.encode(["rain wind"], length=40)
    np.testing.assert_allclose(array(model(short)), array(model(long)), rtol=1e-4)


def test_running_mean_sees_the_past_only():
    rng = np.random.default_rng(0)
    sequence = rng.normal(size=(2, 5, 3)).astype("float32")
    found = array(RunningMean()(sequence))
    by_hand = np.stack([sequence[:, : n + 1].mean(1) for n in range(5)], axis=1)
    np.testing.assert_allclose(found, by_hand, rtol=1e-5)


def test_language_model_does_not_look_ahead(language, vocabulary):
    rows = vocabulary.encode(["rain wind storm goal"], length=8)
    other = rows.copy()
    other[:, 5:] = 7
    before, after = array(language(rows)), array(language(other))
    np.testing.assert_allclose(before[:, :5], after[:, :5], rtol=1e-4, atol=1e-5)
    assert not np.allclose(before[:, 5:], after[:, 5:])
    np.testing.assert_allclose(np.exp(before).sum(-1), 1.0, rtol=1e-4)


def test_piece_weights_are_fixed_and_zero_for_padding():
    layer = PieceWeights(4)
    layer.build((None, None))
    assert not layer.trainable_variables
    assert array(layer(np.array([[3, 0]]))).tolist() == [[1.0, 0.0]]


@pytest.mark.any_backend
def test_sampled_loss_estimates_the_full_one():
    rng = np.random.default_rng(0)
    layer = NextPiece(50, negatives=400, seed=1)
    states = rng.normal(size=(4, 30, 6)).astype("float32")
    layer.build(states.shape)
    layer.set_counts(rng.integers(1, 100, 50))
    targets = rng.integers(1, 50, (4, 30)).astype("int32")
    targets[:, -1] = 0
    chances = array(layer(states))
    full = -np.take_along_axis(chances, targets[:, :, None], axis=2)[:, :, 0]
    drawn = np.mean([array(layer.sampled_loss(states, targets)) for _ in range(30)], axis=0)
    assert (drawn[:, -1] == 0).all()
    assert abs(drawn[:, :-1].mean() - full[:, :-1].mean()) < 0.05


def test_cooccurrence_vectors_by_hand():
    texts = [np.array([0, 1, 2])] * 9 + [np.array([3, 4, 5])] * 6
    found = cooccurrence_vectors(texts, 7, 2)
    # Two blocks: log(count / chance) between different pieces of a topic. Each block's only
    # positive eigenvalue is twice that, so within a topic all inner products are 2/3 of it.
    by_row = np.array([18.0] * 3 + [12.0] * 3)
    chance = by_row[:, None] / 90 * (by_row**0.75 / (by_row**0.75).sum())
    gains = np.log(np.array([9 / 90, 6 / 90]) / chance[[0, 3], [1, 4]])
    similar = found @ found.T
    np.testing.assert_allclose(similar[0, 1] / similar[3, 4], gains[0] / gains[1], rtol=1e-4)
    np.testing.assert_allclose(similar[:3, :3], similar[0, 1], rtol=1e-4)
    np.testing.assert_allclose(similar[:3, 3:6], 0, atol=1e-6)
    assert not found[6].any()  # It never occurs.
    np.testing.assert_allclose(found.std(), 0.1, rtol=1e-5)
    again = cooccurrence_vectors(texts, 7, 2)
    np.testing.assert_array_equal(found, again)
    assert not cooccurrence_vectors([np.array([0])], 3, 2).any()
    with pytest.raises(ValueError, match="at least one text"):
        cooccurrence_vectors([], 3, 2)


def test_counting_puts_topics_together(language, vocabulary):
    vectors = language.get_layer("encoder").get_layer("vectors").get_weights()[0]

    def mean(words):
        return np.mean([vectors[vocabulary.encode([word])[0, 1:]].mean(0) for word in words], 0)

    one, two = mean(WEATHER[:2]), mean(WEATHER[2:])
    other = mean(SPORTS)
    assert one @ two > one @ other


@pytest.mark.any_backend
def test_pretraining_lowers_the_loss_and_leaves_the_callers_model_whole(vocabulary, corpus):
    model = kp.text.language_model(vocabulary, texts=corpus, vector_size=8, state_size=12, seed=3)
    before = kp.text.evaluate_language_model(model, corpus[:20], verbose=False)
    history = kp.text.pretrain(model, corpus, epochs=6, max_learning_rate=1e-2, verbose=0)
    after = kp.text.evaluate_language_model(model, corpus[:20], verbose=False)
    assert after.loss < before.loss - 0.2
    assert np.isclose(after.perplexity, np.exp(after.loss))
    assert len(history.epoch) == 6
    # The fixed weights are still those that were counted.
    weights = model.get_layer("encoder").get_layer("weights").get_weights()[0]
    assert np.ptp(weights) > 0


def test_pretraining_with_one_seed_is_repeatable(vocabulary, corpus):
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        model = kp.text.language_model(
            vocabulary, texts=corpus, vector_size=4, state_size=4, seed=1
        )
        kp.text.pretrain(model, corpus[:40], epochs=1, verbose=0)
        found.append(model.get_weights())
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_evaluation_is_the_mean_over_all_pieces(language, vocabulary):
    texts = ["rain wind", "goal"]
    found = kp.text.evaluate_language_model(language, texts, length=8, verbose=False)
    total, count = 0.0, 0
    for text in texts:
        one = vocabulary.numbers([text])[0]
        chances = array(language(np.pad(one, (0, 9 - len(one)))[None, :-1]))[0]
        total -= sum(chances[place, number] for place, number in enumerate(one[1:]))
        count += len(one) - 1
    assert found.n == count
    np.testing.assert_allclose(found.loss, total / count, rtol=1e-4)
    characters = sum(len(text) for text in texts)
    np.testing.assert_allclose(found.bits_per_character, total / np.log(2) / characters, rtol=1e-4)


@pytest.mark.any_backend
def test_classifier_learns_as_its_encoder_is_unfrozen_from_the_last_layers_on(language):
    data = labelled(12)
    before = language.get_weights()
    model = kp.text.classifier(language, data.class_names, seed=0)
    encoder = model.get_layer("encoder")
    assert len(model.trainable_variables) == 2
    start = {layer.name: layer.get_weights() for layer in encoder.layers if layer.weights}
    moved = []

    def note(epoch, logs):
        now = {name: encoder.get_layer(name).get_weights() for name in start}
        moved.append(
            {n for n in start if any((a != b).any() for a, b in zip(start[n], now[n], strict=True))}
        )

    history = kp.text.fine_tune(
        model,
        data.train,
        validation_data=data.validation,
        epochs=3,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=note)],
        verbose=0,
    )
    late = {"states", "memory"}
    middle = late | {"content", "gate"}
    assert moved == [late, middle, middle | {"vectors"}]  # Never the counted weights.
    assert history.history["val_accuracy"][-1] == 1.0
    assert history.epoch == [0, 1, 2]
    steps = -(-len(data.train) // 16)
    cycle = one_cycle(1e-3, start_divisor=25, final_divisor=1e5, warmup_fraction=0.25)
    expected = evaluate_segments(cycle, 3 * steps)[steps - 1 :: steps]  # One cycle over all.
    np.testing.assert_allclose(history.history["learning_rate"], expected, rtol=1e-5)
    for one, two in zip(before, language.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)  # The classifier has a copy.


def global_random_state():
    """Return what the global generators of Python, NumPy and Keras are at."""
    seeds = keras.src.random.seed_generator.global_seed_generator()
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return random.getstate(), (name, keys.tolist(), *rest), array(seeds.state).tolist()


@pytest.mark.any_backend
def test_fine_tune_leaves_global_random_generators_alone_and_repeats_itself(language):
    data = labelled(12)
    found = []
    for seed in (5, 6):
        keras.utils.set_random_seed(seed)  # Which must make no difference.
        model = kp.text.classifier(language, data.class_names, seed=0)
        global_random_state()  # Keras makes its generator when it is first asked for.
        before = global_random_state()
        kp.text.fine_tune(model, data.train, epochs=2, seed=3, verbose=0)
        assert global_random_state() == before
        found.append(model.get_weights())
    for first, second in zip(*found, strict=True):
        np.testing.assert_array_equal(first, second)
    other = kp.text.classifier(language, data.class_names, seed=0)
    kp.text.fine_tune(other, data.train, epochs=2, seed=4, verbose=0)
    pairs = zip(found[0], other.get_weights(), strict=True)
    assert any((first != second).any() for first, second in pairs)


def test_interrupted_fine_tune_leaves_global_random_generators_alone(language):
    def stop(batch, logs):
        raise KeyboardInterrupt

    data = labelled(12)
    model = kp.text.classifier(language, data.class_names)
    before = global_random_state()
    with pytest.raises(KeyboardInterrupt):
        kp.text.fine_tune(
            model,
            data.train,
            callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=stop)],
            verbose=0,
        )
    assert global_random_state() == before


def test_head_alone_is_the_logistic_regression_of_its_features(language):
    from sklearn.linear_model import LogisticRegression

    data = labelled(12)
    model = kp.text.classifier(language, data.class_names)
    kp.text.fine_tune(model, data.train, epochs=0, head_strength=3.0, verbose=0)
    body = keras.Model(model.inputs, model.get_layer("text").output)
    features = kp.text.predict_texts(body, data.train.texts, verbose=False).astype("float64")
    by_hand = LogisticRegression(C=3.0, max_iter=2000).fit(
        features - features.mean(0), data.train.labels
    )
    expected = by_hand.predict_proba(features - features.mean(0))
    found = kp.text.predict_texts(model, data.train.texts, verbose=False)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_a_saved_file_is_complete_and_holds_no_pickle(language, tmp_path):
    import zipfile

    data = labelled(12)
    model = kp.text.classifier(language, data.class_names)
    kp.text.fine_tune(model, data.train, epochs=0, verbose=0)
    expected = kp.text.predict_texts(model, data.validation.texts, verbose=False)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")  # `safe_mode` is on.
    found = kp.text.predict_texts(loaded, data.validation.texts, verbose=False)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert kp.text.SubwordVocabulary.of(loaded) == kp.text.SubwordVocabulary.of(model)
    with zipfile.ZipFile(tmp_path / "m.keras") as file:
        assert not [name for name in file.namelist() if name.endswith((".pkl", ".pickle"))]
    language.save(tmp_path / "l.keras")
    again = keras.models.load_model(tmp_path / "l.keras")
    kp.text.pretrain(again, data.train.texts, epochs=1, verbose=0)  # It can go on.


def test_predictions_keep_the_order_whatever_the_lengths(language):
    model = kp.text.classifier(language, 2)
    texts = ["rain " * n for n in (70, 1, 30, 2, 90)] + [""]
    together = kp.text.predict_texts(model, texts, batch_size=2, verbose=False)
    single = [kp.text.predict_texts(model, [text], verbose=False)[0] for text in texts]
    np.testing.assert_allclose(together, single, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"epochs": -1}, "`epochs` must be"),
        ({"max_learning_rate": 0}, "`max_learning_rate` must be"),
        ({"head_strength": float("nan")}, "`head_strength` must be"),
        ({"length": 1}, "`length` must be"),
        ({"train": ("a", "b")}, "`train` must be LabelledTexts"),
    ],
)
def test_fine_tune_says_what_is_wrong(language, change, match):
    data = labelled(4)
    model = kp.text.classifier(language, data.class_names)
    arguments = {"train": data.train, "verbose": 0, **change}
    with pytest.raises(ValueError, match=match):
        kp.text.fine_tune(model, arguments.pop("train"), **arguments)


def test_fine_tune_refuses_other_models_and_classes(language):
    data = labelled(4)
    with pytest.raises(ValueError, match="made by `classifier`"):
        kp.text.fine_tune(language, data.train)
    model = kp.text.classifier(language, 3)
    with pytest.raises(ValueError, match="two of the model's 3 classes"):
        kp.text.fine_tune(model, data.train)
    with pytest.raises(ValueError, match="`class_names` must be"):
        kp.text.classifier(language, ["one"])


def test_baseline_uses_training_words_only_and_knows_its_classes():
    data = labelled(12)
    found = kp.text.baseline(data.train)
    assert found.evaluate(data.validation).accuracy == 1.0
    assert "unseenword" not in found.pipeline[0].vocabulary_
    partial = data.train.take(np.arange(len(data.train)))
    three = kp.text.LabelledTexts(
        partial.texts, partial.labels * 2, ("a", "b", "c"), partial.places
    )
    chances = kp.text.baseline(three).predict_proba(["rain", ""])
    assert chances.shape == (2, 3)
    assert (chances[:, 1] == 0).all()
    one = data.train.take(np.flatnonzero(data.train.labels == 0))
    with pytest.raises(ValueError, match="at least two classes"):
        kp.text.baseline(one)


def test_baseline_keeps_words_of_any_script_whole():
    words = ["हिन्दी", "می\u200cروم", "l'été", "2016", "کہا"]
    text = "، ".join(words) + "۔"
    train = kp.text.LabelledTexts((text, "x"), np.array([0, 1]), ("a", "b"), ("p", "q"))
    found = kp.text.baseline(train).pipeline[0].vocabulary_
    assert {"हिन्दी", "می\u200cروم", "2016", "کہا"} <= set(found)
    assert not [word for word in found if "،" in word or "۔" in word]


def test_explanation_is_the_change_in_log_odds_by_hand():
    data = labelled(12)
    judge = kp.text.baseline(data.train)
    text = "a goal in the rain"
    found = kp.text.explain_text(judge, text, class_name="sports", verbose=False)

    def odds(words):
        p = judge.predict_proba([words])[0, 0]
        return np.log(p / (1 - p))

    expected = odds(text) - odds("a in the rain")
    np.testing.assert_allclose(found.importances[1], expected, rtol=1e-6)
    assert found.importances[1] > 0 > found.importances[4]
    assert found.words == ("a", "goal", "in", "the", "rain")
    grouped = kp.text.explain_text(judge, text, class_name="sports", words_at_once=2, verbose=False)
    assert len(grouped.importances) == 5
    np.testing.assert_allclose(sum(grouped.importances[:2]), odds(text) - odds("in the rain"))
    np.testing.assert_allclose(grouped.importances[4], odds(text) - odds("a goal in the"))
    with pytest.raises(ValueError, match="no class 'x', only sports, weather"):
        kp.text.explain_text(judge, text, class_name="x")
    with pytest.raises(ValueError, match="at least one word"):
        kp.text.explain_text(judge, "  ")


def test_network_is_explained_alike_and_drawn(language):
    data = labelled(15)
    model = kp.text.classifier(language, data.class_names)
    kp.text.fine_tune(model, data.train, epochs=0, verbose=0)
    found = kp.text.explain_text(
        model, "rain and wind, no goal", class_names=data.class_names, verbose=False
    )
    assert found.class_name == "weather"
    assert dict(found.strongest(5))["rain"] > 0
    ax = found.plot(count=3)
    assert len(ax.patches) == 3
    assert "weather" in ax.get_xlabel()
    named = replace(found, class_name="$5 to $6")
    drawn = [named.plot().title, *named.plot().get_yticklabels()]
    assert not any(text.get_parse_math() for text in drawn)


def test_confident_mistakes_are_mistakes_the_surest_first():
    data = labelled(12)
    judge = kp.text.baseline(data.train)
    wrong = kp.text.LabelledTexts(
        ("goal match team", "rain goal goal", "wind"),
        np.array([1, 1, 1]),
        data.class_names,
        ("a", "b", "c"),
    )
    found = kp.text.confident_mistakes(judge, wrong, verbose=False)
    assert [mistake.place for mistake in found] == ["a", "b"]
    assert found[0].probability > found[1].probability > 0.5
    assert (found[0].predicted, found[0].truth) == ("sports", "weather")
    assert kp.text.confident_mistakes(judge, wrong, count=1, verbose=False) == found[:1]
    with pytest.raises(ValueError, match="at least one text"):
        kp.text.confident_mistakes(judge, wrong.take([]))
