# SPDX-License-Identifier: Apache-2.0
"""Checks an ini block: a service's configuration by oslo.config and our options, a part of api-paste.ini by paste."""

import configparser
import tempfile
from pathlib import Path

import paste.deploy
from oslo_config import cfg
from osprofiler import opts


def check_ini(text: str) -> None:
    """Fail unless every option is one of ours and its value one of its type; a `filter:` section is loaded by paste."""
    sections = configparser.RawConfigParser(strict=False, comment_prefixes=("#",))
    sections.read_string(text)
    assert sections.sections(), "an ini block without a section"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "documented.conf")
        file.write_text(text)
        for name in sections.sections():
            if name.startswith("filter:"):
                paste.deploy.loadfilter(f"config:{file}", name=name.removeprefix("filter:"))
            else:
                _check_section(file, name, list(sections[name]))


def _check_section(file: Path, section: str, names: list[str]) -> None:
    conf = cfg.ConfigOpts()
    opts.set_defaults(conf)
    conf(["--config-file", str(file)], project="documented", default_config_files=[])
    for name in names:
        try:
            conf[section][name]
        except (cfg.ConfigFileValueError, cfg.NoSuchOptError, cfg.NoSuchGroupError) as error:
            raise AssertionError(f"`[{section}] {name}`: {error}") from None
