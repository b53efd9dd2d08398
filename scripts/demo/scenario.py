# SPDX-License-Identifier: Apache-2.0
"""The request that the demo shows and the tests assert: `openstack image list`, after one like it has warmed things up.

What services do only once (connections, catalogues, plug-ins) is done by the first request, so that the profiled one
records the same points each time.
"""

import json
from pathlib import Path

from demo.client import Client, Recording
from house.failure import Failure
from house.process import capture
from house.waiting import wait_until

IMAGE_BYTES = 64 * 1024
QUIET_SECONDS = 60


def upload_image(client: Client, folder: Path) -> None:
    """Upload a small image."""
    image = folder / "image.raw"
    image.write_bytes(bytes(IMAGE_BYTES))
    client.run("image", "create", "--disk-format", "raw", "--container-format", "bare", "--file", image, "demo-image")


def warm_up(client: Client) -> None:
    """Run the request once without profiling."""
    client.run("image", "list")


def record(client: Client) -> Recording:
    """Run the request with profiling."""
    return client.profile("image", "list")


def report(command: Path, trace_id: str, connection_string: str, log: Path) -> dict:
    """Return a trace's report once it is complete: every point has ended, and nothing came since the last look."""
    seen: list[dict] = []

    def quiet() -> bool:
        try:
            output = capture([command, *show("--json", trace_id, connection_string)], log)
        except Failure:
            return False  # nothing has reached the store yet; the log tells what the command said
        seen.append(json.loads(output.data))
        return len(seen) > 1 and seen[-2] == seen[-1] and _all_ended(seen[-1])

    wait_until(quiet, f"trace {trace_id} to be complete", QUIET_SECONDS, log)
    return seen[-1]


def show(form: str, trace_id: str, connection_string: str) -> list[str]:
    """Return the arguments that show a trace in a form: "--json", "--html" or "--tree"."""
    return ["trace", "show", form, trace_id, "--connection-string", connection_string]


def nodes(tree: dict):
    """Yield each point of a report with the path of (service, name) that leads to it, in the report's order."""
    stack = [(child, ()) for child in reversed(tree["children"])]
    while stack:
        node, above = stack.pop()
        path = (*above, (node["info"]["service"], node["info"]["name"]))
        yield node, path
        stack.extend((child, path) for child in reversed(node["children"]))


def payloads(node: dict, ending: str) -> list[dict]:
    """Return the notifications of a point whose name ends so: "-start" or "-stop"."""
    return [
        value for key, value in node["info"].items() if key.startswith("meta.raw_payload.") and key.endswith(ending)
    ]


def _all_ended(tree: dict) -> bool:
    return bool(tree["children"]) and all(
        payloads(node, "-start") and payloads(node, "-stop") for node, _ in nodes(tree)
    )
