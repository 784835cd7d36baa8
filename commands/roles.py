"""`run.py roles`, `promote`, `canary` and `rollback`: who decides in a live loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from commands.console import Json, emit, figure, note, say, table
from commands.loop import HERE, PREFIX, Client, Prefix, Properties, Servers, reach

if TYPE_CHECKING:
    from pathlib import Path

    from streaming import Order, Roles

Name = Annotated[
    str, typer.Argument(help="A challenger's name, as `roles` shows it.", show_default=False)
]
Reason = Annotated[str, typer.Option(help="Why: it is kept with the roles.")]
Patience = Annotated[
    float, typer.Option(help="For how many seconds to wait until a worker has obeyed.", min=0.0)
]
BY_COMMAND = "by command"
WAITED = 10.0


def roles(
    bootstrap_servers: Servers = HERE,
    properties: Properties = None,
    client: Client = "kafka-python",
    prefix: Prefix = PREFIX,
    as_json: Json = False,
) -> None:
    """Show who decides in a live loop: champion, canary, who came before, and why."""
    from streaming import Topics, roles_told

    with reach(bootstrap_servers, properties, client) as transport:
        told = roles_told(transport, Topics(prefix))
    if told.roles is None:
        say("no worker has said yet who decides: run `serve`")
    else:
        _show(told.roles, told.waiting, as_json)


def promote(
    name: Name,
    reason: Reason = BY_COMMAND,
    bootstrap_servers: Servers = HERE,
    properties: Properties = None,
    client: Client = "kafka-python",
    prefix: Prefix = PREFIX,
    patience: Patience = WAITED,
    as_json: Json = False,
) -> None:
    """Let a challenger decide for all users; the champion becomes a challenger.

    From its next batch on the worker decides so. What users were recommended before holds until
    they are decided for anew. `rollback` takes it back.
    """
    from streaming import Promote

    order = Promote(policy=name, reason=reason)
    _send(order, bootstrap_servers, properties, client, prefix, patience, as_json)


def canary(
    name: Name,
    share: Annotated[
        float, typer.Option(help="For what share of the users it decides; 0 ends it.")
    ],
    reason: Reason = BY_COMMAND,
    bootstrap_servers: Servers = HERE,
    properties: Properties = None,
    client: Client = "kafka-python",
    prefix: Prefix = PREFIX,
    patience: Patience = WAITED,
    as_json: Json = False,
) -> None:
    """Let a challenger decide for a share of the users, always the same ones.

    Whose it is hangs on the user alone: who is among the 5 % is among the 20 %.
    """
    from streaming import Canary

    order = Canary(policy=name, share=share, reason=reason)
    _send(order, bootstrap_servers, properties, client, prefix, patience, as_json)


def rollback(
    reason: Reason = BY_COMMAND,
    bootstrap_servers: Servers = HERE,
    properties: Properties = None,
    client: Client = "kafka-python",
    prefix: Prefix = PREFIX,
    patience: Patience = WAITED,
    as_json: Json = False,
) -> None:
    """Take back the latest change: end the canary, or if there is none, undo the promotion."""
    from streaming import Rollback

    order = Rollback(reason=reason)
    _send(order, bootstrap_servers, properties, client, prefix, patience, as_json)


def _send(
    order: Order,
    servers: str,
    properties: Path | None,
    client: str,
    prefix: str,
    patience: float,
    as_json: bool,
) -> None:
    from streaming import Topics, send_order

    with reach(servers, properties, client) as transport:
        obeyed = send_order(transport, Topics(prefix), order, patience=patience)
    if obeyed is None:
        note(
            f"sent, but no worker has obeyed within {patience:g} s: the next that runs will, and "
            "`roles` shows it"
        )
    else:
        _show(obeyed, 0, as_json)


def _show(told: Roles, waiting: int, as_json: bool) -> None:
    if as_json:
        import msgspec

        emit(msgspec.to_builtins(told) | {"waiting": waiting})
        return
    rows = [("champion", told.champion)]
    if told.canary is not None:
        rows.append(("canary", f"{told.canary}, for {told.share:.3g} of the users"))
    if told.before is not None:
        rows.append(("the champion before", told.before))
    if told.raised is not None:
        raised = told.raised
        said = (
            f"{figure(raised.epsilon)} at outcome {raised.at:,}, halved every {raised.half_life:,}"
        )
        rows.append(("random slates", said))
    others = [name for name in told.policies if name not in (told.champion, told.canary)]
    rows.append(("challengers", ", ".join(others) or "none"))
    if told.revision:
        rows.append(("champion since outcome", f"{told.since:,}"))
        rows.append(("last change", told.reason))
    rows += [("refused", reason) for reason in told.refused.values()]
    if waiting:
        rows.append(("orders waiting", str(waiting)))
    table("who decides", ["role", "policy"], rows)
