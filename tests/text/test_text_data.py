"""Labelled and unlabelled texts: encodings, line ends, quotes, slips, copies, splits."""

import gzip
import unicodedata

import numpy as np
import pytest
from shared_data import data_folder

import keras_practical as kp
from keras_practical.text.right_to_left import font_for, is_right_to_left, isolated, shown_text

# Also run on JAX.
pytestmark = pytest.mark.any_backend

ROWS = [
    ("rain and wind", "weather"),
    ("a late goal", "sports"),
    ("sun", "weather"),
    ("2:1", "sports"),
]


def table(path, rows=ROWS, separator="\t", header=("text", "label"), encoding="utf-8", end="\n"):
    lines = [separator.join(header), *(separator.join(row) for row in rows)]
    path.write_bytes((end.join(lines) + end).encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_load_texts_reads_any_marked_encoding_and_line_end(tmp_path, encoding, end):
    file = table(tmp_path / "news.tsv", encoding=encoding, end=end)
    data = kp.text.load_texts(file, validation_fraction=0, verbose=False)
    assert data.train.texts == tuple(text for text, _ in ROWS)
    assert data.train.labels.tolist() == [1, 0, 1, 0]
    assert data.class_names == ("sports", "weather")
    assert data.validation is None


def test_a_row_with_cells_missing_is_named(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("text,label\none,a\ntwo\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 3: 1 cells where the first line has 2"):
        kp.text.load_texts(file)


def test_a_misspelt_label_is_named_by_file_and_line(tmp_path):
    rows = [(f"text {n}", "sports" if n % 2 else "weather") for n in range(40)]
    file = table(tmp_path / "news.tsv", [*rows, ("goal", "sprots")])
    with pytest.raises(ValueError, match=r"news.tsv, line 42: the label 'sprots' .*'sports'"):
        kp.text.load_texts(file, verbose=False)
    file = table(tmp_path / "news.tsv", [*rows, ("goal", "Sports")])
    with pytest.raises(ValueError, match=r"line 42: the label 'Sports'"):
        kp.text.load_texts(file, verbose=False)
    with pytest.raises(ValueError, match=r"line 42: .*none of the classes. Did you mean 'sports'"):
        kp.text.load_texts(file, class_names=["sports", "weather"], verbose=False)
    names = ["sports", "weather", "Sports"]
    data = kp.text.load_texts(file, class_names=names, validation_fraction=0, verbose=False)
    assert data.train.counts() == {"sports": 20, "weather": 20, "Sports": 1}


def test_rare_classes_that_differ_in_a_number_are_no_slips():
    labels = ["level 1"] * 20 + ["level 2"]
    found = kp.text.load_texts(
        ([f"t{n}" for n in range(21)], labels), validation_fraction=0, verbose=False
    )
    assert found.class_names == ("level 1", "level 2")


def test_copies_empty_rows_and_missing_labels_are_left_out_and_listed():
    parts = {
        "train": (["One  text", "held out", "x", "y", "", "b", "z"], [*"abab", "a", "", "a"]),
        "validation": (["held\u00a0out", "one text", "Z"], ["b", "a", "b"]),
    }
    with pytest.warns(UserWarning, match="can't be used") as caught:
        data = kp.text.load_texts(parts, verbose=False)
    text = str(caught[0].message)
    assert "train[1]: the same text as validation[0], which is held out for validation" in text
    assert "train[4]: the text is empty" in text
    assert "train[5]: there is no label" in text
    assert "train[6]: the same text as validation[2], labelled 'a' and 'b'" in text
    assert data.train.texts == ("x", "y")
    assert data.validation.texts == ("held out", "one text")
    assert len(data.problems) == 6
    with pytest.raises(ValueError, match="Mend or remove them"):
        kp.text.load_texts(parts, on_error="raise", verbose=False)


def test_the_split_is_by_class_and_does_not_depend_on_the_order():
    texts = [f"text number {n}" for n in range(50)]
    labels = [n % 5 == 0 for n in range(50)]
    labels = ["rare" if rare else "common" for rare in labels]
    first = kp.text.load_texts((texts, labels), seed=3, verbose=False)
    again = kp.text.load_texts((texts[::-1], labels[::-1]), seed=3, verbose=False)
    other = kp.text.load_texts((texts, labels), seed=4, verbose=False)
    assert set(first.validation.texts) == set(again.validation.texts)
    assert set(first.validation.texts) != set(other.validation.texts)
    assert first.validation.counts() == {"common": 8, "rare": 2}
    assert not set(first.train.texts) & set(first.validation.texts)


def test_folders_of_classes_and_folders_of_tables(tmp_path):
    for split in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / "files" / split / name).mkdir(parents=True)
            for n in range(2):
                file = tmp_path / "files" / split / name / f"{n}.txt"
                file.write_text(f"{split} {name} {n}\r\n", encoding="utf-8")
    (tmp_path / "files" / "train" / "a" / ".DS_Store").write_bytes(b"\0")
    data = kp.text.load_texts(tmp_path / "files", verbose=False)
    assert len(data.train) == len(data.validation) == 4
    (tmp_path / "tables").mkdir()
    table(tmp_path / "tables" / "train.tsv", [(f"{t} 1", label) for t, label in ROWS])
    table(tmp_path / "tables" / "valid.csv", separator=",")
    data = kp.text.load_texts(tmp_path / "tables", verbose=False)
    assert len(data.train) == len(data.validation) == 4
    (tmp_path / "files" / "train" / "empty").mkdir()
    with pytest.raises(ValueError, match="'empty' has no texts"):
        kp.text.load_texts(tmp_path / "files")


def test_a_title_is_read_before_the_text_and_columns_can_be_named(tmp_path):
    file = table(
        tmp_path / "a.tsv",
        [("T", "body", "a"), ("U", "more", "b")],
        header=("title", "text", "label"),
    )
    assert (
        kp.text.load_texts(file, validation_fraction=0, verbose=False).train.texts[0] == "T. body"
    )
    columns = {"text": "text", "label": "title"}
    found = kp.text.load_texts(file, columns=columns, validation_fraction=0, verbose=False)
    assert found.class_names == ("T", "U")
    with pytest.raises(ValueError, match="no column 'topic'; its columns are title, text, label"):
        kp.text.load_texts(file, columns={"label": "topic"})


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("no/such.tsv", "There is no file"),
        ("no/such/folder", "There is no folder"),
        (3, "`source` must be"),
        ((["a"], [0, 1]), "one label for each text"),
        ((["a", b"b"], [0, 1]), r"texts\[1\] must be a string \(decode bytes first\)"),
        ((["a", "b"], [0.5, float("nan")]), "a name or a whole number"),
        ((["a", "b"], ["x", "x"]), "at least two classes"),
        (([], []), "at least two classes"),
        (("ab", "cd"), "one .texts, labels. pair"),
        ({"test": (["a"], ["x"])}, "need a 'train' pair"),
        ((["a", "b"], ["x", "y"]), "has one text"),
    ],
)
def test_bad_sources_say_what_is_wrong(source, match):
    with pytest.raises(ValueError, match=match):
        kp.text.load_texts(source, verbose=False)


def test_unlabelled_texts_from_lines_tables_folders_and_lists(tmp_path):
    file = tmp_path / "a.txt.gz"
    file.write_bytes(gzip.compress("one\r\n\r\ntwo\r\none\r\n".encode("utf-16")))
    assert kp.text.load_unlabelled_texts(file, verbose=False) == ("one", "two")
    found = kp.text.load_unlabelled_texts(table(tmp_path / "b.tsv"), column="text", verbose=False)
    assert found == tuple(text for text, _ in ROWS)
    file.write_bytes(b"broken")
    with pytest.raises(ValueError, match="can't be unpacked"):
        kp.text.load_unlabelled_texts(file)
    with pytest.raises(ValueError, match="There are no texts"):
        kp.text.load_unlabelled_texts(["", " \n"])


def test_normalization_makes_one_word_of_what_looks_the_same():
    alef_madda, apart = "\u0622", "\u0627\u0653"
    assert kp.text.normalize_text(apart) == alef_madda
    assert kp.text.normalize_text("\ufefb") == "\u0644\u0627"  # A ligature of presentation forms.
    assert kp.text.normalize_text("\ufefb", form="NFC") == "\ufefb"
    assert kp.text.normalize_text("a\u200e\u00ad\ufeff\u2028b\x00") == "a b"
    assert kp.text.normalize_text("می\u200cروم") == "می\u200cروم"
    assert kp.text.normalize_text("Straße", lowercase=True) == "strasse"
    once = kp.text.normalize_text("é ﬁ ½ ǆ 한국어")
    assert kp.text.normalize_text(once) == once
    assert unicodedata.is_normalized("NFKC", once)
    with pytest.raises(ValueError, match="must be a string"):
        kp.text.normalize_text(None)


def test_direction_and_fonts():
    assert [is_right_to_left(text) for text in ("خبر", "123 שלום", "12")] == [True, True, False]
    assert isolated("خبر")[1:-1] == "خبر"
    assert font_for("abc") == "DejaVu Sans"
    assert font_for("خبر שלום") == "DejaVu Sans"
    assert font_for("\U0010fffd") is None  # For private use: no font's business.
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    with pytest.warns(UserWarning, match="No installed font"):
        shown_text(ax.set_title("a \U0010fffd"))


@pytest.mark.real_data
def test_urdu_news_loads_whole():
    data = kp.text.load_texts(data_folder() / "urdu_news", verbose=False)
    assert (len(data.train), len(data.class_names)) == (1000, 5)
    assert not set(data.train.texts) & set(data.validation.texts)
    assert np.bincount(data.validation.labels).min() > 100


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
@pytest.mark.parametrize("lowercase", [False, True])
def test_a_normalized_text_stays_the_same(form, lowercase):
    options = {"form": form, "lowercase": lowercase}
    rng = np.random.default_rng(0)
    # Marks, invisible ones, capitals in fancy dress: what one step makes for another.
    pool = [*"aEiİßﬁℝ™ℌ𝐇", "\u0301", "\u0327", "\u00ad", "\u200e", "\u0345", "ͅΑ", " ", "\u00b4"]
    mixed = ["".join(rng.choice(pool, 8)) for _ in range(2000)]
    letters = [chr(code) for code in range(0x20, 0x30000) if not 0xD800 <= code < 0xE000]
    once = [kp.text.normalize_text(text, **options) for text in mixed + letters]
    assert [kp.text.normalize_text(text, **options) for text in once] == once
    assert all(unicodedata.is_normalized(form, text) for text in once)
    assert all(text == " ".join(text.split()) for text in once)


def test_what_looks_the_same_is_the_same_word():
    normalize = kp.text.normalize_text
    assert normalize("e\u00ad\u0301") == normalize("é")  # A soft hyphen before the accent.
    assert normalize("\u0390", lowercase=True) == "\u0390"  # Folded into three characters.
    assert normalize("𝐇𝐞𝐥𝐥𝐨 ℌello ℝ ™", lowercase=True) == "hello hello r tm"
