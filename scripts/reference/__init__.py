# SPDX-License-Identifier: Apache-2.0
"""What `docs/` has from the Python package itself: its reference (`docstrings`) and its options (`options`).

In: the installed package. Out: the texts of documents, by path, the same for the same package. `make documents` writes
them (`__main__`), and `tests/documents` compares them.
"""

from house.places import CLONE


def derived() -> dict[str, str]:
    """Return each document that is made from the package, or has a part that is, as it should read."""
    from reference import docstrings, options

    guide = "docs/guides/trace-your-openstack.md"
    return {
        "docs/reference/python.md": docstrings.document(),
        guide: _replace((CLONE / guide).read_text(), "options", options.table()),
    }


def _replace(text: str, name: str, block: str) -> str:
    """Return the text with a new block between its markers."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    assert found, f"there is no block between `{begin.strip()}` and `{end}`"
    return f"{before}{begin}{block}{end}{after}"
