"""The one reader of tables: strict, so that no row goes without a word."""

import pytest

from keras_practical.data.tables import read_rows, read_table, read_text


def write(tmp_path, text, encoding="utf-8"):
    file = tmp_path / "table.csv"
    file.write_bytes(text.encode(encoding))
    return file


def test_read_text_names_the_line_that_is_in_another_encoding(tmp_path):
    file = tmp_path / "a.tsv"
    file.write_bytes("text\tlabel\nخبر\tx\n".encode("cp1256"))
    with pytest.raises(ValueError, match=r"line 2: this isn't utf-8.*cp1256"):
        read_text(file)
    assert "خبر" in read_text(file, encoding="cp1256")
    with pytest.raises(ValueError, match="`encoding` is unknown"):
        read_text(file, encoding="cp99999")
    file.write_bytes("abc".encode("utf-16-le"))
    with pytest.raises(ValueError, match="zero bytes"):
        read_text(file)


def test_a_lone_quotation_mark_does_not_swallow_the_lines_after_it(tmp_path):
    rows = [('"No, said he', "a"), ("plain", "b"), ('he said "no"', "a"), ('"all of it"', "b")]
    file = tmp_path / "a.tsv"
    lines = ["text\tlabel", *("\t".join(row) for row in rows)]
    file.write_text("\n".join(lines), encoding="utf-8")
    found = read_table(file, prose=True)
    assert [cells["text"] for _, cells in found.rows] == [text for text, _ in rows]


def test_spreadsheet_quotes_come_off_and_line_breaks_inside_stay(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text('text,label\n"one, ""two""\nthree",a\nfour,b\n', encoding="utf-8")
    found = read_table(file, strip=False, prose=True)
    assert found.rows[0] == (2, {"text": 'one, "two"\nthree', "label": "a"})
    assert found.rows[1][0] == 4
    file.write_text('text\tlabel\n"say ""no"""\ta\n', encoding="utf-8")
    assert read_table(file, prose=True).rows[0][1]["text"] == 'say "no"'


def test_a_text_longer_than_the_csv_modules_limit_is_read(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text(f'text,label\n"{"word " * 40_000}",a\n', encoding="utf-8")
    assert len(read_table(file, strip=False, prose=True).rows[0][1]["text"]) == 200_000


@pytest.mark.parametrize(
    "text",
    [
        'path,label,note\n1,a,"open\n2,b,x\n3,a,y\n4,b,"open\n',
        'path,label,note\n1,a,"open\n2,b,x\n3,a,closed"\n',
        'path,label\n"' + "1,a\n" * 20_000,
    ],
)
def test_a_quotation_mark_that_is_not_closed_is_an_error_with_its_line(text, tmp_path):
    with pytest.raises(ValueError, match=r"table\.csv, line 2: .*quotation mark"):
        read_table(write(tmp_path, text))


def test_a_quoted_note_of_two_lines_is_one_cell(tmp_path):
    table = read_table(write(tmp_path, 'path,label,note\n1,a,"two\nlines"\n2,b,\n'))
    assert [cells["note"] for _, cells in table.rows] == ["two\nlines", ""]
    assert [line for line, _ in table.rows] == [2, 4]


@pytest.mark.parametrize("row", ["2", "2,b,c,d"])
def test_rows_of_another_length_are_refused(row, tmp_path):
    with pytest.raises(ValueError, match=r"line 3: \d cells where the first line has 3"):
        read_rows(write(tmp_path, f"path,label,note\n1,a,x\n{row}\n"))


def test_empty_columns_at_the_end_and_blanks_in_the_header_count_as_nothing(tmp_path):
    table = read_table(write(tmp_path, "path, label,,\n1, a,,\n2, b,,\n"))
    assert table.columns == ("path", "label")
    assert table.rows[0] == (2, {"path": "1", "label": "a"})


def test_a_cell_beyond_the_header_is_refused(tmp_path):
    with pytest.raises(ValueError, match="line 2"):
        read_table(write(tmp_path, "path,label\n1,a,more\n"))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_decide(encoding, tmp_path):
    assert read_table(write(tmp_path, "päth;label\n1;a\n", encoding)).columns == ("päth", "label")


def test_encoding_of_old_spreadsheets(tmp_path):
    file = write(tmp_path, "path;label\n1;dög\n", "cp1252")
    with pytest.raises(ValueError, match="line 2: this isn't utf-8"):
        read_table(file)
    assert read_table(file, encoding="cp1252").rows[0][1]["label"] == "dög"


def test_a_column_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match="two columns 'label'"):
        read_table(write(tmp_path, "label,path,label\na,1,a\n"))


def test_one_json_object_a_line(tmp_path):
    file = tmp_path / "table.jsonl"
    file.write_text('{"text": "ä\\nb", "label": 1}\n\n{"text": "c", "more": ["x"]}\n', "utf-8")
    table = read_table(file, strip=False)
    assert table.columns == ("text", "label", "more")
    assert table.rows[0] == (1, {"text": "ä\nb", "label": "1", "more": ""})
    assert table.rows[1] == (3, {"text": "c", "label": "", "more": '["x"]'})
    file.write_text('{"text": 1}\n{"text": \n')
    with pytest.raises(ValueError, match="line 2: it isn't JSON"):
        read_table(file)
    file.write_text("[1]\n")
    with pytest.raises(ValueError, match="line 1: it must be an object"):
        read_table(file)


def test_positions_say_that_there_is_no_header(tmp_path):
    from keras_practical.data.sources import from_csv
    from keras_practical.text.sources import rows_of_table

    file = write(tmp_path, "cat,1.png\ndog,2.png\n")
    listing = from_csv(file, columns={"path": 1, "label": 0})
    assert (listing.names, listing.class_names) == (["1.png", "2.png"], ("cat", "dog"))
    rows = rows_of_table(file, columns={"text": 1, "label": 0})
    assert [(row.text, row.label) for row in rows] == [("1.png", "cat"), ("2.png", "dog")]


def test_texts_of_jsonl_by_split(tmp_path):
    import json

    import keras_practical as kp

    for split in ("train", "dev"):
        lines = [{"text": f"{split} {c} {k}", "label": c} for c in "ab" for k in range(3)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    data = kp.text.load_texts(tmp_path, verbose=False)
    assert (len(data.train), len(data.validation)) == (6, 6)
