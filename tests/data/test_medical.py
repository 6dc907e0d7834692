"""DICOM and NIfTI: pydicom's and nibabel's own sample files, and hand-computed windows."""

import io
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from keras_practical import load_images, read_image
from keras_practical.scans import read_volume
from keras_practical.scans.files import nifti_slices


def sample(name):
    return get_testdata_file(name, download=False)


def made(values, **attributes):
    """Return the bytes of a DICOM file with these stored values."""
    dataset = pydicom.dcmread(sample("CT_small.dcm"))
    for name in ("PixelPaddingValue", "RescaleSlope", "RescaleIntercept", "DataSetTrailingPadding"):
        delattr(dataset, name)
    values = np.asarray(values, "int16")
    dataset.Rows, dataset.Columns = values.shape
    dataset.PixelData = values.tobytes()
    for name, value in attributes.items():
        if name == "PixelPaddingValue":
            dataset.add_new(name, "SS", value)
        else:
            setattr(dataset, name, value)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def greys(data, **options):
    return read_image(data, color_mode="grayscale", **options)[..., 0].tolist()


def test_window_of_the_file_is_pydicoms():
    dataset = pydicom.dcmread(sample("MR_small.dcm"))
    expected = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    expected = (expected + 32768) / 65535 * 255
    found = read_image(sample("MR_small.dcm"), color_mode="grayscale")[..., 0]
    assert np.abs(found - expected).max() <= 0.5 + 1e-9
    assert found.std() > 30


def test_lung_window_after_rescale():
    # Hounsfield units -1350, -600, 150: bottom, middle and top of the lung window.
    data = made([[-326, 424, 1174]], RescaleSlope=1, RescaleIntercept=-1024)
    assert greys(data, window="lung") == [[0, 128, 255]]
    assert greys(data, window=(-600, 1500)) == [[0, 128, 255]]


def test_full_window_and_a_file_without_one_take_all_values():
    data = made([[-100, 0, 100]])
    assert greys(data) == greys(data, window="full") == [[0, 128, 255]]


def test_monochrome1_is_inverted():
    data = made([[0, 100]], PhotometricInterpretation="MONOCHROME1")
    assert greys(data) == [[255, 0]]


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_no_part_of_the_range(kind):
    dataset = made([[-2000, 0, 100]], PhotometricInterpretation=kind, PixelPaddingValue=-2000)
    found = greys(dataset)[0]
    assert found[0] == 0
    assert sorted(found[1:]) == [0, 255]


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_voi_functions_are_pydicoms(function):
    values = np.arange(-60, 60, 7)[None]
    data = made(values, WindowCenter=[5, 0], WindowWidth=[40, 9], VOILUTFunction=function)
    dataset = pydicom.dcmread(io.BytesIO(data))
    expected = (apply_voi_lut(dataset.pixel_array, dataset) + 32768) / 65535 * 255
    assert np.abs(np.array(greys(data)) - expected).max() <= 0.5 + 1e-9


def test_voi_table_is_applied():
    table = pydicom.Dataset()
    table.LUTDescriptor = [3, 0, 8]
    table.add_new("LUTData", "OW", np.array([0, 200, 255], "uint16").tobytes())
    assert greys(made([[0, 1, 2]], VOILUTSequence=[table])) == [[0, 200, 255]]


def test_windows_of_functional_groups_count():
    window, groups = pydicom.Dataset(), pydicom.Dataset()
    window.WindowCenter, window.WindowWidth = 50.5, 101
    groups.FrameVOILUTSequence = [window]
    data = made([[0, 50, 100]], SharedFunctionalGroupsSequence=[groups])
    assert greys(data) == [[0, 128, 255]]
    assert greys(made([[0, 50, 400]], SharedFunctionalGroupsSequence=[groups]))[0][1] == 128


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_expb.dcm",
    ],
)
def test_other_transfer_syntaxes_give_the_same_picture(name):
    assert (read_image(sample(name)) == read_image(sample("MR_small.dcm"))).all()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("SC_rgb_rle_16bit.dcm", (100, 100, 3)),
        ("SC_rgb_jpeg_gdcm.dcm", (100, 100, 3)),
        ("SC_ybr_full_422_uncompressed.dcm", (100, 100, 3)),
        ("examples_palette.dcm", (350, 800, 3)),
    ],
)
def test_colours_are_read(name, shape):
    found = read_image(sample(name))
    assert found.shape == shape
    assert (found[..., 0] != found[..., 2]).any()


def test_same_red_from_every_encoding():
    """The samples' first rows are pure red."""
    for name in ("SC_rgb_rle.dcm", "SC_rgb_rle_16bit.dcm", "SC_rgb_rle_32bit.dcm"):
        assert read_image(sample(name))[2, 2].tolist() == [255, 0, 0]
    lossy = read_image(sample("SC_rgb_dcmtk_+eb+cy+np.dcm"))[2, 2].astype(int)
    assert np.abs(lossy - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rtplan.dcm", "DICOM without an image"),
        ("test-SR.dcm", "DICOM without an image"),
        ("MR_truncated.dcm", "fewer|less than expected"),
        ("JPGExtended.dcm", r"no decoder here reads.*JPEG Extended.*keras-practical\[medical\]"),
    ],
)
def test_unreadable_files_say_why(name, message):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=rf"Can't read .*{name}.*({message})"):
            read_image(sample(name))


def test_presets_are_for_ct_only():
    with pytest.raises(ValueError, match=r"'lung' is in Hounsfield units.*this is MR"):
        read_image(sample("MR_small.dcm"), window="lung")


@pytest.mark.parametrize("window", ["long", (1, 0), (1,), 5, None, ("a", 2)])
def test_wrong_windows_are_named(window):
    with pytest.raises(ValueError, match=r'"lung".*Received: window='):
        read_image(np.zeros((2, 2)), window=window)


def test_huge_pictures_are_refused(monkeypatch):
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match="64 x 64 pixels are more than Pillow's limit"):
        read_image(sample("MR_small.dcm"))


def test_missing_pydicom_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(ValueError, match=r'pip install "keras-practical\[medical\]"'):
        read_image(Path(sample("MR_small.dcm")))


@pytest.fixture
def study(tmp_path):
    """Two classes of two DICOM files each, and one broken one."""
    for label, base in (("dark", 0), ("light", 100)):
        (tmp_path / label).mkdir()
        for number in range(2):
            values = np.full((4, 4), base + number)
            (tmp_path / label / f"{number}.dcm").write_bytes(made(values))
    (tmp_path / "dark" / "broken.dcm").write_bytes(made(np.zeros((4, 4)))[:-20])
    return tmp_path


@pytest.mark.parametrize("cache", ["memory", None])
def test_load_images_reads_dicom_and_leaves_broken_files_out(study, cache):
    with pytest.warns(UserWarning, match=r"(?s)1 of 5 images.*broken\.dcm.*left out"):
        data = load_images(
            study, image_size=4, window=(50, 100), validation_fraction=0, cache=cache, verbose=False
        )
    seen = sorted(float(pixel) for pixels, _ in data.train for pixel in pixels[:, 0, 0, 0])
    assert seen == [0, 3, 255, 255]


def test_disk_cache_depends_on_the_window(study, tmp_path_factory):
    (study / "dark" / "broken.dcm").unlink()
    folder = tmp_path_factory.mktemp("cache")
    options = {"image_size": 4, "cache": "disk", "cache_dir": folder, "verbose": False}
    first = load_images(study, window=(50, 100), **options)
    second = load_images(study, window=(0, 10), **options)
    assert len(list(folder.glob("*.npy"))) == 2
    assert not np.array_equal(*(next(iter(d.validation))[0].numpy() for d in (first, second)))


def nifti(name):
    import nibabel

    return Path(nibabel.__file__).parent / "tests" / "data" / name


def test_nifti_is_turned_for_the_eye(tmp_path):
    import nibabel

    values = np.arange(24, dtype="float32").reshape(2, 3, 4)
    # Voxels that grow to the left, the back and the head: the first two are turned.
    path = tmp_path / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-1.0, -1, 2, 1])), path)
    slices = nifti_slices(path)
    assert len(slices) == 4
    # Rows grow to the back and columns to the left, as in DICOM.
    assert slices[1].values.tolist() == values[:, :, 1].T.tolist()
    assert [one.position for one in slices] == [0, 2, 4, 6]


def test_nifti_samples_are_read():
    volume = read_volume(nifti("anatomical.nii"))
    assert volume.shape == (25, 41, 33, 1)
    assert (volume.min(), volume.max()) == (0, 255)


@pytest.mark.parametrize(
    ("name", "message"),
    [("functional.nii", "isn't one volume"), ("no_such.nii.gz", "no such file")],
)
def test_wrong_nifti_files_say_why(name, message):
    with pytest.raises(ValueError, match=f"Can't read .*{name}.*{message}"):
        read_volume(nifti(name))


def test_read_image_points_to_volumes(tmp_path):
    (tmp_path / "scan.nii").write_bytes(b"x" * 400)
    with pytest.raises(ValueError, match="holds a volume: use load_volumes"):
        read_image(tmp_path / "scan.nii")
