"""Scans: stacks of slices of any depth, from DICOM and NIfTI files.

    scans = kp.scans.load_volumes("study/", window="lung")
    model = kp.scans.classifier("MobileNetV2", scans.class_names)
    kp.transfer.fine_tune(model, scans.train, validation_data=scans.validation)

Rooms: `files` (a scan from a folder or a file), `loading` (`load_volumes`), `classifiers`.
"""

from typing import TYPE_CHECKING

from keras_practical.utils.faces import lazy_face

if TYPE_CHECKING:
    from keras_practical.data.dicom import CT_WINDOWS, Slice, windowed
    from keras_practical.scans.batches import VolumeBatches, pad_volumes
    from keras_practical.scans.classifiers import classifier, slice_attention
    from keras_practical.scans.files import read_volume
    from keras_practical.scans.loading import VolumeData, load_volumes

__all__ = [
    "CT_WINDOWS",
    "Slice",
    "VolumeBatches",
    "VolumeData",
    "classifier",
    "load_volumes",
    "pad_volumes",
    "read_volume",
    "slice_attention",
    "windowed",
]

_ROOMS = {
    "data.dicom": ("CT_WINDOWS", "Slice", "windowed"),
    "scans.classifiers": ("classifier", "slice_attention"),
    "scans.files": ("read_volume",),
    "scans.loading": ("VolumeData", "load_volumes"),
    "scans.batches": ("VolumeBatches", "pad_volumes"),
}

__getattr__, __dir__ = lazy_face(__name__, _ROOMS)
