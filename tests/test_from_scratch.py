"""Tutorial 11 checks what it says: every mistake planted in its maths must stop it."""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

TUTORIAL = Path(__file__).parent.parent / "tutorials" / "11_from_scratch.py"
SOURCE = TUTORIAL.read_text(encoding="utf-8")


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Return a function that runs the tutorial's text in quick mode, drawing nothing."""
    monkeypatch.setattr(plt, "savefig", lambda path, dpi: None)
    monkeypatch.chdir(tmp_path)

    def run_source(source, *arguments):
        monkeypatch.setattr(sys, "argv", [TUTORIAL.name, "--quick", *arguments])
        names = {"__name__": "__main__"}
        exec(compile(source, TUTORIAL.name, "exec"), names)
        return names

    return run_source


@pytest.mark.slow
def test_tutorial_checks_all_that_it_claims(run, capsys):
    names = run(SOURCE)
    claims = names["CLAIMS"]
    assert len(claims) == len(set(claims))
    assert sum("within 1e-5 of Keras" in text for text in claims) == len(names["differences"]) == 9
    listed = capsys.readouterr().out.splitlines()[-len(claims) :]
    assert [line.split(maxsplit=1)[1] for line in listed] == claims


@pytest.mark.parametrize(
    ("right", "wrong", "claim"),
    [
        ("f(x - h)) / (2 * h)", "f(x - h)) / h", "the rule for x²"),
        ("result[row, column] +=", "result[row, column] =", "give the same matrix"),
        ("m != n and m != 1 and n != 1", "m != n and m != 1", "three rules"),
        ("return powers / powers.sum(", "return powers / powers.max(", "scores 2, 1, 0"),
        ("return shifted - np.log(", "return shifted + np.log(", "log_softmax goes on"),
        (
            "slopes = probabilities - np.eye",
            "slopes = probabilities + np.eye",
            "slope of the price",
        ),
        ("(2 * errors).mean()", "errors.mean()", "first gradient"),
        ('memory.get("step", 0) - rate', 'memory.get("step", 0) + rate', "momentum's first"),
        ("np.sqrt(1 - beta_2**n) / ", "1 / ", "Adam's first step"),
        ("end, warmup=0.25", "end, warmup=0.5", "one cycle in eight"),
        ("weights[2].T * (hidden > 0)", "weights[2].T", "slopes are those on paper"),
        (") / len(x)\n", ")\n", "wiggling every weight"),
        ("labels[learn], weights, *recipe", "labels[learn] * 0, weights, *recipe", "95 %"),
    ],
)
def test_planted_mistake_stops_the_tutorial(run, right, wrong, claim):
    assert right in SOURCE
    with pytest.raises(AssertionError, match=claim):
        run(SOURCE.replace(right, wrong, 1))


# What only Keras can tell, once everything before has passed.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong", "claim"),
    [
        ("beta_2=0.999, epsilon", "beta_2=0.99, epsilon", "10 steps of Adam"),
        ("one_cycle(steps, 0.95, 0.85, 0.95)", "one_cycle(steps, 0.9, 0.85, 0.9)", "cycle's mom"),
    ],
)
def test_planted_difference_from_keras_stops_the_tutorial(run, right, wrong, claim):
    assert right in SOURCE
    with pytest.raises(AssertionError, match=claim):
        run(SOURCE.replace(right, wrong, 1))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((9, 4, 4))}, "must have the arrays x_train and y_train"),
        ({"x_train": np.zeros((9, 4, 4, 3)), "y_train": np.zeros(9, int)}, "grey images"),
    ],
)
def test_file_without_grey_pictures_is_refused(run, tmp_path, arrays, message):
    np.savez(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(SystemExit, match=message):
        run(SOURCE, "--data", str(tmp_path / "wrong.npz"))
