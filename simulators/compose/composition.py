"""Composition: a world as the list of its parts. Calling it makes the world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any

from simulators.compose.items import Items
from simulators.compose.part import Choice, Number, Part, Payoff
from simulators.compose.situation import SITUATIONS
from simulators.compose.world import Blueprint
from simulators.records import WorldError, near

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulators.compose.world import ComposedWorld

ALWAYS = Part(
    name="every world",
    law={
        "tick": Number(1.0, 0.0),
        "click_value": Number(1.0),
        "dwell_value": Number(0.0),
        "purchase_value": Number(0.0),
    },
)
"""Numbers that all composed worlds have: the least hours between two visits, and what a click, a
minute of dwell time, and a purchase at price 1 are worth."""
OF_ITEMS = ("topics", "domains", "regions", "length", "span")
"""Options of the items that equations read as `law.topics` and so on."""
SIZES = ("num_candidates", "slate_size", "horizon")


@dataclass(frozen=True, eq=False, kw_only=True)
class Composition:
    """A world put together of parts; call it, with some of its options, to make one.

    Parameters
    ----------
    name : str
    choice : Choice
        How a slate becomes clicks.
    parts : tuple of Part
        What draws users, moves them and loses them. Their hooks run in this order.
    payoff : Payoff, optional
        What comes of a click; without it a click is all.
    items : Items
        The defaults of the items' options.
    num_candidates, slate_size, horizon
        The defaults of these options; see `simulators.BatchedWorld`.
    law : mapping of str to float
        Where the defaults of numbers are others than the parts'.
    feedback : mapping of str
        What `ComposedWorld.channel` is made with: options of `simulators.Channel`.

    Raises
    ------
    WorldError
        If the parts do not fit together.
    """

    name: str
    choice: Choice
    parts: tuple[Part, ...]
    payoff: Payoff = field(default_factory=lambda: Payoff(name="clicks"))
    items: Items = field(default_factory=Items)
    num_candidates: int = 10
    slate_size: int = 3
    horizon: int | None = 50
    law: Mapping[str, float] = field(default_factory=dict)
    feedback: Mapping[str, Any] = field(default_factory=dict)
    numbers: Mapping[str, Number] = field(init=False, repr=False)
    __signature__: Signature = field(init=False, repr=False)

    def __post_init__(self) -> None:
        kept: dict[str, str] = {}
        for part in self.parts:
            for name in (*part.numbers, *part.topics):
                self._once(kept, "field", name, part.name)
        for part in self.parts:
            for name in (*part.needs, *part.observed):
                if name not in kept:
                    raise WorldError(
                        f"{self.name}: part {part.name!r} needs the field {name!r}, which no part "
                        f"keeps: {near(name, kept)}there are {', '.join(kept) or 'none'}"
                    )
            for name in part.situation:
                if name not in SITUATIONS:
                    raise WorldError(
                        f"{self.name}: part {part.name!r} tells of {name!r}: "
                        f"{near(name, SITUATIONS)}there are {', '.join(SITUATIONS)}"
                    )
        numbers: dict[str, Number] = {}
        owners = {option.name: "items" for option in fields(Items)} | dict.fromkeys(SIZES, "sizes")
        owners_of: tuple[Part | Choice | Payoff, ...]
        owners_of = ALWAYS, self.choice, self.payoff, *self.parts
        for owner in owners_of:
            for name, number in owner.law.items():
                self._once(owners, "number", name, owner.name)
                numbers[name] = number
        for name, value in self.law.items():
            if name not in numbers:
                raise WorldError(
                    f"{self.name}: no part has a number {name!r}: {near(name, numbers)}"
                    f"there are {', '.join(numbers)}"
                )
            numbers[name] = numbers[name]._replace(default=value)
        object.__setattr__(self, "numbers", numbers)
        object.__setattr__(self, "__signature__", Signature(list(self._options())))
        self()  # refuses defaults that cannot be

    def _once(self, owners: dict[str, str], what: str, name: str, owner: str) -> None:
        if name in owners:
            raise WorldError(
                f"{self.name}: both {owners[name]!r} and {owner!r} have a {what} {name!r}; "
                "give one of them another name"
            )
        owners[name] = owner

    def _options(self) -> Iterator[Parameter]:
        """Yield what `inspect.signature` says of the composition, for `world_options`."""
        defaults = {name: getattr(self, name) for name in SIZES}
        defaults |= {option.name: getattr(self.items, option.name) for option in fields(Items)}
        defaults |= {name: number.default for name, number in self.numbers.items()}
        for name, default in defaults.items():
            yield Parameter(name, Parameter.KEYWORD_ONLY, default=default)

    def __call__(self, **options: Any) -> ComposedWorld:
        """Return the world.

        Parameters
        ----------
        **options
            Sizes, `Items`, and numbers of the parts; what is not given has its default.

        Raises
        ------
        WorldError
            If there is no such option, or it cannot be.
        """
        known = self.__signature__.parameters
        for option in options:
            if option not in known:
                raise WorldError(
                    f"{self.name} has no option {option!r}: {near(option, known)}"
                    f"it has {', '.join(known)}"
                )
        given = {name: parameter.default for name, parameter in known.items()} | options
        items = Items(**{option.name: given[option.name] for option in fields(Items)})
        law = [(name, float(getattr(items, name))) for name in OF_ITEMS]
        for name, number in self.numbers.items():
            value = float(given[name])
            if not number.low <= value <= number.high:
                raise WorldError(
                    f"{self.name}: {name} lies between {number.low:g} and {number.high:g}, "
                    f"it cannot be {value:g}"
                )
            law.append((name, value))
        return Blueprint(self, items, tuple(law), *(given[name] for name in SIZES)).build()
