# SPDX-License-Identifier: Apache-2.0
"""What documents have from the package is what the package says."""

import importlib.util
import json
import os
import subprocess
from pathlib import Path

import pytest
from osprofiler import opts
from reference import derived, docstrings

from house.places import CLONE

LIST = """
import json
from osprofiler import opts
print(json.dumps([[group, option.name, str(option.type), option.default] for group, found in opts.list_opts()
                  for option in found]))
"""


@pytest.mark.parametrize("document", derived())
def test_a_document_is_what_the_package_yields(document):
    path = CLONE / document
    text = path.read_text() if path.exists() else ""
    assert text == derived()[document], f"{document} is not what the package yields: run `make documents`"


@pytest.mark.parametrize("name", docstrings.module_names())
def test_a_module_of_the_reference_has_its_types_beside_it(name):
    """Installed: a program that is checked with mypy finds them where it finds the module."""
    assert Path(importlib.util.find_spec(f"osprofiler.{name}").origin).with_suffix(".pyi").exists()


def test_upstreams_options_come_first_with_their_types_and_defaults():
    upstream = subprocess.run(
        [os.environ["OSPROFILER_UPSTREAM_PYTHON"], "-c", LIST], capture_output=True, text=True, check=True
    )
    ours = {group: [[group, o.name, str(o.type), o.default] for o in options] for group, options in opts.list_opts()}
    for group in ours:
        wanted = [option for option in json.loads(upstream.stdout) if option[0] == group]
        assert ours[group][: len(wanted)] == wanted
        assert wanted
