# SPDX-License-Identifier: Apache-2.0
"""What the command is asked about a store, and notifications of one trace to put there."""

import json
from itertools import count as numbers

ID = "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee"
NUMBERS = numbers(1)


def notification(name="db-start", second=1, **members):
    """Return a notification as upstream's driver stores it."""
    return {
        "name": name,
        "base_id": ID,
        "trace_id": str(next(NUMBERS)),
        "parent_id": ID,
        "timestamp": f"2026-01-01T00:00:{second:02}.000000",
        "info": {"host": "h"},
        "project": "p",
        "service": "s",
    } | members


def lines_of(*notifications):
    """Return them as lines of JSON."""
    return "".join(json.dumps(notification) + "\n" for notification in notifications)


def show(command, url, base_id=ID):
    """Return the report that the command makes of a trace."""
    done = command("trace", "show", "--json", base_id, "--connection-string", url)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def told(command, url, *arguments):
    """Return what the command says of a store that it cannot read."""
    done = command(*(arguments or ("trace", "list")), "--connection-string", url)
    assert done.returncode in (1, 2), done.stdout
    assert "s3cret" not in done.stdout + done.stderr
    return done.stderr


def count(command, url, base_id=ID):
    """Return how many notifications of a trace the store has, each once."""
    done = command("trace", "export", base_id, "--connection-string", url)
    return len(done.stdout.splitlines())
