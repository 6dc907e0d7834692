"""Each fault is found where it was planted, and none where nothing was."""

import csv
import json
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from planted_copies import COPIES, copy_of, photo
from shared_data import data_folder

import keras_practical as kp
from keras_practical import load_images
from keras_practical.data.features import Embeddings
from keras_practical.data.index import ImageIndex, ImageRecord
from keras_practical.inspection.auditing import audit
from keras_practical.inspection.findings import KINDS, AuditFindings, Case, Finding
from keras_practical.inspection.image_rules import image_findings
from keras_practical.inspection.measures import ImageMeasures
from keras_practical.inspection.set_rules import copy_findings


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A folder in which nothing is wrong: ten images of each of two classes on each side."""
    root = tmp_path_factory.mktemp("clean") / "pets"
    seed = 0
    for split in ("train", "validation"):
        for name in ("cats", "dogs"):
            (root / split / name).mkdir(parents=True)
            for _ in range(10):
                photo(seed, (96, 80)).save(root / split / name / f"{seed}.jpg", quality=90)
                seed += 1
    return root


@pytest.fixture
def pets(clean, tmp_path):
    return shutil.copytree(clean, tmp_path / "pets")


def look(source, **options):
    return audit(source, verbose=False, **options)


def first(folder):
    return sorted(folder.iterdir())[0]


def test_nothing_is_found_where_nothing_is_wrong(clean, capsys):
    findings = audit(clean)
    assert findings.findings == ()
    assert str(findings).endswith("(20 train, 20 validation): nothing found")
    assert "audit: 40 images in" in capsys.readouterr().out
    assert len(findings.drop()) == 40


def unreadable(pets):
    file = pets / "train/cats/x.jpg"
    file.write_bytes(first(pets / "train/cats").read_bytes()[:-300])
    return [file]


def rotated(pets):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = pets / "train/dogs/x.jpg"
    photo(99).save(file, exif=exif)
    return [file]


def wrong_extension(pets):
    file = pets / "train/dogs/x.jpg"
    photo(99, (96, 80)).save(file, "PNG")
    return [file]


def exact_duplicate(pets):
    file = pets / "train/cats/x.jpg"
    shutil.copy(first(pets / "train/cats"), file)
    return [first(pets / "train/cats"), file]


def near_duplicate(pets):
    file = pets / "train/cats/x.png"
    with Image.open(first(pets / "train/cats")) as image:
        copy_of(image, "cropped", np.random.default_rng(0)).save(file)
    return [first(pets / "train/cats"), file]


def leakage(pets):
    file = pets / "train/cats/x.jpg"
    with Image.open(first(pets / "validation/cats")) as image:
        copy_of(image, "mirrored", np.random.default_rng(0)).save(file)
    return [file, first(pets / "validation/cats")]


def two_labels(pets):
    file = pets / "train/dogs/x.jpg"
    shutil.copy(first(pets / "train/cats"), file)
    return [first(pets / "train/cats"), file]


def tiny(pets):
    file = pets / "train/cats/x.jpg"
    photo(99, (36, 30)).save(file)
    return [file]


def huge(pets):
    file = pets / "train/cats/x.jpg"
    photo(99, (90, 50)).convert("L").resize((9000, 4600)).save(file)
    return [file]


def extreme(pets):
    file = pets / "train/cats/x.jpg"
    photo(99, (400, 80)).save(file)
    return [file]


def blank(pets):
    file = pets / "train/cats/x.jpg"
    Image.new("RGB", (96, 80), (250, 250, 250)).save(file)
    return [file]


def dark(pets):
    file = pets / "train/cats/x.jpg"
    photo(99, (96, 80)).point(lambda value: value * 0.18).save(file)
    return [file]


def blurred(pets):
    file = pets / "train/cats/x.jpg"
    photo(99, (96, 80)).filter(ImageFilter.GaussianBlur(4)).save(file)
    return [file]


@pytest.mark.parametrize(
    ("kind", "plant"),
    [
        ("unreadable", unreadable),
        ("EXIF-rotated", rotated),
        ("wrong extension", wrong_extension),
        ("exact duplicate", exact_duplicate),
        ("near duplicate", near_duplicate),
        ("leakage", leakage),
        ("two labels", two_labels),
        ("tiny", tiny),
        ("huge", huge),
        ("extreme aspect", extreme),
        ("nearly blank", blank),
        ("very dark", dark),
        ("very blurred", blurred),
    ],
)
def test_a_fault_is_found_and_only_that(pets, kind, plant):
    files = {str(file) for file in plant(pets)}
    findings = look(pets)
    assert set(findings[kind].files) == files
    assert findings.kinds == (kind,)
    assert findings[kind].severity == KINDS[kind]
    assert f"{kind}: " in str(findings)
    assert "→" in str(findings)


def test_a_small_class_is_found(pets):
    for file in sorted((pets / "validation/dogs").iterdir())[3:]:
        file.unlink()
    findings = look(pets)
    assert findings.kinds == ("too few",)
    # Wilson's interval of 3 of 3 begins at 0.44.
    assert "dogs has 3 images for validation: were all" in findings["too few"].evidence
    assert "44 % only" in findings["too few"].evidence
    assert findings["too few"].files == ()


@pytest.mark.parametrize(("extra", "fires"), [(20, False), (21, True)])
def test_imbalance_is_more_than_three_to_one(pets, extra, fires):
    for seed in range(200, 200 + extra):
        photo(seed, (96, 80)).save(pets / f"train/cats/{seed}.jpg")
    findings = look(pets)
    assert findings.kinds == (("imbalance",) if fires else ())
    if fires:
        assert findings["imbalance"].evidence == "31 training images of cats, 10 of dogs"


@pytest.mark.parametrize("feature", ["size", "border colour", "file format"])
def test_a_shortcut_is_found(tmp_path, feature):
    for seed in range(80):
        name, is_dog = ("cats", "dogs")[seed % 2], seed % 2
        folder = tmp_path / ("train", "validation")[seed % 5 == 0] / name
        folder.mkdir(parents=True, exist_ok=True)
        image = photo(seed, (96 + 8 * is_dog * (feature == "size"), 80))
        if feature == "border colour":
            framed = Image.new("RGB", (96, 80), (200 if is_dog else 90, 90, 90))
            framed.paste(image.resize((90, 74)), (3, 3))
            image = framed
        end = "png" if is_dog and feature == "file format" else "jpg"
        image.save(folder / f"{seed}.{end}")
    found = look(tmp_path)["shortcut"]
    assert feature in found.evidence
    assert any(case.evidence.startswith(f"{feature} alone: ") for case in found.cases)


def grouped(root, of_validation):
    for patient in range(12):
        for number in range(4):
            held_out = of_validation(patient, number)
            folder = root / ("validation" if held_out else "train") / ("cats", "dogs")[patient % 2]
            folder.mkdir(parents=True, exist_ok=True)
            seed = 100 * patient + number
            photo(seed, (96, 80)).save(folder / f"patient_{patient}_{number}.jpg")


def test_groups_across_the_split_are_found(tmp_path):
    grouped(tmp_path, lambda patient, number: number == 0)
    found = look(tmp_path)["group across splits"]
    assert "12 of 12 groups" in found.evidence
    assert "[patient_0]_0" in found.evidence
    assert found.cases[0].evidence == "patient_0: 3 for training, 1 held out"


def test_groups_on_one_side_of_the_split_are_no_finding(tmp_path):
    grouped(tmp_path, lambda patient, number: patient < 4)
    assert "group across splits" not in look(tmp_path)
    # Known groups count, whatever the names say.
    data = load_images(tmp_path, image_size=16, groups=lambda record: record.name[-5])
    assert "4 of 4 groups" in look(data)["group across splits"].evidence


@pytest.fixture(autouse=True)
def _expected_warnings(recwarn):
    """Loading torn groups and broken files warns, as it should."""
    import warnings

    warnings.filterwarnings("ignore", message=".*groups are in more than one")
    warnings.filterwarnings("ignore", message=".*can't be read")


@pytest.mark.parametrize("kind", COPIES)
def test_every_kind_of_copy_leaks(pets, kind):
    file = pets / "train/dogs/x.png"
    original = first(pets / "validation/dogs")
    with Image.open(original) as image:
        copy_of(image, kind, np.random.default_rng(0)).save(file)
    assert look(pets)["leakage"].files == (str(file), str(original))


def test_embeddings_settle_what_pixels_leave_open(pets):
    with Image.open(first(pets / "validation/cats")) as image:
        mixed = Image.blend(image, photo(77, image.size), 0.38)
    mixed.save(pets / "train/cats/x.png")
    assert look(pets).kinds == ()
    index = load_images(pets, image_size=16, verbose=False).index
    features = np.eye(len(index), dtype="float32")
    places = [n for n, r in enumerate(index) if r.name.endswith("x.png")]
    places += [n for n, r in enumerate(index) if r.name == str(first(pets / "validation/cats"))]
    features[places] = 1
    labels = np.array([record.label for record in index])
    embeddings = Embeddings(features, labels, index.records, index.class_names)
    assert look(pets, embeddings=embeddings).kinds == ("leakage",)
    others = Embeddings(features, labels, (ImageRecord("other", 0),) * len(index), ("a", "b"))
    with pytest.raises(ValueError, match="`embeddings` are of other images"):
        look(pets, embeddings=others)


def test_dropping_leaks_keeps_the_held_out_picture(pets):
    original = first(pets / "validation/cats")
    copies = [pets / "train/cats" / f"x{n}.jpg" for n in range(2)]
    for copy in copies:
        shutil.copy(original, copy)
    findings = look(pets)
    cleaned = findings.drop("leakage")
    dropped = {r.name for r in findings.index} - {r.name for r in cleaned}
    assert dropped == {str(copy) for copy in copies}
    assert all(copy.is_file() for copy in copies)
    assert look(cleaned).kinds == ()


def test_dropping_copies_keeps_one(pets):
    exact_duplicate(pets)
    findings = look(pets)
    assert len(findings.index) - len(findings.drop()) == 1
    assert findings.drop("exact duplicate") == findings.drop()
    assert findings.drop("leakage", "tiny") == findings.index


def test_dropping_a_photo_of_two_labels_keeps_none(pets):
    files = {str(file) for file in two_labels(pets)}
    findings = look(pets)
    assert {r.name for r in findings.index} - {r.name for r in findings.drop()} == files


def test_a_copy_may_leak_and_have_another_label(pets):
    shutil.copy(first(pets / "validation/dogs"), pets / "train/cats/x.jpg")
    findings = look(pets)
    assert findings.kinds == ("leakage", "two labels")
    assert findings["leakage"].cases[0].evidence == "the same file, and the labels differ"
    assert findings["two labels"].cases[0].evidence == "the same file, as cats and dogs"
    assert len(findings.index) - len(findings.drop("leakage")) == 1
    assert len(findings.index) - len(findings.drop()) == 2


def test_dropping_refuses_what_it_can_not_mend(pets):
    for file in sorted((pets / "validation/dogs").iterdir())[3:]:
        file.unlink()
    findings = look(pets)
    with pytest.raises(ValueError, match=r"'too few' can't be mended by dropping .* Add images"):
        findings.drop("too few")
    with pytest.raises(ValueError, match="`kind` must be one of 'leakage'"):
        findings.drop("leaks")


def test_copies_in_all_three_splits_keep_the_test_picture():
    splits = ("train", "validation", "test")
    records = tuple(ImageRecord(f"{split}.jpg", 0, split) for split in splits)
    [leak] = copy_findings(ImageIndex(records, ("x", "y")), ["same"] * 3, [])
    assert leak.cases[0].drop == ("train.jpg", "validation.jpg")


def test_unreadable_files_are_no_copies_of_one_another(pets):
    for name in ("x", "y"):
        (pets / f"train/cats/{name}.jpg").write_bytes(b"")
    findings = look(pets)
    assert findings.kinds == ("unreadable",)
    assert findings["unreadable"].cases[0].evidence == "the file is empty"
    assert [record.problem for record in findings.index.problems] == ["the file is empty"] * 2


def test_pictures_in_memory_are_looked_at_too(rng):
    images = np.stack([np.asarray(photo(seed, (40, 40))) for seed in range(40)])
    images[1] = images[0]
    data = load_images(
        {"train": (images[::2], [0, 1] * 10), "test": (images[1::2], [0, 1] * 10)},
        validation_fraction=0,
        verbose=False,
    )
    findings = look(data)
    assert findings.kinds == ("leakage",)
    assert findings["leakage"].files == ("images[0]", "test[0]")
    assert data.with_index(findings.drop()).index == findings.drop()
    assert findings.plot("leakage").get_title() == "leakage\n2 images"


def test_a_folder_is_split_as_load_images_splits_it(tmp_path):
    for seed in range(40):
        folder = tmp_path / ("cats", "dogs")[seed % 2]
        folder.mkdir(exist_ok=True)
        photo(seed, (40, 40)).save(folder / f"{seed}.png")
    for seed in (0, 3):
        options = {"validation_fraction": 0.3, "seed": seed}
        expected = load_images(tmp_path, image_size=8, verbose=False, **options).index
        found = look(tmp_path, **options).index
        assert found == expected


def by_number(record):
    """Three images in a row belong together."""
    return str(int(Path(record.name).stem) // 3)


def unsplit(root):
    for number in range(48):
        folder = root / ("cats" if number % 2 else "dogs")
        folder.mkdir(parents=True, exist_ok=True)
        photo(number, (24, 24)).save(folder / f"{number}.png")
    return root


def splits_of(index):
    return {Path(record.name).name: (record.split, record.group) for record in index}


@pytest.mark.parametrize("fraction", [0.2, 0.5])
@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("groups", ["function", "mapping", "none"])
def test_audit_judges_the_split_that_load_images_makes(tmp_path, groups, seed, fraction):
    root = unsplit(tmp_path / "pets")
    mapping = {f"{number}.png": f"scene {number // 3}" for number in range(48)}
    chosen = {"function": by_number, "mapping": mapping, "none": None}[groups]
    options = {"groups": chosen, "seed": seed, "validation_fraction": fraction}
    loaded = load_images(root, image_size=16, verbose=False, **options)
    findings = look(root, **options)
    assert splits_of(findings.index) == splits_of(loaded.index)
    assert "validation" in {record.split for record in findings.index}
    if chosen is not None:
        assert "group across splits" not in findings.kinds


def test_audit_splits_a_csv_file_by_its_column_of_groups(tmp_path):
    root = unsplit(tmp_path / "pets")
    rows = [
        f"{path.relative_to(root)},{path.parent.name},{int(path.stem) // 3}"
        for path in sorted(root.rglob("*.png"))
    ]
    (root / "all.csv").write_text("\n".join(["path,label,patient", *rows]))
    loaded = load_images(root / "all.csv", image_size=16, groups="patient", verbose=False)
    findings = look(root / "all.csv", groups="patient")
    assert splits_of(findings.index) == splits_of(loaded.index)
    assert "group across splits" not in findings.kinds


def test_audit_keeps_a_class_of_one_group_in_training(tmp_path):
    root = unsplit(tmp_path / "pets")
    (root / "birds").mkdir()
    for number in range(100, 103):
        photo(number, (24, 24)).save(root / "birds" / f"{number}.png")
    groups = {f"{number}.png": str(number // 3) for number in range(48)}
    groups |= {f"{number}.png": "the only one" for number in range(100, 103)}
    with pytest.raises(ValueError, match="Class 'birds' has one group"):
        load_images(root, image_size=16, groups=groups, verbose=False)
    index = look(root, groups=groups).index
    assert index.counts("validation")["birds"] == 0
    assert min(index.counts("validation")[name] for name in ("cats", "dogs")) > 0


def test_audit_refuses_groups_for_what_is_split_already(clean):
    data = load_images(clean, image_size=16, verbose=False)
    for source in (data, data.index):
        with pytest.raises(ValueError, match="`groups` means nothing for data that are loaded"):
            look(source, groups=by_number)
        with pytest.raises(ValueError, match="`columns` means nothing"):
            look(source, columns={"path": "file"})


def test_a_csv_file_and_a_lonely_picture(tmp_path):
    for seed in range(5):
        photo(seed, (40, 40)).save(tmp_path / f"{seed}.png")
    lines = ["file,what", *(f"{seed}.png,{'cat' if seed else 'dog'}" for seed in range(5))]
    (tmp_path / "pets.csv").write_text("\r\n".join(lines))
    findings = look(tmp_path / "pets.csv", columns={"path": "file", "label": "what"})
    assert "dog has 1 image for train" in str([c.evidence for c in findings["too few"].cases])


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("no/such/folder", "There is no folder"),
        ("digits", r"audit\(load_images\('digits'\)\)"),
        ((np.zeros((2, 8, 8)), [0, 1]), "Load other data first: .* Received: tuple"),
        (None, "Received: NoneType"),
        (ImageIndex((), ("a", "b")), "The index has no images"),
        (ImageIndex((ImageRecord("x[0]", 0),), ("a", "b")), "aren't files"),
    ],
)
def test_a_wrong_source_is_named(source, match):
    with pytest.raises(ValueError, match=match):
        look(source)


def test_wrong_options_are_named(clean):
    with pytest.raises(ValueError, match="`validation_fraction` must be"):
        look(clean, validation_fraction=2)
    with pytest.raises(ValueError, match="`seed` must be"):
        look(clean, seed=-1)


def test_files_tell_all_and_come_back_as_decisions(pets):
    leakage(pets)
    unreadable(pets)
    (pets / "train/cats/x.jpg").rename(pets / 'train/cats/=x, é"<b>.jpg')
    leakage(pets)
    findings = look(pets)
    table = findings.to_csv(pets / "findings.csv")
    rows = list(csv.DictReader(table.read_text("utf-8-sig").splitlines()))
    assert {row["kind"] for row in rows} == set(findings.kinds)
    names = [row["name"] for row in rows]
    assert len(names) == sum(len(c.names) for f in findings for c in f.cases)
    assert [row["drop"] for row in rows if row["kind"] == "leakage"] == ["yes", ""]
    assert findings.apply(table) == findings.index
    for row in rows:
        row["decision"] = "delete" if row["drop"] else "keep"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert findings.apply(table) == findings.drop()
    told = json.loads(findings.to_json(pets / "findings.json").read_text("utf-8"))
    assert [finding["kind"] for finding in told["findings"]] == list(findings.kinds)
    assert told["images"] == len(findings.index)


def test_a_person_reviews_each_picture_of_each_finding(pets):
    train, held_out = (str(file) for file in leakage(pets))
    items = look(pets).review_items()
    assert [(item.name, item.others, item.split) for item in items] == [
        (train, (held_out,), "train"),
        (held_out, (train,), "validation"),
    ]
    assert {item.label for item in items} == {"cats"}
    assert {item.finding for item in items} == {"leakage"}
    assert "mirrored" in items[0].evidence


def test_contact_sheets_show_the_pictures(pets):
    leakage(pets)
    (pets / "train/dogs/a_very_long_name_of_a_file.jpg").write_bytes(b"")
    findings = look(pets)
    ax = findings.plot("leakage")
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["1: x.jpg\ncats\ntrain", "1: 20.jpg\ncats\nvalidation"]
    assert findings.plot("unreadable").texts[0].get_text().startswith("a_very_…a_file.jpg")
    assert findings.plot("leakage", n=1).get_title() == "leakage\n2 images, 1 of them shown"
    with pytest.raises(ValueError, match=r"No finding of kind 'tiny'\. Found were: 'leakage'"):
        findings.plot("tiny")


def test_what_concerns_no_single_picture_has_no_sheet():
    index = ImageIndex((ImageRecord("a", 0),), ("x", "y"))
    finding = Finding(
        kind="imbalance",
        severity="note",
        evidence="9 to 1",
        advice="More.",
        cases=(Case(names=(), evidence="9 to 1"),),
    )
    findings = AuditFindings(findings=(finding,), index=index, images=lambda name: None)
    with pytest.raises(ValueError, match="'imbalance' concerns no single images: 9 to 1"):
        findings.plot("imbalance")
    assert findings.review_items() == ()


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("very dark", {"highlight": 49.0}),
        ("nearly blank", {"spread": 7.9}),
        ("very blurred", {"blur": 0.61}),
        ("tiny", {"width": 63, "height": 100}),
        ("huge", {"width": 9000, "height": 4500}),
        ("extreme aspect", {"width": 901, "height": 300}),
    ],
)
def test_thresholds_are_where_the_text_says(kind, changed):
    usual = {"width": 300, "height": 300, "highlight": 50.0, "spread": 8.0, "blur": 0.6}
    records = tuple(ImageRecord(f"{n}.jpg", 0) for n in range(3))
    index = ImageIndex(records, ("x", "y"))
    measures = [ImageMeasures(**usual)] * 2
    assert image_findings(index, [*measures, ImageMeasures(**usual)]) == ()
    [found] = image_findings(index, [*measures, ImageMeasures(**{**usual, **changed})])
    assert found.kind == kind
    assert found.files == ("2.jpg",)


def test_memory_does_not_grow_with_the_pictures_size(tmp_path):
    peaks = []
    for side in (200, 1000):
        folder = tmp_path / str(side)
        for seed in range(24):
            of_class = folder / ("cats", "dogs")[seed % 2]
            of_class.mkdir(parents=True, exist_ok=True)
            photo(seed, (40, 40)).resize((side, side)).save(of_class / f"{seed}.jpg")
        look(folder)
        tracemalloc.start()
        look(folder)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # All 24 large pictures, decoded, would take 72 MB.
    assert peaks[1] < 12e6
    assert peaks[1] - peaks[0] < 8e6


def test_the_face_has_it():
    assert kp.audit is audit
    assert kp.AuditFindings is AuditFindings


def readable(name):
    try:
        kp.read_image(name)
    except ValueError:
        return False
    return True


@pytest.mark.real_data
def test_awkward_files_never_stop_it(tmp_path):
    files = sorted((data_folder() / "awkward_images").iterdir())
    for number, file in enumerate(files):
        folder = tmp_path / ("a", "b")[number % 2]
        folder.mkdir(exist_ok=True)
        (folder / file.name).symlink_to(file)
    findings = look(tmp_path)
    assert len(findings.index) == len(files)
    for record in findings.index:
        assert (record.problem is None) == readable(record.name), record
    rotated = findings["EXIF-rotated"].files
    assert sum("Portrait" in name for name in rotated) >= 2
    assert all("Portrait_0" not in name for name in rotated)


@pytest.mark.real_data
def test_leaves_leak_where_they_were_seen_to():
    """Looked at: photos of the very same leaves, some of them moved a little."""
    leak = look(data_folder() / "apple_leaves")["leakage"]
    names = {frozenset(name.rpartition("/")[2] for name in case.names) for case in leak.cases}
    assert frozenset({"black_rot_0035.jpg", "black_rot_v0014.jpg"}) in names
    assert frozenset({"cedar_apple_rust_0021.jpg", "cedar_apple_rust_v0022.jpg"}) in names
