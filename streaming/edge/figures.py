"""What the edge says of itself to Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from streaming.edge.view import View

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Figures:
    """Counters of one edge, in a registry of its own.

    Parameters
    ----------
    view : View
        Whose size is told.
    """

    def __init__(self, view: View) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "recloop_edge_requests",
            "Requests answered",
            ["route", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "recloop_edge_request_seconds",
            "Seconds until the answer was ready",
            ["route"],
            buckets=_FAST,
            registry=self._registry,
        )
        self.served = Counter(
            "recloop_edge_served", "Slates served", ["source"], registry=self._registry
        )
        self.events = Counter(
            "recloop_edge_events", "Events of feedback", ["result"], registry=self._registry
        )
        self.lag = Gauge(
            "recloop_edge_lag_records",
            "Recommendations that were published but are not served yet",
            registry=self._registry,
        )
        for name, told in (
            ("users", lambda: len(view)),
            ("items", lambda: len(view.slates)),
        ):
            gauge = Gauge(
                f"recloop_edge_{name}", f"How many {name} are known", registry=self._registry
            )
            gauge.set_function(told)

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry)
