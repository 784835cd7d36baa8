"""SlateQ: its decomposition, its learning targets, that it learns, and that nothing is lost."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch as th
from gymnasium.spaces import Box
from stable_baselines3.common.callbacks import EvalCallback

from agents import Explore, OptionError, ShapeError, SlateQ, SlateQPolicy, Spec, check_policy
from agents.deep.slate_buffer import SlateReplayBuffer
from agents.deep.slate_export import compile_towers
from agents.deep.slate_net import Tower, Towers
from agents.deep.slates import EXACT, best_slates
from agents.store import load, save
from envs import WorldEnv, WorldVectorEnv
from envs.sb3 import SlateVecEnv, make_sb3
from simulators import Session, make_world, returns
from tests.agents.deep.lures import Lures, best_return, myopic_return

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from agents.api import Floats

SMALL: dict[str, Any] = {
    "policy_kwargs": {"net_arch": (16,), "item_arch": (8,), "choice_arch": (8,), "embedding": 4},
    "batch_size": 64,
    "learning_starts": 64,
    "buffer_size": 2000,
    "seed": 5,
}


def lures(users: int, seed: int = 0, slots: int = 1) -> SlateVecEnv:
    world = Session(Lures(slate_size=slots))
    env = SlateVecEnv(WorldVectorEnv(world, users, autoreset_mode="SameStep"))
    env.seed(seed)
    return env


def small(**options: Any) -> SlateQ:
    env = make_sb3("recloop/InterestEvolution-v0", 8, num_candidates=5, slate_size=2)
    return SlateQ("MultiInputPolicy", env, **(SMALL | options))


# --- the idea


def test_the_value_of_a_slate_is_that_of_its_items() -> None:
    """Value iteration over all slates and over items come to the same in a small slate MDP."""
    rng = np.random.default_rng(0)
    S, M, K, gamma = 4, 5, 2, 0.9
    weights, blank = rng.exponential(size=(S, M)), np.ones(S)
    rewards = np.append(rng.exponential(size=(S, M)), np.zeros((S, 1)), axis=1)
    moves = rng.dirichlet(np.ones(S), size=(S, M + 1))  # the last is that nothing is taken
    slates = list(itertools.combinations(range(M), K))

    by_slate = np.zeros((S, len(slates)))
    chances = np.zeros((S, len(slates), M + 1))
    for s, (a, slate) in itertools.product(range(S), enumerate(slates)):
        shown = [*slate, M]
        chances[s, a, shown] = np.append(weights[s, list(slate)], 1.0)
        chances[s, a] /= chances[s, a].sum()
    by_item = np.zeros((S, M + 1))
    for _ in range(400):
        ahead = rewards + gamma * moves @ by_slate.max(axis=1)
        by_slate = np.einsum("sai,si->sa", chances, ahead)
        _, worth = best_slates(weights, by_item[:, :M], blank, by_item[:, M], K, EXACT)
        by_item = rewards + gamma * moves @ worth
    np.testing.assert_allclose(
        np.einsum("sai,si->sa", chances, by_item), by_slate, rtol=1e-9, atol=1e-9
    )


def best_of_all(v: Floats, q: Floats, q_0: float, slots: int, rule: str) -> tuple[int, ...]:
    """The slate that a rule finds, slate by slate."""

    def worth(slate: tuple[int, ...]) -> float:
        chosen = list(slate)
        return float((q_0 + (v[chosen] * q[chosen]).sum()) / (1.0 + v[chosen].sum()))

    if rule == "TT":
        return tuple(np.argsort(-v * (q - q_0))[:slots].tolist())
    if rule == "GT":
        slate: tuple[int, ...] = ()
        for _ in range(slots):
            rest = (j for j in range(len(v)) if j not in slate)
            slate = max(((*slate, j) for j in rest), key=worth)
        return slate
    return max(itertools.combinations(range(len(v)), slots), key=worth)


@pytest.mark.parametrize(
    ("target", "null", "double"),
    [
        *(("OT", null, double) for null in ("zero", "learned") for double in (True, False)),
        *(("TT", "zero", True), ("GT", "learned", True), ("SARSA", "learned", True)),
        ("MYOP", "zero", True),
    ],
)
def test_learning_targets_are_the_papers(target: str, null: str, double: bool) -> None:
    model = small(target=target, null=null, double=double, gamma=0.9, n_steps=3)
    model.learn(400)
    batch = model.replay_buffer.draw(40, 3, 0.9, np.random.default_rng(1))
    nets, context = model.policy, batch.next_context
    assert batch.next_documents is not None
    with th.no_grad():
        v = nets.logits(context, batch.next_documents).exp().double().numpy()
        judged = {}
        for name, towers in (("now", nets.values), ("target", nets.target)):
            nothing, values = nets.judge(towers, context, batch.next_documents)
            judged[name] = values.double().numpy(), nothing.double().numpy()
    if null == "zero":
        assert (judged["target"][1] == 0).all()
    q, q_0 = judged["target"]
    choosing, choosing_0 = judged["now" if double else "target"]
    assert model.reward_scale is not None
    earned = batch.first if target == "MYOP" else batch.rewards
    wanted = earned.double().numpy() / model.reward_scale
    for b in range(40):
        if target == "MYOP":
            continue
        slate = tuple(batch.next_slates[b].tolist())
        if target != "SARSA":
            slate = best_of_all(v[b], choosing[b], choosing_0[b], 2, target)
        chances = np.append(v[b, list(slate)], 1.0)
        ahead = chances @ np.append(q[b, list(slate)], q_0[b]) / chances.sum()
        wanted[b] += float(batch.discounts[b]) * ahead
    np.testing.assert_allclose(model.wanted(batch).numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_advantages_are_learned_from_one_step_and_states_from_many() -> None:
    model = small(target="ADV", gamma=0.9, n_steps=3)
    model.learn(400)
    batch = model.replay_buffer.draw(40, 3, 0.9, np.random.default_rng(1))
    mean, spread = (law.double().numpy() for law in model.policy.values.context_law.law())

    def worth(contexts: th.Tensor) -> Floats:
        rows = (contexts.double().numpy() - mean) / spread
        layers = [x for x in model.policy.state_target if isinstance(x, th.nn.Linear)]
        for layer in layers:
            rows = rows @ layer.weight.double().numpy().T + layer.bias.double().numpy()
            rows = rows if layer is layers[-1] else np.maximum(rows, 0.0)
        return np.asarray(rows[:, 0])

    assert model.reward_scale is not None
    now, after, last = (worth(x) for x in (batch.context, batch.after, batch.next_context))
    assert now.std() > 0.0
    first, all_ = (x.double().numpy() / model.reward_scale for x in (batch.first, batch.rewards))
    values, errors = (x.double().numpy() for x in model.wanted_apart(batch))
    discounts, going = batch.discounts.double().numpy(), batch.going.double().numpy()
    np.testing.assert_allclose(values, all_ + discounts * last, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(errors, first + 0.9 * going * after - now, rtol=1e-4, atol=1e-5)


# --- the buffer


def test_transitions_are_sums_over_steps_that_stop_where_an_episode_does() -> None:
    model, rng = small(), np.random.default_rng(2)
    space, users, kept = model.observation_space, 3, 11
    buffer = SlateReplayBuffer(users * kept, space, model.action_space, "cpu", users)  # type: ignore[arg-type]
    told: list[dict[str, NDArray[Any]]] = []
    for step in range(25):
        observation: dict[str, NDArray[Any]] = {
            "user": np.full((users, 20), step, np.float32) + np.arange(users)[:, None] / 8,
            "documents": rng.integers(0, 2, (users, 5, 20)).astype(np.float32),
        }
        row: dict[str, NDArray[Any]] = {
            "slates": rng.integers(0, 5, (users, 2)),
            "clicks": rng.random((users, 2)) < 0.5,
            "rewards": rng.random(users).astype(np.float32),
            "ends": rng.random(users) < 0.2,
        }
        buffer.add_visits(observation, **row)
        told.append(observation | row)
    batch = buffer.draw(500, 4, 0.9, rng)
    assert batch.next_documents is not None
    firsts = set()
    for b in range(500):
        step, user = int(batch.context[b, 0]), round(8 * float(batch.context[b, 0] % 1))
        firsts.add(step)
        total, left = 0.0, 1.0
        for n in range(4):
            total += left * told[step + n]["rewards"][user]
            left *= 0.9 * (not told[step + n]["ends"][user])
        np.testing.assert_allclose(batch.rewards[b], total, rtol=1e-5)
        np.testing.assert_allclose(batch.first[b], told[step]["rewards"][user])
        assert batch.going[b] == 1.0 - told[step]["ends"][user]
        np.testing.assert_array_equal(batch.after[b], told[step + 1]["user"][user])
        np.testing.assert_allclose(batch.discounts[b], left, rtol=1e-5)
        np.testing.assert_array_equal(batch.clicks[b], told[step]["clicks"][user])
        np.testing.assert_array_equal(batch.slates[b], told[step]["slates"][user])
        np.testing.assert_array_equal(batch.next_slates[b], told[step + 4]["slates"][user])
        np.testing.assert_array_equal(batch.next_documents[b], told[step + 4]["documents"][user])
    assert firsts == set(range(25 - kept, 25 - 4))


# --- learning


@lru_cache(maxsize=4)
def learned(choice: str, target: str) -> SlateQ:
    options = SMALL | {"batch_size": 512, "learning_starts": 2000, "buffer_size": 20_000}
    options |= {"n_steps": 12, "tau": 0.03} if target == "ADV" else {"n_steps": 3}
    env = lures(256, slots=1 if choice == "logit" else 2)
    model = SlateQ("MultiInputPolicy", env, 3e-3, choice=choice, target=target, **options)
    return model.learn(256 * 300)


@pytest.mark.parametrize(
    ("choice", "slots", "target"),
    [(c, k, t) for c, k in (("logit", 1), ("independent", 2)) for t in ("ADV", "OT")],
)
def test_it_learns_to_leave_users_with_a_future(choice: str, slots: int, target: str) -> None:
    seeds = np.arange(10_000, 14_000, dtype=np.uint64)
    totals = returns(Session(Lures(slate_size=slots)), learned(choice, target).to_policy(), seeds)
    error = totals.std() / len(totals) ** 0.5
    best, myopic = best_return(slots), myopic_return(slots)
    assert best - myopic > 0.8
    assert totals.mean() > myopic + 0.9 * (best - myopic) + 3 * error
    assert totals.mean() < best + 4 * error


def test_where_items_are_taken_by_themselves_a_slate_adds_up() -> None:
    """What a slate is worth is its mean over all that may be taken of it, one by one."""
    model = small(choice="independent").learn(200)
    nets, batch = model.policy, model.replay_buffer.draw(6, 1, 1.0, np.random.default_rng(4))
    assert batch.documents is not None
    context, items = batch.context, batch.documents
    with th.no_grad():
        chances, (nothing, values) = (
            nets.weights(context, items),
            nets.judge(nets.values, context, items),
        )
        best = nets.best(chances, nothing, values, EXACT)
        found = nets.worth(chances, nothing, values, best).numpy()
    for b in range(6):
        p, q, q_0 = chances[b].numpy(), values[b].numpy(), float(nothing[b])
        worths = {}
        for slate in itertools.combinations(range(5), 2):
            worths[slate] = 0.0
            for taken in itertools.product((False, True), repeat=2):
                likely = np.prod(
                    [p[i] if t else 1 - p[i] for i, t in zip(slate, taken, strict=True)]
                )
                gains = sum(q[i] - q_0 for i, t in zip(slate, taken, strict=True) if t)
                worths[slate] += float(likely) * (q_0 + gains)
        assert found[b] == pytest.approx(max(worths.values()), rel=1e-5)
        assert worths[tuple(sorted(best[b].tolist()))] == pytest.approx(found[b], rel=1e-5)


# --- living with Stable-Baselines3


def same(one: SlateQ, other: SlateQ) -> bool:
    states = one.policy.state_dict(), other.policy.state_dict()
    return all(th.equal(states[0][name], states[1][name]) for name in states[0])


def test_two_runs_are_the_same_bits_and_leave_global_generators_alone() -> None:
    before = th.get_rng_state(), str(np.random.get_state(legacy=False))  # noqa: NPY002
    runs = [small().learn(600) for _ in range(2)]
    assert same(*runs)
    assert not same(runs[0], small(seed=6).learn(600))
    assert th.equal(th.get_rng_state(), before[0])
    assert str(np.random.get_state(legacy=False)) == before[1]  # noqa: NPY002


def test_a_run_that_was_saved_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    kept = small().learn(600)
    kept.save(tmp_path / "model.zip")
    kept.save_replay_buffer(tmp_path / "buffer.pkl")
    loaded = SlateQ.load(tmp_path / "model.zip")
    assert same(kept, loaded)
    loaded.load_replay_buffer(tmp_path / "buffer.pkl")
    for model in (kept, loaded):
        env = make_sb3("recloop/InterestEvolution-v0", 8, num_candidates=5, slate_size=2)
        env.seed(9)
        model.set_env(env)
        model.learn(400, reset_num_timesteps=False)
    assert same(kept, loaded)


@pytest.mark.filterwarnings("ignore:rich is experimental")
def test_callbacks_bars_and_boards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    env = make_sb3("recloop/InterestEvolution-v0", 4, num_candidates=5, slate_size=2)
    callback = EvalCallback(env, n_eval_episodes=4, eval_freq=40, log_path=str(tmp_path), verbose=0)
    model = small(tensorboard_log=str(tmp_path / "board"))
    model.learn(1600, callback=callback, progress_bar=True, log_interval=1)
    scores = np.load(tmp_path / "evaluations.npz")["results"]
    assert scores.shape[1] == 4
    assert (scores > 50).all()
    assert list((tmp_path / "board").rglob("events.*"))
    assert "1,600/1,600" in capsys.readouterr().out


def test_one_user_at_a_time_and_a_fixed_catalogue_do_too() -> None:
    one = WorldEnv(make_world("InterestEvolution", num_candidates=5, slate_size=2))
    SlateQ("MultiInputPolicy", one, **SMALL).learn(200)
    env = make_sb3("recloop/SlateRerank-Bored-v0", 8, session=True)
    model = SlateQ("MultiInputPolicy", env, **SMALL).learn(200)
    world = make_world("SlateRerank-Bored", session=True)
    assert returns(world, model.to_policy(), np.arange(5, dtype=np.uint64)).shape == (5,)


# --- becoming a policy


@pytest.mark.parametrize("serving", ["OS", "GS", "TS"])
@pytest.mark.parametrize(
    ("null", "choice"), [("zero", "logit"), ("learned", "logit"), ("learned", "independent")]
)
def test_the_policy_shows_what_torch_would(
    serving: str, null: str, choice: str, tmp_path: Path
) -> None:
    model = small(serving=serving, null=null, choice=choice).learn(600)
    world = make_world("InterestEvolution", num_candidates=5, slate_size=2)
    world.reset(np.arange(200, dtype=np.uint64))
    context, documents = world.context(), world.documents()
    slates = model.policy.slates({"user": context, "documents": documents})
    policy = model.to_policy()
    requests = world.requests()
    decisions = policy.decide(requests)
    topics = documents.argmax(axis=2)  # documents of one topic are alike
    shown = requests.items.features[decisions.slates].argmax(axis=2)
    agree = (shown == np.take_along_axis(topics, slates, axis=1)).all(axis=1)
    assert agree.mean() > 0.98  # rounding decides between values that are all but equal
    distinct = np.array([len(np.unique(row)) == 5 for row in topics])
    assert (decisions.propensities[distinct] == 1.0).all()
    save(policy, Spec.parse(f"slateq:serving={serving}"), tmp_path)
    stored = load(tmp_path).decide(requests)
    np.testing.assert_array_equal(stored.slates, decisions.slates)


@pytest.mark.parametrize("hidden", [(), (5,), (7, 6), (3, 5, 4)])
def test_a_straight_line_beside_the_layers_is_kept_without_torch(hidden: tuple[int, ...]) -> None:
    rng = th.Generator().manual_seed(3)
    towers = Towers(6, 4, hidden, hidden, 8, straight=True)
    for weights in towers.parameters():
        weights.data = th.randn(weights.shape, generator=rng)
    towers.observe(3.0 * th.randn(50, 6, generator=rng) + 1.0, th.randn(50, 4, generator=rng))
    rows = th.randn(20, 6, generator=rng), th.randn(20, 4, generator=rng)
    networks = towers.context, towers.item
    for net, law, x, compiled in zip(
        networks, towers.laws(), rows, compile_towers(towers), strict=True
    ):
        assert isinstance(net, Tower)
        standard = law(x)
        expected = net.layers(standard) + standard @ net.straight.weight.T
        np.testing.assert_allclose(compiled(x.numpy()), expected.detach(), rtol=1e-4, atol=1e-4)


def test_its_logs_are_worth_learning_from() -> None:
    policy = Explore(learned("logit", "ADV").to_policy(), temperature=0.05)
    world = Session(Lures())
    world.reset(np.arange(500, dtype=np.uint64))
    requests = world.requests()
    decisions = policy.decide(requests)
    assert (decisions.propensities < 1.0).any()
    np.testing.assert_array_equal(
        policy.propensities(requests, decisions.slates), decisions.propensities
    )


def test_a_policy_that_learned_nothing_keeps_the_laws() -> None:
    check_policy(SlateQPolicy)


def test_what_it_cannot_decide_for_is_said() -> None:
    world = make_world("InterestEvolution", session=True)
    world.reset(np.arange(3, dtype=np.uint64))
    with pytest.raises(ShapeError, match="trained on contexts of 20 features and items of 20, not"):
        small().to_policy().decide(world.requests())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target": "QL"}, "target is TT or GT or OT or SARSA or MYOP or ADV, not 'QL'"),
        ({"target": "ADV", "null": "zero"}, "it needs null='learned'"),
        ({"serving": "OT"}, "serving is TS or GS or OS, not 'OT'"),
        ({"null": "one"}, "null is zero or learned, not 'one'"),
        ({"n_steps": 0}, "n_steps must be a finite number of at least 1"),
        ({"exploration": 2.0}, "exploration must lie between 0 and 1"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        small(**options)


def test_environments_that_tell_nothing_of_choices_are_refused() -> None:
    class Silent(WorldEnv):
        def __init__(self) -> None:
            super().__init__(make_world("InterestEvolution"))
            self.observation_space = Box(0, 1, (3,))  # type: ignore[assignment]

    with pytest.raises(OptionError, match="learns from what users are and take"):
        SlateQ("MultiInputPolicy", Silent())
