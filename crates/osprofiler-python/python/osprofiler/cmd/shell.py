# SPDX-License-Identifier: Apache-2.0
"""The command ``osprofiler``, called from Python: the same code as the native program, in this process.

Only where a trace comes from a driver that is made in Python, that driver is asked, by ``commands``.
"""

import argparse
import contextlib
import functools
import os
import sys

from osprofiler import _native, exc
from osprofiler.cmd import cliutils, commands
from osprofiler.drivers import base, store


class OSProfilerShell:
    """Runs a command line, without the program's name; ``status`` is what a process would exit with.

    :raises CommandError: if a driver that is made in Python has no such trace, or none of it can be shown
    """

    def __init__(self, argv):
        self.status = 0
        command = _python_command(argv)
        if command is None:
            self.status = _native.run_command(argv)
        else:
            command()


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would end the process: the native command says what is wrong."""

    def error(self, message):
        raise ValueError(message)


def _python_command(argv):
    """Return what answers in the native command's place; ``None`` where that knows the store, or says what is wrong."""
    if argv[:2] not in (["trace", "show"], ["trace", "list"]):
        return None
    command = getattr(commands.TraceCommands(), argv[1])
    parser = _Parser(add_help=False, allow_abbrev=False)
    for names, options in command.arguments:
        parser.add_argument(*names, **options)
    try:
        arguments = parser.parse_args(argv[2:])
        arguments.conn_str = arguments.conn_str or cliutils.env(commands.CONNECTION_STRING)
    except ValueError:
        return None
    reads = "get_report" if argv[1] == "show" else "list_traces"
    is_native = all(
        getattr(driver, reads) is getattr(store.StoreDriver, reads) for driver in _driver_classes(arguments.conn_str)
    )
    if is_native or os.path.exists(getattr(arguments, "trace", "")):
        return None
    return functools.partial(command, arguments)


def _driver_classes(connection_string):
    """Return the classes of the drivers for one connection string or several, as far as there are any."""
    classes = []
    for part in _native.split_connection_strings(connection_string):
        with contextlib.suppress(ValueError):
            classes.append(base.driver_class(part))
    return classes


def main(args=None):
    """Run a command line in this process. What it writes goes to ``sys.stdout`` and ``sys.stderr``.

    :param args: a list of str, without the program's name; by default this process's arguments
    :returns: ``None``, or the exit code of a failure: 1 if nothing was found or a store failed, 2 for a wrong command
        line

    >>> from osprofiler.cmd import shell
    >>> shell.main(["trace", "list", "--connection-string", "nowhere://"])
    2
    """
    try:
        return OSProfilerShell(sys.argv[1:] if args is None else list(args)).status or None
    except exc.CommandError as error:
        print(error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
