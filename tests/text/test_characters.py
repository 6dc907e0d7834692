"""Characters as numbers, and text as batches that continue each other."""

import json

import keras
import numpy as np
import pytest

from keras_practical.text.characters.data import character_datasets
from keras_practical.text.characters.vocabulary import CharacterEmbedding, CharacterVocabulary


def decoded(data, dataset):
    """Return the input and target rows of each batch, as text."""
    return [
        tuple([data.vocabulary.decode(row) for row in part] for part in batch)
        for batch in dataset.as_numpy_iterator()
    ]


def test_vocabulary_numbers_characters_in_unicode_order():
    vocabulary = CharacterVocabulary.from_text("cab\nے\U0001f600ab")
    assert vocabulary.characters == "\nabcے\U0001f600"
    assert vocabulary.size == 7
    numbers = vocabulary.encode("bے\U0001f600")
    assert numbers.tolist() == [3, 5, 6]
    assert numbers.dtype == np.int32
    assert vocabulary.decode(numbers) == "bے\U0001f600"


def test_vocabulary_of_windows_line_ends_gives_them_back():
    text = "one\r\ntwo\r\n"
    vocabulary = CharacterVocabulary.from_text(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_vocabulary_encodes_unknown_characters_only_when_told():
    vocabulary = CharacterVocabulary("ab")
    assert vocabulary.encode("axb", allow_unknown=True).tolist() == [1, 0, 2]
    assert vocabulary.decode([1, 0, 2]) == "a�b"
    with pytest.raises(ValueError, match=r"Received 2 that it doesn't know: 'x' \(U\+0078\), 'é'"):
        vocabulary.encode("aéxb")


@pytest.mark.parametrize("characters", ["ab\n\\\"'", "ہندی", "\U0001f600\ud800", "\r\n\t\x00"])
def test_vocabulary_survives_a_file(tmp_path, characters):
    vocabulary = CharacterVocabulary(characters)
    vocabulary.save(tmp_path / "vocabulary.json")
    assert CharacterVocabulary.load(tmp_path / "vocabulary.json") == vocabulary


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"characters": 3}', '{"characters": "aa"}'])
def test_vocabulary_names_a_file_that_is_none(tmp_path, content):
    path = tmp_path / "wrong.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"that CharacterVocabulary.save wrote. .*wrong.json"):
        CharacterVocabulary.load(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CharacterVocabulary(""), "`characters` must have at least one character"),
        (lambda: CharacterVocabulary("abca"), "`characters` must be different ones.*'a'"),
        (lambda: CharacterVocabulary(["a", "b"]), "`characters` must be a str. Received: list"),
        (lambda: CharacterVocabulary.from_text(""), "`text` must have at least one character"),
        (lambda: CharacterVocabulary.from_text(b"ab"), r"Decode it first: text.decode\('utf-8'\)"),
        (lambda: CharacterVocabulary("ab").decode([3]), "`numbers` must lie between 0 and 2"),
        (lambda: CharacterVocabulary("ab").decode([-1]), "`numbers` must lie between 0 and 2"),
    ],
)
def test_vocabulary_refuses_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_embedding_is_kerass_and_keeps_its_vocabulary_in_the_saved_model(tmp_path):
    model = keras.Sequential([keras.Input((None,)), CharacterEmbedding("abے", 3)])
    plain = keras.layers.Embedding(4, 3)
    plain.build()
    plain.set_weights(model.get_weights())
    numbers = np.array([[1, 0, 3]])
    expected = keras.ops.convert_to_numpy(plain(numbers))
    assert np.array_equal(model.predict(numbers, verbose=0), expected)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert CharacterVocabulary.of(loaded) == CharacterVocabulary("abے")
    assert np.array_equal(loaded.predict(numbers, verbose=0), expected)
    json.dumps(loaded.layers[0].get_config())


def test_vocabulary_of_a_model_is_found_in_a_nested_one_or_not_at_all():
    inner = keras.Sequential([keras.Input((None,)), CharacterEmbedding("xy", 2)])
    assert CharacterVocabulary.of(keras.Sequential([inner])).characters == "xy"
    assert CharacterVocabulary.of(keras.Sequential([keras.Input((2,))])) is None


def test_batches_continue_each_other_row_by_row():
    # 25 letters, one more as the last target: two rows of 12, in batches of 3.
    data = character_datasets(
        "abcdefghijklmnopqrstuvwxyz", 3, 2, validation_fraction=0.0, verbose=False
    )
    assert decoded(data, data.train) == [
        (["abc", "mno"], ["bcd", "nop"]),
        (["def", "pqr"], ["efg", "qrs"]),
        (["ghi", "stu"], ["hij", "tuv"]),
        (["jkl", "vwx"], ["klm", "wxy"]),
    ]
    assert data.validation is None
    assert data.validation_text == ""
    first = next(iter(data.train))[0]
    assert tuple(first.shape) == (2, 3)
    assert first.dtype.name == "int32"


def test_batches_use_every_character_that_fits_once():
    text = "".join(chr(1000 + place) for place in range(997))
    data = character_datasets(text, 7, 5, validation_fraction=0.2, verbose=False)
    for dataset, part in ((data.train, data.train_text), (data.validation, data.validation_text)):
        batches = list(dataset.as_numpy_iterator())
        rows = np.concatenate([inputs for inputs, _ in batches], axis=1)
        targets = np.concatenate([targets for _, targets in batches], axis=1)
        used = (len(part) - 1) // 35 * 35
        known = data.vocabulary.encode(part, allow_unknown=True)
        assert np.array_equal(rows.reshape(-1), known[:used])
        assert np.array_equal(targets.reshape(-1), known[1 : used + 1])


def test_held_out_end_is_the_end_and_its_new_characters_are_unknown():
    data = character_datasets("ab" * 45 + "cd" * 5, 2, 2, verbose=False)
    assert (data.train_text, data.validation_text) == ("ab" * 45, "cd" * 5)
    assert data.vocabulary.characters == "ab"
    assert all(not inputs.any() for inputs, _ in data.validation.as_numpy_iterator())
    assert "the last 10 held out, 10 of them of a kind not seen in training" in str(data)


def test_batches_of_a_given_vocabulary_keep_its_numbers():
    vocabulary = CharacterVocabulary("zyx")
    options = {"validation_fraction": 0.0, "vocabulary": vocabulary, "verbose": False}
    data = character_datasets("xyzxyzxyz", 2, 1, **options)
    assert next(iter(data.train))[0].numpy().tolist() == [[3, 2]]


def test_character_datasets_says_what_it_made(capsys):
    data = character_datasets("to be or not to be. " * 50, 8, 4)
    assert capsys.readouterr().out == f"{data}\n"
    assert "900 characters to learn from, 8 different ones; 4 rows, 28 batches of 8" in str(data)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("", 2, 2), {}, "The training part of `text` must have at least 5 characters"),
        (("abcdefgh", 4, 2), {}, r"Received: 7 of 8 characters, with sequence_length=4"),
        (("abcdefghij" * 2, 2, 2), {}, "The held-out part of `text` must have at least 5"),
        ((b"abcdef", 2, 1), {}, r"`text` must be a str. Decode it first"),
        ((None, 2, 1), {}, r"`text` must be a str. Received: NoneType"),
        (("abcdef", 0, 1), {}, "`sequence_length` must be a whole number >= 1"),
        (("abcdef", 2, 1.5), {}, "`batch_size` must be a whole number >= 1"),
        (("abcdef", 2, 1), {"validation_fraction": 1.5}, "`validation_fraction` must be a number"),
        (("abcdef", 2, 1), {"validation_fraction": 1.0}, "Received: 0 of 6 characters"),
        (("abcdef", 2, 1), {"validation_fraction": np.nan}, "`validation_fraction` must be"),
    ],
)
def test_character_datasets_refuses_bad_input(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        character_datasets(*arguments, **options)
