"""What the words on a command line stand for: a policy, a log, a world."""

from __future__ import annotations

from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from agents.api import RecloopError
from commands.console import note, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agents import Catalogue, Policy, Spec
    from agents.api import Keys, Outcomes
    from simulators import BatchedWorld, Channel, LoggedWorld, World
    from simulators.datasets import Behaviour, Campaign

LOG_HELP = (
    "A folder or file of outcomes in Parquet; obd:BEHAVIOUR/CAMPAIGN (obd:random/all); "
    "movielens:FOLDER, kuairand:FOLDER (what the app showed) or kuairand-random:FOLDER (what was "
    "drawn), where you have their files."
)
POLICY_HELP = (
    "A name (linucb), a name with options (linucb:alpha=0.5,shared=false) or your own class "
    "(my_policy.py:Mine), each with +epsilon=0.1 or +temperature=0.2 to explore; or the folder "
    "of a trained policy."
)
WORLD_HELP = (
    "A simulator's name (InterestEvolution, SlateTopK-Bored, ...); or users as in a log "
    "(obd:random/all, or a folder of Parquet), to which a world is fitted first; or the folder of "
    "a fitted world."
)

CHANNEL_HELP = (
    "How feedback gets to the policy: some of delay=STEPS, lost=CHANCE, duplicate=CHANCE, "
    "window=STEPS, shuffle=true and slow.SIGNAL=STEPS (slow.bought=4), between commas; or 'world', "
    "as the world's own composition says. At once and whole if not given."
)


_CHANNEL: dict[str, Callable[[str], Any]] = {
    "delay": float,
    "lost": float,
    "duplicate": float,
    "window": int,
    "shuffle": {"true": True, "false": False}.__getitem__,
}
"""How the options of a channel are read; `slow.SIGNAL` is read as a delay is."""


def open_log(address: str) -> Iterable[Outcomes]:
    """Return the log at an address, which can be iterated over more than once; see `LOG_HELP`.

    Raises
    ------
    RecloopError
        If there is none.
    """
    from simulators import Log, load_kuairand, load_movielens, load_obd

    kind, colon, rest = address.partition(":")
    match kind if colon else None:
        case "obd":
            behaviour, _, campaign = rest.partition("/")
            return [load_obd(cast("Behaviour", behaviour), cast("Campaign", campaign))]
        case "movielens":
            return [load_movielens(rest)]
        case "kuairand":
            return [load_kuairand(rest)]
        case "kuairand-random":
            return [load_kuairand(rest, "random")]
        case _:
            return Log(address)


def catalogue_of(log: Iterable[Outcomes]) -> Catalogue:
    """Return the items that the last decisions of a log chose from.

    Raises
    ------
    RecloopError
        If the log is empty.
    """
    latest = None
    for outcomes in log:
        latest = outcomes.requests.items
    if latest is None:
        raise RecloopError("the log is empty")
    return latest


def simulator(address: str) -> str | None:
    """Return the name of the simulator at an address, if that is what it is."""
    from simulators import world_names

    name = address.removeprefix("recloop/").removesuffix("-v0")
    return name if name in world_names() else None


def open_world(
    address: str,
    *,
    seed: int = 0,
    candidates: int | None = None,
    slate_size: int | None = None,
    horizon: int | None = None,
) -> BatchedWorld:
    """Return the world at an address, not reset yet; see `WORLD_HELP`.

    Parameters
    ----------
    address : str
    seed : int
        Cuts a log that a world is fitted to.
    candidates, slate_size, horizon : int, optional
        The world's own if not given. A world with a fixed catalogue offers all of it.

    Raises
    ------
    RecloopError
        If there is no such world.
    """
    name = simulator(address)
    if name is not None:
        from simulators import make_world

        given = {"num_candidates": candidates, "slate_size": slate_size, "horizon": horizon}
        return make_world(name, **{k: v for k, v in given.items() if v is not None})
    if candidates is not None:
        raise RecloopError(f"{address} offers its whole catalogue: leave --candidates out")
    return open_logged(address, seed=seed, slate_size=slate_size, horizon=horizon)


def open_channel(spec: str, world: World, seed: int) -> Callable[[], Channel]:
    """Return what makes the channel that a text describes, anew at every call.

    Raises
    ------
    RecloopError
        If it describes none; see `CHANNEL_HELP`.
    """
    from simulators import Channel
    from simulators.compose import ComposedWorld

    if spec == "world":
        if not isinstance(world, ComposedWorld):
            raise RecloopError(f"{world.name} is no composition, which would say of its channel")
        return partial(world.channel, seed=seed)
    options: dict[str, Any] = {"slow": {}}
    for part in spec.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        read = _CHANNEL.get(name, float if name.startswith("slow.") else None)
        if read is None or not equals:
            known = ", ".join((*_CHANNEL, "slow.SIGNAL"))
            raise RecloopError(
                f"{part!r} says nothing of a channel: there are {known}. {CHANNEL_HELP}"
            )
        try:
            read_value = read(value)
        except (ValueError, KeyError):
            kind = {"window": "a whole number", "shuffle": "true or false"}.get(name, "a number")
            raise RecloopError(f"a channel's {name} is {kind}, not {value!r}") from None
        if name in _CHANNEL:
            options[name] = read_value
        else:
            options["slow"][name.removeprefix("slow.")] = read_value
    make = partial(Channel, **options, seed=seed)
    make()  # what cannot be is said now
    return make


def knows_sessions(address: str) -> bool:
    """Return whether an address is of a kind of log whose users are known one from another."""
    return address.startswith(("movielens:", "kuairand:", "kuairand-random:"))


def is_log(address: str) -> bool:
    """Return whether an address is a log's."""
    here = Path(address)
    known = address.startswith("obd:") or knows_sessions(address)
    return known or (here.exists() and not (here / "world.json").is_file())


def open_logged(
    address: str,
    *,
    seed: int = 0,
    session_gap: int | None = None,
    slate_size: int | None = None,
    horizon: int | None = None,
) -> LoggedWorld:
    """Return the world that was, or now is, fitted to a log; see `open_world`.

    Its users leave after their sessions where a gap, in milliseconds, or the kind of log says what
    a session is.
    """
    from simulators import GAP, LoggedWorld, bts_prior, world_names

    if (Path(address) / "world.json").is_file():
        return LoggedWorld.load(address).resized(slate_size=slate_size, horizon=horizon)
    if not is_log(address):
        near = get_close_matches(address, world_names(), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise RecloopError(f"there is no world {address!r}: {hint}It can be: {WORLD_HELP}")
    log = open_log(address)
    prior = None
    if address.startswith("obd:"):
        prior = bts_prior(cast("Campaign", address.rpartition("/")[2]))
    if session_gap is None and knows_sessions(address):
        session_gap = GAP
    with progress(f"fitting a world to {address}") as advance:
        return LoggedWorld.fit(
            log,
            seed=seed,
            prior=prior,
            session_gap=session_gap,
            slate_size=slate_size,
            horizon=horizon,
            progress=advance,
        )


def seeds(root: int, users: int, first: int = 0) -> Keys:
    """Return the seeds of so many users, uint64 [users]; other roots have other users.

    Parameters
    ----------
    root : int
        The command's seed.
    users : int
    first : int
        Where in the root's endless row of users to begin.
    """
    from agents.streams import row_of

    return row_of(root, users, first)


def maker(address: str, seed: int, weights: Path | None = None) -> Callable[[], Policy]:
    """Return what opens a policy, anew at every call; see `open_policy`.

    What is wrong with the address is said at once, before anything is done with the policy.
    """
    open_policy(address, seed, weights)
    return lambda: open_policy(address, seed, weights)[0]


def open_policy(address: str, seed: int, weights: Path | None = None) -> tuple[Policy, Spec]:
    """Return the policy at an address, and how it was built; see `POLICY_HELP`.

    Parameters
    ----------
    address : str
    seed : int
        The seed of a policy that is built here; one that was saved keeps its own.
    weights : Path, optional
        A folder whose saved state the policy takes over.

    Raises
    ------
    RecloopError
        If there is no such policy, or the folder holds another one's state.
    """
    from agents import Spec
    from agents.store import load, spec_in

    folder = Path(address)
    if folder.is_dir():
        if weights is not None:
            raise RecloopError(f"{folder} holds a trained policy: it needs no weights of another")
        return load(folder), spec_in(folder)
    spec = Spec.parse(address, seed)
    policy = spec.make()
    if weights is None:
        return policy, spec
    saved = spec_in(weights)
    if (saved.options, saved.explore) != (spec.options, spec.explore):
        raise RecloopError(f"{weights} holds what {saved} has learned, which is not for {spec}")
    return load(weights, policy), spec


def warn_of_untrained(policies: dict[str, Policy], doing: str) -> None:
    """Tell if a policy that learns was given as new: what it will have learned may differ."""
    for address, policy in policies.items():
        if getattr(policy, "version", 1) == 0 and policy.name != "uniform":
            note(
                f"{address} has learned nothing yet and is {doing} as it is; to see what it comes "
                "to when it has, `train` it and give the folder"
            )
