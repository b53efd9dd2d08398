# SPDX-License-Identifier: Apache-2.0
"""The libraries that the package hooks into, imported when somebody asks for it; an absent one harms nobody.

In: a library's name. Out: the module, or ``None`` and one warning that says what to install.
"""

import importlib
import logging

LOG = logging.getLogger(__name__)

# The libraries that have been told to be missing.
_told = set()


def library(name, traced, extra=None, since=None):
    """Import a library; where that fails, or it is too old, say so once and return ``None``.

    :param traced: what isn't traced without it, for the warning
    :param extra: the extra of our distribution that brings it, where that is called otherwise
    :param since: a version, and what the library has from that on
    """
    try:
        module = importlib.import_module(name)
        if since is None or hasattr(module, since[1]):
            return module
        fault = f"`{name}` is version {getattr(module, '__version__', '?')}, and {since[0]} or later is wanted"
    except ImportError as error:
        fault = f"`{name}` can't be imported ({error})"
    if name not in _told:
        _told.add(name)
        LOG.warning("%s are not traced: %s: `pip install osprofiler[%s]`", traced, fault, extra or name)
    return None
