"""Scans: the classifier, where it looks, and how scans are read."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny import tiny_backbone

import keras_practical as kp
from keras_practical import evaluate, transfer
from keras_practical.scans import load_volumes, pad_volumes, read_volume
from keras_practical.scans.batches import VolumeBatches
from keras_practical.scans.classifiers import classifier, slice_attention
from keras_practical.scans.layers import AttentionPooling

# Also run on JAX.
pytestmark = pytest.mark.any_backend


def planted_nodules(n, seed, side=16):
    """Return scans of 5 to 11 noisy slices, their classes, and which slice shows the nodule."""
    rng = np.random.default_rng(seed)
    scans, places = [], []
    for number in range(n):
        depth = rng.integers(5, 12)
        # Scans differ in brightness by more than a nodule is bright.
        scan = rng.normal(rng.uniform(40, 140), 12, (depth, side, side, 1))
        place = rng.integers(depth) if number % 2 else -1
        if number % 2:
            row, column = rng.integers(2, side - 4, 2)
            scan[place, row : row + 3, column : column + 3] += 90
        scans.append(np.clip(scan, 0, 255).astype("uint8"))
        places.append(place)
    return scans, np.arange(n) % 2, np.array(places)


def small_encoder(side=16):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((side, side, 1)),
            layers.Rescaling(1 / 127.5, offset=-1.0),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 3, activation="relu"),
            layers.GlobalMaxPooling2D(),
        ],
        name="encoder",
    )


def test_attention_pooling_is_the_papers_equation(rng):
    features = rng.normal(size=(2, 3, 4)).astype("float32")
    scans = pad_volumes([np.zeros((depth, 5, 5, 1)) for depth in (3, 2)])
    layer = AttentionPooling(6, seed=0, scan_channels=1)
    # The last slice only fills up: it has no features.
    pooled, attention = layer([features.reshape(6, 4)[:5], scans])
    content, gate, score = (ops.convert_to_numpy(weight) for weight in layer.weights)
    hidden = np.tanh(features @ content) / (1 + np.exp(-(features @ gate)))
    raw = np.exp((hidden @ score)[..., 0])
    raw[1, 2] = 0.0
    expected = raw / raw.sum(1, keepdims=True)
    np.testing.assert_allclose(attention, expected, rtol=1e-5)
    np.testing.assert_allclose(
        pooled, (features * expected[..., None]).sum(1), rtol=1e-4, atol=1e-6
    )


def test_padding_changes_nothing(rng):
    model = classifier(small_encoder(), 2, seed=0)
    scan = rng.integers(0, 255, (4, 16, 16, 1)).astype("float32")
    alone = model.predict(scan[None], verbose=0)
    filled = model.predict(pad_volumes([scan, np.zeros((9, 16, 16, 1))]), verbose=0)
    np.testing.assert_allclose(filled[:1], alone, atol=1e-5)


def test_it_finds_the_slices_that_matter(tmp_path):
    scans, labels, _ = planted_nodules(96, seed=0)
    unseen, unseen_labels, places = planted_nodules(60, seed=1)
    keras.utils.set_random_seed(0)
    model = classifier(small_encoder(), ["clear", "nodule"], attention_units=16, seed=0)
    transfer.fine_tune(
        model,
        VolumeBatches(scans, labels, batch_size=8, seed=0),
        frozen_epochs=0,
        epochs=15,
        max_learning_rate=1e-2,
        backbone_multiplier=1.0,
        verbose=0,
    )
    found = evaluate(model, VolumeBatches(unseen, unseen_labels, batch_size=8), verbose=False)
    assert found.accuracy_interval[0] > 0.75
    attention = slice_attention(model, unseen)
    assert [len(weights) for weights in attention] == [len(scan) for scan in unseen]
    with_nodule = np.flatnonzero(unseen_labels)
    hits = np.mean([attention[row].argmax() == places[row] for row in with_nodule])
    chance = np.mean([1 / len(unseen[row]) for row in with_nodule])
    assert chance < 0.2
    assert hits > 0.7

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        slice_attention(loaded, unseen[:3])[1], attention[1], rtol=1e-4, atol=1e-6
    )


def test_fine_tune_goes_through_both_phases(rng):
    scans = [rng.integers(0, 255, (depth, 8, 8, 1)) for depth in (3, 5, 4, 2)]
    model = classifier(tiny_backbone(), 3, seed=0)
    assert [layer.trainable for layer in model.layers if layer.name == "tiny"]
    frozen = transfer.summary(model)
    assert frozen.rows[0][3] == 0
    data = VolumeBatches(scans, [0, 1, 2, 0], seed=0)
    history = transfer.fine_tune(model, data, frozen_epochs=1, epochs=1, verbose=0)
    assert history.epoch == [0, 1]
    assert transfer.summary(model).frozen_batch_norm_count == 2
    assert model.predict(np.zeros((1, 6, 8, 8, 1)), verbose=0).shape == (1, 3)


def test_grey_scans_reach_an_rgb_backbone_as_three_equal_channels(rng):
    backbone = tiny_backbone()
    scan = rng.integers(0, 255, (1, 4, 8, 8, 1)).astype("float32")
    grey = classifier(backbone, 2, seed=0)
    colour = classifier(backbone, 2, channels=3, seed=0)
    expected = colour.predict(np.repeat(scan, 3, axis=-1), verbose=0)
    np.testing.assert_allclose(grey.predict(scan, verbose=0), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 2}, "`channels` must be one of 1, 3"),
        ({"dropout": 1.0}, "`dropout`"),
        ({"attention_units": 0}, "`attention_units`"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        classifier(tiny_backbone(), 2, **options)


def test_slice_attention_needs_a_volume_classifier():
    with pytest.raises(ValueError, match=r"scans\.classifier.*tiny"):
        slice_attention(tiny_backbone(), [np.zeros((2, 8, 8, 3))])


def test_batches_come_in_a_new_order_each_epoch_and_in_their_own_without_seed():
    scans = [np.full((1, 2, 2, 1), value) for value in range(6)]

    def values(batches):
        return [int(v) for place in range(len(batches)) for v in batches[place][0][:, 0, 0, 0, 0]]

    ordered = VolumeBatches(scans, range(6), batch_size=4)
    assert values(ordered) == list(range(6))
    shuffled = VolumeBatches(scans, range(6), batch_size=4, seed=0)
    first = values(shuffled)
    assert [int(label) for place in (0, 1) for label in shuffled[place][1]] == first
    shuffled.on_epoch_end()
    assert sorted(values(shuffled)) == sorted(first) == list(range(6))
    assert values(shuffled) != first


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pad_volumes([]), "alike but for"),
        (lambda: pad_volumes([np.zeros((2, 4, 4, 1)), np.zeros((2, 5, 4, 1))]), "alike but for"),
        (lambda: pad_volumes([np.zeros((4, 2, 2, 1))], depth=3), "deepest scan, 4"),
        (lambda: VolumeBatches([np.zeros((4, 2, 2, 1))], [0, 1]), "one label for each"),
        (lambda: pad_volumes([np.zeros((0, 2, 2, 1)), np.zeros((1, 2, 2, 1))]), "at least one sl"),
        (lambda: VolumeBatches([np.zeros((4, 2, 2, 1))], [0], depth=3), "from 1 to `depth` slices"),
        (lambda: VolumeBatches([np.zeros((0, 2, 2, 1))], [0]), "Received: 0 to 0 slices"),
    ],
)
def test_wrong_scans_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def write_slices(folder, values, names=None):
    """Write grey PNG slices of one value each."""
    from PIL import Image

    folder.mkdir(parents=True)
    for number, value in enumerate(values):
        name = names[number] if names else f"slice_{number}"
        Image.new("L", (4, 4), value).save(folder / f"{name}.png")


def test_slices_come_in_the_order_of_their_numbers(tmp_path):
    write_slices(tmp_path / "scan", [10, 100, 20], ["slice_1", "slice_10", "slice_2"])
    assert read_volume(tmp_path / "scan")[:, 0, 0, 0].tolist() == [10, 20, 100]


def test_max_slices_are_spread(tmp_path):
    write_slices(tmp_path / "scan", range(10))
    found = read_volume(tmp_path / "scan", max_slices=5)[:, 0, 0, 0].tolist()
    assert found == [1, 3, 5, 7, 9]


def dicom_slice(value, position, series="1.2"):
    import io

    import pydicom
    from pydicom.data import get_testdata_file

    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    dataset.Rows = dataset.Columns = 4
    dataset.PixelData = np.full((4, 4), value, "int16").tobytes()
    dataset.ImagePositionPatient = [0, 0, position]
    dataset.SeriesInstanceUID = series
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def test_dicom_slices_come_from_the_feet_to_the_head_in_one_range(tmp_path):
    for name, value, position in (("a", 300, 5.0), ("b", 100, -2.5), ("c", 200, 1.0)):
        (tmp_path / f"{name}.dcm").write_bytes(dicom_slice(value, position))
    assert read_volume(tmp_path)[:, 0, 0, 0].tolist() == [0, 128, 255]


def test_slices_of_two_series_are_refused(tmp_path):
    for name, series in (("a", "1.2"), ("b", "1.3")):
        (tmp_path / f"{name}.dcm").write_bytes(dicom_slice(0, 0, series))
    with pytest.raises(ValueError, match="slices of 2 series"):
        read_volume(tmp_path)


@pytest.fixture
def study(tmp_path):
    """Scans of two classes: folders of slices, a NIfTI file, and one with a broken slice."""
    import nibabel

    root = tmp_path / "study"
    for name, class_name in (("p1", "ill"), ("p2", "ill"), ("p3", "well"), ("p4", "well")):
        write_slices(root / class_name / name, range(int(name[1]) + 1))
    write_slices(root / "well" / "p4_again" / "series", range(2))
    volume = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(4, 4, 7)), np.eye(4))
    nibabel.save(volume, root / "ill" / "p5.nii.gz")
    write_slices(root / "ill" / "p6", range(3))
    (root / "ill" / "p6" / "slice_1.png").write_bytes(b"no image")
    return root


def test_load_volumes_reads_scans_splits_by_group_and_names_broken_ones(study, capsys):
    with pytest.warns(UserWarning, match=r"(?s)1 of 7.*p6.*slice_1\.png.*not an image"):
        data = load_volumes(
            study,
            image_size=4,
            batch_size=3,
            validation_fraction=0.4,
            groups=lambda record: record.name.split("/")[1][:2],
        )
    assert data.class_names == ("ill", "well")
    sides = [{r.group for r in data.index.split(split)} for split in ("train", "validation")]
    assert sides[0].isdisjoint(sides[1])
    depths = {r.name.split("/")[-1]: None for r in data.index}
    assert {"p1", "p5.nii.gz", "series", "p6"} <= set(depths)
    seen = sum(len(labels) for place in range(len(data.train)) for labels in [data.train[place][1]])
    assert seen + len(data.index.split("validation")) == 6
    assert "scans of 2 to 7 slices, 2 classes" in capsys.readouterr().out
    model = classifier(tiny_backbone_of(4), data.class_names)
    assert evaluate(model, data.validation, verbose=False).class_names == ("ill", "well")


def tiny_backbone_of(side):
    return keras.Sequential([keras.Input((side, side, 1)), keras.layers.Conv2D(3, 3)])


def test_scans_beyond_the_memory_are_read_again(study, monkeypatch):
    from keras_practical.scans import loading

    options = {"image_size": 4, "validation_fraction": 0, "verbose": False, "batch_size": 9}
    with pytest.warns(UserWarning, match="1 of 7"):
        kept = load_volumes(study, **options).train[0]
    monkeypatch.setattr(loading, "_MEMORY_LIMIT_BYTES", 50)
    with pytest.warns(UserWarning, match="1 of 7"):
        again = load_volumes(study, **options).train[0]
    np.testing.assert_array_equal(kept[0], again[0])


def test_ensemble_is_the_mean_and_saves(tmp_path, rng):
    models = [transfer.classifier(tiny_backbone(seed), 3, seed=seed) for seed in range(3)]
    images = rng.integers(0, 255, (5, 8, 8, 3)).astype("float32")
    joint = transfer.ensemble(models)
    expected = np.mean([model.predict(images, verbose=0) for model in models], axis=0)
    np.testing.assert_allclose(joint.predict(images, verbose=0), expected, atol=1e-6)
    assert evaluate(joint, (images, [0, 1, 2, 0, 1]), verbose=False).n == 5
    joint.save(tmp_path / "joint.keras")
    loaded = keras.models.load_model(tmp_path / "joint.keras")
    np.testing.assert_allclose(loaded.predict(images, verbose=0), expected, atol=1e-6)


def test_ensemble_of_one_or_of_others_is_refused():
    first = transfer.classifier(tiny_backbone(), 3)
    with pytest.raises(ValueError, match="at least two"):
        transfer.ensemble([first])
    with pytest.raises(ValueError, match="same inputs and outputs"):
        transfer.ensemble([first, transfer.classifier(tiny_backbone(1), 2)])


def scan_of(folder, slices):
    """Write slices, each `(value, attributes)`; an attribute of `None` is taken out."""
    import io

    import pydicom

    folder.mkdir(exist_ok=True)
    for number, (value, attributes) in enumerate(slices):
        dataset = pydicom.dcmread(io.BytesIO(dicom_slice(value, 0.0)))
        for name in ("InstanceNumber", "SliceLocation", "AcquisitionNumber"):
            if name in dataset:
                delattr(dataset, name)
        for name, content in attributes.items():
            if content is None:
                delattr(dataset, name)
            else:
                setattr(dataset, name, content)
        # A PACS names files as it likes.
        dataset.save_as(folder / f"{(7 * number) % 5}_{number}.dcm", enforce_file_format=True)
    return folder


def order(folder):
    return np.argsort(np.argsort(read_volume(folder)[:, 0, 0, 0])).tolist()


@pytest.mark.parametrize("rows", [[1, 0, 0, 0, 1, 0], [1, 0, 0, 0, -1, 0], [-1, 0, 0, 0, 1, 0]])
def test_slices_go_to_the_head_however_their_rows_run(rows, tmp_path):
    slices = [
        (100 * k, {"ImagePositionPatient": [0, 0, 2.0 * k], "ImageOrientationPatient": rows})
        for k in range(4)
    ]
    assert order(scan_of(tmp_path, slices)) == [0, 1, 2, 3]


def test_position_without_directions_counts_along_the_body(tmp_path):
    slices = [
        (100 * k, {"ImagePositionPatient": [0, 0, 2.0 * k], "ImageOrientationPatient": None})
        for k in range(4)
    ]
    assert order(scan_of(tmp_path, slices)) == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["SliceLocation", "InstanceNumber"])
def test_without_every_position_another_order_is_taken_and_said(name, tmp_path):
    slices = [
        (100 * k, {"ImagePositionPatient": None if k == 2 else [0, 0, -3.0 * k], name: k + 1})
        for k in range(4)
    ]
    with pytest.warns(UserWarning, match=f"not every slice has a position.*{name}"):
        assert order(scan_of(tmp_path, slices)) == [0, 1, 2, 3]


def test_slices_without_any_order_are_refused(tmp_path):
    slices = [(100 * k, {"ImagePositionPatient": None}) for k in range(3)]
    with pytest.raises(ValueError, match="nothing in its slices tells their order"):
        read_volume(scan_of(tmp_path, slices))


def test_two_phases_in_one_folder_are_refused(tmp_path):
    slices = [
        (k, {"ImagePositionPatient": [0, 0, k % 3], "AcquisitionNumber": 1 + k // 3})
        for k in range(6)
    ]
    with pytest.raises(ValueError, match=r"more than one stack.*AcquisitionNumber 1"):
        read_volume(scan_of(tmp_path, slices))


def test_slices_of_two_directions_are_refused(tmp_path):
    slices = [
        (k, {"ImagePositionPatient": [0, k, k], "ImageOrientationPatient": rows})
        for k, rows in enumerate(([1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1]))
    ]
    with pytest.raises(ValueError, match="lie in several directions"):
        read_volume(scan_of(tmp_path, slices))


def test_localizers_are_left_out_and_said(tmp_path):
    slices = [(100 * k, {"ImagePositionPatient": [0, 0, 2.0 * k]}) for k in range(3)]
    overview = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "SeriesInstanceUID": "9"}
    scan_of(tmp_path, [*slices, (7, overview)])
    with pytest.warns(UserWarning, match="left out 1 localizers"):
        assert order(tmp_path) == [0, 1, 2]


def test_what_lies_beside_a_scan_is_passed_over(tmp_path):
    slices = [(100 * k, {"ImagePositionPatient": [0, 0, 2.0 * k]}) for k in range(3)]
    scan_of(tmp_path, slices)
    for name in ("Thumbs.db", "LICENSE", "069.xml", "DICOMDIR", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert order(tmp_path) == [0, 1, 2]
    (tmp_path / "preview.jpg").write_bytes(b"x")
    with pytest.warns(UserWarning, match="left out what isn't DICOM: preview.jpg"):
        assert order(tmp_path) == [0, 1, 2]


def test_dicom_without_its_preamble_is_read(tmp_path):
    whole = dicom_slice(100, 0.0)
    (tmp_path / "old.dcm").write_bytes(whole[132:])
    (tmp_path / "new.dcm").write_bytes(whole)
    assert np.array_equal(read_volume(tmp_path / "old.dcm"), read_volume(tmp_path / "new.dcm"))


@pytest.mark.parametrize(
    "names",
    [
        ["slice_-10.5", "slice_-2", "slice_3", "slice_12"],
        ["z1.25", "z1.5", "z2", "z10"],
        ["1.2.840.9", "1.2.840.10", "1.2.841.1", "1.2.841.2"],
        ["slice-2", "slice-3", "slice-10", "slice-11"],
    ],
)
def test_numbers_in_names_count_by_value(names, tmp_path):
    values = [10, 20, 30, 40]
    write_slices(tmp_path / "scan", values, names)
    assert read_volume(tmp_path / "scan")[:, 0, 0, 0].tolist() == values


def test_images_of_several_kinds_are_refused(tmp_path):
    write_slices(tmp_path / "scan", [1, 2])
    (tmp_path / "scan" / "mask.tif").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"several kinds \(.*\.tif"):
        read_volume(tmp_path / "scan")


def test_nifti_with_gaps_and_a_bogus_range(tmp_path):
    import nibabel

    values = np.linspace(0, 1000, 64, dtype="float32").reshape(4, 4, 4)
    values[0, 0, 0], values[1, 1, 1] = np.nan, np.inf
    image = nibabel.Nifti1Image(values, np.eye(4))
    nibabel.save(image, tmp_path / "gaps.nii")
    volume = read_volume(tmp_path / "gaps.nii")
    # The infinite voxel is black and decides nothing: the largest finite one is white.
    assert volume.max() == 255
    assert np.unique(volume).size > 50
    image.header["cal_min"], image.header["cal_max"] = -5.0, -1.0
    nibabel.save(image, tmp_path / "bogus.nii")
    with pytest.warns(UserWarning, match="cal_min and cal_max.*leave out nearly all values"):
        assert np.array_equal(read_volume(tmp_path / "bogus.nii"), volume)


RAMP = np.arange(24, dtype="int16").reshape(4, 2, 3) * 10


def in_full_range(values):
    low, high = int(values.min()), int(values.max())
    return np.rint(255.0 * (values - low) / (high - low)).astype(int)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd"])
def test_nrrd_and_meta_image_are_turned_as_dicom_is(suffix, tmp_path):
    import SimpleITK

    image = SimpleITK.GetImageFromArray(RAMP)
    SimpleITK.WriteImage(image, str(tmp_path / f"plain{suffix}"))
    assert (read_volume(tmp_path / f"plain{suffix}")[..., 0] == in_full_range(RAMP)).all()
    # Stored from the head to the feet and from the left to the right: the same scan.
    turned = SimpleITK.GetImageFromArray(np.ascontiguousarray(RAMP[::-1, :, ::-1]))
    turned.SetDirection([-1, 0, 0, 0, 1, 0, 0, 0, -1])
    SimpleITK.WriteImage(turned, str(tmp_path / f"turned{suffix}"))
    assert (read_volume(tmp_path / f"turned{suffix}")[..., 0] == in_full_range(RAMP)).all()
    window = read_volume(tmp_path / f"plain{suffix}", window=(50.5, 101))
    assert (window.min(), window.max(), window[0, 1, 1, 0]) == (0, 255, 102)


def test_numpy_and_tiff_stacks(tmp_path):
    from PIL import Image

    np.save(tmp_path / "scan.npy", RAMP)
    assert (read_volume(tmp_path / "scan.npy")[..., 0] == in_full_range(RAMP)).all()
    # 8-bit values are grey values already.
    np.save(tmp_path / "bytes.npy", RAMP.astype("uint8"))
    assert (read_volume(tmp_path / "bytes.npy")[..., 0] == RAMP).all()
    first, *others = (Image.fromarray(page.astype("uint8")) for page in RAMP)
    first.save(tmp_path / "stack.tif", save_all=True, append_images=others)
    assert (read_volume(tmp_path / "stack.tif")[..., 0] == RAMP).all()
    np.save(tmp_path / "flat.npy", RAMP[0])
    with pytest.raises(ValueError, match=r"flat\.npy: it isn't one volume of grey values"):
        read_volume(tmp_path / "flat.npy")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"objects\.npy"):
        read_volume(tmp_path / "objects.npy")


def test_one_volume_of_several(tmp_path):
    import nibabel

    film = np.stack([RAMP.transpose(2, 1, 0), 200 - RAMP.transpose(2, 1, 0)], axis=-1)
    path = tmp_path / "film.nii"
    nibabel.save(nibabel.Nifti1Image(film, np.diag([-1.0, -1, 1, 1])), path)
    assert (read_volume(path, volume=0)[..., 0] == in_full_range(RAMP)).all()
    assert (read_volume(path, volume=1)[..., 0] == in_full_range(200 - RAMP)).all()
    with pytest.raises(ValueError, match="isn't one volume but 2: pass volume=0"):
        read_volume(path)
    with pytest.raises(ValueError, match="has the volumes 0 to 1, and no 2"):
        read_volume(path, volume=2)


def test_load_volumes_takes_each_of_them_for_a_scan(tmp_path):
    import SimpleITK

    for kind in ("ill", "well"):
        (tmp_path / kind / "site").mkdir(parents=True)
        for k in range(3):
            image = SimpleITK.GetImageFromArray(RAMP + k)
            SimpleITK.WriteImage(image, str(tmp_path / kind / "site" / f"{k}.mhd"))
            np.save(tmp_path / kind / f"{k}.npy", RAMP + k)
    data = load_volumes(tmp_path, image_size=4, verbose=False)
    assert len(data.index) == 12
    assert not data.index.problems


@pytest.mark.parametrize("bad", range(4))
def test_one_broken_scan_of_few_never_stops_a_run(bad, tmp_path):
    for kind in ("ill", "well"):
        (tmp_path / kind).mkdir()
        for k in range(4):
            np.save(tmp_path / kind / f"{k}.npy", RAMP + k + 10 * (kind == "ill"))
    (tmp_path / "ill" / f"{bad}.npy").write_bytes(b"")
    with pytest.warns(UserWarning, match="1 of 8 images can't be read"):
        data = load_volumes(tmp_path, image_size=4, verbose=False)
    assert data.index.counts("validation") == {"ill": 1, "well": 1}


def test_slices_in_colour_have_their_places_too(tmp_path):
    import pydicom
    from pydicom.data import get_testdata_file

    dataset = pydicom.dcmread(get_testdata_file("SC_rgb_small_odd.dcm", download=False))
    for number, value in ((1, 200), (2, 10), (3, 100)):
        dataset.PixelData = np.full(
            3 * dataset.Rows * dataset.Columns + 1, value, "uint8"
        ).tobytes()
        dataset.ImagePositionPatient = [0, 0, {200: 5.0, 10: 1.0, 100: 3.0}[value]]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.save_as(tmp_path / f"{number}.dcm")
    assert read_volume(tmp_path, color_mode="rgb")[:, 0, 0, 0].tolist() == [10, 100, 200]


def normed_encoder(side=8):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((side, side, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(momentum=0.5, name="norm"),
            layers.GlobalAveragePooling2D(),
        ]
    )


SCANS = {
    "Hounsfield units": lambda rng, shape: rng.uniform(-1000, 1500, shape),
    "air around": lambda rng, shape: np.where(
        np.arange(8)[:, None] > 2, rng.normal(40, 9, shape), -1000
    ),
    "standardized": lambda rng, shape: rng.normal(size=shape),
    "fractions": lambda rng, shape: rng.uniform(0, 1, shape),
    "all -1": lambda rng, shape: np.full(shape, -1.0),
    "all 0": lambda rng, shape: np.zeros(shape),
    "a negative constant": lambda rng, shape: np.full(shape, -3.5),
}


@pytest.mark.parametrize("name", list(SCANS))
def test_a_scan_alone_is_as_in_a_batch_whatever_its_values(name, rng):
    scans = [SCANS[name](rng, (depth, 8, 8, 1)) for depth in (3, 7, 1, 4)]
    model = classifier(normed_encoder(), 3, seed=0)
    alone = np.concatenate([model.predict(scan[None], verbose=0) for scan in scans])
    for batch_size in (1, 3, 4):
        batches = VolumeBatches(scans, np.zeros(4), batch_size=batch_size, depth=9)
        np.testing.assert_allclose(model.predict(batches, verbose=0), alone, atol=1e-5)
    np.testing.assert_allclose(model.predict(pad_volumes(scans), verbose=0), alone, atol=1e-5)
    backwards = model.predict(pad_volumes(scans[::-1]), verbose=0)
    np.testing.assert_allclose(backwards[::-1], alone, atol=1e-5)
    # Even one that is all NaN, and first.
    broken = pad_volumes([np.full((2, 8, 8, 1), np.nan), *scans])
    found = model.predict(broken, verbose=0)[1:]
    np.testing.assert_allclose(found, alone, atol=1e-5)
    for scan, weights in zip(scans, slice_attention(model, scans), strict=True):
        assert weights.shape == (len(scan),)
        assert (weights > 0).all()
        assert weights.sum() == pytest.approx(1, abs=1e-5)


def test_slices_that_fill_up_stay_out_of_batch_statistics_and_gradients(rng):
    scans = [rng.uniform(-900, 900, (depth, 8, 8, 1)) for depth in (2, 6, 3)]
    kernel = None
    for depth in (None, 6, 11):
        keras.utils.set_random_seed(0)
        encoder = normed_encoder()
        model = classifier(encoder, 2, dropout=0.0, seed=0)
        transfer.freeze_to(model, 0, train_batch_norm=True)
        loss = "sparse_categorical_crossentropy"
        model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
        convolved = np.concatenate(
            [
                keras.ops.convert_to_numpy(encoder.layers[0](scan.astype("float32")))
                for scan in scans
            ]
        )
        batches = VolumeBatches(scans, [0, 1, 1], batch_size=3, depth=depth)
        model.fit(batches, epochs=1, shuffle=False, verbose=0)
        norm = encoder.get_layer("norm")
        # Keras's update, from 0 and 1, with the statistics of the 11 slices that there are.
        mean, variance = convolved.mean((0, 1, 2)), convolved.var((0, 1, 2))
        np.testing.assert_allclose(ops.convert_to_numpy(norm.moving_mean), 0.5 * mean, rtol=1e-4)
        np.testing.assert_allclose(
            ops.convert_to_numpy(norm.moving_variance), 0.5 + 0.5 * variance, rtol=1e-3
        )
        now = encoder.layers[0].get_weights()[0]
        kernel = now if kernel is None else kernel
        np.testing.assert_allclose(now, kernel, rtol=1e-4, atol=1e-6)


def test_scans_of_one_depth_are_batched_as_they_are(rng):
    scans = rng.uniform(-5, 5, (4, 4, 8, 8, 1)).astype("float32")
    np.testing.assert_array_equal(pad_volumes(scans), scans)
    np.testing.assert_array_equal(VolumeBatches(scans, [0, 1, 0, 1], batch_size=4)[0][0], scans)
    filled = pad_volumes(scans, depth=6)
    np.testing.assert_array_equal(filled[:, :4, ..., :1], scans)
    assert filled[..., 1].any((2, 3)).tolist() == 4 * [4 * [True] + 2 * [False]]
    model = classifier(small_encoder(8), 2, seed=0)
    labels = np.array([0, 1, 0, 1])
    for data in ((scans, labels), (filled, labels), VolumeBatches(scans, labels)):
        found = evaluate(model, data, verbose=False)
        assert found.n == 4
    folds = kp.cross_validate(lambda part: model, (filled, labels), folds=2, verbose=False)
    np.testing.assert_allclose(folds.probabilities[0], model.predict(scans, verbose=0), atol=1e-5)


@pytest.mark.parametrize("channels", [2, 3])
def test_other_channels_are_refused(channels):
    model = classifier(small_encoder(8), 2, seed=0)
    volumes = np.zeros((1, 2, 8, 8, channels), "float32")
    if channels == 2:
        volumes[..., 1] = 1
        assert model.predict(volumes, verbose=0).shape == (1, 2)
        return
    with pytest.raises(ValueError, match="Scans must have 1 channels, or one more"):
        model.predict(volumes, verbose=0)


def test_several_steps_an_execution_and_a_saved_model(rng, tmp_path):
    scans = [rng.normal(size=(depth, 8, 8, 1)) for depth in (2, 5, 3, 1, 4, 2, 5)]
    model = classifier(normed_encoder(), 2, seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy", steps_per_execution=4)
    batches = VolumeBatches(scans, [0, 1, 0, 1, 0, 1, 1], seed=0)
    model.fit(batches, epochs=2, verbose=0)
    expected = model.predict(pad_volumes(scans), verbose=0)
    model.save(tmp_path / "scans.keras")
    loaded = keras.models.load_model(tmp_path / "scans.keras")
    np.testing.assert_allclose(loaded.predict(pad_volumes(scans), verbose=0), expected, atol=1e-6)
    np.testing.assert_allclose(loaded.predict(scans[1][None], verbose=0), expected[1:2], atol=1e-5)


def test_grad_cam_of_a_scan_knows_nothing_of_slices_that_fill_up(rng):
    model = classifier(normed_encoder(), 2, seed=0)
    scan = rng.uniform(-1000, 400, (3, 8, 8, 1)).astype("float32")
    expected = kp.grad_cam(model, scan, class_index=1)
    found = kp.grad_cam(model, pad_volumes([scan], depth=5)[0], class_index=1)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-4, atol=1e-7)
    assert found.image.shape == expected.image.shape == (3, 8, 8, 3)
    np.testing.assert_array_equal(found.image, expected.image)
