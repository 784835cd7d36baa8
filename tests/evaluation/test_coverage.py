"""A small version of docs/coverage.md: what its command measures, on few logs.

The bands are three standard errors of a share of that many logs around what must hold.
"""

from __future__ import annotations

import sys
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks import coverage

if TYPE_CHECKING:
    from pathlib import Path

LOGS = 120
ERROR = 3.0 * sqrt(0.95 * 0.05 / LOGS)


def test_bootstrap_intervals_of_every_estimator_hold_its_limit() -> None:
    rows = coverage.single(coverage.FREQUENT, 3000, LOGS)
    assert [row[0] for row in rows] == list(coverage.SINGLE)
    for name, bias, limit, truth, _, width in rows:
        assert abs(limit - 0.95) < ERROR, name
        assert width > 0.0
        if abs(bias) < 1e-9:
            assert truth == limit, name
    biased = {row[0] for row in rows if abs(row[1]) > 1e-9}
    assert biased == {"DM", "MIPS", "OffCEM", *(name for name in coverage.SINGLE if ":" in name)}


def test_bootstrap_intervals_of_every_slate_estimator_hold_the_truth() -> None:
    for name, truth, *_ in coverage.slated(coverage.MILD, 3000, LOGS):
        assert abs(truth - 0.95) < ERROR, name


def test_intervals_with_a_guarantee_hold_at_least_what_they_promise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coverage, "LOOKS", 8)
    for interval, method, holds, width in coverage.bounded(coverage.FREQUENT, 300, 30):
        assert holds > 0.95 - 3.0 * sqrt(0.95 * 0.05 / 30), (interval, method)
        assert np.isfinite(width)


def test_the_command_explains_itself_and_writes_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["coverage", "--help"])
    with pytest.raises(SystemExit) as ended:
        coverage.main()
    assert ended.value.code == 0
    assert "logs per cell" in capsys.readouterr().out
    out = tmp_path / "coverage.md"
    monkeypatch.setattr(sys, "argv", ["coverage", "1", "--out", str(out)])
    coverage.main()
    written = out.read_text()
    assert written.count("## ") == 5
    assert "| SNSIPS | 30,000 |" in written
    assert "| sequence, largest weight known | 300 | DR difference |" in written
