# SPDX-License-Identifier: Apache-2.0
"""The process that runs a document's Python blocks, one after the other, in one namespace.

A line of JSON comes in for each block: its text and its place. One goes out: what it printed, with the points that it
recorded, read back from the store, below that as an indented tree; or its error.
"""

import contextlib
import doctest
import io
import json
import sys
import traceback
import uuid
from pathlib import Path

from osprofiler import _native, notifier, profiler
from osprofiler.drivers import base


class Session:
    """The namespace, and the store that the blocks record into."""

    def __init__(self, store: str):
        """Name the store's file."""
        self.store = Path(store)
        self.connection_string = f"sqlite://{store}"
        self.namespace = {"__name__": "__main__"}
        self.seen: set[str] = set()

    def run(self, kind: str, text: str, place: str) -> dict:
        """Run a block inside a new trace, and an interactive session outside of any."""
        profiler.clean()
        notifier.set(notifier.create(self.connection_string, project="shop", service="api"))
        if kind == "pycon":
            return {"error": _examples(text, place)}
        profiler.init("SECRET", base_id=str(uuid.uuid4()))
        output = io.StringIO()
        try:
            with contextlib.redirect_stdout(output):
                exec(compile(text, place, "exec"), self.namespace)
        except BaseException:
            return {"error": output.getvalue() + traceback.format_exc()}
        finally:
            profiler.clean()
        return {"output": output.getvalue() + self._recorded()}

    def _recorded(self) -> str:
        """Draw the traces that were not there before."""
        _native.flush(60)
        if not self.store.exists():
            return ""
        driver = base.get_driver(self.connection_string)
        new = [trace["base_id"] for trace in driver.list_traces() if trace["base_id"] not in self.seen]
        self.seen.update(new)
        return "".join(_draw(driver.get_report(base_id)["children"], 0) for base_id in new)


def _draw(nodes: list[dict], level: int) -> str:
    lines = []
    for node in nodes:
        error = node["info"].get("exception", "never ended")
        lines.append(f"{'    ' * level}{node['info']['name']}{'' if error == 'None' else f' ({error})'}\n")
        lines.append(_draw(node["children"], level + 1))
    return "".join(lines)


def _examples(text: str, place: str) -> str:
    """Run an interactive session; return what was not as it says, nothing if all was."""
    faults = io.StringIO()
    test = doctest.DocTestParser().get_doctest(text, {}, place, place, 0)
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=faults.write)
    return faults.getvalue()


if __name__ == "__main__":
    answers = sys.stdout
    session = Session(sys.argv[1])
    for line in sys.stdin:
        print(json.dumps(session.run(**json.loads(line))), file=answers, flush=True)
