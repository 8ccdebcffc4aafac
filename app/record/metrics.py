"""The metrics catalogue of the gateway. `docs/metrics.md` lists the same names; a test keeps them equal.

Label values come from the registry (assistants, versions, engines) or from fixed sets; everything else is
`other`, so that no client can grow the number of series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

OTHER = "other"
BASE = "base"

_LATENCY = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0, 120.0)
_TOKEN_TIME = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0)
_HELD = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0)
_SMALL = (0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5)


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a gauge read at scrape time."""

    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True)
class LiveGauge:
    """A gauge whose values are read when Prometheus asks, so that it can never be stale."""

    name: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[], Iterable[Sample]]


class LiveGauges(Collector):
    """Reads every live gauge at a scrape."""

    def __init__(self, gauges: Iterable[LiveGauge]) -> None:
        self._gauges = tuple(gauges)

    def collect(self) -> Iterator[Metric]:
        """Yield one family a gauge."""
        for gauge in self._gauges:
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
            for sample in gauge.read():
                family.add_metric(sample.labels, sample.value)
            yield family


@dataclass(frozen=True, slots=True)
class ChatSeries:
    """The series of one assistant and version that every good answer adds to, looked up once."""

    duration: Histogram
    first_token: Histogram
    token_time: Histogram
    prompt_tokens: Counter
    completion_tokens: Counter


class Metrics:
    """Every counter and histogram of one gateway process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._chat_series: dict[tuple[str, str], ChatSeries] = {}
        chat = ("assistant", "version")

        def counter(name: str, text: str, labels: tuple[str, ...]) -> Counter:
            return Counter(name, text, labels, registry=self.registry)

        def histogram(name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

        self.requests = counter(
            "atelier_requests_total",
            "Chat and completion requests, by outcome.",
            (*chat, "status", "verdict"),
        )
        self.duration = histogram(
            "atelier_request_duration_seconds", "From the request's arrival to its last byte.", chat, _LATENCY
        )
        self.first_token = histogram(
            "atelier_time_to_first_token_seconds",
            "From the request's arrival to its first token.",
            chat,
            _LATENCY,
        )
        self.token_time = histogram(
            "atelier_time_per_output_token_seconds",
            "Mean gap between tokens of one answer.",
            chat,
            _TOKEN_TIME,
        )
        self.tokens = counter("atelier_tokens_total", "Tokens, as the engine counted them.", (*chat, "kind"))
        self.errors = counter(
            "atelier_errors_total", "Requests refused or failed, by stable code.", ("code",)
        )
        self.limited = counter("atelier_limited_total", "Requests over a key's limit.", ("limit",))
        self.retries = counter(
            "atelier_engine_retries_total", "Attempts moved to another engine.", ("engine",)
        )
        self.engine_errors = counter("atelier_engine_errors_total", "Failed calls of an engine.", ("engine",))
        self.uploads = counter("atelier_adapter_uploads_total", "Adapter uploads, by result.", ("result",))
        self.feedback = counter("atelier_feedback_total", "Feedback, by rating.", ("rating",))
        self.control = counter(
            "atelier_control_requests_total", "Control and operations requests.", ("route", "status")
        )
        self.inflight = Gauge(
            "atelier_requests_in_flight", "Chat requests being answered now.", registry=self.registry
        )
        self.admission = histogram(
            "atelier_admission_seconds", "Key, limits and routing of one request.", (), _SMALL
        )

        self.verdicts = counter(
            "atelier_guardrail_verdicts_total",
            "Runs of the guardrail checks, by result.",
            ("check", "phase", "mode", "result", "version"),
        )
        self.check_seconds = histogram(
            "atelier_guardrail_check_seconds", "Time of one check on one request.", ("check", "phase"), _SMALL
        )
        self.held = histogram(
            "atelier_guardrail_held_characters",
            "Characters a check holds back after a piece of a stream, mean of one answer.",
            ("check",),
            _HELD,
        )
        self.tickets = counter(
            "atelier_handoff_tickets_total", "Tickets for people who take over.", ("result",)
        )

    def expose(self, gauges: Iterable[LiveGauge]) -> None:
        """Add gauges that are read at scrape time."""
        self.registry.register(LiveGauges(gauges))

    def chat_series(self, assistant: str, version: str) -> ChatSeries:
        """Finding series by their labels costs more than adding to them."""
        known = self._chat_series.get((assistant, version))
        if known is None:
            known = self._chat_series[assistant, version] = ChatSeries(
                self.duration.labels(assistant, version),
                self.first_token.labels(assistant, version),
                self.token_time.labels(assistant, version),
                self.tokens.labels(assistant, version, "prompt"),
                self.tokens.labels(assistant, version, "completion"),
            )
        return known

    def forget_version(self, version: str) -> None:
        """Drop the series of a version that was collected."""
        for known in [known for known in self._chat_series if known[1] == version]:
            del self._chat_series[known]
        for metric in (
            self.requests, self.duration, self.first_token, self.token_time, self.tokens, self.verdicts,
        ):  # fmt: skip
            metric.remove_by_labels({"version": version})
