"""Rankers that learn while they serve: their gradients against torch's, and that they learn."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from agents import OptionError, Outcomes, Requests, ShapeError, check_policy, make
from agents.api import PAD
from agents.deep.mlp import Mlp
from agents.deep.ranker import ContextRanker, NeuralRanker
from agents.deep.reinforce import Reinforce
from agents.situations import Situations
from tests.agents.support import catalogue, requests

VISITS = Situations(3).outcomes(60)


def returning(count: int = 60) -> Outcomes:
    """Outcomes of seven users who come again and again."""
    facts = VISITS.take(np.arange(count))
    users = (np.arange(count) % 7).astype(np.uint64)
    asked = facts.requests
    again = Requests(
        asked.keys, users, asked.context, asked.candidates, asked.items, asked.positions, asked.time
    )
    return Outcomes(again, facts.decisions, facts.rewards, facts.seen, facts.time)


def ready(policy: ContextRanker) -> Mlp:
    """Let a policy remember, but not learn; return the network it is given."""
    policy.update(returning())
    net = Mlp.stack([4, 6, 4], 5)
    policy.adopt(net)
    return net


def torch_scores(net: Mlp, params: torch.Tensor, memory: Any, rows: np.ndarray[Any, Any]) -> Any:
    """The scores [n, S] and levels [n] of remembered rows, as torch computes them."""
    x, at = torch.from_numpy(memory.context[rows]).double(), 0
    for kind, n, m, _ in net.program.tolist():
        if kind == 0:
            weights = params[at : at + n * m].reshape(n, m)
            x, at = x @ weights + params[at + n * m : at + n * m + m], at + n * m + m
        else:
            x = torch.relu(x)
    offered = torch.from_numpy(memory.offered[rows]).double()
    return x[:, :1] + (x[:, None, 1:] * offered).sum(dim=2), x[:, 0]


def links(memory: Any, b: int) -> list[int]:
    """The visits that follow a remembered one."""
    found, j = [], int(memory.after[b])
    while j >= 0:
        found.append(j)
        j = int(memory.after[j])
    return found


@pytest.mark.parametrize("conservative", [0.0, 0.7])
def test_the_gradient_of_values_is_torchs(conservative: float) -> None:
    policy = NeuralRanker(every=1000, discount=0.6, conservative=conservative)
    net = ready(policy)
    policy.target = Mlp.stack([4, 6, 4], 8).params
    chosen, memory = np.arange(40), policy.memory
    params = torch.from_numpy(net.params).double().requires_grad_()
    scores, _ = torch_scores(net, params, memory, chosen)
    everything = np.arange(len(memory))
    mine = torch_scores(net, params.detach(), memory, everything)[0].numpy()
    theirs = torch_scores(net, torch.from_numpy(policy.target).double(), memory, everything)[0]
    there = memory.weights[: len(memory)] > 0
    loss = torch.zeros((), dtype=torch.float64)
    for i in chosen.tolist():
        future, j = 0.0, int(memory.after[i])
        if j >= 0:
            best = np.argsort(-np.where(there[j], mine[j], -np.inf))[: min(3, there[j].sum())]
            future = 0.6 * float(theirs[j].numpy()[best].mean())
        for k in np.flatnonzero(memory.taught[i]).tolist():
            loss += (scores[i, k] - (float(memory.rewards[i, k]) / policy.scale + future)) ** 2
            stands = torch.from_numpy(np.log(memory.weights[i][there[i]])).double()
            every = torch.logsumexp(scores[i][torch.from_numpy(there[i])] + stands, dim=0)
            loss += conservative * (every - scores[i, k])
    policy.steps = 2  # not a step that renews the target
    (wanted,) = torch.autograd.grad(loss / len(chosen), params)
    np.testing.assert_allclose(policy._gradient(net, chosen), wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("top_k", [True, False])
def test_the_gradient_of_policies_is_torchs(top_k: bool) -> None:
    policy = Reinforce(every=1000, discount=0.5, entropy=0.2, temperature=0.8, cap=1.1, top_k=top_k)
    net = ready(policy)
    chosen, memory = np.arange(40), policy.memory
    params = torch.from_numpy(net.params).double().requires_grad_()
    scores, levels = torch_scores(net, params, memory, chosen)
    there = torch.from_numpy(memory.weights[chosen] > 0)
    stands = torch.log(torch.from_numpy(memory.weights[chosen]).double())
    logits = torch.where(there, scores / 0.8 + stands, -torch.inf)
    log_pi = torch.log_softmax(logits, dim=1)
    gains: dict[tuple[int, int], torch.Tensor] = {}
    for i in chosen.tolist():
        later = sum(
            0.5 ** (t + 1) * float(memory.rewards[j].sum())
            for t, j in enumerate(links(memory, i))
            if 0.5 ** (t + 1) > 0.01
        )
        for k in np.flatnonzero(memory.taught[i]).tolist():
            gains[i, k] = (float(memory.rewards[i, k]) + later) / policy.scale - levels[i]
    spread = np.sqrt(np.mean([float(g.detach()) ** 2 for g in gains.values()]))
    loss, K = torch.zeros((), dtype=torch.float64), 3 if top_k else 1
    for (i, k), gain in gains.items():
        pi = log_pi[i].exp().detach()
        now = pi[k] / (1.0 - pi[:k].sum())
        rho = min(1.1, float(now) / memory.chances[i, k])
        push = rho * K * float(1.0 - pi[k]) ** (K - 1) * float(gain.detach()) / spread
        loss += -push * log_pi[i, k] + 0.5 * gain**2
    for i in chosen.tolist():
        p = log_pi[i][there[i]]
        loss += 0.2 * (p.exp() * (p - stands[i][there[i]])).sum()
    (wanted,) = torch.autograd.grad(loss / len(chosen), params)
    np.testing.assert_allclose(policy._gradient(net, chosen), wanted, rtol=2e-3, atol=2e-5)


def test_the_gradient_of_a_settled_policy_is_finite() -> None:
    """Shares that are as good as nothing, or are rounded to it, have no logarithm."""
    policy = Reinforce(every=1000, entropy=0.2)
    net = ready(policy)
    policy.memory.weights *= 7  # every item stands for seven
    last = net.params[net.program[-1, 3] :].copy()
    for scale in np.geomspace(10.0, 100_000.0, 60).astype(np.float32):
        net.params[net.program[-1, 3] :] = scale * last  # scores ever further apart
        assert np.isfinite(policy._gradient(net, np.arange(40))).all()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("neural-ranker", {"discount": 0.9, "memory": 64, "refresh": 7, "hidden": "8x8"}),
        ("reinforce", {"discount": 0.9, "memory": 50, "hidden": 0, "every": 3}),
    ],
)
def test_the_laws_hold_of_them_with_other_options(name: str, options: dict[str, Any]) -> None:
    check_policy(partial(make, name, **options))


@pytest.mark.parametrize("name", ["neural-ranker", "reinforce"])
def test_they_learn_what_no_linear_score_could(name: str) -> None:
    """Two kinds of items; which is good hangs on the product of two signs of the context."""
    items = catalogue(6)
    items.features[:] = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)
    asked = requests(items, np.tile(np.arange(6), (2400, 1)), slots=1, width=2, seed=4)
    good = (np.sign(asked.context[:, 0] * asked.context[:, 1]) < 0).astype(int)
    policy = make(name, seed=2, rate=0.01)
    for start in range(0, 2400, 40):
        part = asked.take(np.arange(start, start + 40))
        decided = policy.decide(part)
        won = (decided.slates // 3 == good[start : start + 40, None]).astype(np.float32)
        policy.update(Outcomes(part, decided, won, np.ones_like(won, dtype=np.bool_), part.time))
    late = policy.decide(asked.take(np.arange(1600, 2400))).slates[:, 0] // 3
    won_now = float((late == good[1600:]).mean())
    # A choice that ignores the context, or is linear in it, wins one half +- 0.018.
    assert won_now > 0.85


def test_the_target_is_kept_and_renewed() -> None:
    policy = NeuralRanker(refresh=10, discount=0.5)
    after = {0: Mlp.stack([4, 64, 4], 0, blank=True).params}  # the parameters after every step
    for row in range(60):
        policy.update(returning().take([row]))
        if policy.net is not None:
            after[policy.steps] = policy.net.params.copy()
            renewed = (policy.steps - 1) // 10 * 10
            np.testing.assert_array_equal(policy.target, after[renewed])
    assert policy.steps > 20


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(OptionError, match="discount must be below 1"):
        make("neural-ranker", discount=1.0)
    with pytest.raises(OptionError, match="hidden"):
        make("reinforce", hidden="64,64")
    policy = NeuralRanker()
    policy.update(VISITS)
    with pytest.raises(ShapeError, match="reads 4 context and 3 item features, not 3 and 2"):
        policy.decide(requests(catalogue(4), [[0, 1, PAD]]))
