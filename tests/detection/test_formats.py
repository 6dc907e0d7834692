"""Files of labelling tools, each written after its documentation, give the same boxes."""

import json

import numpy as np
import pytest
from PIL import Image

import keras_practical as kp
from keras_practical.detection import load_annotations

# On images of 40 x 30 pixels: left, top, right, bottom.
BOXES = {"a.png": [("cat", (4, 3, 20, 15)), ("dog", (22, 6, 38, 27))], "b.png": []}


@pytest.fixture
def root(tmp_path):
    for name in BOXES:
        Image.new("RGB", (40, 30)).save(tmp_path / name)
    return tmp_path


def write(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def check(data):
    found = {
        image.source.name: [
            (data.class_names[label], tuple(box))
            for label, box in zip(image.labels.tolist(), image.boxes.tolist(), strict=True)
        ]
        for image in data
    }
    assert set(found) == set(BOXES)
    for name, expected in BOXES.items():
        assert [cls for cls, _ in found[name]] == [cls for cls, _ in expected]
        for (_, box), (_, edges) in zip(found[name], expected, strict=True):
            np.testing.assert_allclose(box, edges, atol=1e-3)


def read(source, **options):
    return load_annotations(source, verbose=False, **options)


def test_cvat_for_images(root):
    cat, dog = (edges for _, edges in BOXES["a.png"])
    polygon = ";".join(f"{x}.0,{y}.0" for x in dog[::2] for y in dog[1::2])
    text = f"""<annotations><version>1.1</version>
    <image id="0" name="a.png" width="40" height="30">
    <box label="cat" xtl="{cat[0]}" ytl="{cat[1]}" xbr="{cat[2]}" ybr="{cat[3]}" occluded="0"/>
    <polygon label="dog" points="{polygon}"/><tag label="outdoors"/></image>
    <image id="1" name="b.png" width="40" height="30"/></annotations>"""
    check(read(write(root / "annotations.xml", text)))


def test_a_cvat_shape_without_a_box_takes_its_image_out(root):
    text = """<annotations><image id="0" name="a.png" width="40" height="30">
    <cuboid label="cat"/></image>
    <image id="1" name="b.png" width="40" height="30"/></annotations>"""
    data = read(write(root / "annotations.xml", text))
    assert [image.source.name for image in data] == ["b.png"]
    assert "a <cuboid> has no box" in data.problems[0]


def labelme(root, name, shapes):
    content = {"version": "5.4", "shapes": shapes, "imagePath": f"..\\photos\\{name}"}
    content |= {"imageWidth": 40, "imageHeight": 30, "imageData": None}
    return write(root / f"{name[:-4]}.json", content)


def test_labelme_has_a_file_for_each_image(root):
    (_, cat), (_, dog) = BOXES["a.png"]
    # Corners in any order; a polygon's box is around it.
    rectangle = [[cat[2], cat[3]], [cat[0], cat[1]]]
    triangle = [[dog[0], dog[1]], [dog[2], dog[1]], [dog[2], dog[3]]]
    shapes = [
        {"label": "cat", "points": rectangle, "shape_type": "rectangle"},
        {"label": "dog", "points": triangle, "shape_type": "polygon"},
    ]
    labelme(root, "a.png", shapes)
    labelme(root, "b.png", [])
    check(read(root))


def test_labelmes_circle_is_a_centre_and_a_point_on_it(root):
    shapes = [{"label": "cat", "points": [[20, 15], [23, 19]], "shape_type": "circle"}]
    data = read(labelme(root, "a.png", shapes))
    assert data.images[0].boxes.tolist() == [[15, 10, 25, 20]]


@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize("numbered", [False, True])
def test_via(project, numbered, root):
    (_, cat), (_, dog) = BOXES["a.png"]
    regions = [
        {
            "shape_attributes": {
                "name": "rect", "x": cat[0], "y": cat[1],
                "width": cat[2] - cat[0], "height": cat[3] - cat[1],
            },
            "region_attributes": {"animal": "cat"},
        },
        {
            "shape_attributes": {
                "name": "polygon", "all_points_x": [dog[0], dog[2], dog[2]],
                "all_points_y": [dog[1], dog[1], dog[3]],
            },
            "region_attributes": {"class": "dog", "note": "asleep"},
        },
    ]  # fmt: skip
    regions = {str(n): region for n, region in enumerate(regions)} if numbered else regions
    entries = {
        "a.png123": {"filename": "a.png", "size": 123, "regions": regions},
        "b.png99": {"filename": "b.png", "size": 99, "regions": {} if numbered else []},
    }
    content = {"_via_settings": {}, "_via_img_metadata": entries} if project else entries
    check(read(write(root / "via.json", content)))


def test_createml_counts_from_centres(root):
    things = [
        {
            "label": name,
            "coordinates": {
                "x": (left + right) / 2, "y": (top + bottom) / 2,
                "width": right - left, "height": bottom - top,
            },
        }
        for name, (left, top, right, bottom) in BOXES["a.png"]
    ]  # fmt: skip
    content = [{"image": "a.png", "annotations": things}, {"image": "b.png", "annotations": []}]
    check(read(write(root / "createml.json", content)))


def test_open_images_has_fractions_and_names_without_extension(root):
    lines = ["ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax"]
    for name, (left, top, right, bottom) in BOXES["a.png"]:
        lines.append(f"a,xclick,{name},1,{left / 40},{right / 40},{top / 30},{bottom / 30}")
    data = read(write(root / "train-annotations-bbox.csv", "\n".join(lines)))
    assert "all edges are between 0 and 1" in data.problems[0]
    [image] = data
    assert data.class_names == ("cat", "dog")
    np.testing.assert_allclose(image.boxes, [edges for _, edges in BOXES["a.png"]], atol=1e-3)


def yolo(root, lines, yaml="train: images/train\nnames:\n  0: cat\n  1: dog\n"):
    (root / "images" / "train").mkdir(parents=True)
    for name in BOXES:
        (root / name).rename(root / "images" / "train" / name)
    write(root / "labels" / "train" / "a.txt", "\n".join(lines))
    return write(root / "data.yaml", yaml)


def yolo_line(number, edges):
    left, top, right, bottom = edges
    numbers = ((left + right) / 80, (top + bottom) / 60, (right - left) / 40, (bottom - top) / 30)
    return f"{number} " + " ".join(f"{n:.6f}" for n in numbers)


@pytest.mark.parametrize(
    "yaml",
    [
        "train: images/train\nnames:\n  0: cat\n  1: dog\n",
        "path: .\ntrain: images/train\nnc: 2\nnames: [cat, dog]\n",
        # As Roboflow exports it, one folder off.
        "train: ../images/train\nnames: ['cat', 'dog']\n",
    ],
)
def test_yolo(yaml, root):
    (_, cat), (_, dog) = BOXES["a.png"]
    corners = (
        f"1 {dog[0] / 40} {dog[1] / 30} {dog[2] / 40} {dog[1] / 30} {dog[2] / 40} {dog[3] / 30}"
    )
    file = yolo(root, [yolo_line(0, cat), corners], yaml)
    check(read(file))
    check(read(root))


def test_what_yolo_lines_can_lack_is_told(root):
    file = yolo(root, ["7 .5 .5 .1 .1"])
    data = read(file)
    assert "a.txt, line 1: there is no class '7'" in data.problems[0]
    assert [image.source.name for image in data] == ["b.png"]


def test_parts_are_asked_for(root):
    yaml = "train: images/train\nval: images/val\nnames: [cat, dog]\n"
    file = yolo(root, [yolo_line(0, BOXES["a.png"][0][1])], yaml)
    (root / "images" / "val").mkdir()
    with pytest.raises(ValueError, match=r"the parts train, validation: say which.*split='train'"):
        read(file)
    assert len(read(file, split="train")) == 2


def test_a_root_with_train_and_valid(root):
    for part in ("train", "valid"):
        (root / part).mkdir()
        Image.new("RGB", (40, 30)).save(root / part / "a.png")
        content = {
            "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
            "categories": [{"id": 1, "name": part}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}],
        }
        write(root / part / "_annotations.coco.json", content)
    with pytest.raises(ValueError, match="has the parts train, validation: say which to read"):
        read(root)
    assert read(root, split="validation").class_names == ("valid",)


def boxes_of(root):
    lines = ["image,left,top,right,bottom,label"]
    for name, edges in BOXES["a.png"]:
        lines.append(",".join(["a.png", *map(str, edges), name]))
    return read(write(root / "boxes.csv", "\n".join([*lines, "b.png,,,,,"])))


def test_written_as_coco_and_read_again(root):
    data = boxes_of(root)
    file = data.to_coco(root / "coco.json")
    check(read(file))
    # By an independent reader.
    from pycocotools.coco import COCO

    coco = COCO(str(file))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == ["cat", "dog"]
    assert coco.loadAnns(coco.getAnnIds())[0]["bbox"] == [4, 3, 16, 12]


def test_written_as_yolo_and_read_again(root):
    data = boxes_of(root)
    file = data.to_yolo(root / "yolo")
    check(read(file))
    assert (root / "yolo/labels/train/a.txt").read_text().splitlines()[0].startswith("0 0.3")
    assert (root / "yolo/labels/train/b.txt").read_text() == ""
    with pytest.raises(ValueError, match="must be a new or an empty folder"):
        data.to_yolo(root / "yolo")


def test_arrays_have_no_name_to_write(root):
    image = kp.detection.AnnotatedImage(np.zeros((4, 4, 3), "uint8"), np.zeros((0, 4)), [], 4, 4)
    data = kp.detection.DetectionData((image,), ("cat",))
    with pytest.raises(ValueError, match="is an array"):
        data.to_coco(root / "x.json")
    with pytest.raises(ValueError, match="a file of its own name"):
        data.to_yolo(root / "y")
    assert not (root / "y").exists()
