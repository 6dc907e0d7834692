"""Words where a script has spaces between them, characters where it has none."""

import unicodedata

import numpy as np
import pytest

import keras_practical as kp
from keras_practical.text.units import features_of, unit_of, units_of

WITHOUT_SPACES = {
    "Chinese": (
        ["球队获胜", "冠军联赛"],
        ["今天下雨", "明天有风"],
        ["昨天", "据说", "记者", "最后"],
    ),
    "Japanese": (
        ["ゴールを決めた", "試合が終わった"],
        ["雨が降った", "風が強い"],
        ["昨日", "東京で", "人々が"],
    ),
    "Thai": (["ทีมชนะ", "ผู้เล่นยิงประตู"], ["ฝนตกหนัก", "ลมแรง"], ["เมื่อวาน", "เราเห็นว่า", "แล้วก็"]),
    "Lao": (["ທີມຊະນະ", "ນັກເຕະ"], ["ຝົນຕົກ", "ລົມແຮງ"], ["ມື້ວານ", "ພວກເຮົາ", "ຫຼາຍ"]),
    "Khmer": (["ក្រុមឈ្នះ", "ស៊ុតបាល់"], ["ភ្លៀងធ្លាក់", "ខ្យល់ខ្លាំង"], ["ម្សិលមិញ", "យើងឃើញ", "ណាស់"]),
    "Burmese": (["ဘောလုံးပွဲ", "အနိုင်ရ"], ["မိုးရွာ", "လေပြင်း"], ["မနေ့က", "သတင်း", "အလွန်"]),
}


def labelled(texts, labels):
    places = tuple(map(str, range(len(texts))))
    return kp.text.LabelledTexts(tuple(texts), np.asarray(labels), ("sports", "weather"), places)


def sentences(topics, filling, joined, count=200, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    parts = [
        [*rng.choice(filling, 3), rng.choice(topics[y]), *rng.choice(filling, 3)] for y in labels
    ]
    return [joined.join(part) for part in parts], labels


@pytest.mark.parametrize("language", WITHOUT_SPACES)
def test_baseline_is_as_good_as_characters_without_spaces(language):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    *topics, filling = WITHOUT_SPACES[language]
    texts, labels = sentences(topics, filling, "")
    train, test = labelled(texts[:60], labels[:60]), labelled(texts[60:], labels[60:])
    found = kp.text.baseline(train)
    letters = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 2)), LogisticRegression(C=10.0)
    )
    expected = letters.fit(texts[:60], labels[:60]).score(texts[60:], labels[60:])
    assert found.evaluate(test).accuracy >= max(0.95, expected - 0.01)
    assert found.counted_in == "characters"
    assert "runs of 1 to 3 characters" in str(found)
    assert kp.text.baseline(train, unit="words").evaluate(test).accuracy < 0.8
    reasons = kp.text.explain_text(found, texts[60], verbose=False)
    assert "".join(reasons.words) == unicodedata.normalize("NFC", texts[60])
    strongest = reasons.strongest(3)[0][0]
    topic = next(topic for topic in topics[labels[60]] if topic in texts[60])
    assert strongest in units_of(topic)


def test_mixed_sets_count_each_script_its_own_way():
    chinese, labels = sentences(WITHOUT_SPACES["Chinese"][:2], WITHOUT_SPACES["Chinese"][2], "")
    topics = ["team won", "late goal"], ["heavy rain", "strong wind"]
    english, _ = sentences(topics, ["yesterday", "at last", "we saw"], " ")
    texts = [text for pair in zip(chinese, english, strict=True) for text in pair]
    labels = np.repeat(labels, 2)
    found = kp.text.baseline(labelled(texts[:100], labels[:100]))
    assert found.evaluate(labelled(texts[100:], labels[100:])).accuracy > 0.98
    assert str(found).endswith("words and runs of 1 to 3 characters")
    words = kp.text.explain_text(found, "今天下雨, heavy rain", verbose=False).words
    assert words == ("今", "天", "下", "雨", ",", "heavy", "rain")


@pytest.mark.parametrize(
    ("text", "features", "units"),
    [
        ("下雨。好", ["下", "雨", "下雨", "好"], ["下", "雨", "。", "好"]),
        ("用Python 3写", ["用", "python", "3", "写"], ["用", "Python", " 3", "写"]),
        ("人々スーパー"[:3], ["人", "々", "ス", "人々", "々ス", "人々ス"], ["人", "々", "ス"]),
        ("ﾃﾞ", ["デ"], ["ﾃﾞ"]),  # Narrow letters become wide ones.
        ("ខ្មែរ", ["ខ្មែ", "រ", "ខ្មែរ"], ["ខ្មែ", "រ"]),
        ("हिन्दी में एक क्षत्रिय", ["हिन्दी", "में", "एक", "क्षत्रिय"], ["हिन्दी", " में", " एक", " क्षत्रिय"]),
        ("العَرَبِيّة، نعم", ["العَرَبِيّة", "نعم"], ["العَرَبِيّة،", " نعم"]),
        ("می\u200cروم کہا۔", ["می\u200cروم", "کہا"], ["می\u200cروم", " کہا۔"]),
        ("한국어는 재미있다.", ["한국어는", "재미있다"], ["한국어는", " 재미있다."]),
        ("བོད་སྐད།", ["བོད", "སྐད"], ["བོད་", "སྐད།"]),
        ("Goal ⚽👍🏽 🇫🇷🇩🇪", ["goal", "⚽", "👍🏽", "🇫🇷", "🇩🇪"], ["Goal", " ⚽👍🏽", " 🇫🇷🇩🇪"]),
        ("👨\u200d👩\u200d👧❤️", ["👨\u200d👩\u200d👧", "❤️"], ["👨\u200d👩\u200d👧❤️"]),
        ("2016 3.5 a", ["2016", "3", "5", "a"], ["2016", " 3.5", " a"]),
        ("!?", [], ["!?"]),
        ("\u200b \ufeff", [], []),
        ("", [], []),
    ],
)
def test_features_and_units_by_hand(text, features, units):
    assert features_of(text) == features
    assert list(units_of(text)) == units


def test_units_join_to_the_normalized_text():
    text = "  Ein Satz,  ﬁn; 我用\u3000Python3写。 ภาษาไทย \u200bབོད་སྐད 🇫🇷 "
    for unit in ("auto", "words", "characters"):
        assert "".join(units_of(text, unit=unit)) == kp.text.normalize_text(text, form="NFC")
    assert units_of("a 下雨", unit="words") == ("a", " 下雨")
    assert features_of("A 下雨", unit="words") == ["a", "下雨"]
    assert units_of("é 下", unit="characters") == ("é", " 下")
    assert features_of("a b", unit="characters") == ["a", " ", "b", "a ", " b", "a b"]
    assert [unit_of(["a", "下"]), unit_of(["下!"]), unit_of([]), unit_of(["下"], unit="words")] == [
        "words and characters",
        "characters",
        "words",
        "words",
    ]


def test_what_looks_the_same_counts_the_same():
    train = labelled(["cafe\u0301 ＧＯＡＬ", "ﬁn ﾃﾞ"], [0, 1])
    found = kp.text.baseline(train)
    assert set(found.pipeline[0].vocabulary_) == {"café", "goal", "fin", "デ"}
    same = found.predict_proba(["CAFÉ\u200b goal", "Cafe\u0301  Goal"])
    np.testing.assert_array_equal(same[0], same[1])


def test_a_unit_can_be_chosen():
    train = labelled(["!! a", "?? a"], [0, 1])
    judge = kp.text.baseline(train, unit="characters")
    assert judge.evaluate(train).accuracy == 1.0
    assert kp.text.explain_text(judge, "a!", verbose=False).words == ("a", "!")
    assert kp.text.explain_text(judge, "a!", unit="words", verbose=False).words == ("a!",)
    for call in (
        lambda: kp.text.baseline(train, unit="letters"),
        lambda: kp.text.explain_text(judge, "a", unit="letters"),
    ):
        with pytest.raises(ValueError, match="`unit` must be"):
            call()
    with pytest.raises(ValueError, match="must have texts with words"):
        kp.text.baseline(labelled(["!!", "??"], [0, 1]))
    with pytest.raises(ValueError, match="at least one word"):
        kp.text.explain_text(judge, "\u200b")


def test_summaries_count_characters_without_spaces(capsys):
    kp.text.load_texts((["今天下雨", "球队获胜"], ["w", "s"]), validation_fraction=0)
    kp.text.load_unlabelled_texts(["今天下雨"])
    kp.text.build_vocabulary(["今天下雨", "球队获胜"] * 9, size=20)
    said = capsys.readouterr().out
    assert "4 characters each (median)" in said
    assert "1 texts, 4 characters;" in said
    assert " a character\n" in said
