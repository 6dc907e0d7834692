"""Detection: targets and losses by hand, boxes that move with images, fit, detect, evaluate."""

import itertools

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from keras import ops
from shared_data import data_folder, keras_home
from tiny import strided_network

import keras_practical as kp
from keras_practical.detection import (
    AnnotatedImage,
    DetectionData,
    DetectionOutputs,
    Detections,
    HeatmapLoss,
    OffsetLoss,
    SizeLoss,
    Windows,
    build,
    detect,
    evaluate,
    evaluate_detections,
    fine_tune,
    inference,
)
from keras_practical.detection.targets import targets as planned

# Also run on JAX.
pytestmark = pytest.mark.any_backend

COLORS = ((250, 250, 250), (30, 30, 250))


def picture(rng, squares, side=96):
    """Return a dark image with squares `(left, top, size, label)` on it."""
    pixels = rng.integers(60, 120, (side, side, 3)).astype("uint8")
    boxes = [(left, top, left + size, top + size) for left, top, size, _ in squares]
    for (left, top, right, bottom), (*_, label) in zip(boxes, squares, strict=True):
        pixels[top:bottom, left:right] = COLORS[label]
    labels = [label for *_, label in squares]
    return AnnotatedImage(pixels, np.array(boxes), np.array(labels), side, side)


def pictures(seed, n, classes=1):
    """Return images with a square in each of three corners and one without any."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(n):
        squares = [
            (
                x + rng.integers(12),
                y + rng.integers(12),
                rng.integers(16, 33),
                rng.integers(classes),
            )
            for x, y in ((0, 0), (50, 0), (0, 50))
        ]
        images.append(picture(rng, squares))
    return DetectionData((*images, picture(rng, [])), ("white", "blue")[:classes])


def small_detector(data, **options):
    keras.utils.set_random_seed(0)
    settings = {"train_backbone": True, "object_pixels": 24, "seed": 0, "verbose": False}
    backbone = options.pop("backbone", None) or strided_network()
    return build(backbone, data, **{**settings, **options})


@pytest.fixture(scope="module")
def trained():
    """Return a detector of two kinds of squares, and the data that it learnt from."""
    data = pictures(0, 8, classes=2)
    model = small_detector(data, backbone=strided_network(again=(1,)))
    fine_tune(model, data, epochs=4, max_learning_rate=1e-2, verbose=0)
    return model, data


# --- boxes


def test_overlaps_by_hand():
    first = np.array([[0, 0, 10, 10.0]])
    others = np.array([[0, 0, 10, 10.0], [5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 0, 0]])
    np.testing.assert_allclose(inference.overlaps(first, others), [[1, 1 / 3, 0, 0]])


def test_averaged_boxes_by_hand():
    boxes = np.array([[0, 0, 10, 10.0], [2, 0, 12, 10], [40, 0, 50, 10], [0, 0, 10, 10]])
    scores, labels = np.array([0.75, 0.25, 0.5, 0.5]), np.array([0, 0, 0, 1])
    found = inference.averaged(boxes, scores, labels, np.array([0, 2]))
    np.testing.assert_allclose(found, [[0.5, 0, 10.5, 10], [40, 0, 50, 10]])
    assert inference.averaged(boxes, scores, labels, np.zeros(0, int)).shape == (0, 4)


def test_suppression_keeps_the_best_of_each_heap_and_other_classes():
    boxes = np.array([[0, 0, 10, 10.0], [1, 0, 11, 10], [40, 0, 50, 10], [0, 0, 10, 10]])
    kept = inference.non_maximum_suppression(
        boxes, np.array([0.6, 0.9, 0.3, 0.5]), np.array([0, 0, 0, 1]), 0.5
    )
    assert kept.tolist() == [1, 3, 2]
    assert not len(inference.non_maximum_suppression(boxes[:0], np.zeros(0), np.zeros(0), 0.5))


# --- targets and losses


def targets(boxes, ignored=None, labels=None, **options):
    boxes = np.array(boxes, "float32").reshape(-1, 4)
    settings = {"class_count": 2, "window": 64, "stride": 8, "object_pixels": 24}
    labels = np.zeros(len(boxes), int) if labels is None else labels
    ignored = np.zeros(len(boxes), bool) if ignored is None else ignored
    return planned(boxes, labels, ignored, **{**settings, **options})


def test_target_of_one_object_by_hand():
    # 24 x 16 pixels; its centre (30, 20) lies in the cell of row 2, column 3, of middle (28, 20).
    found = targets([[18, 12, 42, 28]], labels=np.array([1]))
    heat = found["heatmap"]
    assert heat.shape == (8, 8, 3)
    assert not heat[..., 0].any()
    assert (heat[..., 1] == 1).sum() == 1
    assert heat[2, 3, 1] == 1
    np.testing.assert_allclose(heat[2, 4, 1], np.exp(-0.5 * (6 / (0.135 * 24)) ** 2), rtol=1e-5)
    np.testing.assert_allclose(found["sizes"][2, 3], [24, 16, 1])
    np.testing.assert_allclose(found["offsets"][2, 3], [2, 0, 1])
    assert (found["sizes"][..., 2] > 0).sum() == 1
    assert (heat[..., 2] == 1).all()


@pytest.mark.parametrize(
    ("box", "asked", "weighted"),
    [
        ([20, 20, 44, 44], True, True),
        ([27, 27, 37, 37], False, False),  # 10 / 24 of the size: tolerated
        ([30, 30, 34, 34], False, True),  # a sixth: background
        ([2, 2, 62, 62], False, False),  # two and a half times
        ([-40, -40, 60, 60], False, True),  # four times: background
        ([52, 20, 76, 44], False, False),  # half of it is seen
        ([48, 20, 68, 40], True, True),  # four fifths
        ([80, 20, 104, 44], False, True),  # out of sight
    ],
)
def test_which_objects_are_asked_for(box, asked, weighted):
    heat = targets([box])["heatmap"]
    assert (heat[..., 0] == 1).any() == asked
    assert (heat[..., 2] == 1).all() == weighted


def test_ignored_objects_are_not_asked_for_and_not_background():
    heat = targets([[20, 20, 44, 44]], ignored=np.array([True]))["heatmap"]
    assert not heat[..., 0].any()
    # Cells whose middle lies in it: rows and columns 3 and 4, of 28 and 36 pixels.
    assert heat[3:5, 3:5, 2].sum() == 0
    assert (heat[..., 2] == 0).sum() == 9 - 5


def test_window_without_objects_is_all_background():
    found = targets([])
    assert not found["heatmap"][..., :2].any()
    assert (found["heatmap"][..., 2] == 1).all()
    assert not found["sizes"].any()


def test_heatmap_loss_against_numpy(rng):
    target = rng.uniform(0, 0.9, (2, 3, 3, 2))
    target[0, 1, 1, 0] = target[1, 0, 2, 1] = 1.0
    weight = rng.integers(0, 2, (2, 3, 3, 1)).astype("float64")
    weight[0, 1, 1] = weight[1, 0, 2] = 1.0
    found = rng.uniform(0.01, 0.99, target.shape)
    expected = 0.0
    for place in np.ndindex(*target.shape):
        p, t, w = found[place], target[place], weight[place[:3]][0]
        if t == 1:
            expected -= w * (1 - p) ** 2 * np.log(p)
        else:
            expected -= w * (1 - t) ** 4 * p**2 * np.log(1 - p)
    loss = HeatmapLoss()(np.concatenate([target, weight], -1).astype("float32"), found)
    assert float(loss) == pytest.approx(expected / 2, rel=1e-4)


def test_losses_of_a_batch_without_objects_are_finite():
    empty = ops.zeros((1, 2, 2, 3))
    assert float(SizeLoss()(empty, ops.ones((1, 2, 2, 2)))) == 0.0
    assert float(OffsetLoss(stride=8)(empty, ops.ones((1, 2, 2, 2)))) == 0.0
    heat = ops.concatenate([ops.zeros((1, 2, 2, 1)), ops.ones((1, 2, 2, 1))], -1)
    assert float(HeatmapLoss()(heat, ops.zeros((1, 2, 2, 1)))) == pytest.approx(0.0, abs=1e-6)


def test_outputs_decode_by_hand():
    layer = DetectionOutputs(
        ["a"], stride=8, object_pixels=24, smallest_pixels=10, largest_pixels=30
    )
    raw = np.array([0.0, np.log(2), np.log(0.5), 0.5, -1.0], "float32")
    found = layer(raw.reshape(1, 1, 1, 5))
    assert float(found["heatmap"][0, 0, 0, 0]) == 0.5
    np.testing.assert_allclose(found["sizes"][0, 0, 0], [48, 12], rtol=1e-6)
    np.testing.assert_allclose(found["offsets"][0, 0, 0], [4, -8])
    assert layer.compute_output_shape((None, None, None, 5))["sizes"] == (None, None, None, 2)


# --- windows


def bright_box(pixels):
    rows, columns = np.nonzero(pixels.min(-1) > 180)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


@pytest.mark.parametrize(("scale", "size"), [(0.2, (120, 80)), (0.7, (60, 160)), (2.5, (120, 80))])
def test_boxes_move_with_the_picture(scale, size):
    # A white disc fills its box, so its own edges in the window say where the box must be.
    width, height = size
    y, x = np.mgrid[:height, :width] + 0.5
    pixels = np.zeros((height, width, 3), "uint8")
    pixels[((x - 30) / 20) ** 2 + ((y - 40) / 15) ** 2 < 1] = 255
    image = AnnotatedImage(pixels, np.array([[10, 25, 50, 55]]), [0], width, height)
    data = DetectionData((image,) * 3, ("disc",))
    with pytest.warns(UserWarning, match="3 boxes of 'disc'"):
        model = small_detector(data)
    geometry = kp.augment.RandomGeometry(
        horizontal_flip=0.5, rotation=40, shear=10, zoom=0.2, translation=0.1, seed=3
    )
    windows = Windows(model, data, augmentation=[geometry])
    turns = windows._random_geometry(0)
    for turn in turns:
        shown, boxes = windows._window(0, scale, np.array([30.0, 40.0]), turn)
        assert shown.shape == (128, 128, 3)
        np.testing.assert_allclose(bright_box(shown), np.clip(boxes[0], 0, 128), atol=1.6)


def test_windows_show_objects_at_the_models_size():
    data = pictures(0, 3)
    windows = Windows(small_detector(data), data, background=0.0)
    for place in range(4):
        _, wanted = windows[place]
        peaks = wanted["heatmap"][..., 0] == 1
        assert peaks.any(axis=(1, 2)).all()
        sizes = wanted["sizes"][peaks][:, :2]
        assert (sizes > 24 / 2.2).all()
        assert (sizes < 24 * 2.2).all()


def test_windows_repeat_by_seed_and_change_by_epoch():
    data = pictures(0, 3)
    model = small_detector(data)
    first, again = (Windows(model, data, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first[1][0], again[1][0])
    again.on_epoch_end()
    assert (first[1][0] != again[1][0]).any()
    assert (first[0][0] != first[1][0]).any()


def test_every_class_is_shown_as_often():
    rng = np.random.default_rng(0)
    many = [picture(rng, [(10, 10, 24, 0), (60, 10, 24, 0), (10, 60, 24, 0)])] * 9
    data = DetectionData((*many, picture(rng, [(30, 30, 24, 1)])), ("white", "blue"))
    with pytest.warns(UserWarning, match="1 boxes of 'blue'"):
        model = small_detector(data)
    windows = Windows(model, data, background=0.0)
    draws = [windows._draw(np.random.default_rng(n))[0] for n in range(400)]
    assert 150 < draws.count(9) < 250


# --- training, saving, detecting


def test_detects_objects_of_two_classes_it_has_learnt(trained):
    model, _ = trained
    result = evaluate(model, pictures(9, 5, classes=2), verbose=False)
    assert result.average_precision_50 > 0.9
    assert result.class_names == ("white", "blue")
    assert "white" in str(result)
    assert len(result.detections) == 6


def test_an_untrained_detector_detects_nothing_much():
    data = pictures(0, 8, classes=2)
    result = evaluate(small_detector(data), data, verbose=False)
    assert result.average_precision_50 < 0.3


def test_a_large_picture_in_tiles_gives_what_a_small_one_does(trained, monkeypatch):
    model, _ = trained
    rng = np.random.default_rng(4)
    image = picture(rng, [(20, 20, 24, 0), (150, 40, 30, 1), (100, 200, 20, 0)], side=260)
    whole = detect(model, image.source)
    monkeypatch.setattr(inference, "_TILE", 128)
    tiled = detect(model, image.source)
    shared = inference.overlaps(whole.boxes[:3], tiled.boxes[:3])
    assert (shared.max(1) > 0.8).all()
    assert (whole.labels[:3] == tiled.labels[shared.argmax(1)]).all()
    assert (inference.overlaps(image.boxes, tiled.boxes[:3]).max(1) > 0.5).all()


@pytest.mark.parametrize(("length", "side", "margin"), [(50, 64, 8), (65, 64, 8), (900, 512, 48)])
def test_tiles_cover_every_place_once(length, side, margin):
    owner = np.zeros(length, int)
    for start, (first, last) in inference._tiles(length, side, margin):
        owner[first:last] += 1
        inside = (first - start >= margin or first == 0) and start + side - last >= margin
        assert inside or last == length
        assert start + side <= max(length, side)
    assert (owner == 1).all()


def test_sizes_are_at_most_a_factor_of_1_4_apart():
    found = inference._sizes(10, 75)
    assert len(found) == 6
    assert found[0] / 10 == pytest.approx(75 / found[-1])
    assert all(b / a <= 2**0.5 for a, b in itertools.pairwise(found))
    assert inference._sizes(10, 10) == [10]


def test_a_mirrored_picture_gives_mirrored_boxes(trained):
    model, data = trained
    pixels = data.images[0].source
    boxes, mirrored = (detect(model, view).boxes[:3] for view in (pixels, pixels[:, ::-1].copy()))
    assert len(boxes) == 3
    left, top, right, bottom = mirrored.T
    back = np.stack([96 - right, top, 96 - left, bottom], 1)
    assert (inference.overlaps(back, boxes).max(1) > 0.8).all()
    once = detect(model, pixels, tta=None).boxes[:3]
    assert np.abs(once - boxes).max() > 0.01


def test_detects_at_other_scales_when_told(trained):
    model, _ = trained
    image = picture(np.random.default_rng(4), [(40, 30, 150, 0)], side=260)
    found = detect(model, image.source, largest_pixels=200)
    assert inference.overlaps(found.boxes[:1], image.boxes)[0, 0] > 0.7


def test_saved_and_loaded_detector_finds_the_same(trained, tmp_path):
    model, data = trained
    model.save(tmp_path / "detector.keras")
    loaded = keras.models.load_model(tmp_path / "detector.keras")
    assert kp.detection.outputs_of(loaded).class_names == ("white", "blue")
    before, after = (detect(m, data.images[0].source) for m in (model, loaded))
    assert len(before)
    np.testing.assert_allclose(after.boxes, before.boxes, atol=1e-3)
    assert after.names == before.names
    # It goes on training, too.
    history = loaded.fit(Windows(loaded, data, steps=1), verbose=0)
    assert np.isfinite(history.history["loss"][0])


def test_fit_is_model_fit():
    data = pictures(0, 3)
    ours, plain = (small_detector(data, train_backbone=False) for _ in range(2))
    fine_tune(ours, data, epochs=2, steps=3, seed=3, verbose=0)
    keras.utils.set_random_seed(0)
    windows = Windows(plain, data, steps=3, seed=3)
    plain.fit(windows, epochs=2, shuffle=False, callbacks=[kp.OneCycle(2e-3)], verbose=0)
    for a, b in zip(ours.trainable_weights, plain.trainable_weights, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(a), ops.convert_to_numpy(b), atol=1e-3, err_msg=a.path
        )


def test_frozen_backbone_stays_as_it_was():
    data = pictures(0, 3)
    model = small_detector(data, train_backbone=False)
    body = next(layer for layer in model.layers if layer.name == "small")
    before = [ops.convert_to_numpy(weight).copy() for weight in body.weights]
    fine_tune(model, data, epochs=1, steps=2, verbose=0)
    for old, new in zip(before, body.weights, strict=True):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(new))


def test_a_backbone_of_fixed_size_gets_windows_and_tiles_of_it():
    data = pictures(0, 3)
    keras.utils.set_random_seed(0)
    model = build(strided_network(64), data, object_pixels=24, verbose=False)
    assert model.input_shape == (None, 64, 64, 3)
    assert Windows(model, data)[0][0].shape == (8, 64, 64, 3)
    assert isinstance(detect(model, data.images[0].source, threshold=0.9), Detections)


def test_named_backbones_are_tapped_before_they_shrink():
    data = pictures(0, 3)
    model = build("MobileNetV2", data, weights=None, verbose=False)
    body = next(layer for layer in model.layers if layer.name == "MobileNetV2")
    assert [tensor.shape[-1] for tensor in body.outputs] == [192, 576]
    assert not body.trainable_weights
    assert kp.detection.outputs_of(model).stride == 8


def test_build_says_what_it_decided_and_that_there_is_little(capsys):
    rng = np.random.default_rng(0)
    data = DetectionData((picture(rng, [(10, 10, 20, 0)] * 8),), ("white",))
    with pytest.warns(UserWarning, match="little to learn from: 1 image with objects"):
        build(strided_network(), data)
    assert "build: objects of 13–30 pixels, scaled to 48; stride 8" in capsys.readouterr().out


def test_picture_in_memory_file_and_turned_file_give_the_same(trained, tmp_path):
    from PIL import Image

    model, data = trained
    pixels = data.images[0].source
    Image.fromarray(pixels).save(tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(pixels[::-1, ::-1]).save(tmp_path / "turned.png", exif=exif)
    found = [
        detect(model, source) for source in (pixels, tmp_path / "a.png", tmp_path / "turned.png")
    ]
    assert len(found[0])
    for other in found[1:]:
        np.testing.assert_allclose(other.boxes, found[0].boxes, atol=1e-3)


# --- judging


def detections(boxes, scores, labels=None, class_names=("a",)):
    labels = np.zeros(len(boxes), int) if labels is None else np.array(labels)
    return Detections(
        boxes=np.array(boxes, "float32").reshape(-1, 4),
        scores=np.array(scores),
        labels=labels,
        class_names=class_names,
    )


def annotated(boxes, labels=None, ignored=()):
    labels = np.zeros(len(boxes), int) if labels is None else labels
    return AnnotatedImage("a.jpg", np.array(boxes), labels, 100, 100, np.array(ignored, bool))


def test_average_precision_by_hand():
    # Right, wrong, right; one of three objects is never found. Precision 1 up to recall 1/3, 2/3
    # up to 2/3, then 0: at 0, .01, ... 1, 34 recalls with 1, 33 with 2/3, 34 with 0.
    truth = [[0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]]
    found = detections([[0, 0, 10, 10], [80, 80, 90, 90], [20, 20, 30, 30]], [0.9, 0.8, 0.4])
    result = evaluate_detections([found], DetectionData((annotated(truth),), ("a",)))
    assert result.average_precision_50 == pytest.approx((34 + 33 * 2 / 3) / 101)
    assert result.average_precision == pytest.approx(result.average_precision_50)
    assert (result.found, result.missed, result.false_alarms) == (2, 1, 1)


def test_overlap_counts_in_the_mean_over_thresholds():
    # 10 x 8 of 10 x 10: an overlap of .8, right at .5, .55, ... .8: 7 of 10.
    truth = DetectionData((annotated([[0, 0, 10, 10]]),), ("a",))
    result = evaluate_detections([detections([[0, 0, 10, 8]], [0.9])], truth)
    assert result.average_precision_50 == pytest.approx(1.0)
    assert result.average_precision == pytest.approx(0.7)


def test_a_second_box_for_an_object_is_a_false_alarm_and_ignored_ones_are_nothing():
    truth = annotated([[0, 0, 10, 10], [50, 50, 60, 60]], ignored=(False, True))
    found = detections([[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]], [0.9, 0.8, 0.7])
    result = evaluate_detections([found], DetectionData((truth,), ("a",)))
    assert (result.found, result.missed, result.false_alarms) == (1, 0, 1)


def test_boxes_on_pictures_without_objects_are_false_alarms():
    data = DetectionData((annotated([[0, 0, 10, 10]]), annotated([])), ("a",))
    right = detections([[0, 0, 10, 10]], [0.6])
    alarm = detections([[0, 0, 10, 10]], [0.9])
    result = evaluate_detections([right, alarm], data)
    assert result.average_precision_50 == pytest.approx(0.5)
    assert result.false_alarms == 1


def test_nothing_found_is_zero_and_classes_without_objects_do_not_count():
    data = DetectionData((annotated([[0, 0, 10, 10]]),), ("a", "b"))
    names = ("a", "b")
    nothing = evaluate_detections([detections([], [], class_names=names)], data)
    assert nothing.average_precision_50 == 0.0
    assert nothing.missed == 1
    found = evaluate_detections([detections([[0, 0, 10, 10]] * 2, [0.9, 0.9], [0, 1], names)], data)
    assert found.average_precision_50 == 1.0
    assert np.isnan(found.class_average_precision_50[1])
    assert found.false_alarms == 1
    assert "b  no objects" in str(found)


# --- drawing


def test_show_draws_what_was_found_and_the_truth():
    found = detections([[10, 20, 40, 60]], [0.87], [1], ("cat", "dog"))
    truth = annotated([[12, 20, 40, 60]])
    ax = plt.figure().add_subplot()
    drawn = kp.detection.show(np.zeros((100, 100, 3)), detections=found, truth=truth, ax=ax)
    assert drawn is ax
    assert [patch.get_xy() for patch in ax.patches] == [(12, 20), (10, 20)]
    assert [text.get_text() for text in ax.texts] == ["dog 0.87"]


def test_precision_recall_leaves_out_classes_without_objects():
    data = DetectionData((annotated([[0, 0, 10, 10]]),), ("a", "b"))
    found = detections([[0, 0, 10, 10]], [0.9], class_names=("a", "b"))
    ax = kp.detection.plot_precision_recall(evaluate_detections([found], data))
    [line] = ax.get_lines()
    np.testing.assert_array_equal(line.get_ydata(), 1.0)


# --- what is wrong is named


def test_bad_arguments(trained):
    model, data = trained
    other = DetectionData(data.images, ("white", "green"))
    blank = DetectionData((picture(np.random.default_rng(0), []),) * 3, ("white", "blue"))
    dense = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    cases = [
        (lambda: Windows(model, other), "`data` must have the model's classes.*white, green"),
        (lambda: Windows(model, blank), "at least one box to learn from"),
        (lambda: Windows(model, data, background=2), "`background` must be a number from 0 to 1"),
        (lambda: Windows(dense, data), "`model` must be a detector.*0 DetectionOutputs"),
        (
            lambda: Windows(model, data, augmentation=[kp.augment.RandomGeometry()] * 2),
            "may have one RandomGeometry",
        ),
        (lambda: fine_tune(model, data, epochs=0), "`epochs`"),
        (lambda: build(strided_network(), blank), "`data` must have at least one box"),
        (lambda: build("MobileNetV9", data), "`backbone` must be one of"),
        (lambda: build("InceptionV3", data), "maps aren't in step .* Received: 'InceptionV3'"),
        (lambda: build(dense, data), "`backbone` must be a name .* input shape"),
        (lambda: build(strided_network(), data, object_pixels=0), "`object_pixels`"),
        (lambda: detect(model, "no.jpg"), "Can't read no.jpg: there is no such file"),
        (lambda: detect(model, data.images[0].source, threshold=2), "`threshold`"),
        (lambda: detect(model, data.images[0].source, tta="ten"), "`tta` must be one of"),
        (lambda: detect(model, data.images[0].source, largest_pixels=1), "`largest_pixels`"),
        (lambda: evaluate_detections([], data), "one entry an image. Received: 0 for 9"),
        (
            lambda: evaluate_detections([detections([], [])] * 9, data),
            "the detector's classes, in order",
        ),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()


def test_a_backbone_without_a_usable_map_is_refused():
    data = pictures(0, 3)
    flat = keras.Sequential([keras.Input((64, 64, 3)), keras.layers.Conv2D(4, 3, strides=32)])
    with pytest.raises(ValueError, match=r"feature maps 8 or 16 .* maps 32 times smaller"):
        build(flat, data)


def test_an_uncompiled_detector_is_refused(trained):
    _, data = trained
    model = small_detector(data)
    plain = keras.Model(model.inputs, model.outputs)
    plain.compiled = False
    with pytest.raises(ValueError, match="must be compiled"):
        fine_tune(plain, data)


# --- dlib's faces


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.tf_only
def test_faces_from_four_pictures():
    weights = next((keras_home() / "models").glob("mobilenet_v2*_1.0_224_no_top.h5"))
    folder = data_folder() / "faces"
    training = kp.detection.load_annotations(folder / "training.xml", verbose=False)
    assert [len(image.boxes) for image in training] == [7, 6, 2, 3]
    assert not training.problems
    model = build("MobileNetV2", training, weights=weights, seed=0, verbose=False)
    fine_tune(model, training, epochs=2, verbose=0)
    test = kp.detection.load_annotations(folder / "testing.xml", verbose=False)
    assert evaluate(model, test, verbose=False).average_precision_50 > 0.9


def test_all_boxes_of_a_crowded_image_count():
    corners = np.stack([np.arange(150) % 15 * 30, np.arange(150) // 15 * 30], axis=1).astype(float)
    boxes = np.concatenate([corners, corners + 20], axis=1)
    cells = AnnotatedImage("cells.jpg", boxes, np.zeros(150, int), 450, 300)
    data = DetectionData((cells,), ("cell",))
    found = Detections(
        boxes=boxes,
        scores=np.linspace(0.99, 0.5, 150),
        labels=np.zeros(150, int),
        class_names=("cell",),
    )
    result = evaluate_detections([found], data)
    assert (result.found, result.missed, result.false_alarms) == (150, 0, 0)
    assert result.average_precision == 1.0
    # COCO's rule, for comparison with published figures: recall stops at two thirds.
    cut = evaluate_detections([found], data, max_detections=100)
    assert (cut.found, cut.missed) == (100, 50)
    assert cut.average_precision_50 == pytest.approx(67 / 101)
    with pytest.raises(ValueError, match="max_detections"):
        evaluate_detections([found], data, max_detections=0)


def test_a_crowded_image_gives_all_its_boxes(monkeypatch, rng):
    noise = rng.integers(0, 256, (400, 400, 3)).astype("uint8")
    model = small_detector(pictures(0, 3))
    options = {"threshold": 0.001, "verbose": False}
    found = detect(model, noise, **options)
    assert len(found) > 100
    surest = detect(model, noise, max_detections=100, **options)
    np.testing.assert_allclose(surest.scores, found.scores[:100])
    np.testing.assert_allclose(surest.boxes, found.boxes[:100], rtol=1e-5)
    monkeypatch.setattr("keras_practical.detection.inference._BLOCK", 7)
    np.testing.assert_allclose(detect(model, noise, **options).boxes, found.boxes, rtol=1e-5)
    data = DetectionData((AnnotatedImage(noise, found.boxes, found.labels, 400, 400),), ("white",))
    assert len(evaluate(model, data, verbose=False).detections[0]) > 100


def three_objects():
    """Return truth of three objects and boxes of which the first and the third are right."""
    boxes = np.array([[10.0, 10, 30, 30], [50, 50, 70, 70], [80, 80, 99, 99]])
    truth = DetectionData((AnnotatedImage("a.jpg", boxes, [0, 0, 0], 100, 100),), ("cat", "dog"))
    shown = np.array([boxes[0], [0, 0, 5, 5], boxes[1]])
    found = Detections(
        boxes=shown,
        scores=np.array([0.9, 0.8, 0.7]),
        labels=np.zeros(3, int),
        class_names=("cat", "dog"),
    )
    return truth, found


@pytest.mark.parametrize(
    ("recall_points", "expected"),
    [
        # Up to a recall of 1/3 precision is 1, up to 2/3 it is 2/3, beyond it is 0.
        (101, (34 + 33 * 2 / 3) / 101),
        (11, (4 + 3 * 2 / 3) / 11),
        (None, 1 / 3 + 1 / 3 * 2 / 3),
    ],
)
def test_average_precision_by_each_rule_by_hand(recall_points, expected):
    truth, found = three_objects()
    result = evaluate_detections([found], truth, recall_points=recall_points)
    assert result.average_precision_50 == pytest.approx(expected)
    assert result.average_precision == pytest.approx(expected)
    assert np.isnan(result.class_average_precision_50[1])
    assert len(result.recalls) == result.precisions.shape[1] == 101
    with pytest.raises(ValueError, match="`recall_points` must be"):
        evaluate_detections([found], truth, recall_points=1)


@pytest.mark.parametrize(
    ("box", "score"),
    [
        ([30, 10, 10, 30], 0.9),
        ([10, 30, 30, 10], 0.9),
        ([10, 10, np.nan, 30], 0.9),
        ([10, 10, 30, 30], np.nan),
    ],
)
def test_boxes_the_wrong_way_round_are_named(box, score):
    """pycocotools leaves boxes of negative size out: they would be no false alarms."""
    truth, found = three_objects()
    boxes, scores = found.boxes.copy(), found.scores.copy()
    boxes[1], scores[1] = box, score
    turned = Detections(
        boxes=boxes, scores=scores, labels=found.labels, class_names=found.class_names
    )
    with pytest.raises(ValueError, match="box 1 of image 0"):
        evaluate_detections([turned], truth)


def test_a_box_of_any_size_is_a_false_alarm():
    truth, found = three_objects()
    for size in (0.0, 1e6):
        boxes = found.boxes.copy()
        boxes[1] = [0, 0, size, size]
        odd = Detections(
            boxes=boxes, scores=found.scores, labels=found.labels, class_names=found.class_names
        )
        assert evaluate_detections([odd], truth).false_alarms == 1


def test_fine_tune_says_what_it_brought_and_keeps_a_better_start(capsys):
    data, unseen = pictures(0, 8), pictures(1, 4)
    model = small_detector(data, backbone=strided_network(again=(1,)))
    history = fine_tune(
        model, data, validation_data=unseen, epochs=4, max_learning_rate=1e-2, verbose=2
    )
    before, after = history.params["average_precision"]
    assert after > before + 0.1
    assert f"average precision {after:.3f} at overlaps of .5 to .95" in capsys.readouterr().out
    kept = model.get_weights()
    history = fine_tune(
        model, data, validation_data=unseen, epochs=1, steps=3, max_learning_rate=10.0, verbose=2
    )
    begun, ruined = history.params["average_precision"]
    assert begun == pytest.approx(after)
    assert ruined < begun
    for old, new in zip(kept, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert "the weights are as they were" in capsys.readouterr().out
