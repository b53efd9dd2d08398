# SPDX-License-Identifier: Apache-2.0
"""A tool that is missing or too old is told before anything is built, with what is wanted.

A store that alone wants it is not measured, and the others are.
"""

import sys
from pathlib import Path

import pytest

from bench import stores
from house import tools
from house.environments import Environment
from house.failure import Failure


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Return a function that has only those tools on PATH, each of which tells what it is, and forgets others."""

    def told(**versions: str) -> None:
        for name, text in versions.items():
            program = tmp_path / name
            program.write_text(f"#!/bin/sh\necho '{text}'\n")
            program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        tools.version.cache_clear()

    yield told
    tools.version.cache_clear()


def test_a_version_that_is_too_old(told):
    """Which one it is, which is wanted, and how to come by it. What Cargo wants stands in Cargo.toml."""
    told(cargo="", rustc="rustc 1.75.0 (82e1608df 2023-12-21)", go="go version go1.19.8 linux/amd64")
    with pytest.raises(Failure, match=r"^Rust 1\.\d+ or later is wanted, and this is 1\.75\.0: `rustup update`"):
        tools.need("cargo")
    with pytest.raises(Failure, match=r"^`go` 1\.22 or later is wanted, and this is 1\.19\.8: install Go 1\.22"):
        tools.need("go")


def test_a_version_that_is_new_enough(told):
    """Nothing is said of it."""
    told(go="go version go1.22.0 linux/amd64")
    tools.need("go")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', "17.0.15"),
        ('openjdk version "21" 2023-09-19', "21"),
        ('Picked up JAVA_TOOL_OPTIONS: -Dhttps.proxyHost=10.0.0.1\nopenjdk version "17.0.15"', "17.0.15"),
        ('java version "1.8.0_392"', "1.8.0"),
    ],
)
def test_the_version_of_a_java(told, text, version):
    """It is what stands in quotes, whatever is said before and behind it."""
    told(java=text)
    assert tools.version("java") == version


def test_each_tool_has_a_line(told):
    """Its version, or what is wrong."""
    told(go="go version go1.30 linux/amd64", java='openjdk version "17.0.15"', cc="no number")
    assert tools.lines("go", "java", "cc", "mvn") == [
        "  go     1.30",
        "  java   17.0.15",
        "  cc     is there",
        "  mvn    `mvn` is not on PATH: install Maven, on Debian: apt install maven",
    ]


def test_a_store_that_cannot_be_had_is_named_at_the_end(monkeypatch, capsys):
    """The others are measured, and the failure says why that one was not."""
    running = stores.stores.running

    def without_go(driver, folder):
        if driver == "mongodb":
            raise Failure("`go` is not on PATH")
        return running(driver, folder)

    monkeypatch.setattr(stores.stores, "running", without_go)
    monkeypatch.setitem(stores.stores.STORES, "here", lambda folder: _Here())
    peers = Environment(Path(sys.prefix))
    unmeasured = stores.measure(Path("/bin/true"), Path("/bin/true"), peers, ["mongodb", "here"])
    assert unmeasured == {"mongodb": "`go` is not on PATH"}
    assert "not measured: `go` is not on PATH" in capsys.readouterr().out
    unmeasured |= stores.measure(Path("/bin/false"), Path("/bin/true"), peers, ["here"])
    with pytest.raises(Failure, match=r"\n  mongodb: `go` is not on PATH\n  here: its benches ended with status 1$"):
        stores.fail_for(unmeasured)
    stores.fail_for({})


class _Here:
    stores = ("a store|here://",)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass
