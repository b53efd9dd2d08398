# SPDX-License-Identifier: Apache-2.0
"""Figures of processes: taken by the program `measure` of the benches, printed as a table with floors first."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from house.process import capture
from house.progress import paint, say


@dataclass(frozen=True)
class Figure:
    """What a command took: the seconds of each run, and the largest peak of memory."""

    name: str
    seconds: tuple[float, ...]
    peak_kib: int

    @property
    def median(self) -> float:
        """The seconds of the middle run."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Ratio:
    """How many times one figure is another's, and how many were wanted: at least, or at most."""

    name: str
    value: float
    at_least: float

    def line(self) -> str:
        """Return the ratio as a line of the table."""
        good = self.value >= self.at_least
        verdict = paint("as wanted", "32") if good else paint("less than wanted", "31")
        return f"  {self.name:<46} {self.value:10.1f} x   (wanted: {self.at_least:.0f} x) {verdict}"


@dataclass(frozen=True)
class Limit:
    """A figure, and the most that was wanted of it."""

    name: str
    value: float
    at_most: float
    unit: str

    def line(self) -> str:
        """Return the figure as a line of the table."""
        good = self.value <= self.at_most
        verdict = paint("as wanted", "32") if good else paint("more than wanted", "31")
        return f"  {self.name:<46} {self.value:10.1f} {self.unit:<3} (wanted: {self.at_most:.0f} {self.unit}) {verdict}"


@dataclass(frozen=True)
class Bound:
    """A ratio of two things, the most that was wanted of it, and how far two equal things lay apart beside it."""

    name: str
    value: float
    at_most: float
    apart: float

    def line(self) -> str:
        """Return the ratio as a line of the table."""
        good = self.value <= self.at_most
        verdict = paint("as wanted", "32") if good else paint("more than wanted", "31")
        if 1 + self.apart > self.at_most:
            verdict = paint(f"tells nothing: the control lies {self.apart:.3f} from 1", "33")
        return f"  {self.name:<46} {self.value:10.3f}   (wanted: at most {self.at_most:.3f}) {verdict}"


def measure(program: Path, name: str, runs: int, command: Sequence[str | Path], log: Path) -> Figure:
    """Run a command so many times."""
    taken = json.loads(capture([program, str(runs), *command], log).data)
    return Figure(name, tuple(taken["seconds"]), taken["peak_kib"])


def table(title: str, figures: Sequence[Figure]) -> None:
    """Print figures, one a line."""
    say(f"\n  {title:<46} {'min ms':>10} {'median ms':>10} {'peak MiB':>10} {'runs':>5}")
    for figure in figures:
        least, median = min(figure.seconds) * 1000, figure.median * 1000
        peak = figure.peak_kib / 1024
        say(f"  {figure.name:<46} {least:10.2f} {median:10.2f} {peak:10.1f} {len(figure.seconds):5d}")
