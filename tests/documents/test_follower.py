# SPDX-License-Identifier: Apache-2.0
"""A document that says what isn't so is found out: a block that cannot fail would be no test."""

import pytest
from follower import Follower

GOOD = {
    "a shell that goes on": "```sh\nexport WORD=kept; cd fixtures\n```\n```sh\necho $WORD ${PWD##*/}\n```\n"
    "```text\nkept fixtures\n```\n",
    "what a command prints, in part": "```sh\nseq 5\n```\n```text\n1\n...\n5\n```\n",
    "points": "```python\nfrom osprofiler import profiler\nwith profiler.Trace('a'):\n    with profiler.Trace('b'):\n"
    "        pass\n```\n```text\na\n    b\n```\n",
    "an error in a point": "```python\nfrom osprofiler import profiler\ntry:\n    with profiler.Trace('a'): 1 / 0\n"
    "except ZeroDivisionError: pass\n```\n```text\na (ZeroDivisionError)\n```\n",
    "a program": "```python shop.py\nprint(1)\n```\n```sh\npython3 shop.py\n```\n```text\n1\n```\n",
    "an interactive session": "```pycon\n>>> 1 + 1\n2\n```\n",
    "options": "```ini made.conf\n[profiler]\nenabled = True\n```\n```sh\ngrep enabled made.conf\n```\n",
    "a filter": "```ini\n[filter:osprofiler]\npaste.filter_factory = osprofiler.web:WsgiMiddleware.factory\n```\n",
    "an id": "```sh\nosprofiler --version >/dev/null; echo 7e06548b-f0a0-40e9-8bba-edf75d94e926\n```\n```sh\necho ID\n"
    "```\n```text\n7e06548b-f0a0-40e9-8bba-edf75d94e926\n```\n",
}
BAD = {
    "an unknown kind": ("```yaml\na: 1\n```\n", "a block of the kind `yaml`"),
    "no kind": ("```\na\n```\n", "a block of the kind ``"),
    "an open fence": ("```sh\ntrue\n", "never closed"),
    "a text after nothing": ("```text\na\n```\n", "a block of the kind `text`"),
    "a command that fails": ("```sh\nfalse\ntrue\n```\n", "ended with status 1"),
    "another output": ("```sh\necho a\n```\n```text\nb\n```\n", "shown is\nb\n\nand it was\na"),
    "an id of nothing": ("```sh\necho ID\n```\n", "nothing has printed an id"),
    "points that are not recorded": ("```python\npass\n```\n```text\na\n```\n", "shown is\na"),
    "points that are not shown": (
        "```python\nfrom osprofiler import profiler\nwith profiler.Trace('a'): pass\n```\n",
        "(no `text` block)\nand it was\na",
    ),
    "a snippet that raises": ("```python\n1 / 0\n```\n", "ZeroDivisionError"),
    "a program that nothing runs": ("```python shop.py\npass\n```\n", "nothing runs `shop.py`"),
    "an interactive session that answers otherwise": ("```pycon\n>>> 1 + 1\n3\n```\n", "Got:\n    2"),
    "an unknown option": ("```ini\n[profiler]\nenable = True\n```\n", "`[profiler] enable`"),
    "a value of another type": ("```ini\n[profiler]\nenabled = perhaps\n```\n", "`[profiler] enabled`"),
    "another service's section": ("```ini\n[database]\nconnection = x\n```\n", "`[database] connection`"),
    "Rust that is nobody's example": ("```rust\nlet a = 1;\n```\n", "it is no whole example of the crate"),
    "a part of an example": (
        '```rust\n        let _query = point!("db", {"db": {"statement": "SELECT 1"}});\n```\n',
        "it is no whole example of the crate",
    ),
}


@pytest.fixture(scope="module")
def followed(machine, tmp_path_factory):
    """Return what follows a text on one machine."""
    document = tmp_path_factory.mktemp("documents") / "tried.md"
    with machine("tried") as prepared:

        def follow(text: str) -> None:
            document.write_text(text)
            for kept in ("state", "python.db"):
                (prepared.folder / kept).unlink(missing_ok=True)
            Follower(document, prepared).follow()

        yield follow


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_what_is_so_is_followed(text, followed):
    followed(text)


@pytest.mark.parametrize(("text", "fault"), BAD.values(), ids=BAD)
def test_what_is_not_so_is_found_out(text, fault, followed):
    with pytest.raises(AssertionError) as found:
        followed(text)
    assert fault in str(found.value)
