# SPDX-License-Identifier: Apache-2.0
"""Ceilometer's notification agent, which takes events off a message bus and, here, writes them to a file, one a line.

Its events tell few of a trace's members by themselves; `store_raw` has them tell all of it.
"""

import json
from pathlib import Path

from house.process import Server

PIPELINE = """---
sources:
    - name: every_event
      events: ["*"]
      sinks: [file]
sinks:
    - name: file
      publishers: ["file://{events}?json"]
"""


class Ceilometer:
    """An agent for as long as the `with` block lasts."""

    def __init__(self, folder: Path, python: Path, transport_url: str):
        """Write its configuration; events, log and process id go into the folder too."""
        self.events_file = folder / "events.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "event_pipeline.yaml").write_text(PIPELINE.format(events=self.events_file))
        (folder / "ceilometer.conf").write_text(
            f"[DEFAULT]\ntransport_url = {transport_url}\n"
            "[oslo_messaging_notifications]\ntopics = notifications, profiler\n"
            "[notification]\nnotification_control_exchanges = openstack\npipelines = event\n"
            "[event]\nstore_raw = info\nstore_raw = warn\n"
        )
        program = python.parent / "ceilometer-agent-notification"
        self.agent = Server(
            "ceilometer", [program, "--config-file", folder / "ceilometer.conf", "--config-dir", folder], folder
        )

    def __enter__(self) -> "Ceilometer":
        """Start it. It is ready when events come."""
        self.agent.begin()
        return self

    def __exit__(self, *_) -> None:
        """End it."""
        self.agent.end()

    def events(self) -> list[dict]:
        """Return the events that it has stored so far."""
        if not self.events_file.exists():
            return []
        lines = self.events_file.read_text().split("\n")
        # What follows the last end of a line is still being written.
        return [json.loads(line) for line in lines[:-1]]
