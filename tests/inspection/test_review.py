"""What the review page holds, without a browser: whole, escaped, small, replaced at once."""

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image
from review_pages import AWKWARD, CLASSES, FORMULAS, awkward_result

import keras_practical as kp
from keras_practical.data.decisions import ReviewItem, apply_decisions, spreadsheet_cell
from keras_practical.data.image_set import ImageFinder


def written(result, folder, **options):
    return kp.review(result, folder / "page.html", verbose=False, **options).read_text("utf-8")


def data_of(text):
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])


def test_the_page_needs_no_other_file(tmp_path):
    text = written(awkward_result(), tmp_path)
    assert not re.search(r'(src|href)="(?!\d)', text)
    assert "url(" not in text
    assert "@import" not in text
    policy = re.search(r'Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src &#39;none&#39;; img-src data:; ")
    assert "unsafe" not in policy


def test_names_are_escaped_in_markup_and_in_data(tmp_path):
    text = written(awkward_result(), tmp_path, title="<script>alert(1)</script>")
    assert len(re.findall("<script", text)) == 2
    assert len(re.findall("</script", text)) == 2
    assert "<img src=x" not in text
    assert "\u2028" not in re.search(r'id="data">(.*?)</script>', text, re.S)[1]
    assert [item["name"] for item in data_of(text)["items"]] == list(AWKWARD)


def test_a_picture_with_two_findings_is_one_decision(tmp_path):
    items = data_of(written(awkward_result(), tmp_path))["items"]
    assert items[0]["findings"] == ["near duplicate", "blurred"]
    assert len(items) == len(AWKWARD)
    both = data_of(written([awkward_result(), awkward_result()], tmp_path))["items"]
    assert len(both) == len(AWKWARD)
    assert both[1]["findings"] == ["label error", "label error"]


def test_the_suggestion_comes_first_and_the_own_class_not_at_all(tmp_path):
    items = data_of(written(awkward_result(), tmp_path))["items"]
    assert items[1]["choices"] == [CLASSES[2], CLASSES[0]]
    assert items[0]["choices"] == [CLASSES[1], CLASSES[2]]


def test_thumbnails_fit_and_each_picture_is_there_once(tmp_path):
    data = data_of(written(awkward_result(), tmp_path, thumbnail_pixels=30))
    # The first is shown beside the third, too; the fourth can't be read.
    assert len(data["images"]) == len(AWKWARD)
    assert data["images"][3] is None
    head, body = data["images"][0].split(",")
    assert head == "data:image/webp;base64"
    assert Image.open(io.BytesIO(base64.b64decode(body))).size == (30, 20)


def test_pictures_keep_their_shape_and_tiny_ones_every_pixel(tmp_path):
    rng = np.random.default_rng(0)
    tiny = rng.integers(0, 256, (8, 8, 3), "uint8")
    Image.fromarray(tiny).save(tmp_path / "tiny.png")
    Image.new("RGB", (900, 300), (200, 30, 30)).save(tmp_path / "wide.jpg")
    names = [str(tmp_path / "tiny.png"), str(tmp_path / "wide.jpg")]
    sizes = [{"width": 8, "height": 8}, {"width": 900, "height": 300}]
    records = tuple(
        kp.ImageRecord(name, 0, **size) for name, size in zip(names, sizes, strict=True)
    )
    index = kp.ImageIndex(records, ("a", "b"))
    items = tuple(ReviewItem(name=n, finding="f", evidence="e", label="a") for n in names)
    result = replace(awkward_result(), index=index, items=items)
    object.__setattr__(result, "images", ImageFinder(index))
    drawn = [
        Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
        for uri in data_of(written(result, tmp_path, thumbnail_pixels=90))["images"]
    ]
    np.testing.assert_array_equal(np.asarray(drawn[0].convert("RGB")), tiny)
    assert drawn[1].size == (90, 30)
    # No border was added and left in.
    assert np.asarray(drawn[1].convert("RGB"))[..., 0].min() > 150


def test_limit_leaves_out_and_says_so(tmp_path, capsys):
    file = kp.review(awkward_result(), tmp_path / "page.html", limit=3)
    text = file.read_text("utf-8")
    assert len(data_of(text)["items"]) == 3
    assert f"The first 3 of {len(AWKWARD)} images" in text
    said = capsys.readouterr().out
    assert "review: 3 images to decide on" in said
    assert f"{len(AWKWARD) - 3} more are left out (limit=3)" in said
    assert len(data_of(written(awkward_result(), tmp_path, limit=None))["items"]) == len(AWKWARD)


def test_a_page_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "new folder" / "page.html"
    kp.review(awkward_result(), file, verbose=False)
    before = file.read_bytes()

    def full_disk(*args, **options):
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="no space left"):
        kp.review(awkward_result(AWKWARD[:2]), file, verbose=False)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["page.html"]


def test_decisions_are_kept_by_what_was_found(tmp_path):
    keys = [
        data_of(written(result, tmp_path))["key"]
        for result in (awkward_result(), awkward_result(), awkward_result(AWKWARD[:5]))
    ]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("result", "options", "match"),
    [
        (3, {}, "`result` must be what `label_errors`, .*int"),
        ([], {}, "an empty list"),
        (awkward_result(), {"thumbnail_pixels": 4}, "`thumbnail_pixels` must be .* >= 16"),
        (awkward_result(), {"limit": 0}, "`limit` must be .* >= 1"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, result, options, match):
    with pytest.raises(ValueError, match=match):
        kp.review(result, tmp_path / "page.html", **options)
    assert not (tmp_path / "page.html").exists()


def test_a_folder_is_no_page(tmp_path):
    with pytest.raises(ValueError, match="`path` must be a file"):
        kp.review(awkward_result(), tmp_path)


def test_results_of_different_classes_are_not_mixed(tmp_path):
    result = awkward_result()
    other = replace(result, index=kp.ImageIndex(result.index.records, ("x", "y", "z")))
    with pytest.raises(ValueError, match="must be of the same classes"):
        kp.review([result, other], tmp_path / "page.html")


@pytest.mark.parametrize("name", [*AWKWARD, *FORMULAS, "''-x", "'", "a;b", "\t=x", " .jpg "])
def test_any_name_comes_back_from_a_spreadsheet(tmp_path, name):
    index = kp.ImageIndex((kp.ImageRecord(name, 0), kp.ImageRecord("other", 0)), CLASSES)
    cell = spreadsheet_cell(name)
    assert not cell.startswith(tuple("=+-@\t\r"))
    quoted = cell.replace('"', '""')
    file = tmp_path / "decisions.csv"
    file.write_text(f'name,decision,label\r\n"{quoted}",delete,\r\n', "utf-8", newline="")
    assert [record.name for record in apply_decisions(index, file)] == ["other"]


@pytest.mark.tf_only
def test_what_an_audit_found_is_reviewed(tmp_path):
    rng = np.random.default_rng(0)
    for label, name in enumerate(("cats", "dogs")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 256, (40, 50, 3), "uint8")
            pixels[..., label] //= 4
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{number}.png")
    copy = tmp_path / "pets" / "cats" / "copy.png"
    copy.write_bytes((tmp_path / "pets" / "cats" / "3.png").read_bytes())
    audited = kp.audit(tmp_path / "pets", verbose=False)
    items = data_of(written([audited, audited], tmp_path))["items"]
    assert str(copy) in {item["name"] for item in items}
    file = tmp_path / "decisions.csv"
    file.write_text(f"name,decision,label\r\n{copy},delete,\r\n", "utf-8", newline="")
    assert str(copy) not in {record.name for record in audited.apply(file)}


@pytest.mark.tf_only
def test_mistakes_of_a_model_are_reviewed(tmp_path):
    digits = kp.load_images("digits", verbose=False)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(10, activation="softmax")]
    )
    found = kp.interpret(model, digits.validation, verbose=False)
    mistakes = found.mistakes()
    page = data_of(written(found, tmp_path, limit=20))
    assert [item["name"] for item in page["items"]] == [one.name for one in mistakes[:20]]
    worst = mistakes[0]
    assert page["items"][0]["choices"][0] == worst.prediction
    shown = Image.open(io.BytesIO(base64.b64decode(page["images"][0].split(",")[1])))
    assert shown.size == (8, 8)
    file = tmp_path / "decisions.csv"
    file.write_text(
        f"name,decision,label\r\n{worst.name},relabel,{worst.prediction}\r\n", "utf-8", newline=""
    )
    index = found.apply(file, index=digits.index)
    labels = {record.name: index.class_names[record.label] for record in index}
    assert labels[worst.name] == worst.prediction
    assert len(index) == len(digits.index)
