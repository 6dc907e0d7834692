"""The house's rules, read off the source: floors, light imports, documented public names."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "keras_practical"
# Imports run strictly downward: a module may import only from floors below its own.
FLOORS = {
    "_batches": 0,
    "_boxes": 0,
    "_detection_targets": 0,
    "_drawing": 0,
    "_fingerprint": 0,
    "_framing": 0,
    "_gradients": 0,
    "_graph": 0,
    "_lined_files": 0,
    "_overlay": 0,
    "_paths": 0,
    "_picture_descent": 0,
    "_progress": 0,
    "_recurrent_state": 0,
    "_regression": 0,
    "_shown": 0,
    "_snapshot": 0,
    "_steering": 0,
    "_tables": 0,
    "_tiny_pictures": 0,
    "_validation": 0,
    "feature_files": 0,
    "medical": 0,
    "name_groups": 0,
    "patch_mapping": 0,
    "power_laws": 0,
    "style_losses": 0,
    "style_weights": 0,
    "suggestions": 0,
    "_text_files": 0,
    "right_to_left": 0,
    "_annotation_files": 1,
    "_asked_class": 1,
    "_picture_similarity": 1,
    "_projective": 1,
    "_style_objective": 1,
    "backbones": 1,
    "carried_state": 1,
    "characters": 1,
    "curves": 1,
    "detection_outputs": 1,
    "images": 1,
    "index": 1,
    "intervals": 1,
    "losses": 1,
    "picture_plots": 4,
    "predictions": 1,
    "resizing": 1,
    "sampling": 1,
    "sources": 1,
    "training_plots": 1,
    "cooccurrence": 1,
    "text_layers": 1,
    "text_normalization": 1,
    "_character_model": 2,
    "_detection_network": 2,
    "annotations": 2,
    "character_data": 2,
    "color": 2,
    "decisions": 2,
    "detection_plots": 2,
    "downloads": 2,
    "freezing": 2,
    "geometry": 2,
    "heat_maps": 2,
    "indexing": 2,
    "mixing": 2,
    "near_duplicates": 2,
    "pasting": 2,
    "pixels": 2,
    "picture_properties": 2,
    "result_plots": 2,
    "resuming": 4,
    "schedules": 2,
    "shortcuts": 2,
    "splitting": 2,
    "style_features": 2,
    "volume_files": 2,
    "subwords": 2,
    "text_sources": 2,
    "_any_source": 3,
    "_origin": 3,
    "_painting_scene": 3,
    "callbacks": 3,
    "character_evaluation": 3,
    "classifiers": 3,
    "detector": 3,
    "ensembles": 3,
    "feature_networks": 3,
    "generation": 3,
    "grad_cam": 3,
    "occlusion": 3,
    "optimizers": 3,
    "picture_checks": 3,
    "picture_pieces": 4,
    "plots": 5,
    "predict": 3,
    "presets": 3,
    "review_items": 3,
    "volume_data": 3,
    "audit_findings": 4,
    "text_classifiers": 3,
    "text_labels": 3,
    "augment": 4,
    "data": 4,
    "detecting": 4,
    "detection_training": 4,
    "embeddings": 5,
    "calibration": 4,
    "evaluate": 4,
    "harmonization": 4,
    "interpreted_pictures": 5,
    "lr_finder": 4,
    "operating_points": 4,
    "review": 4,
    "style_transfer": 4,
    "volumes": 4,
    "language_models": 4,
    "text_data": 4,
    "average_precision": 5,
    "comparison": 5,
    "cross_validation": 5,
    "embedding_map": 5,
    "head_training": 5,
    "picture_rules": 5,
    "set_rules": 5,
    "text_training": 5,
    "text_baseline": 5,
    "interpretation": 5,
    "audit": 6,
    "label_findings": 6,
    "interpret": 6,
    "transfer": 6,
    "text_explanations": 6,
    "detection": 7,
    "probes": 7,
    "style": 7,
    "text": 7,
    "backbone_race": 8,
    "label_errors": 8,
    "learning_curves": 8,
    "cli": 9,
}
HEAVY = {
    "PIL",
    "cleanlab",
    "jax",
    "jinja2",
    "matplotlib",
    "nibabel",
    "pycocotools",
    "pydicom",
    "scipy",
    "sentencepiece",
    "sklearn",
    "tensorflow",
    "tensorflow_datasets",
}
MODULES = sorted(path for path in PACKAGE.glob("*.py") if path.name != "__init__.py")
PUBLIC = [path for path in MODULES if not path.stem.startswith("_")]


def named(path):
    return path.stem


def test_floors_name_every_module():
    assert {path.stem for path in MODULES} == set(FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_module_imports_only_downward(path):
    for module in imported_siblings(ast.parse(path.read_text())):
        assert FLOORS[module] < FLOORS[path.stem], f"{path.stem} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_module_imports_nothing_heavy_at_its_top(path):
    assert not top_level_imports(ast.parse(path.read_text())) & HEAVY


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_module_stays_short(path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", PUBLIC, ids=named)
def test_module_lists_its_public_names(path):
    tree = ast.parse(path.read_text())
    defined = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    }
    listed = exported(tree)
    assert listed == sorted(listed)
    internal = INTERNAL.get(path.stem, set())
    assert defined - set(listed) == internal


# Public to the floors above, not to users.
INTERNAL = {
    "characters": {"check_text"},
    "classifiers": {"resolve_backbone"},
    "cli": {"train", "evaluate"},
    "curves": {"check_segments"},
    "feature_networks": {"draws", "random_layer"},
    "images": {"Header", "decode", "inspect", "readers"},
    "medical": {"between"},
    "resizing": {"from_config"},
    "sampling": {"check_sampling"},
    "sources": {"composed", "decided"},
}


@pytest.mark.parametrize("path", [path for path in PUBLIC if path.stem != "cli"], ids=named)
def test_public_names_follow_the_docstring_rules(path):
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in exported(tree):
            text = ast.get_docstring(node) or ""
            where = f"{path.stem}.{node.name}"
            assert re.match(r"[A-Z].*[.]$", text.splitlines()[0]), f"{where}: one-line summary"
            names = arguments(node)
            if names:
                described = section(text, "Args:") or section(text, "Attributes:")
                for name in names:
                    assert f"\n    {name}:" in f"\n{described}", f"{where}: {name} undocumented"
            if isinstance(node, ast.FunctionDef) and returns_something(node):
                assert "Returns:" in text, f"{where}: Returns"
            if raises(node):
                assert "Raises:" in text, f"{where}: Raises"
            if where not in NEEDS_A_DOWNLOAD:
                assert ">>> " in text, f"{where}: Example"


NEEDS_A_DOWNLOAD = {"downloads.from_cats_vs_dogs", "downloads.from_tfds"}


@pytest.mark.parametrize("path", [path for path in MODULES if path.stem != "cli"], ids=named)
def test_functions_take_options_by_keyword(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            positional = [a.arg for a in node.args.args if a.arg not in ("self", "cls")]
            with_default = positional[len(positional) - len(node.args.defaults) :]
            assert len(positional) <= 5, f"{node.name} takes {positional} by position"
            hooks = {
                "data",
                "logs",
                "note",
                "path",
                "scale",
                "titles",
                "force",
                "verbose",
                "label_smoothing",
                "training",
                "ordered",
            }
            assert set(with_default) <= hooks, f"{node.name}: {with_default}"


def test_face_exports_what_it_lists():
    import keras_practical

    for name in keras_practical.__all__:
        assert hasattr(keras_practical, name)
    assert len(set(keras_practical.__all__)) == len(keras_practical.__all__)


def test_fields_are_imported_when_they_are_asked_for():
    code = (
        "import sys, keras_practical as kp; "
        "assert 'keras_practical.text_training' not in sys.modules; "
        "assert {'text', 'detection', 'style'} <= set(dir(kp)); "
        "print(kp.text.fine_tune.__name__, kp.detection.build.__name__, kp.style.paste.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent
    )
    assert done.stdout.split() == ["fine_tune", "build", "paste"], done.stderr
    import keras_practical

    with pytest.raises(AttributeError, match="no attribute 'txet'"):
        keras_practical.txet  # noqa: B018


def test_keras_knows_every_layer_after_the_import():
    names = [
        node.name
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and any("register_keras_serializable" in ast.unparse(one) for one in node.decorator_list)
        and not node.name.startswith("_")
    ]
    code = (
        "import keras, keras_practical; "
        f"print([name for name in {names} if keras.saving.get_registered_object("
        "f'keras_practical>{name}') is None])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent
    )
    assert len(names) > 15
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_import_changes_nothing_and_loads_nothing_heavy(backend):
    watched = sorted(HEAVY | {"cv2", "simplejpeg", "rich", "typer"})
    code = (
        "import sys, os, warnings, keras; before = set(sys.modules); env = dict(os.environ); "
        "filters = list(warnings.filters); import keras_practical; "
        "new = {name.split('.')[0] for name in set(sys.modules) - before}; "
        f"print(sorted(new & set({watched}))); "
        "assert env == dict(os.environ) and filters == list(warnings.filters)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=PACKAGE.parent,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def imported_siblings(tree):
    """Return the package's own modules that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "keras_practical":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "keras_practical."
        ):
            found.add(node.module.split(".")[1])
    return found


def top_level_imports(tree):
    """Return the packages imported when the module is; those for type checkers don't count."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def exported(tree):
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return ast.literal_eval(node.value)
    return []


def arguments(node):
    """Return the names of a function's or constructor's arguments, or a dataclass's fields."""
    if isinstance(node, ast.ClassDef):
        fields = [n.target.id for n in node.body if isinstance(n, ast.AnnAssign)]
        made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        if not made:
            return fields
        node = made[0]
    names = [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
    return [name for name in names if name != "self"]


def section(text, title):
    match = re.search(rf"^{title}\n(.*?)(?=^\S|\Z)", text, re.M | re.S)
    return match and match.group(1)


def returns_something(node):
    return not (isinstance(node.returns, ast.Constant) and node.returns.value is None)


def raises(node):
    return any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
