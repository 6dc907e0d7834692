"""The house's rules, read off the source: storeys, faces, light imports, documented names."""

import ast
import dataclasses
import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from keras_practical.utils.keras_internals import PRIVATE_NAMES

PACKAGE = Path(__file__).parent.parent / "keras_practical"
# A wing imports from wings of a lower storey and from itself, never from its own storey or above.
STOREYS = {
    "utils": 0,
    "data": 1,
    "models": 1,
    "training": 2,
    "augment": 2,
    "evaluation": 2,
    "transfer": 3,
    "inspection": 4,
    "detection": 4,
    "text": 4,
    "style": 4,
    "scans": 4,
    "production": 5,
}
# The faces at the root, and what stands above all of them.
ROOT = {"__init__", "callbacks", "layers", "plots"}
ABOVE = {"cli"}
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


def named(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def wing_of(module):
    """Return the first part of a module's path below the package."""
    return module.split(".")[0]


def exported(tree):
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return ast.literal_eval(node.value)
    return []


MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
FACES = [path for path in MODULES if path.name == "__init__.py" and "lazy_face" in path.read_text()]
ROOMS = [path for path in MODULES if path.name != "__init__.py"]
# Rooms that list what other rooms, or faces, may take from them.
PUBLIC = [path for path in ROOMS if exported(ast.parse(path.read_text()))]
TYPED = [path for path in PUBLIC if wing_of(named(path)) != "cli"]


def test_every_module_is_in_a_wing():
    wings = {wing_of(named(path)) for path in MODULES}
    assert wings <= set(STOREYS) | ROOT | ABOVE


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_module_imports_only_from_storeys_below(path):
    own = wing_of(named(path))
    for module in imported_siblings(ast.parse(path.read_text())):
        other = wing_of(module)
        if path in FACES or own in ROOT:
            assert other not in ABOVE or other == own, f"{named(path)} imports {module}"
        elif own in ABOVE:
            assert module == "" or other in STOREYS, f"{named(path)} imports {module}"
        elif other != own:
            assert other in STOREYS, f"{named(path)} imports {module or 'the root'}"
            assert STOREYS[other] < STOREYS[own], f"{named(path)} imports {module}"


@pytest.mark.parametrize("path", FACES, ids=named)
def test_face_imports_from_its_own_storey_or_below(path):
    own = wing_of(named(path))
    if own != "__init__":
        for module in imported_siblings(ast.parse(path.read_text())):
            other = wing_of(module)
            lower = own in ABOVE or STOREYS[other] < STOREYS[own]
            assert other == own or lower, f"{named(path)} shows {module}"


def drawing():
    """Return the storeys as text, with what each wing imports from the wings below."""
    uses = {wing: set() for wing in STOREYS}
    for path in MODULES:
        own = wing_of(named(path))
        if own in STOREYS and path not in FACES:
            wings = {wing_of(module) for module in imported_siblings(ast.parse(path.read_text()))}
            uses[own] |= wings - {own, "utils"}
    there = {wing_of(named(path)) for path in MODULES}
    lines = ["above  cli         everything", "root   __init__, callbacks, layers, plots"]
    for storey in sorted(set(STOREYS.values()), reverse=True):
        for wing in (wing for wing, level in STOREYS.items() if level == storey):
            order = sorted(uses[wing], key=lambda other: (-STOREYS[other], other))
            text = ", ".join(order) if wing in there else "(to come)"
            lines.append(f"{storey:<6d} {wing:11s} {text}".rstrip())
    return "\n".join(lines)


def test_contributing_shows_the_house_as_it_is():
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert f"```\n{drawing()}\n```" in text, f"CONTRIBUTING.md must show:\n{drawing()}"


def test_no_module_bears_the_name_of_an_exported_function():
    functions = set()
    for path in [*FACES, PACKAGE / "plots.py"]:
        face = importlib.import_module(dotted(path))
        functions |= {n for n in face.__all__ if inspect.isfunction(getattr(face, n))}
    modules = {part for path in MODULES for part in named(path).split(".")}
    assert not functions & modules


@pytest.mark.parametrize("path", FACES, ids=named)
def test_face_shows_what_it_lists_and_lists_what_it_shows(path):
    face = importlib.import_module(dotted(path))
    tree = ast.parse(path.read_text())
    for_checkers = {
        alias.name
        for node in tree.body
        if isinstance(node, ast.If)
        for line in node.body
        for alias in line.names
    }
    own = {"__version__"} & set(face.__all__)
    assert face.__all__ == sorted(set(face.__all__)) == dir(face)
    assert for_checkers | own == set(face.__all__)
    for name in face.__all__:
        assert getattr(face, name) is not None
    assert "." in (face.__doc__ or "")
    with pytest.raises(AttributeError, match="has no attribute 'txet'"):
        face.txet  # noqa: B018


def dotted(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_module_imports_nothing_heavy_at_its_top(path):
    assert not top_level_imports(ast.parse(path.read_text())) & HEAVY


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_module_stays_short(path):
    assert len(path.read_text().splitlines()) <= 600


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
    internal = INTERNAL.get(named(path), set())
    assert defined - set(listed) == internal


# Public to the floors above, not to users.
INTERNAL = {
    "text.characters.vocabulary": {"check_text"},
    "cli.commands": {"train", "evaluate", "predict"},
    "data.loading": {"listing_of_any"},
    "data.named_sets": {"open_tfds", "warn_of_hidden"},
    "data.pieces": {"array_hash"},
    "data.plots": {"as_pixels", "range_of", "value_range"},
    "data.reading": {
        "Header",
        "array_to_uint8",
        "check_range",
        "decode",
        "finish",
        "inspect",
        "readers",
        "scaled",
    },
    "detection.inference": {"areas", "averaged", "non_maximum_suppression", "overlaps"},
    "detection.model": {"neck", "tapped"},
    "evaluation.heat_maps": {"chosen_class", "class_name_of", "class_outputs"},
    "style.losses": {"objective_of"},
    "data.dicom": {"between"},
    "models.resizing": {"from_config"},
    "text.characters.generation": {"check_sampling"},
    "data.sources": {"composed", "decided", "too_few_classes"},
    "utils.intervals": {"wilson_bounds"},
}


@pytest.mark.parametrize("path", TYPED, ids=named)
def test_public_names_follow_the_docstring_rules(path):
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in exported(tree):
            text = ast.get_docstring(node) or ""
            where = f"{named(path)}.{node.name}"
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


NEEDS_A_DOWNLOAD = {"data.named_sets.from_cats_vs_dogs", "data.named_sets.from_tfds"}


@pytest.mark.parametrize(
    "path", [path for path in MODULES if wing_of(named(path)) != "cli"], ids=named
)
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


def public_functions():
    functions = {}
    for path in FACES:
        face = importlib.import_module(dotted(path))
        for name in face.__all__:
            value = getattr(face, name)
            if inspect.isfunction(value):
                functions[f"{value.__module__}.{value.__qualname__}"] = value
    return functions


# What makes layers or a model has Keras's own default, its global seed.
MAKERS = {"Layer", "Model", "Recommendation"}
TRAINERS = {"fine_tune", "pretrain"}


@pytest.mark.parametrize("name", sorted(public_functions()))
def test_an_option_has_the_same_default_everywhere(name):
    function = public_functions()[name]
    defaults = {
        option.name: option.default
        for option in inspect.signature(function).parameters.values()
        if option.default is not inspect.Parameter.empty
    }
    makes_layers = any(word in str(function.__annotations__["return"]) for word in MAKERS)
    assert defaults.get("seed", 0) == 0 or (makes_layers and defaults["seed"] is None)
    # As in `fit`, where it goes to `fit`.
    assert defaults.get("verbose", True) == ("auto" if function.__name__ in TRAINERS else True)
    assert defaults.get("on_error", "skip") == "skip"


def result_classes():
    found = {}
    for path in FACES:
        face = importlib.import_module(dotted(path))
        for name in face.__all__:
            value = getattr(face, name)
            if inspect.isclass(value) and dataclasses.is_dataclass(value):
                found[name] = value
    return found


@pytest.mark.parametrize("name", sorted(result_classes()))
def test_result_class_is_frozen_and_says_what_it_is(name):
    value = result_classes()[name]
    assert value.__dataclass_params__.frozen
    # The generated `__repr__` of arrays and records floods the screen.
    generated = hasattr(value.__repr__, "__wrapped__")
    assert "__str__" in vars(value) or not generated or name in SETTINGS
    if name not in MADE_BY_HAND:
        assert all(field.kw_only for field in dataclasses.fields(value))


# What users make themselves, by position.
MADE_BY_HAND = {
    "AnnotatedImage",
    "Backbone",
    "CharacterVocabulary",
    "DetectionData",
    "Embeddings",
    "ImageIndex",
    "ImageRecord",
    "LabelledTexts",
    "Segment",
    "Slice",
    "StyleLayers",
}
# Of a few plain values, whose generated `__repr__` is what one wants to read.
SETTINGS = {"Backbone", "Segment", "StyleLayers"}


INTERNALS = PACKAGE / "utils" / "keras_internals"
# Private names of others than Keras.
OF_OTHERS = {
    "evaluation.cross_validation": {"_backend"},  # joblib's, of a pool.
}


def private_names(tree):
    """Return the private attributes that a module takes of what isn't its own."""
    nodes = list(ast.walk(tree))
    own = {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    own |= {n.target.id for n in nodes if isinstance(n, ast.AnnAssign) and hasattr(n.target, "id")}
    own |= {n.attr for n in nodes if isinstance(n, ast.Attribute) and is_self(n.value)}
    return {
        n.attr
        for n in nodes
        if isinstance(n, ast.Attribute)
        and re.match("_[a-z]", n.attr)
        and not is_self(n.value)
        and n.attr not in own
    }


def is_self(node):
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def strings(tree):
    """Return the texts in a module that could be names, such as of `vars(model)["_layers"]`."""
    values = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
    return {v for v in values if isinstance(v, str) and v.isidentifier()}


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_names_private_to_keras_are_in_one_folder_only(path):
    if INTERNALS in path.parents:
        return
    tree = ast.parse(path.read_text())
    assert private_names(tree) - OF_OTHERS.get(named(path), set()) == set()
    assert strings(tree) & set(PRIVATE_NAMES) == set()
    assert "keras.src" not in path.read_text()


def test_table_of_private_names_is_what_the_folder_uses():
    used, said = set(), set()
    for path in INTERNALS.glob("*.py"):
        tree = ast.parse(path.read_text())
        if path.name != "__init__.py":
            attributes = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
            used |= private_names(tree)
            said |= attributes | strings(tree)
    assert used <= set(PRIVATE_NAMES)
    assert set(PRIVATE_NAMES) <= said
    for since, what_for in PRIVATE_NAMES.values():
        assert re.fullmatch(r"3\.\d+", since)
        assert len(what_for) > 10


def test_rooms_are_imported_when_they_are_asked_for():
    code = (
        "import sys, keras_practical as kp; "
        "assert 'keras_practical.text.fine_tuning' not in sys.modules; "
        "print(kp.text.fine_tune.__name__, kp.detection.build.__name__, kp.style.paste.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent
    )
    assert done.stdout.split() == ["fine_tune", "build", "paste"], done.stderr


def registered_name(decorator, class_name):
    given = [each.value.value for each in decorator.keywords if each.arg == "name"]
    return given[0] if given else class_name


def test_keras_knows_every_layer_after_the_import():
    names = [
        registered_name(decorator, node.name)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        for decorator in node.decorator_list
        if "register_keras_serializable" in ast.unparse(decorator)
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
    """Return the package's own modules that a module imports, anywhere in it, by their paths."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("keras_practical").strip(".")
                for alias in node.names
                if alias.name.split(".")[0] == "keras_practical"
            }
        elif isinstance(node, ast.ImportFrom) and node.module == "keras_practical":
            wings = set(STOREYS) | ROOT | ABOVE
            found |= {alias.name if alias.name in wings else "" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "keras_practical."
        ):
            found.add(node.module.removeprefix("keras_practical."))
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
