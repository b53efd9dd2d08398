# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with upstream's trace points: each symptom is a program that fails there, and runs through with ours.

A case is a name and a program. Both interpreters run it; an exception that leaves it is the symptom.
"""

import os
import subprocess
import textwrap

import pytest

OURS = os.environ["OSPROFILER_PYTHON"]
UPSTREAM = os.environ["OSPROFILER_UPSTREAM_PYTHON"]

COMMON = """
    from osprofiler import notifier, profiler

    seen = []
    notifier.set(seen.append)

    def names():
        return [notification["name"] for notification in seen]

    def parents():
        return [notification["parent_id"] for notification in seen]
"""

PROGRAMS = {
    "D-01: a call fails because the notifier does": """
        def fail(notification):
            raise ConnectionError("the store is down")

        notifier.set(fail)
        profiler.init("key")
        assert profiler.trace("x")(lambda: "result")() == "result"
        with profiler.Trace("x"):
            pass
    """,
    "D-03: a point after a failed notification lies in a finished one": """
        def fail_once(notification):
            seen.append(notification)
            if notification["name"] == "first-stop":
                raise ConnectionError("the store is down")

        notifier.set(fail_once)
        profiler.init("key", "B")
        try:
            with profiler.Trace("first"):
                pass
        except ConnectionError:
            pass
        with profiler.Trace("second"):
            pass
        assert parents() == ["B"] * 4, parents()
    """,
    "D-11: a traced class method gets its class twice": """
        @profiler.trace_cls("x", trace_class_methods=True)
        class Traced:
            @classmethod
            def of_class(cls, argument):
                return cls, argument

        assert Traced.of_class(1) == (Traced, 1)
        assert Traced().of_class(1) == (Traced, 1)
    """,
    "D-12: an argument's repr is called without a trace": """
        class Unprintable:
            def __repr__(self):
                raise RuntimeError("repr failed")

        profiler.trace("x")(lambda argument: None)(Unprintable())
    """,
    "an argument whose repr raises fails the call in a trace": """
        class Unprintable:
            def __repr__(self):
                raise RuntimeError("repr failed")

        profiler.init("key")
        profiler.trace("x")(lambda argument: None)(Unprintable())
    """,
    "D-13: a coroutine function is none any more": """
        import inspect

        @profiler.trace("x")
        async def work():
            pass

        assert inspect.iscoroutinefunction(work)
    """,
    "D-13: a coroutine's point ends before the coroutine": """
        import asyncio

        @profiler.trace("x")
        async def work():
            await asyncio.sleep(0)
            assert names() == ["x-start"], names()
            raise ValueError("bad")

        profiler.init("key")
        try:
            asyncio.run(work())
        except ValueError:
            pass
        assert seen[-1]["info"]["etype"] == "ValueError", seen[-1]
    """,
    "D-13: a generator's point ends before its first step": """
        @profiler.trace("x")
        def generate():
            assert names() == ["x-start"], names()
            yield 1

        profiler.init("key")
        assert list(generate()) == [1]
        assert names() == ["x-start", "x-stop"]
    """,
    "D-14: an error without arguments has no message": """
        profiler.init("key")
        try:
            with profiler.Trace("x"):
                raise OSError(2, "No such file")
        except OSError:
            pass
        assert seen[-1]["info"]["message"] == "[Errno 2] No such file", seen[-1]
    """,
    "D-20: tasks that take turns lie in each other": """
        import asyncio

        async def task(name):
            with profiler.Trace(name):
                await asyncio.sleep(0)

        async def both():
            await asyncio.gather(task("first"), task("second"))

        profiler.init("key", "B")
        asyncio.run(both())
        assert parents() == ["B"] * 4, parents()
    """,
    "D-20: a task records in another request's trace": """
        import asyncio

        async def request(base_id):
            profiler.init("key", base_id)
            await asyncio.sleep(0)
            with profiler.Trace(base_id):
                await asyncio.sleep(0)
            profiler.clean()

        async def both():
            await asyncio.gather(request("first"), request("second"))

        asyncio.run(both())
        told = [(notification["name"], notification["base_id"]) for notification in seen]
        assert sorted(told) == [
            ("first-start", "first"),
            ("first-stop", "first"),
            ("second-start", "second"),
            ("second-stop", "second"),
        ], told
    """,
    "D-28: calls of one function share one info": """
        @profiler.trace("x")
        def down(level):
            return level and down(level - 1)

        profiler.init("key")
        down(2)
        told = [n["info"]["function"]["args"] for n in seen if n["name"] == "x-start"]
        assert told == ["(2,)", "(1,)", "(0,)"], told
    """,
    "D-29: one decorator on two functions names both after the first": """
        decorate = profiler.trace("x")

        def one():
            pass

        def two():
            pass

        profiler.init("key")
        decorate(one)()
        decorate(two)()
        told = [n["info"]["function"]["name"] for n in seen if n["name"] == "x-start"]
        assert told == ["__main__.one", "__main__.two"], told
    """,
    "the caller's info is changed": """
        info = {"a": 1}
        profiler.init("key")
        profiler.start("x", info)
        profiler.stop()
        assert info == {"a": 1}, info
    """,
    "tracing a class fires its properties": """
        class Owner:
            @property
            def value(self):
                raise RuntimeError("a property must not fire")

            def method(self):
                return 1

        owner = profiler.trace_cls("x")(Owner())
        assert owner.method() == 1
    """,
    "a traceback shows the profiler": """
        import traceback

        @profiler.trace("x")
        def fail():
            raise ValueError("bad")

        try:
            fail()
        except ValueError as error:
            shown = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert shown == ["<module>", "fail"], shown
    """,
    "a finished request's profiler takes the next one's points": """
        profiler.init("key", "first")
        # Nobody cleans up; the thread goes back to its pool.
        profiler.init("key", "second")
        with profiler.Trace("x"):
            pass
        assert {notification["base_id"] for notification in seen} == {"second"}
    """,
}


def run(python: str, program: str) -> subprocess.CompletedProcess:
    """Run a program with the interpreter."""
    code = textwrap.dedent(COMMON) + textwrap.dedent(program)
    return subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", PROGRAMS)
def test_ours_runs_through(name):
    ran = run(OURS, PROGRAMS[name])
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("name", PROGRAMS)
def test_upstreams_shows_the_symptom(name):
    ran = run(UPSTREAM, PROGRAMS[name])
    # Its own exception, and not that the program could not be run at all.
    assert ran.returncode == 1
    assert ran.stderr.rstrip().split("\n")[-1].partition(":")[0] not in ("", "ModuleNotFoundError", "SyntaxError")
