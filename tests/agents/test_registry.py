"""Policies by name, option and file, and what people are told when one is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import agents.registry as registry
from agents import (
    Explore,
    LinTS,
    LinUCB,
    OptionError,
    Popular,
    RecloopError,
    Spec,
    SquareCB,
    UnknownPolicyError,
    describe,
    from_spec,
    load_policy,
    make,
    names,
    register,
)

NEWCOMER = Path(__file__).with_name("newcomer.py")


def test_the_house_has_its_policies() -> None:
    ours = {"uniform", "popular", "epsilon-greedy", "linucb", "lints", "squarecb"}
    assert ours <= set(names())
    assert names() == sorted(names())


@pytest.mark.parametrize("name", names())
def test_every_policy_is_known_by_its_own_name_and_described_in_a_line(name: str) -> None:
    assert make(name).name == name
    described = describe(name)
    assert "\n" not in described
    assert 30 < len(described) < 250


def test_descriptions_give_options_and_defaults() -> None:
    assert describe("linucb").endswith(
        "Options: shared=true, alpha=1.0, l2=1.0, interactions=true, half_life=0.0, window=0.0."
    )
    assert "Options" not in describe("uniform")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("linucd", "no policy 'linucd'; did you mean 'linucb'?"),
        ("populer", "did you mean 'popular'?"),
        ("LinUCB", "no policy 'LinUCB'; did you mean 'linucb'?"),
        ("zzz", "no policy 'zzz' (known: "),
        ("linucb:aplha=1", "'linucb' has no option 'aplha'; did you mean 'alpha'?"),
        ("uniform:alpha=1", "no option 'alpha' (known: seed)"),
        ("linucb:alpha=much", "alpha must be a finite number, not 'much'"),
        ("linucb:alpha=nan", "alpha must be a finite number, not nan"),
        ("linucb:alpha=-1", "policy 'linucb': alpha must be a finite number of at least 0"),
        ("linucb:shared=1", "shared must be true or false, not 1"),
        ("lints:samples=1.5", "samples must be a whole number, not 1.5"),
        ("squarecb:model=forest", "model must be one of logistic, linear, tree"),
        ("linucb:alpha", "'alpha' in 'linucb:alpha' is no option: write name=value"),
        ("linucb+epsilon=lots", "epsilon must be a finite number, not 'lots'"),
        ("linucb+epsilon=2", "epsilon must lie between 0 and 1"),
        ("uniform+epsilon=0.1", "cannot wrap 'uniform'"),
        ("nowhere.py:Mine", "there is no file nowhere.py"),
        ("no.such.module:Mine", "module no.such.module cannot be imported: ModuleNotFoundError"),
        (f"{NEWCOMER}:Mien", "has no 'Mien'; did you mean 'Mine'?"),
        (f"{NEWCOMER}:np", "has no 'np'"),
        ("tests.agents.newcomer:Mine:alpha=1", "has no option 'alpha'"),
    ],
)
def test_errors_are_one_line_that_helps(spec: str, said: str) -> None:
    with pytest.raises(RecloopError) as error:
        from_spec(spec)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\ny = x +\n", "cannot be run: SyntaxError: invalid syntax"),
        ("import numpy\nboom = missing\n", "cannot be run: line 2: NameError: name 'missing'"),
        ("class Mine:\n    pass\n", "is no policy: it has no name, decide, propensities"),
        (
            "from agents import ScorePolicy\nclass Mine(ScorePolicy):\n    name = 'mine'\n",
            "is not finished: it lacks scores",
        ),
        (
            "from agents import Uniform\ndef Mine(seed=0):\n    return 3\n",
            "is no policy: it has no name",
        ),
        ("def Mine(item, *, seed=0):\n    pass\n", "needs the option item: write item=value"),
    ],
)
def test_what_a_file_lacks_is_said_in_a_line(source: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "my_policy.py"
    path.write_text(source)
    with pytest.raises((UnknownPolicyError, OptionError)) as error:
        load_policy(f"{path}:Mine")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_ones_own_policy_takes_the_seed_only_if_it_wants_it(tmp_path: Path) -> None:
    path = tmp_path / "my policy+.py"
    path.write_text(
        "from agents import Uniform\n"
        "class Plain(Uniform):\n    def __init__(self): super().__init__(seed=7)\n"
        "class Seeded(Uniform):\n    def __init__(self, *, seed=0, size: int = 1):\n"
        "        super().__init__(seed=seed)\n        self.size = size\n"
    )
    assert vars(from_spec(f"{path}:Plain", seed=3))["seed"] == 7
    assert vars(from_spec(f"{path}:Seeded", seed=3))["seed"] == 3
    assert vars(from_spec(f"{path}:Seeded:size=4"))["size"] == 4
    with pytest.raises(OptionError, match="size must be a whole number"):
        from_spec(f"{path}:Seeded:size=big")


def test_a_file_that_registers_its_policy_can_be_run_again(tmp_path: Path) -> None:
    path = tmp_path / "registers.py"
    path.write_text(
        "from agents import Uniform, register\n"
        "@register('tmp-registered')\nclass Mine(Uniform):\n    name = 'mine'\n"
    )
    try:
        assert from_spec(f"{path}:Mine").name == from_spec(f"{path}:Mine").name == "mine"
        assert from_spec("tmp-registered").name == "mine"
        path.with_name("thief.py").write_text(path.read_text())
        with pytest.raises(UnknownPolicyError, match="already a policy named 'tmp-registered'"):
            from_spec(f"{path.with_name('thief.py')}:Mine")
    finally:
        vars(registry)["_factories"].pop("tmp-registered", None)


def test_specs_build_what_they_say() -> None:
    policy = from_spec("linucb:alpha=0.5,shared=false,l2=2", seed=9)
    assert isinstance(policy, LinUCB)
    assert (policy.alpha, policy.model.shared, policy.model.ridge.l2) == (0.5, False, 2)
    assert policy.seed == 9
    wrapped = from_spec("popular:prior=1+temperature=0.2", seed=4)
    assert isinstance(wrapped, Explore)
    assert isinstance(wrapped.policy, Popular)
    assert (wrapped.temperature, wrapped.seed, wrapped.policy.prior) == (0.2, 4, 1)
    assert isinstance(from_spec("lints:samples=3"), LinTS)
    assert isinstance(make("squarecb", model="tree"), SquareCB)


SPECS = st.builds(
    Spec,
    st.sampled_from(["linucb", "a/b c.py:Mine", "package.module:Mine", "../x.py:P"]),
    st.dictionaries(
        st.sampled_from(["alpha", "shared", "l2"]),
        st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False),
    ),
    st.sampled_from([{}, {"epsilon": 0.1}, {"temperature": 1e-05}]),
    st.integers(0, 9),
)


@given(SPECS)
def test_a_spec_is_read_as_it_is_written(spec: Spec) -> None:
    assert Spec.parse(str(spec), spec.seed) == spec


@pytest.mark.parametrize("folder", ["C:\\my", "a+epsilon=0.1", "a:b=1,c", "x.py:y/z"])
def test_an_option_may_name_a_file_in_any_folder(folder: str) -> None:
    spec = Spec.parse(f"{folder}/own.py:Mine:inner=b/x.py:Thing+epsilon=0.2")
    assert spec.policy == f"{folder}/own.py:Mine"
    assert spec.options == {"inner": "b/x.py:Thing"}
    assert spec.explore == {"epsilon": 0.2}


def test_names_cannot_be_taken_twice_or_be_unwritable() -> None:
    with pytest.raises(ValueError, match="already a policy named 'linucb'"):
        register("linucb")(LinUCB)
    with pytest.raises(ValueError, match="lower-case"):
        register("Lin UCB")
