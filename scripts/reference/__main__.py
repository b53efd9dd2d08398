# SPDX-License-Identifier: Apache-2.0
"""`make documents`: write the parts of `docs/` that are made from the Python package, with the package as it is now."""

import subprocess
import sys

from house import build, environments, tools
from house.ending import framed
from house.environments import Environment
from house.failure import Failure
from house.places import CLONE, TARGET
from house.progress import say, step

LOG = TARGET / "logs" / "documents.log"
WRITE = """
from house.places import CLONE
from reference import derived
for name, text in derived().items():
    path = CLONE / name
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
        print(" ", name)
"""


def main() -> int:
    """Build and install the package, then write from there."""
    tools.need_python_of_services()
    tools.need("cargo", "cc")
    with step("the wheel"):
        wheel = build.wheel(LOG)
    with step("an environment with it"):
        services = environments.cached("openstack", LOG, constrained=True)
        base = environments.cached("tests", LOG, base=services)
        environments.swap_in(environments.copy(base, TARGET / "environment"), wheel, LOG)
    say("written, where it was not so already:")
    python = Environment(TARGET / "environment").python
    status = subprocess.run([python, "-c", WRITE], cwd=CLONE, check=False).returncode
    if status != 0:
        raise Failure(f"writing ended with status {status}")
    return 0


if __name__ == "__main__":
    sys.exit(framed(main))
