# SPDX-License-Identifier: Apache-2.0
"""The options of ``[profiler]`` whose wrong values are no reason to fail, or to heed no other: the default counts.

In: the configuration that a service gave, whatever object that is. Out: a value that is one, and a warning in the log
for each that is none. Every other option fails where it is read, as oslo.config's do. ``osprofiler doctor`` says of
each option which of the two it does.
"""

import logging
import os

from osprofiler import _advice, _native

LOG = logging.getLogger("osprofiler")

# `opts` registers them with these defaults,
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
# and takes no less and no more than these.
BOUNDS = {
    "queue_max_mib": (1, 65536),
    "spool_max_mib": (1, 16777216),
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
    except Exception as error:
        # Where the value names an option that there is not, oslo.config's error is the same, about that one.
        if isinstance(error, (AttributeError, KeyError)) and getattr(error, "opt_name", name) == name:
            return None
        text = _native.safe_str(error)
        written = _written(conf, name, text)
        _tell(name, f"what it is ({text})" if written is None else f"`{written}`")
        return DEFAULTS[name]
    if value is None:
        return DEFAULTS[name]
    if not _counts(name, value):
        _tell(name, f"`{_native.safe_str(value)}`")
        return DEFAULTS[name]
    return value


def _counts(name, value):
    """Whether a value is one, as far as oslo.config has not seen to it: another object may give anything."""
    try:
        if name in BOUNDS:
            least, most = BOUNDS[name]
            return isinstance(value, int) and least <= value <= most
        if name != "spool_folder" or not value:
            return True
        path = os.fspath(value)
        # A relative one would depend on where the service was started; what cannot be encoded names no file.
        return isinstance(path, str) and os.path.isabs(os.fsencode(path))
    except Exception:
        return False


def _tell(name, value):
    """Warn, once a process, that the default counts."""
    if name in _told:
        return
    _told.add(name)
    default = DEFAULTS[name]
    LOG.warning(
        "`%s` in `[profiler]` cannot be %s: it has to be %s; the default counts, %s",
        name,
        value,
        _wanted(name),
        "which is empty" if default is None else f"`{default}`",
    )


def _wanted(name):
    """Return what the value has to be."""
    default = DEFAULTS[name]
    if default is None:
        return "an absolute path"
    if isinstance(default, bool):
        return "`True` or `False`"
    if name in BOUNDS:
        least, most = BOUNDS[name]
        return f"a whole number from {least} to {most}"
    return "a number" if isinstance(default, float) else "a whole number"


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
