"""Python's cyclic garbage collector, kept from counting a batch's objects while they are needed.

A batch makes hundreds of thousands of objects, none of them in cycles, and lets go of nearly all at
its end. The collector would walk over them again and again, which takes two fifths of a worker's
time; after the batch it finds little. Nor is there anything to find in what was there before the
first batch, modules, kernels and models: a collection that walks over all of that takes longer than
many batches.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def resting() -> Iterator[None]:
    """Let the collector rest for as long as a block of code runs, if it was at work."""
    at_work = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if at_work:
            gc.enable()


@contextmanager
def settled() -> Iterator[None]:
    """Keep the collector from what is there already for as long as a block of code runs."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
