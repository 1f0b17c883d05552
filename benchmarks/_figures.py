"""The results of a run: rows (a measure in a library) and columns (contestants)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Spread:
    """A ratio or a time: the median and the quartiles of all rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    @classmethod
    def of_ratios(cls, values: Sequence[float], base: Sequence[float]) -> Spread:
        """Divide round by round, because a slow machine slows both values of a round."""
        return cls.of([value / by for value, by in zip(values, base, strict=True)])

    def __str__(self) -> str:
        digits = 2 if self.median < 10 else 1 if self.median < 100 else 0
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


@dataclass(frozen=True)
class Crowd:
    """The result of many requests, at once or over a period: the worst of all rounds."""

    requests: int
    failed: int
    token_calls: int
    #: How many requests waited for a token call, if measured.
    waited: int | None = None
    #: Wall time divided by the ideal, if all requests succeeded.
    wall: Spread | None = None
    #: TCP connections that the server accepted, if measured.
    connections: int | None = None
    #: Milliseconds that a renewal added to the slowest request, if measured.
    added: Spread | None = None

    def __str__(self) -> str:
        calls = f"{self.token_calls} token call{'' if self.token_calls == 1 else 's'}"
        parts = [calls]
        if self.waited is not None:
            parts.append(f"{self.waited} waited")
        if self.wall is not None:
            parts.append(f"{self.wall} x")
        if self.connections is not None:
            parts.append(f"{self.connections} connections opened")
        if self.added is not None:
            parts.append(f"{self.added} ms added")
        if self.failed:
            parts.append(f"{self.failed} of {self.requests} failed")
        return ", ".join(parts)


Figure = Spread | Crowd


@dataclass
class Row:
    measure: str
    library: str
    limit: str
    figures: dict[str, Figure] = field(default_factory=dict[str, Figure])


@dataclass
class Results:
    rows: list[Row] = field(default_factory=list[Row])
    #: What this run could not measure, and why.
    missing: list[str] = field(default_factory=list[str])

    def row(self, measure: str, library: str, limit: str) -> Row:
        row = Row(measure, library, limit)
        self.rows.append(row)
        return row

    def find(self, measure: str, library: str, name: str) -> Figure | None:
        for row in self.rows:
            if (row.measure, row.library) == (measure, library):
                return row.figures.get(name)
        return None
