# SPDX-License-Identifier: Apache-2.0
"""Whoever copies what the documents say gets what the documents say."""

import pytest
from follower import Follower

from house.places import CLONE

DOCUMENTS = sorted(
    str(path.relative_to(CLONE))
    for pattern in ("README.md", "docs/*.md", "docs/guides/*.md", "docs/reference/*.md")
    for path in CLONE.glob(pattern)
)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_can_be_followed(document, machine):
    with machine(document.replace("/", "-")) as prepared:
        Follower(CLONE / document, prepared).follow()
