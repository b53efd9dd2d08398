# SPDX-License-Identifier: Apache-2.0
"""What a service is told about its configuration when it starts. In: the configuration, keys. Out: lines in the log."""

import logging

LOG = logging.getLogger("osprofiler")

_DEFAULT_KEY = "SECRET_KEY"
_told = set()


def warn_of_default_key(hmac_keys):
    """Warn, once a process, if requests are traced whose headers anybody can sign.

    :param hmac_keys: the keys of a middleware that is on, a list
    """
    is_default = any(isinstance(key, str) and key == _DEFAULT_KEY for key in hmac_keys)
    if is_default and _DEFAULT_KEY not in _told:
        _told.add(_DEFAULT_KEY)
        LOG.warning(
            "`hmac_keys`, in `[profiler]` or the middleware's own, has the default `%s`, which everybody knows: "
            "whoever reaches the service can have requests traced; set a key of your own",
            _DEFAULT_KEY,
        )


def tell_unknown_options(conf):
    """Tell in a debug line which options of ``[profiler]`` in the configuration files nobody knows."""
    if not LOG.isEnabledFor(logging.DEBUG):
        return
    try:
        unknown = sorted(_options_in(conf.config_file) - set(conf.profiler))
    except Exception as error:
        LOG.debug("the options of `[profiler]` were not compared with those in the files: %s", error)
        return
    if unknown:
        LOG.debug("unknown options of `[profiler]` are ignored: %s", ", ".join(f"`{name}`" for name in unknown))


def _options_in(paths):
    """Return the names of the options in the section ``[profiler]`` of the files."""
    paths = [paths] if isinstance(paths, str) else paths or ()
    return {name.replace("-", "_") for path in paths for section in sections(path) for name in section}


def sections(path):
    """Return the sections ``[profiler]`` of a file: dicts by option, of lists with what it is set to."""
    from oslo_config import cfg

    found = {}
    cfg.ConfigParser(path, found).parse()
    return [options for name, options in found.items() if name.lower() == "profiler"]
