"""Render the tutorial scripts as Colab notebooks, or check that the notebooks are up to date.

python tutorials/render_notebooks.py            # write tutorials/notebooks/*.ipynb
python tutorials/render_notebooks.py --check    # fail if one differs from its script
python tutorials/render_notebooks.py --execute  # run each in quick mode, writing nothing
"""

import argparse
import hashlib
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

import jupytext
import nbformat

TUTORIALS = Path(__file__).parent
NOTEBOOKS = TUTORIALS / "notebooks"
INSTALL = """# Colab: install the package (a few seconds; Colab has TensorFlow already).
import sys

if "google.colab" in sys.modules:
    %pip install -q keras-practical"""


def render(script):
    """Return the notebook of a script, as text, the same on every machine."""
    notebook = jupytext.read(script)
    notebook.cells.insert(1, nbformat.v4.new_code_cell(INSTALL))
    seen = Counter()
    for cell in notebook.cells:
        # Stable ids: a cell keeps its id while its text stays, wherever it moves.
        seen[cell.source] += 1
        digest = hashlib.sha256(f"{seen[cell.source]}:{cell.source}".encode()).hexdigest()
        cell["id"] = digest[:12]
        cell["metadata"] = {}
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "colab": {"name": script.stem},
        "accelerator": "GPU",
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    return nbformat.writes(notebook, indent=1) + "\n"


def execute(script):
    """Run a script's notebook in quick mode, in a folder that goes away afterwards."""
    from nbclient import NotebookClient

    notebook = nbformat.reads(render(script), as_version=4)
    os.environ["KERAS_PRACTICAL_QUICK"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=900, resources={"metadata": {"path": folder}}).execute()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--execute", action="store_true")
    options = parser.parse_args()
    stale = []
    for script in sorted(TUTORIALS.glob("[0-9][0-9]_*.py")):
        target = NOTEBOOKS / f"{script.stem}.ipynb"
        if options.execute:
            execute(script)
            print(f"ran {target.name}")
        elif options.check:
            if not target.exists() or target.read_text(encoding="utf-8") != render(script):
                stale.append(target.name)
        else:
            NOTEBOOKS.mkdir(exist_ok=True)
            target.write_text(render(script), encoding="utf-8")
            print(f"wrote {target}")
    if stale:
        sys.exit(f"Out of date: {', '.join(stale)}. Run: python tutorials/render_notebooks.py")


if __name__ == "__main__":
    main()
