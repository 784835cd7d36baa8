"""What a user is worth later on: a function of all that the parts keep of them.

The value is linear in products: of any two fields, the mean of their product over the topics where
both are kept by topic, else the product of their means. It is fitted to what simulated users went
on to be worth (least squares), which knows every law of the world and nobody's luck.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.jit import compiled

if TYPE_CHECKING:
    from agents.api import Floats, Rows

RIDGE = 1e-3


@compiled
def mean(state: Floats, fields: Rows, f: int) -> float:
    """Return the mean of a field of a user."""
    total = 0.0
    for i in range(fields[f, 0], fields[f, 0] + fields[f, 1]):
        total += state[i]
    return float(total / fields[f, 1])


@compiled
def product(state: Floats, fields: Rows, f: int, g: int) -> float:
    """Return the product of two fields of a user; field -1 is the constant 1."""
    if g < 0:
        return mean(state, fields, f)
    if fields[f, 1] != fields[g, 1]:
        return mean(state, fields, f) * mean(state, fields, g)
    total = 0.0
    for i in range(fields[f, 1]):
        total += state[fields[f, 0] + i] * state[fields[g, 0] + i]
    return float(total / fields[f, 1])


@compiled
def valued(state: Floats, fields: Rows, value: Floats) -> float:
    """Return the value of a user.

    Parameters
    ----------
    state : float64 [S]
    fields : int64 [F, 2]
        Where each field begins, and how many numbers it has.
    value : float64 [1 + F (F + 3) / 2]
        The weights of the products.
    """
    total, at = value[0], 1
    for f in range(len(fields)):
        for g in range(-1, f + 1):
            total += value[at] * product(state, fields, f, g)
            at += 1
    return float(total)


@compiled
def products(states: Floats, fields: Rows, out: Floats) -> None:
    """Write the products of many users: float64 [n, 1 + F (F + 3) / 2]."""
    for n in range(len(states)):
        out[n, 0], at = 1.0, 1
        for f in range(len(fields)):
            for g in range(-1, f + 1):
                out[n, at] = product(states[n], fields, f, g)
                at += 1


def fitted(states: Floats, fields: Rows, worth: Floats) -> Floats:
    """Return the weights by which the products come closest to what the users were worth.

    Parameters
    ----------
    states : float64 [n, S]
    fields : int64 [F, 2]
    worth : float64 [n]
    """
    F = len(fields)
    x = np.empty((len(states), 1 + F * (F + 3) // 2))
    products(states, fields, x)
    scale = np.maximum(np.sqrt((x * x).mean(axis=0)), 1e-12)
    x /= scale
    gram = x.T @ x + RIDGE * len(x) * np.eye(x.shape[1])
    gram[0, 0] -= RIDGE * len(x)  # the constant is free
    weights: Floats = np.linalg.solve(gram, x.T @ worth) / scale
    return weights
