# SPDX-License-Identifier: Apache-2.0
"""The options of ``[profiler]`` whose wrong values are no reason to fail, or to heed no other: the default counts.

In: the configuration that a service gave, whatever object that is. Out: a value that is one, and a warning in the log
for each that is none. Every other option fails where it is read, as oslo.config's do. ``osprofiler doctor`` says of
each option which of the two it does.
"""

import logging
import os.path

from osprofiler import _advice, _native

LOG = logging.getLogger("osprofiler")

# `opts` registers them with these defaults.
DEFAULTS = {
    "es_scroll_size": 10000,
    "socket_timeout": 0.1,
    "filter_error_trace": False,
    "mask_secrets": True,
    "publish_counters": True,
    "queue_max_mib": 64,
    "spool_folder": None,
    "spool_max_mib": 256,
}
_FURTHER = {
    "queue_max_mib": " from 1 to 65536",
    "spool_max_mib": " from 1 to 16777216",
}
_told = set()


def read(conf, name):
    """Return the value of an option: the default for one that is none, ``None`` where there is no such option.

    :param conf: an oslo.config object, or what a service takes for one
    :param name: one of ``DEFAULTS``
    """
    try:
        options = conf.profiler
    except Exception:
        return None
    try:
        value = getattr(options, name)
    except AttributeError:
        return None
    except Exception as error:
        text = _native.safe_str(error)
        written = _written(conf, name, text)
        _tell(name, f"what it is ({text})" if written is None else f"`{written}`")
        return DEFAULTS[name]
    # A relative one would depend on where the service was started.
    if name == "spool_folder" and isinstance(value, str) and value and not os.path.isabs(value):
        _tell(name, f"`{value}`")
        return DEFAULTS[name]
    return value


def _tell(name, value):
    """Warn, once a process, that the default counts."""
    if name in _told:
        return
    _told.add(name)
    default = DEFAULTS[name]
    LOG.warning(
        "`%s` in `[profiler]` cannot be %s: it has to be %s; the default counts, `%s`",
        name,
        value,
        _wanted(name),
        "nothing" if default is None else default,
    )


def _wanted(name):
    """Return what the value has to be."""
    default = DEFAULTS[name]
    if default is None:
        return "an absolute path"
    if isinstance(default, bool):
        return "`True` or `False`"
    return "a number" if isinstance(default, float) else f"a whole number{_FURTHER.get(name, '')}"


def _written(conf, name, error):
    """Return what stands for an option in the file that an error of oslo.config names; ``None`` if it is elsewhere."""
    found = None
    try:
        for path in conf.config_file or ():
            for section in _advice.sections(path) if repr(path) in error else ():
                found = section.get(name, [found])[-1]
    except Exception as failure:
        LOG.debug("the files were not looked at for `%s`: %s", name, _native.safe_str(failure))
    return found
