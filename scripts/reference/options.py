# SPDX-License-Identifier: Apache-2.0
"""The table of the package's options, from what it tells oslo.config: names, types, defaults, help."""

from osprofiler import opts

MAIN_GROUP = "profiler"


def table() -> str:
    """Return the table; of another group than `[profiler]`, an option's name has its group before it."""
    lines = ["| Option | Type | Default | Meaning |", "|---|---|---|---|"]
    for group, options in opts.list_opts():
        for option in options:
            name = option.name if group == MAIN_GROUP else f"[{group}] {option.name}"
            lines.append(f"| `{name}` | {_type(option)} | {_default(option)} | {_help(option)} |")
    return "\n".join(lines) + "\n"


def _type(option) -> str:
    return str(option.type).split("(")[0].lower()


def _default(option) -> str:
    return "none" if option.default is None else f"`{option.default}`"


def _help(option) -> str:
    text = " ".join(option.help.split()).replace("|", "\\|")
    if option.deprecated_for_removal:
        text += f" Deprecated: {option.deprecated_reason}"
    return text
