"""Logs of outcomes as Parquet: the one format that worlds, the live loop and evaluation share.

A log is a folder: `items.parquet`, the catalogue, and `part-*.parquet`, one row per decision, in
the order in which they were made. A single Parquet file is a log too: its catalogue is the
`items.parquet` beside it, or the one that the reader is given.

Columns of a part
    time          timestamp[ms, UTC]  when the request was made
    completed     timestamp[ms, UTC]  when its outcome was complete
    request       uint64              the request's key
    user          uint64              the user's key
    context       list<float>         what was known of user and situation, D numbers
    candidates    list<uint64>        keys of the items that could be shown; null stands for the
                                      first `catalogue_rows` items of the catalogue
    features      list<float>         the candidates' features, one after the other, where the log
                                      has no catalogue because its items lived for one request only
    slate         list<uint64>        keys of the K items shown, by slot; null for an empty slot
    positions     list<int64>         the display position of every slot, 0 the first
    propensities  list<double>        the probability of every slot's item given the slots before
    rewards       list<float>         the reward of every slot
    seen          list<bool>          whether the user looked at the slot
    policy        string              the name of the policy that decided
    version       int64               how many outcomes it had learned from
    expected      list<double>        the true expected reward of every slot; simulated logs alone

Only `slate`, `propensities` and `rewards` are required, so that logs from elsewhere are read as
they are. Where the others are missing, time is 0, requests are numbered, all users are one, there
is no context, every item is a candidate, slots stand at positions 0 to K - 1 and were seen, and
the policy is "logged". Keys may be integers or names: a name's key is `agents.api.key_of`.

Columns of items.parquet
    name          string              optional where there is `key`
    key           uint64              optional where there is `name`
    features      list<float>         F numbers; optional
    available     bool                whether the item may be shown now; optional

The metadata of a part holds, under the key `recloop`, a JSON object: `format` (1), `catalogue_rows`
and `item_width` (F, of `features`).
"""

from simulators.logs.reading import Log, read_log
from simulators.logs.schema import LogError
from simulators.logs.writing import LogWriter, write_log

__all__ = ["Log", "LogError", "LogWriter", "read_log", "write_log"]
