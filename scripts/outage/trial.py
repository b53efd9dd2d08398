# SPDX-License-Identifier: Apache-2.0
"""One service, one store, one fault: what was sent is stored, in files or counted as lost, or the trial fails.

What the counters say is compared with what the command finds in the store afterwards.
"""

import uuid
from dataclasses import dataclass
from pathlib import Path

from house.failure import Failure
from house.waiting import wait_until
from outage.faults import Fault
from outage.service import Service
from outage.stores import Store

# What may wait in memory: little, so that files are needed in each trial.
QUEUE_MIB = 1
NOTIFICATIONS_A_REQUEST = 10
# Before the fault, where it is not there at the start.
REQUESTS_BEFORE = 20
# Where minutes pass at once.
ROUNDS = 10
REQUESTS_A_ROUND = 100
# Far longer than anything takes while the store answers.
SECONDS = 100


@dataclass(frozen=True)
class Pace:
    """How time passes: minutes at once, or as they do."""

    minutes: float
    is_real: bool
    # What may wait in files: a fault of so many minutes fits.
    spool_mib: int
    # Far longer than it takes to store all that waits.
    catch_up_seconds: int = SECONDS
    requests_a_second: int = 20

    def work(self, service: Service, base_id: str, fault: Fault) -> None:
        """Let the service record for so long."""
        if self.is_real and not fault.is_too_much:
            seconds = self.minutes * 60
            service.ask("work", base_id, seconds, self.requests_a_second, seconds=seconds)
            return
        text_bytes = 10_000 if fault.is_too_much else 100
        for _ in range(ROUNDS):
            service.ask("record", base_id, REQUESTS_A_ROUND, text_bytes)
            service.ask("pass", self.minutes * 60 / ROUNDS)
            # What the recorder's own memory holds is not what is tried here.
            wait_until(
                lambda: service.ask("flush", 0.05)["waiting"] * text_bytes < 4 * QUEUE_MIB << 20,
                "the service to have what it recorded where it waits",
                SECONDS,
            )


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    store: str
    fault: str
    sent: int
    stored: int
    spooled: int
    lost: int
    # What was in files at the worst time.
    spooled_meanwhile: int
    longest_ms: float
    grown_mib: float

    HEAD = ("store", "fault", "sent", "stored", "in files", "lost", "in files meanwhile", "longest request", "memory")

    def cells(self) -> tuple[str, ...]:
        """Return the cells' texts."""
        numbers = (self.sent, self.stored, self.spooled, self.lost, self.spooled_meanwhile)
        cost = (f"{self.longest_ms:.1f} ms", f"+{self.grown_mib:.0f} MiB")
        return (self.store, self.fault, *(f"{number:,}" for number in numbers), *cost)


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Return the lines of a table of rows' cells, and under it the longest request of all."""
    lines = [Row.HEAD, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    place = Row.HEAD.index("longest request")
    longest = max(rows, key=lambda row: float(row[place].split()[0]), default=None)
    if longest is not None:
        shown.append(f"the longest request of all: {longest[place]}, {longest[0]}, {longest[1]}")
    return shown


def run(python: str | Path, command: Path, store: Store, fault: Fault, pace: Pace, folder: Path) -> Row:
    """Let a service record through the fault; return what became of it.

    :param python: an interpreter with our package
    :param command: the command
    :param folder: where files go that memory does not hold; empty
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = {"queue_max_mib": QUEUE_MIB, "spool_folder": str(folder), "spool_max_mib": pace.spool_mib}
    # There are no secrets in what it records, and looking for them is not what is tried here.
    options["mask_secrets"] = False
    base_id = str(uuid.uuid4())
    adopted = 0
    with Service(python, store.url, options) as service:
        if not fault.at_start:
            service.ask("record", base_id, REQUESTS_BEFORE, 100)
            # A server on a busy machine may be late for the first time.
            _settled(wait_until(lambda: _caught_up(service, store), "the store to have what came before", SECONDS))
        resident_kib = service.ask("forget peak")
        for act in fault.begin:
            store.do(act)
        try:
            pace.work(service, base_id, fault)
            meanwhile = service.ask("flush", 1)
            _balanced(meanwhile)
            if fault.outlasts_service:
                facts = service.ask("facts")
                service.end()
        finally:
            for act in fault.end:
                store.do(act)
        if not fault.outlasts_service:
            counters = wait_until(
                lambda: _caught_up(service, store), "the store to have what waited", pace.catch_up_seconds
            )
            facts = service.ask("facts")
            if store.holds_starts:
                # Some may wait for stops that were lost.
                counters = service.ask("end")
            _settled(counters)
    if fault.outlasts_service:
        counters = meanwhile
        left = counters["spooled"] + counters["waiting"]
        adopted = _adopted(python, store, options, left, pace)
        counters = counters | {"stored": counters["stored"] + adopted, "spooled": left - adopted}
    _compare(command, store, fault, base_id, counters, pace)
    if any(folder.iterdir()):
        raise Failure(f"there are files left in {folder}")
    return Row(
        store.name,
        fault.name,
        counters["recorded"],
        counters["stored"],
        counters["spooled"],
        counters["lost"],
        meanwhile["spooled"],
        facts["longest_seconds"] * 1000,
        (facts["peak_kib"] - resident_kib) / 1024,
    )


def _adopted(python: str | Path, store: Store, options: dict, left: int, pace: Pace) -> int:
    """Let a later service send what the first has left; return how much it was."""
    with Service(python, store.url, options) as service:

        def sent():
            service.ask("record", str(uuid.uuid4()), 1, 0)
            service.ask("pass", 60)
            return service.ask("flush", SECONDS)["adopted"] == left

        wait_until(sent, f"{left} notifications to be sent", pace.catch_up_seconds)
    return left


def _caught_up(service: Service, store: Store) -> dict | None:
    """Have a minute pass and the service try; return the counters once the store has all that it is to get.

    A connection that was cut while nobody used it fails once more.
    """
    service.ask("pass", 60)
    counters = service.ask("flush", SECONDS)
    waits = counters["spooled"] or (counters["waiting"] and not store.holds_starts)
    return None if waits else counters


def _balanced(counters: dict) -> dict:
    settled = counters["stored"] + counters["spooled"] + counters["lost"]
    if counters["recorded"] != settled + counters["waiting"]:
        raise Failure(f"the counters do not add up: {counters}")
    return counters


def _settled(counters: dict) -> dict:
    if counters["waiting"] or counters["spooled"]:
        raise Failure(f"not all is stored or lost: {counters}")
    return _balanced(counters)


def _compare(command: Path, store: Store, fault: Fault, base_id: str, counters: dict, pace: Pace) -> None:
    """Fail unless the store has what is counted as stored."""
    stored = counters["stored"]

    def found():
        count = store.count(command, base_id)
        return count is not None and (count <= stored if fault.loses_data else count == stored)

    wait_until(found, f"{stored} notifications in the store", pace.catch_up_seconds)
