# SPDX-License-Identifier: Apache-2.0
"""The reference of the Python package, from its docstrings: each public name of each public module, in their order.

A docstring's fields (`:param name:`, `:returns:`, `:raises Type:`) become lists, its examples blocks that run alone:
what they use of their module is imported in their first line.
"""

import importlib
import inspect
import pkgutil
import re
from types import ModuleType

import osprofiler

# The order for a reader; whatever public module there is besides follows, with those that only keep a name left out.
FIRST = (
    "profiler",
    "notifier",
    "initializer",
    "web",
    "asgi",
    "context",
    "sqlalchemy",
    "requests",
    "httpx",
    "urllib3",
    "aiohttp",
    "messaging",
    "opts",
    "drivers.base",
)
LEFT_OUT = re.compile(r"cmd\.(cliutils|commands)|drivers|drivers\.(?!base$).*|hacking|cmd")
FIELD = re.compile(r":(\w+)(?: ([^:]+))?: ?(.*)")
HEAD = """# The Python package

Made from the docstrings of the package by `make documents`. The guides tell how the parts go together:
[Trace your OpenStack](../guides/trace-your-openstack.md), [Add trace points](../guides/add-trace-points.md).
"""


def document() -> str:
    """Return the whole reference."""
    modules = [importlib.import_module(f"osprofiler.{name}") for name in module_names()]
    contents = [f"* [`{module.__name__}`](#{_anchor(module.__name__)}): {_first_line(module)}" for module in modules]
    parts = [HEAD, "\n".join(contents) + "\n"]
    for module in modules:
        parts.append(f"## {module.__name__}\n")
        parts.append(_markdown(inspect.getdoc(module), module))
        for name in public_names(module):
            parts.extend(_entry(module, name))
    return "\n".join(parts)


def module_names() -> list[str]:
    """Return the names of the modules that others may import, without the package's, in the reference's order."""
    found = [
        info.name.removeprefix("osprofiler.") for info in pkgutil.walk_packages(osprofiler.__path__, "osprofiler.")
    ]
    public = {name for name in found if not re.search(r"(^|\.)_", name) and not LEFT_OUT.fullmatch(name)}
    return [*(name for name in FIRST if name in public), *sorted(public - set(FIRST))]


def public_names(module: ModuleType) -> list[str]:
    """Return the functions and classes that a module offers, in the order of `__all__` or of its source."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isroutine(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    ]


def _entry(module: ModuleType, name: str) -> list[str]:
    value = getattr(module, name)
    word = "class " if inspect.isclass(value) else "async " if inspect.iscoroutinefunction(value) else ""
    parts = [f"### {word}`{name}{_signature(value)}`\n", _markdown(inspect.getdoc(value), module)]
    if inspect.isclass(value) and not issubclass(value, BaseException):
        for member_name, member in vars(value).items():
            described = inspect.getdoc(getattr(value, member_name))
            if member_name.startswith("_") or not described or not _is_described(member):
                continue
            signature = _signature(getattr(value, member_name))
            text = _markdown(described, module)
            parts.append(f"#### `{name}.{member_name}{signature}`\n\n{text}")
    return parts


def _is_described(member: object) -> bool:
    kinds = (classmethod, staticmethod, property)
    return inspect.isroutine(member) or inspect.isgetsetdescriptor(member) or isinstance(member, kinds)


def _signature(value: object) -> str:
    if not callable(value):
        return ""
    try:
        signature = inspect.signature(value)
    except ValueError:
        return "(...)"
    parameters = list(signature.parameters.values())
    if parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    return str(signature.replace(parameters=parameters))


def _markdown(docstring: str | None, module: ModuleType) -> str:
    """Return a docstring as Markdown, its paragraphs as they are."""
    assert docstring, f"something in `{module.__name__}` has no docstring"
    parts = []
    for paragraph in docstring.replace("``", "`").split("\n\n"):
        if paragraph.lstrip().startswith(">>> "):
            example = inspect.cleandoc(paragraph)
            parts.append(f"```pycon\n{_imports(example, module)}{example}\n```")
        elif paragraph.startswith(":"):
            parts.append(_fields(paragraph))
        else:
            parts.append(paragraph)
    return "\n\n".join(parts) + "\n"


def _fields(paragraph: str) -> str:
    items = []
    for line in paragraph.splitlines():
        field = FIELD.match(line)
        if field is None:
            items[-1] += f"\n  {line.strip()}"
            continue
        kind, subject, text = field.groups()
        label = {"param": f"`{subject}`", "returns": "returns", "raises": f"raises `{subject}`"}[kind]
        items.append(f"* {label}: {text}")
    return "\n".join(items)


def _imports(example: str, module: ModuleType) -> str:
    code = "; ".join(re.findall(r"^(?:>>>|\.\.\.) (.*)$", example, re.MULTILINE))
    names = [
        name
        for name in public_names(module)
        if re.search(rf"(?<![\w.]){name}\b", code) and not re.search(rf"import [^;]*\b{name}\b", code)
    ]
    return f">>> from {module.__name__} import {', '.join(names)}\n" if names else ""


def _first_line(module: ModuleType) -> str:
    return inspect.getdoc(module).partition("\n\n")[0].replace("``", "`").replace("\n", " ").removesuffix(".")


def _anchor(heading: str) -> str:
    return heading.lower().replace(".", "")
