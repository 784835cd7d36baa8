"""Worlds are found by their names, and what is not found is answered helpfully."""

from __future__ import annotations

import pytest

from simulators import InterestEvolution, WorldError, make_world, world_names, world_options

SARDINE = {  # published: items, slate, steps, offset, slope, omega, threshold, eps
    "SingleItem-Static": (1000, 1, 100, 0.65, 100, 1.0, 11, 0.85),
    "SingleItem-BoredInf": (1000, 1, 100, 0.65, 100, 0.95, 5, 0.85),
    "SingleItem-Uncertain": (1000, 1, 100, 0.65, 10, 1.0, 11, 0.85),
    "SlateTopK-Bored": (1000, 10, 100, 0.65, 100, 1.0, 5, 0.85),
    "SlateTopK-BoredInf": (1000, 10, 100, 0.65, 100, 0.95, 5, 0.85),
    "SlateTopK-Uncertain": (1000, 10, 100, 0.65, 10, 0.95, 5, 0.85),
    "SlateRerank-Static": (10, 10, 10, 0.3, 5, 1.0, 11, 0.7),
    "SlateRerank-Bored": (10, 10, 10, 0.3, 5, 1.0, 4, 0.7),
}


@pytest.mark.parametrize("name", world_names())
def test_every_world_is_made_by_its_name_with_its_options(name: str) -> None:
    options = world_options(name)
    world = make_world(name)
    assert world.name == name
    assert (world.num_candidates, world.slate_size) == (
        options["num_candidates"],
        options["slate_size"],
    )
    assert world.horizon == options["horizon"]
    assert make_world(name, horizon=4).horizon == 4


@pytest.mark.parametrize("name", SARDINE)
def test_the_published_environments_have_their_published_numbers(name: str) -> None:
    asked = ["num_candidates", "slate_size", "horizon", "offset", "slope", "omega", "threshold"]
    options = world_options(name)
    assert tuple(options[option] for option in [*asked, "eps"]) == SARDINE[name]
    assert options["boredom"] == "return"


def test_a_name_that_is_not_there_is_guessed_at() -> None:
    with pytest.raises(WorldError, match="did you mean InterestEvolution\\?"):
        make_world("interestevolutoin")
    with pytest.raises(WorldError, match="no world 'x': there are InterestEvolution,"):
        make_world("x")


def test_an_option_that_is_not_there_is_guessed_at() -> None:
    with pytest.raises(WorldError, match="did you mean slate_size\\?"):
        make_world("InterestEvolution", slatesize=3)
    with pytest.raises(WorldError, match="InterestExploration has no option 'choice'"):
        make_world("InterestExploration", choice="cascade")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("InterestEvolution", {"choice": "mnl"}, "proportional or cascade"),
        ("InterestEvolution-Cascade", {"scaling": 0.7}, "scaling in"),
        ("LongTermSatisfaction", {"sensitivity": -1.0}, "not negative"),
        ("SlateTopK-Bored", {"boredom": "always"}, "return or loss"),
        ("SlateTopK-Bored", {"influence": "matrix"}, "vector or scalar"),
        ("SlateTopK-Bored", {"omega": 1.5}, "shares"),
        ("SlateTopK-Bored", {"slate_size": 1001}, "cannot be filled"),
    ],
)
def test_what_cannot_be_is_refused(name: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(WorldError, match=words):
        make_world(name, **options)


def test_a_preset_is_only_a_default() -> None:
    world = make_world("InterestEvolution-Cascade", choice="proportional")
    assert isinstance(world, InterestEvolution)
    assert world.choice == "proportional"
