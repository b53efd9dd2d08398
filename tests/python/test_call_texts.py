# SPDX-License-Identifier: Apache-2.0
"""Arguments of coroutines and generators are told as the call got them, however late the first step comes."""

import asyncio

import pytest
from conftest import points, start_info
from osprofiler import notifier, profiler


@profiler.trace("x", info={"kind": "generator"})
def generator(*args, **kwargs):
    yield 1


@profiler.trace("x", info={"kind": "coroutine"})
async def coroutine(*args, **kwargs):
    return 1


@profiler.trace("x", info={"kind": "asynchronous generator"})
async def async_generator(*args, **kwargs):
    yield 1


@profiler.trace("x", hide_args=True)
async def hidden(*args, **kwargs):
    return 1


async def run(made):
    """Take all steps."""
    if hasattr(made, "__anext__"):
        async for _ in made:
            pass
    elif hasattr(made, "__await__"):
        await made
    else:
        list(made)


class Counted:
    """Counts how often it is asked for its text."""

    asked = 0

    def __repr__(self):
        self.asked += 1
        return "counted"


def late(traced, before_first_step=lambda: None):
    """Call, change the argument, and take the steps then; return the argument."""
    argument = ["old", Counted()]
    made = traced(argument, key=argument)
    argument[0] = "new"
    before_first_step()
    asyncio.run(run(made))
    return argument


KINDS = [generator, coroutine, async_generator]


def expected(traced):
    name = f"{__name__}.{traced.__name__}"
    return {"name": name, "args": "(['old', counted],)", "kwargs": "{'key': ['old', counted]}"}


@pytest.mark.parametrize("traced", KINDS)
def test_a_store_gets_the_arguments_of_the_call(recording, base_id, traced):
    profiler.init("key", base_id)
    argument = late(traced)
    (info,) = points(recording.report(base_id), "x")
    assert start_info(info)["function"] == expected(traced)
    assert start_info(info)["kind"] == traced.__name__.replace("async_", "asynchronous ")
    assert argument[1].asked == 2


@pytest.mark.parametrize("traced", KINDS)
def test_a_notifier_made_in_python_gets_the_arguments_of_the_call(collected, traced):
    profiler.init("key", "B")
    argument = late(traced)
    assert collected[0]["info"]["function"] == expected(traced)
    assert argument[1].asked == 2


@pytest.mark.parametrize("traced", KINDS)
def test_a_notifier_that_is_set_meanwhile_gets_what_there_is(recording, base_id, traced):
    profiler.init("key", base_id)
    told = []
    late(traced, lambda: notifier.set(told.append))
    assert told[0]["info"]["function"]["args"] == "(['new', counted],)"


def test_hidden_arguments_are_not_asked(recording, base_id):
    profiler.init("key", base_id)
    assert late(hidden)[1].asked == 0
    (info,) = points(recording.report(base_id), "x")
    assert start_info(info)["function"] == {"name": f"{__name__}.hidden"}


def test_nobody_asks_outside_of_a_trace(collected):
    assert late(coroutine)[1].asked == 0


class Interrupting:
    """Asked for its text, it ends the program."""

    def __repr__(self):
        raise KeyboardInterrupt


@pytest.mark.parametrize("traced", KINDS)
def test_an_interruption_while_the_text_is_made_is_the_programs(recording, base_id, traced):
    profiler.init("key", base_id)
    with pytest.raises(KeyboardInterrupt):
        traced(Interrupting())
    assert recording.report(base_id)["children"] == []
