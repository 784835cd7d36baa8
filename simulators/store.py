"""Worlds on disk: arrays as safetensors, the rest as JSON. Reading them runs no code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from agents import Catalogue
from simulators.records import WorldError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT = 1
WORDS, ARRAYS = "world.json", "world.safetensors"


def write(
    folder: Path, world: str, said: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write a world of a kind: what JSON takes, and arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    save_file(whole, folder / ARRAYS)
    words = {"format": FORMAT, "world": world, **said}
    (folder / WORDS).write_text(json.dumps(words, indent=1))


def read(folder: Path, world: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what `write` wrote.

    Raises
    ------
    WorldError
        If there is nothing, or it is a world of another kind or format.
    """
    try:
        said = json.loads((folder / WORDS).read_text())
        arrays = load_file(folder / ARRAYS)
    except (OSError, ValueError, SafetensorError) as error:
        raise WorldError(f"{folder} holds no saved world: {error}") from error
    if said.get("format") != FORMAT or said.get("world") != world:
        raise WorldError(
            f"{folder} holds a world {said.get('world')!r} of format {said.get('format')!r}, "
            f"not a {world!r} of format {FORMAT}"
        )
    return said, arrays


def catalogue_arrays(catalogue: Catalogue) -> dict[str, NDArray[Any]]:
    """Return a catalogue's arrays; its names are words."""
    return {
        "keys": catalogue.keys,
        "features": catalogue.features,
        "available": catalogue.available,
    }


def catalogue_from(arrays: Mapping[str, NDArray[Any]], names: Sequence[str] | None) -> Catalogue:
    """Return the catalogue that these arrays and names were."""
    return Catalogue(
        arrays["keys"],
        arrays["features"],
        arrays["available"],
        None if names is None else tuple(names),
    )
