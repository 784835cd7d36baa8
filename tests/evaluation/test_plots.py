"""The forest plot is a PNG that shows something, made without pyplot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from matplotlib.image import imread

from agents.simple import Uniform
from evaluation.plots import forest
from evaluation.rounds import evaluate
from tests.evaluation.logs import Shop


def test_a_picture_is_written(tmp_path: Path) -> None:
    report = evaluate(Uniform(), [Shop().outcomes(500, 1)], replicates=40)
    forest([report, report], tmp_path / "forest.png", known=0.1)
    picture = imread(tmp_path / "forest.png")
    assert picture.shape[0] > 200
    assert picture.min() < 0.5 < picture.max()


def test_no_pyplot_state_is_touched() -> None:
    code = "import sys, evaluation.plots; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
