"""The laws of `agents.api.Policy`, each as a function that watches a policy keep it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np

from agents.api import PAD, Decisions, Policy, RecloopError
from agents.situations import CANDIDATES, SLOTS, Situations, renumbered, widened
from agents.slots import first_slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from numpy.typing import NDArray

    from agents.api import Floats, Requests, Rows, State

LIMIT = 5.0
"""Standard errors by which an observed frequency may miss the stated probability."""

ARRAYS = ("keys", "users", "context", "candidates", "positions", "time")
"""The arrays of `Requests`."""

BLAS = (
    "Sums by BLAS (`@`, np.dot, np.sum over an axis) may round differently in another batch: "
    "agents.features.weigh adds up in one order always"
)


class PolicyCheckError(RecloopError):
    """A law that a policy broke.

    Parameters
    ----------
    law : str
        The law's name: one of `LAWS`, "generators" or "process".
    message : str
        How it was broken.
    """

    def __init__(self, law: str, message: str) -> None:
        super().__init__(f"law {law!r} is broken: {message}")
        self.law = law


class Watch:
    """What the laws are watched with: a factory, and situations."""

    def __init__(self, make: Callable[[], Policy], situations: Situations) -> None:
        self.make, self.situations = make, situations
        self.requests = situations.requests(60)
        self.lessons = situations.outcomes(120)

    def trained(self) -> Policy:
        """Return a policy that has learned."""
        policy = self.make()
        policy.update(self.lessons)
        return policy

    def both(self) -> Iterator[tuple[str, Policy]]:
        """Yield a policy that has learned nothing, and one that has."""
        yield "before it has learned", self.make()
        yield "after it has learned", self.trained()


def _protocol(watch: Watch) -> None:
    """Name and methods are there, and decisions have their shapes and types."""
    policy = watch.make()
    hold("protocol", isinstance(policy, Policy), f"{policy!r} lacks a part of agents.api.Policy")
    hold("protocol", isinstance(policy.name, str) and policy.name != "", "it has no name")
    decisions = policy.decide(watch.requests)
    hold("protocol", isinstance(decisions, Decisions), f"decide returned {type(decisions)}")
    shape = watch.requests.positions.shape
    for field, wanted in (("slates", np.int64), ("propensities", np.float64)):
        array = getattr(decisions, field)
        hold(
            "protocol",
            array.shape == shape and array.dtype == wanted,
            f"{field} must be {np.dtype(wanted)} {shape}, not {array.dtype} {array.shape}",
        )
    hold("protocol", decisions.policy == policy.name, "it logs under another name than its own")
    nobody = policy.decide(watch.requests.take(np.arange(0)))
    hold("protocol", nobody.slates.shape == (0, SLOTS), "an empty batch has no empty decisions")


def _slates(watch: Watch) -> None:
    """Slates hold distinct candidates, as many as there are, and pads after them."""
    for when, policy in watch.both():
        slates = policy.decide(watch.requests).slates
        for slate, candidates in zip(slates, watch.requests.candidates, strict=True):
            offered, shown = candidates[candidates != PAD], slate[slate != PAD]
            filled = min(len(offered), len(slate))
            good = (
                np.isin(shown, offered).all()
                and len(np.unique(shown)) == len(shown) == filled
                and (slate[:filled] != PAD).all()
            )
            hold("slates", good, f"{when}, of candidates {offered} it made the slate {slate}")


def _restated(watch: Watch) -> None:
    """State the probabilities that were logged, to the bit."""
    for when, policy in watch.both():
        decisions = policy.decide(watch.requests)
        logged, padded = decisions.propensities, decisions.slates == PAD
        hold("restated", ((logged > 0) & (logged <= 1)).all(), f"{when}, it logged {_odd(logged)}")
        hold("restated", (logged[padded] == 1).all(), f"{when}, a padded slot's is not 1")
        stated = policy.propensities(watch.requests, decisions.slates)
        _same("restated", stated, logged, f"{when}, propensities() restates what decide() logged")


def _impossible(watch: Watch) -> None:
    """Probability 0 has an item that is no candidate, or stands in the slate already."""
    for when, policy in watch.both():
        requests = watch.requests
        foreign = np.full(requests.positions.shape, PAD, dtype=np.int64)
        for b, candidates in enumerate(requests.candidates):
            others = np.setdiff1d(np.arange(len(requests.items)), candidates)
            foreign[b, 0] = others[0]
        stated = policy.propensities(requests, foreign)[:, 0]
        hold("impossible", (stated == 0).all(), f"{when}, an item that is no candidate has not 0")
        twice = np.full(requests.positions.shape, PAD, dtype=np.int64)
        twice[:, :2] = requests.candidates[:, :1]
        stated = policy.propensities(requests, twice)[:, 1][twice[:, 0] != PAD]
        hold("impossible", (stated == 0).all(), f"{when}, an item shown twice has not 0")


def _sums(watch: Watch) -> None:
    """Over the open candidates of a slot, the probabilities sum to 1."""
    for when, policy in watch.both():
        requests = watch.requests
        some = (requests.candidates != PAD).any(axis=1)
        first = first_slot(policy, requests)
        hold("sums", first.shape == requests.candidates.shape, f"first slots are {first.shape}")
        _near("sums", first.sum(axis=1), some.astype(float), f"{when}, for the first slot")
        slates = policy.decide(requests).slates
        for k in range(SLOTS):
            chances, filled = _conditional(policy, requests, slates, k), slates[:, k] != PAD
            _near("sums", chances.sum(axis=1)[filled], 1.0, f"{when}, for slot {k}")
            if k == 0:
                _near("sums", chances, first, f"{when}, distribution() and propensities() differ")


def _conditional(policy: Policy, requests: Requests, slates: Rows, k: int) -> Floats:
    """Return how likely each candidate is for slot k, given the slots before it: [B, M]."""
    chances: Floats = np.zeros(requests.candidates.shape)
    for m in range(chances.shape[1]):
        tried = np.full(slates.shape, PAD, dtype=np.int64)
        tried[:, :k] = slates[:, :k]
        tried[:, k] = requests.candidates[:, m]
        offered = requests.candidates[:, m] != PAD
        chances[offered, m] = policy.propensities(requests, tried)[offered, k]
    return chances


def _frequencies(watch: Watch) -> None:
    """Items are shown as often as stated: in a few situations, over many request keys.

    For a group g of (request, candidate) pairs fixed before the draw, the sum over requests of
    [the slot went to g] - P(g) is a martingale with variance sum P(g) (1 - P(g)).
    """
    policy = watch.trained()
    requests = watch.situations.requests(2000, part=5, situations=4)
    slates = policy.decide(requests).slates
    for k in range(SLOTS):
        chances = _conditional(policy, requests, slates, k)
        chosen = (requests.candidates == slates[:, k : k + 1]) & (requests.candidates != PAD)
        rank = np.argsort(np.argsort(-chances, axis=1, kind="stable"), axis=1)
        column = np.tile(np.arange(CANDIDATES), (len(requests), 1))
        for kind, group in (("candidate", column), ("likeliest", rank)):
            for g in range(CANDIDATES):
                stated = (chances * (group == g)).sum(axis=1)
                drawn = (chosen & (group == g)).sum(axis=1)
                error = np.sqrt((stated * (1.0 - stated)).clip(0.0).sum())
                missed = abs((drawn - stated).sum())
                hold(
                    "frequencies",
                    missed <= LIMIT * error + 1e-6,
                    f"{kind} {g} was drawn {drawn.sum()} times for slot {k} of {len(requests)} "
                    f"requests, and stated {stated.sum():.1f} +- {error:.1f}",
                )


def _pure(watch: Watch) -> None:
    """Deciding and stating change neither the policy nor the requests."""
    policy, requests = watch.trained(), watch.requests
    before, given = policy.state_dict(), {f: getattr(requests, f).copy() for f in ARRAYS}
    first = policy.decide(requests)
    policy.decide(watch.situations.requests(40, part=7))
    policy.propensities(requests, first.slates)
    _same_decisions("pure", policy.decide(requests), first, "a second decide repeats the first")
    _same_states("pure", policy.state_dict(), before, "deciding leaves the state alone")
    for field, array in given.items():
        _same("pure", getattr(requests, field), array, f"deciding leaves requests.{field} alone")


def _replay(watch: Watch) -> None:
    """Replay a decision to the bit: alone, in another order, in other batches, padded wider."""
    for when, policy in watch.both():
        requests = watch.requests
        whole = policy.decide(requests)
        order = np.random.default_rng(watch.situations.seed).permutation(len(requests))
        batches = {"other": order, "doubled": np.r_[order[:5], order[:5]]}
        batches |= {"single": order[:1], "half": np.arange(len(requests) // 2)}
        batches |= {f"single request {b}": np.array([b]) for b in range(0, len(requests), 7)}
        for kind, index in batches.items():
            what = f"{when}, a decision is the same in a batch of {kind} order or size. {BLAS}"
            part = requests.take(index)
            _same_decisions("replay", policy.decide(part), whole.take(index), what)
            stated = policy.propensities(part, whole.slates[index])
            _same("replay", stated, whole.propensities[index], what)
        what = f"{when}, pads behind the candidates don't matter"
        _same_decisions("replay", policy.decide(widened(requests)), whole, what)


def _late(watch: Watch) -> None:
    """Nothing needed later is kept between decide and update."""
    outcomes = watch.situations.outcomes(30, part=8)
    plain, busy = watch.trained(), watch.trained()
    plain.update(outcomes)
    busy.decide(watch.requests)
    busy.decide(outcomes.requests.take([3, 1]))
    busy.update(outcomes)
    what = "what it learns does not depend on what it decided in between"
    _same_policies("late", plain, busy, watch, what)


def _batches(watch: Watch) -> None:
    """Learning row by row, in parts and in one batch come to the same, to the bit."""
    outcomes = watch.lessons
    whole, rows, parts = watch.trained(), watch.make(), watch.make()
    for b in range(len(outcomes)):
        rows.update(outcomes.take([b]))
    for part in (slice(0, 17), slice(17, 17), slice(17, None)):
        parts.update(outcomes.take(np.arange(len(outcomes))[part]))
    what = f"learning row by row comes to the same as in one batch. {BLAS}"
    _same_policies("batches", whole, rows, watch, what)
    _same_policies("batches", whole, parts, watch, "learning in parts comes to the same")


def _unseen(watch: Watch) -> None:
    """Slots that nobody saw teach nothing, whatever their reward."""
    outcomes = watch.lessons
    shown = outcomes.decisions.slates != PAD
    other = np.where(outcomes.seen | ~shown, outcomes.rewards, 1.0 - outcomes.rewards)
    plain, misled = watch.trained(), watch.make()
    misled.update(replace(outcomes, rewards=other.astype(np.float32)))
    _same_policies("unseen", plain, misled, watch, "an unseen slot's reward changes nothing")
    before = plain.decide(watch.requests)
    plain.update(replace(outcomes, seen=np.zeros_like(outcomes.seen)))
    after = replace(plain.decide(watch.requests), versions=before.versions)
    _same_decisions("unseen", after, before, "outcomes that nobody saw change no decision")


def _state(watch: Watch) -> None:
    """States are arrays of numbers or text, under names."""
    for when, policy in watch.both():
        for name, array in policy.state_dict().items():
            plain = isinstance(name, str) and isinstance(array, np.ndarray)
            hold("state", plain, f"{when}, {name!r} is a {type(array).__name__} and no array")
            hold("state", array.dtype.kind in "biufU", f"{when}, {name!r} holds {array.dtype}")


def _round_trip(watch: Watch) -> None:
    """Hand a state over: the policy that takes it is the one it came from, and both keep copies."""
    policy = watch.trained()
    state = policy.state_dict()
    kept = {name: array.copy() for name, array in state.items()}
    elsewhere = watch.make()
    elsewhere.update(watch.situations.outcomes(25, part=9))
    for when, other in (("a fresh policy", watch.make()), ("one that had learned", elsewhere)):
        other.load_state_dict({name: array.copy() for name, array in kept.items()})
        _same_policies(
            "round-trip", policy, other, watch, f"{when} that takes the state over is alike"
        )
    loaded = watch.make()
    loaded.load_state_dict(state)
    for array in state.values():
        array[...] = np.zeros((), dtype=array.dtype)
    what = "writing into a state that was returned, or taken over, changes no policy"
    _same_states("round-trip", policy.state_dict(), kept, what)
    _same_states("round-trip", loaded.state_dict(), kept, what)
    more = watch.situations.outcomes(25, part=10)
    policy.update(more)
    loaded.update(more)
    _same_policies("round-trip", policy, loaded, watch, "policies with one state learn alike")


def _catalogue(watch: Watch) -> None:
    """Items are known by their keys: rows may change, items come, leave and come back."""
    for when, policy in watch.both():
        requests = watch.requests
        items, decided = requests.items, policy.decide(requests)
        order = np.random.default_rng(watch.situations.seed).permutation(len(items))
        moved = renumbered(requests, order)
        slates = policy.decide(moved).slates
        keys = [
            np.where(s == PAD, 0, c.keys[s])
            for s, c in ((slates, moved.items), (decided.slates, items))
        ]
        _same(
            "catalogue", keys[0], keys[1], f"{when}, the order of the catalogue's rows is nothing"
        )
    policy, rng = watch.trained(), np.random.default_rng(watch.situations.seed)
    new = [f"new-{i}" for i in range(4)]
    grown = items.with_items(new, rng.normal(size=(4, items.features.shape[1])))
    later = replace(requests, items=grown)
    before = policy.decide(later)
    what = "items that are not offered don't matter"
    _same_decisions("catalogue", before, policy.decide(requests), what)
    offered = np.where(requests.candidates < 4, requests.candidates, requests.candidates + 4)
    fresh = replace(later, candidates=np.where(requests.candidates == PAD, PAD, offered))
    decisions = policy.decide(fresh)
    stated = policy.propensities(fresh, decisions.slates)
    _same("catalogue", stated, decisions.propensities, "new items are decided about as old ones")
    policy.update(watch.situations.answer(fresh, decisions, part=11))
    learned = policy.decide(fresh)
    policy.decide(replace(requests, items=grown.without(grown.keys[-4:])))
    _same_decisions("catalogue", policy.decide(fresh), learned, "items that come back are known")


LAWS: dict[str, Callable[[Watch], None]] = {
    "protocol": _protocol,
    "slates": _slates,
    "restated": _restated,
    "impossible": _impossible,
    "sums": _sums,
    "pure": _pure,
    "replay": _replay,
    "state": _state,
    "late": _late,
    "batches": _batches,
    "unseen": _unseen,
    "round-trip": _round_trip,
    "catalogue": _catalogue,
    "frequencies": _frequencies,
}
"""The laws that are watched one after the other, by their names."""


def hold(law: str, kept: object, message: str) -> None:
    """Raise `PolicyCheckError` unless a law was kept."""
    if not kept:
        raise PolicyCheckError(law, message)


def _odd(values: Floats) -> str:
    odd = values[~((values > 0) & (values <= 1))]
    return f"a probability of {odd[0]}" if len(odd) else ""


def _near(law: str, found: NDArray[Any], wanted: NDArray[Any] | float, what: str) -> None:
    gap = np.abs(found - wanted).max(initial=0.0)
    hold(law, gap <= 1e-9, f"{what}, probabilities are off by {gap:.3g}")


def _same(law: str, found: NDArray[Any], wanted: NDArray[Any], what: str) -> None:
    if found.shape != wanted.shape:
        raise PolicyCheckError(law, f"it should hold that {what}: {found.shape}, {wanted.shape}")
    differ = np.argwhere(found != wanted)
    if len(differ):
        at = tuple(int(i) for i in differ[0])
        raise PolicyCheckError(
            law, f"it should hold that {what}. But at {list(at)}: {found[at]} is not {wanted[at]}"
        )


def _same_decisions(law: str, found: Decisions, wanted: Decisions, what: str) -> None:
    for field in fields(Decisions):
        values = np.asarray(getattr(found, field.name)), np.asarray(getattr(wanted, field.name))
        _same(law, *values, f"{what} ({field.name})")


def _same_states(law: str, found: State, wanted: State, what: str) -> None:
    hold(law, found.keys() == wanted.keys(), f"{what}: {sorted(found)} is not {sorted(wanted)}")
    for name, array in wanted.items():
        _same(law, found[name], array, f"{what} (state {name!r})")


def _same_policies(law: str, one: Policy, other: Policy, watch: Watch, what: str) -> None:
    """Hold that two policies have the same state and decide alike."""
    _same_states(law, other.state_dict(), one.state_dict(), what)
    _same_decisions(law, other.decide(watch.requests), one.decide(watch.requests), what)
