"""The compiled network, against torch: what it answers, and the gradients it learns by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from agents import OptionError, ShapeError, StateError
from agents.deep.export import ExportError, compile_module
from agents.deep.layers import adam, backprop, pull_back, trace, width
from agents.deep.mlp import Mlp, widths_of


def module(seed: int = 0) -> nn.Sequential:
    """A stack with every kind of layer, its layer norm away from the identity."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        norm = nn.LayerNorm(16)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        first, hidden = nn.Linear(7, 16), nn.Sequential(nn.Linear(16, 9), nn.Tanh())
        return nn.Sequential(first, norm, nn.ReLU(), hidden, nn.Dropout(), nn.Linear(9, 3))


def rows(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(1).normal(size=(count, 7)).astype(np.float32)


def test_it_answers_as_torch_does() -> None:
    torch_net, x = module().eval(), rows(50)
    with torch.no_grad():
        wanted = torch_net(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(compile_module(torch_net)(x), wanted, rtol=1e-5, atol=1e-6)


def test_a_row_is_the_same_bits_in_any_batch() -> None:
    net, x = compile_module(module()), rows(20)
    whole = net(x)
    for b in range(20):
        np.testing.assert_array_equal(net(x[[b]])[0], whole[b])


def test_pairs_are_the_rows_of_context_and_item() -> None:
    net = Mlp.stack([7, 12, 1], 3)
    x, rng = rows(6), np.random.default_rng(2)
    items = rng.normal(size=(9, 3)).astype(np.float32)
    candidates = np.array([[0, 4, 8], [3, -1, 2]])
    found = net.pairs(np.ascontiguousarray(x[:2, :4]), items, candidates)
    for b, c in zip(*np.nonzero(candidates >= 0), strict=True):
        row = np.concatenate([x[b, :4], items[candidates[b, c]]])[None]
        assert found[b, c] == net(row)[0, 0]
    assert found[1, 1] == 0.0


def test_gradients_are_torchs() -> None:
    torch_net = module().eval()
    net = compile_module(torch_net)
    x, slope = rows(1)[0], np.array([0.5, -1.0, 2.0], dtype=np.float32)
    (torch_net(torch.from_numpy(x)) @ torch.from_numpy(slope)).backward()
    kept = np.empty((len(net.program) + 1, width(net.program)), dtype=np.float32)
    room, grads = np.empty((2, kept.shape[1]), np.float32), np.zeros_like(net.params)
    trace(net.program, net.params, x, kept)
    backprop(net.program, net.params, kept, slope, room, grads)
    wanted = _gradients(torch_net)
    np.testing.assert_allclose(grads, wanted, rtol=1e-4, atol=1e-5)


def test_a_slope_is_pulled_back_to_the_input_as_torch_does() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        torch_net = nn.Sequential(nn.Linear(7, 16), nn.ReLU(), nn.Linear(16, 9), nn.Tanh())
    net, x = compile_module(torch_net), torch.from_numpy(rows(1)[0]).requires_grad_()
    slope = np.random.default_rng(2).normal(size=9).astype(np.float32)
    (torch_net(x) @ torch.from_numpy(slope)).backward()
    assert x.grad is not None
    kept = np.empty((len(net.program) + 1, width(net.program)), dtype=np.float32)
    room = np.empty((2, kept.shape[1]), np.float32)
    trace(net.program, net.params, x.detach().numpy(), kept)
    half = pull_back(net.program, net.turned(), kept, slope, room)
    np.testing.assert_allclose(room[half, :7], x.grad.numpy(), rtol=1e-4, atol=1e-6)


def _gradients(torch_net: nn.Module) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """The gradients in the order of the compiled network's parameters."""
    parts = []
    for layer in torch_net.modules():
        if isinstance(layer, nn.Linear | nn.LayerNorm):
            assert layer.weight.grad is not None
            assert layer.bias.grad is not None
            parts += [layer.weight.grad.numpy().T.ravel(), layer.bias.grad.numpy()]
        if isinstance(layer, nn.LayerNorm):
            parts.append(np.zeros(1, np.float32))
    return np.concatenate(parts)


def test_adam_is_torchs() -> None:
    rng = np.random.default_rng(5)
    params = rng.normal(size=20).astype(np.float32)
    weights = torch.nn.Parameter(torch.from_numpy(params.copy()))
    optimiser = torch.optim.Adam([weights], lr=0.01)
    mean, square = np.zeros_like(params), np.zeros_like(params)
    for step in range(1, 30):
        gradient = rng.normal(size=20).astype(np.float32)
        weights.grad = torch.from_numpy(gradient.copy())
        optimiser.step()
        adam(params, gradient, mean, square, step, 0.01)
        assert not gradient.any()
    np.testing.assert_allclose(params, weights.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_states_round_trip_and_strange_ones_are_refused() -> None:
    net = Mlp.stack([4, 5, 2], 0)
    state = net.state("net")
    np.testing.assert_array_equal(Mlp.load(state, "net")(rows(3)[:, :4]), net(rows(3)[:, :4]))
    with pytest.raises(StateError, match="no network"):
        Mlp.load(state | {"net.params": net.params[:-1]}, "net")
    with pytest.raises(StateError, match=r"has no 'other\.program'"):
        Mlp.load(state, "other")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ((0, 0), 7),  # no kind of layer
        ((0, 3), 1),  # parameters that begin elsewhere
        ((2, 3), -25),
        ((1, 1), 6),  # layers that do not follow each other
        ((1, 2), 6),
        ((1, slice(1, 3)), 6),
        ((0, 1), -1),
        ((0, 1), 4 + (1 << 62)),  # as many parameters, modulo 2**64
    ],
)
def test_a_program_that_would_read_elsewhere_is_no_network(place: Any, value: int) -> None:
    state = Mlp.stack([4, 5, 2], 0).state("net")
    state["net.program"][place] = value
    with pytest.raises(StateError, match="'net' is no network"):
        Mlp.load(state, "net")


def test_a_new_network_follows_from_its_seed_and_may_begin_at_nothing() -> None:
    np.testing.assert_array_equal(Mlp.stack([3, 8, 1], 7).params, Mlp.stack([3, 8, 1], 7).params)
    assert (Mlp.stack([3, 8, 1], 7).params != Mlp.stack([3, 8, 1], 8).params).any()
    assert not Mlp.stack([7, 8, 2], 7, blank=True)(rows(4)).any()


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Conv1d(7, 3, 1), "Conv1d"),
        (nn.Sequential(nn.Linear(7, 3), nn.Softplus()), "Softplus"),
        (nn.Sequential(nn.ReLU()), "no linear layer"),
    ],
)
def test_what_cannot_be_compiled_is_refused_by_name(layer: nn.Module, reason: str) -> None:
    with pytest.raises(ExportError, match=reason):
        compile_module(layer)


def test_what_does_not_fit_is_refused() -> None:
    net = Mlp.stack([7, 1], 0)
    with pytest.raises(ShapeError, match="rows of 7"):
        net(rows(2)[:, :3])
    with pytest.raises(ShapeError, match="not 2 of the context and 3"):
        net.pairs(rows(2)[:, :2], np.zeros((4, 3), np.float32), np.zeros((2, 1), np.int64))
    with pytest.raises(OptionError, match="64x32"):
        widths_of("hidden", "64,32")
    assert widths_of("hidden", "64x32") == [64, 32]
    assert widths_of("hidden", "0") == []
