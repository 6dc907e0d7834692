"""Annotation files as tools write them, and with what people and tools get wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_practical.detection import AnnotatedImage, DetectionData, load_annotations


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (100, 80)).save(tmp_path / name)
    return tmp_path


def dlib(folder, boxes, *, image="a.png", more=""):
    lines = [
        "<?xml version='1.0' encoding='ISO-8859-1'?>",
        "<dataset>",
        "<images>",
        f"<image file='{image}' width='100' height='80'>",
        *boxes,
        "</image>",
        more,
        "</images>",
        "</dataset>",
    ]
    path = folder / "boxes.xml"
    path.write_text("\n".join(lines))
    return path


def box(left, top, width, height, inside="", **attributes):
    extra = "".join(f" {name}='{value}'" for name, value in attributes.items())
    edges = f"top='{top}' left='{left}' width='{width}' height='{height}'{extra}"
    return f"<box {edges}>{inside}</box>"


def voc(path, objects, *, name="a.png", size=(100, 80)):
    text = f"<annotation>\n<filename>{name}</filename>\n"
    text += f"<size><width>{size[0]}</width><height>{size[1]}</height></size>\n"
    for label, edges, *difficult in objects:
        corners = "".join(
            f"<{corner}>{edge}</{corner}>"
            for corner, edge in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True)
        )
        hard = f"<difficult>{difficult[0]}</difficult>" if difficult else ""
        text += f"<object><name>{label}</name>{hard}\n<bndbox>{corners}</bndbox></object>\n"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "</annotation>")
    return path


def coco(folder, boxes, **changes):
    content = {
        "images": [
            {"id": 7, "file_name": "a.png", "width": 100, "height": 80},
            {"id": 8, "file_name": "b.png", "width": 100, "height": 80},
        ],
        "annotations": [
            {"id": n, "image_id": 7, "category_id": category, "bbox": edges, **more}
            for n, (category, edges, more) in enumerate(boxes)
        ],
        "categories": [{"id": 3, "name": "dog"}, {"id": 5, "name": "cat"}],
        **changes,
    }
    path = folder / "boxes.json"
    path.write_text(json.dumps(content, indent=1))
    return path


def read(path, **options):
    return load_annotations(path, verbose=False, **options)


def test_dlib_gives_edges_labels_and_ignored(folder):
    lines = [
        box(10, 20, 30, 40),
        box(1, 2, 3, 4, "<label>cat</label>"),
        box(5, 5, 9, 9, ignore="1"),
    ]
    data = read(dlib(folder, lines, more="<image file='b.png'/>"), class_name="dog")
    assert data.class_names == ("cat", "dog")
    first, second = data
    np.testing.assert_array_equal(first.boxes, [[10, 20, 40, 60], [1, 2, 4, 6], [5, 5, 14, 14]])
    assert first.labels.tolist() == [1, 0, 1]
    assert first.ignored.tolist() == [False, False, True]
    assert (first.width, first.height) == (100, 80)
    assert second.boxes.shape == (0, 4)
    assert data.counts == {"cat": 1, "dog": 1}
    assert not data.problems


def test_voc_counts_pixels_from_one(folder):
    data = read(voc(folder / "a.xml", [("cat", (1, 2, 100, 80)), ("dog", (11, 11, 20, 20), 1)]))
    np.testing.assert_array_equal(data.images[0].boxes, [[0, 1, 100, 80], [10, 10, 20, 20]])
    assert data.images[0].ignored.tolist() == [False, True]
    assert not data.problems


def test_voc_folder_as_the_devkit_has_it(folder):
    (folder / "JPEGImages").mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).rename(folder / "JPEGImages" / name)
    voc(folder / "Annotations" / "a.xml", [("cat", (1, 1, 10, 10))])
    voc(folder / "Annotations" / "b.xml", [], name="b.png")
    data = read(folder)
    assert [len(image.boxes) for image in data] == [1, 0]


def test_one_broken_voc_file_does_not_stop_the_others(folder):
    voc(folder / "a.xml", [("cat", (1, 1, 10, 10))])
    (folder / "b.xml").write_text("<annotation>\n<filename>b.png")
    data = read(folder)
    assert len(data) == 1
    assert "b.xml isn't whole XML" in data.problems[0]


def test_coco_gives_edges_and_names_by_category(folder):
    path = coco(folder, [(5, [10, 20, 30, 40], {}), (3, [0, 0, 5, 5], {"iscrowd": 1})])
    data = read(path)
    assert data.class_names == ("cat", "dog")
    np.testing.assert_array_equal(data.images[0].boxes, [[10, 20, 40, 60], [0, 0, 5, 5]])
    assert data.images[0].labels.tolist() == [0, 1]
    assert data.images[0].ignored.tolist() == [False, True]
    assert len(data.images[1].boxes) == 0


@pytest.mark.parametrize(
    "rows",
    [
        ["image,left,top,right,bottom,label", "a.png,10,20,40,60,cat", "b.png,,,,,"],
        ["filename,width,height,class,xmin,ymin,xmax,ymax", "a.png,100,80,cat,10,20,40,60",
         "b.png,100,80,,,,,"],
        ["path;x;left;top;width;height;label", "a.png;?;10;20;30;40;cat", "b.png;?;;;;;"],
        ["a.png,10,20,40,60,cat", "b.png,,,,,"],
    ],
    ids=["corners", "tensorflow", "sizes", "bare"],
)  # fmt: skip
def test_csv_in_its_usual_forms(folder, rows):
    (folder / "boxes.csv").write_text("\n".join(rows))
    data = read(folder)
    assert data.class_names == ("cat",)
    np.testing.assert_array_equal(data.images[0].boxes, [[10, 20, 40, 60]])
    assert [len(image.boxes) for image in data] == [1, 0]


def test_csv_rows_of_one_picture_are_joined(folder):
    rows = ["image,xmin,ymin,xmax,ymax,label", "a.png,1,1,5,5,cat", "a.png,2,2,9,9,dog"]
    (folder / "boxes.csv").write_text("\n".join(rows))
    data = read(folder / "boxes.csv")
    assert len(data) == 1
    assert data.images[0].labels.tolist() == [0, 1]


# In order: outside, no area, swapped, sticking out, and a good one.
BAD = [(200, 10, 230, 30), (10, 10, 10, 30), (40, 60, 10, 20), (90, 70, 130, 95), (10, 20, 40, 60)]
SAID = ["lies outside the image of 100 x 80", "has no area", "corners are swapped", "sticks out"]
MENDED = [[10, 20, 40, 60], [90, 70, 100, 80], [10, 20, 40, 60]]


def write_bad_dlib(folder):
    lines = [box(left, top, right - left, bottom - top) for left, top, right, bottom in BAD]
    return dlib(folder, lines), [5, 6, 7, 8]


def write_bad_csv(folder):
    rows = [f"a.png,{','.join(map(str, edges))},cat" for edges in BAD]
    path = folder / "boxes.csv"
    path.write_text("\n".join(["image,left,top,right,bottom,label", *rows]))
    return path, [2, 3, 4, 5]


def write_bad_coco(folder):
    edges = [[a, b, c - a, d - b] for a, b, c, d in BAD]
    path = coco(folder, [(3, box, {}) for box in edges])
    lines = path.read_text().splitlines()
    starts = [n for n, line in enumerate(lines, 1) if line == "  {" and '"id"' in lines[n]]
    # Two pictures come before the annotations.
    return path, starts[2:6]


@pytest.mark.parametrize("write", [write_bad_dlib, write_bad_csv, write_bad_coco])
def test_bad_boxes_are_told_with_file_and_line(folder, write):
    path, lines = write(folder)
    data = read(path)
    np.testing.assert_array_equal(data.images[0].boxes, MENDED)
    assert len(data.problems) == len(SAID)
    for problem, line, text in zip(data.problems, lines, SAID, strict=True):
        assert problem.startswith(f"{path}, line {line}: ")
        assert text in problem


def test_bad_voc_boxes_are_told_with_file_and_line(folder):
    path = voc(folder / "a.xml", [("cat", edges) for edges in [(5, 5, 5, 9), (50, 50, 20, 70)]])
    data = read(path)
    assert data.images[0].boxes.tolist() == [[20, 50, 50, 70]]
    assert [problem.partition(": ")[0] for problem in data.problems] == [
        f"{path}, line 5",
        f"{path}, line 7",
    ]


def test_a_pixel_over_the_edge_is_cut_without_a_word(folder):
    data = read(dlib(folder, [box(-1, 0, 102, 80)]))
    assert data.images[0].boxes.tolist() == [[0, 0, 100, 80]]
    assert not data.problems


def test_unreadable_photos_are_named_and_left_out(folder):
    (folder / "b.png").write_bytes(b"no image")
    more = "<image file='b.png'/>\n<image file='c.png'/>"
    data = read(dlib(folder, [box(1, 1, 9, 9)], more=more))
    assert len(data) == 1
    assert "b.png: it is not an image" in data.problems[0]
    assert "line 8: " in data.problems[1]
    assert "c.png: there is no such file" in data.problems[1]


def test_boxes_drawn_on_a_sideways_photo_are_told(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (100, 80)).save(folder / "a.jpg", exif=exif)
    # Upright it's 80 wide and 100 high; the file says 100 x 80, as its pixels are stored.
    data = read(dlib(folder, [box(1, 2, 9, 20)], image="a.jpg"))
    assert "a.jpg: its boxes are on the pixels as the file has them" in data.problems[0]
    # A quarter turn clockwise: left becomes top, and top is counted from the right.
    assert data.images[0].boxes.tolist() == [[80 - 2 - 20, 1, 80 - 2, 1 + 9]]
    assert (data.images[0].width, data.images[0].height) == (80, 100)


def test_class_names_fix_the_order_and_tell_strangers(folder):
    path = coco(folder, [(5, [10, 20, 30, 40], {}), (3, [0, 0, 5, 5], {})])
    data = read(path, class_names=["cow", "cat"])
    assert data.images[0].labels.tolist() == [1]
    assert "there is no class 'dog'" in data.problems[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("left='a' top='1' width='2' height='2'", "line 5: left must be a number. Received: 'a'"),
        ("left='1' top='1' width='nan' height='2'", "line 5: width must be a number"),
        ("left='1' top='1' width='2'", "line 5: height must be a number. Received: None"),
    ],
)
def test_what_is_no_number_is_told(folder, text, message):
    more = "<image file='b.png'/>"
    data = read(dlib(folder, [f"<box {text}/>", box(1, 1, 9, 9)], more=more))
    assert message in data.problems[0]
    assert "1 of its objects have no box that can be read" in data.problems[1]
    # The other image is there, and the one with the object that would count as background isn't.
    assert [Path(image.name).name for image in data] == ["b.png"]


def test_coco_entries_that_lead_nowhere_are_told(folder):
    path = coco(folder, [(3, [1, 1, 9, 9], {}), (9, [1, 1, 2, 2], {}), (3, None, {})])
    data = read(path)
    assert "line 28: there is no category 9" in data.problems[0]
    assert "bbox must be four numbers. Received: None" in data.problems[1]
    assert "2 of its objects have no box that can be read" in data.problems[2]
    assert [len(image.boxes) for image in data] == [0]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.txt", "", "`source` must be an .xml, .json or .csv file"),
        ("x.xml", "<html/>", "<html> is neither dlib's"),
        ("x.xml", "<dataset>", "isn't whole XML"),
        ("x.xml", '<!DOCTYPE a [<!ENTITY b "c">]><dataset/>', "declares an XML entity"),
        ("x.xml", "<dataset/>", "No image of .* can be used: it names none"),
        ("x.json", "{\n]", "line 2: it isn't whole JSON"),
        ("x.json", "[]", "isn't a COCO file"),
        ("x.json", '{"images": [{"id": 1}], "annotations": [], "categories": []}', "file_name"),
        ("x.csv", "image,label\na.png,cat", "the columns must be image, left, top"),
    ],
)
def test_files_that_cannot_be_read(folder, name, text, message):
    (folder / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read(folder / name)


def test_folders_and_missing_files(tmp_path):
    with pytest.raises(ValueError, match="There is no file or folder"):
        read(tmp_path / "no.xml")
    with pytest.raises(ValueError, match=r"no \.xml, \.json or \.csv files"):
        read(tmp_path)
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match=r"several annotation files: a\.json, b\.json"):
        read(tmp_path)


def test_summary_says_what_there_is(folder, capsys):
    load_annotations(dlib(folder, [box(10, 10, 16, 16), box(1, 1, 0, 3)]))
    said = capsys.readouterr().out
    assert "load: 1 image, 1 box: object 1; sizes 16–16 pixels" in said
    assert "line 6: the box has no area" in said


def test_select_holds_pictures_back():
    images = tuple(AnnotatedImage(f"{n}.jpg", [[0, 0, n, n]], [0], 9, 9) for n in (1, 2, 3))
    data = DetectionData(images, ("a",)).select([2, 0])
    assert [image.name for image in data] == ["3.jpg", "1.jpg"]
    assert data.sizes.tolist() == [3, 1]


def test_a_box_needs_a_label():
    with pytest.raises(ValueError, match=r"a label for each box\. Received: 1 boxes, 0 labels"):
        AnnotatedImage("a.jpg", [[0, 0, 1, 1]], [], 9, 9)
