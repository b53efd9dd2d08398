# SPDX-License-Identifier: Apache-2.0
"""What the targets of the Makefile share: places, progress, processes, environments, builds. Standard library only.

Whatever is run imports this first, and an older Python could not read what comes after it.
"""

import sys

if sys.version_info < (3, 10):  # noqa: UP036  whoever runs this may have any
    version = sys.version.split()[0]
    sys.exit(f"failed: Python 3.10 or later is wanted, and this is {version}: name another, `make PYTHON=python3.11`")
