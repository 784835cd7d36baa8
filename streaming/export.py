"""The loop's outcomes as a log on disk: the data set of the next offline evaluation.

An outcome says what was shown and how likely it was, and names the set it was chosen from by its
hash. Offline evaluation asks what else could have been shown, so an outcome is exported if that set
is the catalogue as it is now. The others are left out, and counted by the reason. What was
corrected is exported as it was corrected last: the topic is read for corrections first. What is
quarantined is nobody's answer, and left out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from simulators import LogWriter
from streaming.catalogue import CatalogueFold
from streaming.names import name_of
from streaming.records import RecordError, outcomes_on, runs
from streaming.restore import outcomes_in_order, read_topic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from agents.api import Catalogue, Outcomes
    from streaming.config import WorkerConfig
    from streaming.records import OutcomeRecord
    from streaming.transport.api import Transport


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and what was not.

    Parameters
    ----------
    rows : int
    left_out : mapping of str to int
        How many outcomes were left out, by reason.
    """

    rows: int
    left_out: Mapping[str, int]


class Logged:
    """The outcomes of a loop as batches that can be evaluated offline.

    Parameters
    ----------
    transport : Transport
    config : WorkerConfig
        Of the worker that wrote them.

    Attributes
    ----------
    catalogue : Catalogue
    left_out : Counter of str
        Filled while the batches are read.
    """

    def __init__(self, transport: Transport, config: WorkerConfig) -> None:
        self._transport, self._topics = transport, config.topics
        self._widths = config.users.width, config.items.width
        fold = CatalogueFold(config.items)
        for records in read_topic(transport, self._topics.items):
            fold.apply(records)
        self.catalogue = fold.catalogue
        self.left_out: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Outcomes]:
        """Return the batches in the order in which they were learned from.

        Raises
        ------
        RecordError
            If the outcomes have other features than the configuration declares.
        """
        shelf, corrected = _Shelf(self.catalogue), self._corrected()
        for records in outcomes_in_order(self._transport, self._topics):
            fit = []
            for told in records:
                if told.corrects is not None:
                    continue
                record = told
                if (told.partition, told.number) in corrected:
                    rewards = corrected[told.partition, told.number]
                    record = msgspec.structs.replace(told, rewards=rewards)
                self._check(record)
                reason = shelf.unfit(record)
                if reason is None:
                    fit.append(record)
                else:
                    self.left_out[reason] += 1
            for run in runs(fit):
                yield shelf.outcomes(run)

    def _corrected(self) -> dict[tuple[int, int], list[float]]:
        """Return the rewards of those outcomes that were corrected, by their address."""
        return {
            (record.partition, record.corrects): record.rewards
            for records in outcomes_in_order(self._transport, self._topics)
            for record in records
            if record.corrects is not None
        }

    def _check(self, record: OutcomeRecord) -> None:
        widths = len(record.context), len(record.features[0])
        if widths != self._widths:
            raise RecordError(
                f"the outcomes in {self._topics.outcomes!r} have {widths[0]} numbers of the user "
                f"and {widths[1]} of each item, but the features declared make {self._widths[0]} "
                f"and {self._widths[1]}: declare those that the worker was given"
            )


def export_log(transport: Transport, config: WorkerConfig, folder: Path | str) -> Exported:
    """Write the outcomes of a loop into a folder, as a log that `simulators.logs` reads.

    Raises
    ------
    LogError
        If the folder holds a log already.
    RecordError
        If the outcomes have other features than the configuration declares.
    """
    logged = Logged(transport, config)
    with LogWriter(folder) as writer:
        for outcomes in logged:
            writer.write(outcomes)
    return Exported(writer.rows, dict(logged.left_out))


class _Shelf:
    """The catalogue, and what of it outcomes can be read against."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._fingerprint = name_of(catalogue.fingerprint())
        self._open = np.flatnonzero(catalogue.available)
        self._rows = {
            name: row for row, name in enumerate(catalogue.names or ()) if catalogue.available[row]
        }
        self._features = catalogue.features.tolist()

    def unfit(self, record: OutcomeRecord) -> str | None:
        """Return why an outcome cannot be evaluated, if it cannot."""
        if record.quarantined is not None:
            return "it is quarantined: a bot's, or a flood"
        if record.propensities is None:
            return "nobody stated how likely it was"
        if record.candidates != self._fingerprint or not self._rows.keys() >= set(record.items):
            return "it was chosen from another set of items"
        described = [self._features[self._rows[item]] for item in record.items]
        return None if record.features == described else "an item was described otherwise"

    def outcomes(self, records: Sequence[OutcomeRecord]) -> Outcomes:
        """Return fit outcomes of one policy and slate size over the catalogue."""
        shown = chain.from_iterable(record.items for record in records)
        slates = np.array([self._rows[item] for item in shown]).reshape(len(records), -1)
        return outcomes_on(records, self._catalogue, slates, np.tile(self._open, (len(records), 1)))
