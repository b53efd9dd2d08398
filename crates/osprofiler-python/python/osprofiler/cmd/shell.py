# SPDX-License-Identifier: Apache-2.0
"""The command ``osprofiler``, called from Python: the same code as the native program, in this process."""

import sys

from osprofiler import _native


class OSProfilerShell:
    """Runs a command line, without the program's name; ``status`` is what a process would exit with."""

    def __init__(self, argv):
        self.status = _native.run_command(argv)


def main(args=None):
    """Run the command line ``args``, by default this process's; returns ``None``, or the exit code of a failure."""
    return OSProfilerShell(sys.argv[1:] if args is None else list(args)).status or None


if __name__ == "__main__":
    sys.exit(main())
