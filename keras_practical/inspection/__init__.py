"""What is wrong with the data, before and after a model has seen them.

Rooms: `auditing` with `findings`, `measures`, `image_rules` and `set_rules`; `copies` with
`alignment` and `tiny_images` (the same image twice); `shortcuts` and `name_groups`; `wrong_labels`;
`reviewing` with `review_page` (on which a person decides).
"""

from typing import TYPE_CHECKING

from keras_practical.utils.faces import lazy_face

if TYPE_CHECKING:
    from keras_practical.inspection.auditing import audit
    from keras_practical.inspection.copies import SimilarPair, near_duplicates
    from keras_practical.inspection.findings import AuditFindings, Case, Finding
    from keras_practical.inspection.reviewing import Reviewable, review
    from keras_practical.inspection.shortcuts import Shortcut, find_shortcuts
    from keras_practical.inspection.wrong_labels import LabelError, LabelErrors, label_errors

__all__ = [
    "AuditFindings",
    "Case",
    "Finding",
    "LabelError",
    "LabelErrors",
    "Reviewable",
    "Shortcut",
    "SimilarPair",
    "audit",
    "find_shortcuts",
    "label_errors",
    "near_duplicates",
    "review",
]

_ROOMS = {
    "inspection.auditing": ("audit",),
    "inspection.copies": ("SimilarPair", "near_duplicates"),
    "inspection.findings": ("AuditFindings", "Case", "Finding"),
    "inspection.wrong_labels": ("LabelError", "LabelErrors", "label_errors"),
    "inspection.reviewing": ("Reviewable", "review"),
    "inspection.shortcuts": ("Shortcut", "find_shortcuts"),
}

__getattr__, __dir__ = lazy_face(__name__, _ROOMS)
