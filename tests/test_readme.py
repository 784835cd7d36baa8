"""What README.md shows can be done as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from agents import check_policy, from_spec
from commands.app import app

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def named(file: str) -> str:
    """Return the block that begins with a comment that names a file."""
    return next(str(block) for block in BLOCKS if block.startswith(f"# {file}"))


@pytest.mark.parametrize(("file", "name"), [("dearest.py", "Dearest"), ("clicks.py", "Clicks")])
def test_its_policies_keep_the_laws_when_made_to_explore(
    file: str, name: str, tmp_path: Path
) -> None:
    path = tmp_path / file
    path.write_text(named(file))
    check_policy(partial(from_spec, f"{path}:{name}+epsilon=0.1"))


def test_its_python_runs() -> None:
    (block,) = (block for block in BLOCKS if "import gymnasium" in block)
    run = subprocess.run(
        [sys.executable, "-c", block], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "'IPS': 0.0038" in run.stdout


def test_the_commands_it_names_exist() -> None:
    told = set(re.findall(r"run\.py (\w+)", README))
    known = {c.callback.__name__ for c in app.registered_commands if c.callback} | {"data"}
    assert told
    assert told <= known


def test_the_pages_it_links_exist() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
