"""The world that docs/worlds/compose.md writes can be written as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from simulators import compose, make_world, world_names, world_options
from simulators.presets import INDUSTRIES

if TYPE_CHECKING:
    from simulators.compose import Choice, Part, Payoff

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "worlds" / "compose.md").read_text()
INDUSTRY = (ROOT / "docs" / "worlds" / "presets.md").read_text()


def test_its_python_runs_and_prints_what_it_says(tmp_path: Path) -> None:
    file, *blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "radio.py").write_text(file)
    told = []
    for block in blocks:
        run = subprocess.run(
            [sys.executable, "-c", block],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        told.append(run.stdout)
    assert told[0] == re.findall(r"```\n(tire=.*?)```", PAGE, flags=re.DOTALL)[0]
    assert re.match(r"\d+ clicks, {.*'delivered': \d+", told[1])


def numbers(part: Choice | Part | Payoff) -> dict[str, float]:
    return {name: number.default for name, number in part.law.items()}


@pytest.mark.parametrize("name", [n for n in compose.__all__ if n.islower()])
def test_its_tables_have_every_part_with_its_numbers(name: str) -> None:
    part = getattr(compose, name)
    if not hasattr(part, "law"):
        return
    (row,) = [line for line in PAGE.splitlines() if re.match(rf"\| .*`{name}`.* \|", line)]
    for number, default in numbers(part).items():
        assert f"`{number}` {default:g}".replace("-", "−") in row


@pytest.mark.parametrize("industry", INDUSTRIES, ids=lambda industry: industry.name)
def test_industries_are_described_with_their_parts_and_numbers(
    industry: compose.Composition,
) -> None:
    assert industry.name in world_names()
    section = " ".join(INDUSTRY.split(f"## {industry.name}\n")[1].split("\n## ")[0].split())
    assert industry.choice.name in section
    for part in industry.parts:
        assert part.name in section
    for number, value in industry.law.items():
        assert re.search(rf"`{number}`", section), number
        assert world_options(industry.name)[number] == value
    world = make_world(industry.name)
    sizes = f"M = {world.num_candidates}, K = {world.slate_size}, at most {world.horizon} visits"
    assert sizes in section
