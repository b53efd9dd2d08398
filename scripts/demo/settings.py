# SPDX-License-Identifier: Apache-2.0
"""The services' configuration: oslo.config's ini files, and the section that turns profiling on."""

import os
from collections.abc import Mapping
from pathlib import Path

HMAC_KEY = "123"
PASSWORD = "demo"
REGION = "RegionOne"

Sections = Mapping[str, Mapping[str, object]]


def profiler(connection_string: str | None) -> Sections:
    """Return the `[profiler]` section for a store; none without a store."""
    if connection_string is None:
        return {}
    return {
        "profiler": {
            "enabled": True,
            "trace_sqlalchemy": True,
            "hmac_keys": HMAC_KEY,
            "connection_string": connection_string,
        }
    }


def authtoken(service: str, keystone: str) -> Sections:
    """Return the section with which a service asks Keystone about tokens, as its own user."""
    return {
        "keystone_authtoken": {
            "auth_type": "password",
            "auth_url": keystone,
            "www_authenticate_uri": keystone,
            "username": service,
            "password": PASSWORD,
            "project_name": "service",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
            "region_name": REGION,
        }
    }


def write(path: Path, sections: Sections) -> None:
    """Write an ini file."""
    lines = []
    for section, options in sections.items():
        lines.append(f"[{section}]")
        lines.extend(f"{name} = {value}" for name, value in options.items())
        lines.append("")
    path.write_text("\n".join(lines))


def clean_environment(**added: str) -> dict[str, str]:
    """Return this process's variables without those that would lead a service or client elsewhere."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OS_", "PYTHON", "OSPROFILER_")) and not name.lower().endswith("_proxy")
    }
    return env | added
