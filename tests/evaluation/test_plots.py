"""The forest plot is a PNG that shows something, or a page that needs nothing; without pyplot."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from math import nan
from pathlib import Path

import pytest
from matplotlib.image import imread

from agents.api import RecloopError
from agents.simple import Uniform
from evaluation.plots import forest
from evaluation.report import Report
from evaluation.rounds import evaluate
from evaluation.verdict import Trust, Verdict
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


class Cells(HTMLParser):
    """Reads a page as a browser would: the text of each cell, and every tag's attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self._inside = False
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "td":
            self.cells.append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "td"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.cells[-1] += data


def test_the_page_has_every_figure_and_needs_nothing_else(tmp_path: Path) -> None:
    report = replace(evaluate(Uniform(), [Shop().outcomes(500, 1)], replicates=40), policy="<b>&")
    forest([report], tmp_path / "forest.html", known=0.1)
    page = (tmp_path / "forest.html").read_text(encoding="utf-8")
    read = Cells()
    read.feed(page)
    for estimate in report.estimates:
        assert estimate.estimator in read.cells
        assert f"{estimate.value:.4g}" in read.cells
        assert str(estimate.verdict.trust) in read.cells
        assert "; ".join(estimate.verdict.reasons) in read.cells
    assert "<b>&" in read.cells
    assert not {"script", "link", "img", "iframe", "b"} & {tag for tag, _ in read.tags}
    assert not {"src", "href", "onload"} & {name for _, given in read.tags for name in given}
    assert not any(words in page for words in ("http:", "https:", "url(", "@import"))


def test_what_goes_beyond_the_page_has_an_arrow(tmp_path: Path) -> None:
    report = evaluate(Uniform(), [Shop().outcomes(500, 1)], replicates=40)
    ips = report["IPS"]
    no = Verdict(Trust.NO, ("noise",))
    wild = replace(ips, low=-1e6, high=1e6, verdict=no)
    blank = replace(ips, value=nan, low=nan, high=nan, verdict=no)
    forest([Report("p", (ips, wild, blank), ())], tmp_path / "forest.html")
    page = (tmp_path / "forest.html").read_text(encoding="utf-8")
    assert page.count("<polygon") == 2
    assert page.count("<circle") == 2
    assert "e+06 to" in page


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecloopError, match=r"'forest.pdf'"):
        forest([], tmp_path / "forest.pdf")
