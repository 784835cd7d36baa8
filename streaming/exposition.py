"""What a worker says of itself to Prometheus: its latest report, whenever it is asked."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from streaming.metrics import Report

_COUNTERS = {
    "events": "Records of feedback read since the loop began",
    "duplicates": "Events that had come before",
    "outcomes": "Outcomes published",
    "corrections": "Corrections published",
    "quarantined": "Outcomes that nothing learns from",
    "decisions": "Decisions published",
    "drifts": "Changes of reward or calibration that were noticed",
    "alarms": "Changes for the worse",
    "batches": "Batches worked by this process",
    "aborted": "Batches given up by this process",
}
_GAUGES = {
    "waiting": "Interactions whose ranking has not come yet",
    "log_loss": "Log-loss of the click model over the latest slots",
    "auc": "Area under the ROC curve of the click model over the latest slots",
    "click_rate": "Share of the latest seen slots that were rewarded",
    "share": "Share of the users for whom the canary decides",
    "exploration": "Probability that a slate is random beyond what the policies do",
    "revision": "Orders obeyed",
}


class Exposition(Collector):
    """The figures of a worker, in a registry of their own.

    Parameters
    ----------
    report : Report
        The first; `tell` replaces it, from any thread.

    Attributes
    ----------
    registry : CollectorRegistry
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def tell(self, report: Report) -> None:
        """Take over a newer report."""
        self._report = report

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of the latest report."""
        now = self._report
        for name, words in _COUNTERS.items():
            yield CounterMetricFamily(f"recloop_worker_{name}", words, value=getattr(now, name))
        for name, words in _GAUGES.items():
            if (value := getattr(now, name)) is not None:
                yield GaugeMetricFamily(f"recloop_worker_{name}", words, value=value)
        dead = CounterMetricFamily("recloop_worker_dead", "Dead letters", labels=["kind"])
        for kind, count in now.dead.items():
            dead.add_metric([kind], count)
        decided = CounterMetricFamily(
            "recloop_worker_decided", "Decisions of this process", labels=["policy"]
        )
        for policy, count in now.decided.items():
            decided.add_metric([policy], count)
        role = GaugeMetricFamily("recloop_worker_role", "Who decides", labels=["role", "policy"])
        role.add_metric(["champion", now.champion], 1.0)
        if now.canary is not None:
            role.add_metric(["canary", now.canary], 1.0)
        lead = GaugeMetricFamily(
            "recloop_worker_lead",
            "Between what a challenger's lead per slate lies",
            labels=["policy", "end"],
        )
        shut = GaugeMetricFamily(
            "recloop_worker_gate_shut", "Whether a promise was broken", labels=["policy"]
        )
        for policy, standing in now.gate.items():
            shut.add_metric([policy], float(standing.shut))
            for end, value in (("low", standing.low), ("high", standing.high)):
                if value is not None:
                    lead.add_metric([policy, end], value)
        yield from (dead, decided, role, lead, shut)

    @contextmanager
    def at(self, port: int) -> Iterator[int]:
        """Answer on a port of this machine while the body runs, and yield the port.

        Parameters
        ----------
        port : int
            0 takes any.
        """
        server, thread = start_http_server(port, addr="127.0.0.1", registry=self.registry)
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
