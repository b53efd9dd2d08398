# SPDX-License-Identifier: Apache-2.0
"""What Python files use of osprofiler, read from their text: none of them is run, nor needs what it imports.

In: a folder with packages. Out: each use, as a dotted name that begins with `osprofiler`, with how it is called where
it is. A use is an import, a text that names a module or what is in it (`try_import("osprofiler.web")`,
`mock.patch(...)`), and an attribute of what either was bound to. What `get()` and `init()` return is followed, too.
"""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import osprofiler

DOTTED = re.compile(r"osprofiler(\.[A-Za-z_]\w*)+")
FACTORY = re.compile(r"=\s*(osprofiler[\w.]*):([\w.]+)")
# What these return is one object, which is what a use of its attributes is looked up in.
RETURN_PROFILER = ("osprofiler.profiler.get", "osprofiler.profiler.init")


@dataclass(frozen=True)
class Use:
    """A name that a file uses; of a call, how many arguments it gives by position, and the names of the others.

    `has_more` is whether it gives arguments that can't be read, `*args` or `**kwargs`.
    """

    package: str
    place: str
    name: str
    positional: int | None = None
    keywords: tuple[str, ...] = ()
    has_more: bool = False


def uses(folder: Path) -> Iterator[Use]:
    """Yield what the packages of a folder use, each of their files by its place in the folder."""
    for path in sorted(folder.rglob("*.py")):
        place = path.relative_to(folder)
        if place.parts[0] != "osprofiler" and b"osprofiler" in (content := path.read_bytes()):
            yield from _Reader(str(place)).read(content)


def paste_uses(folder: Path) -> Iterator[Use]:
    """Yield what the configuration files of a folder name as factories."""
    for path in sorted(folder.rglob("*.ini")):
        place = path.relative_to(folder)
        for module, name in FACTORY.findall(path.read_text(errors="replace")):
            yield Use(place.parts[0], str(place), f"{module}.{name}")


def refusal(use: Use) -> str | None:
    """Return why the osprofiler that this process imports does not have what is used; None if it has."""
    try:
        found = _found(use.name)
        if use.positional is not None:
            signature = inspect.signature(found)
            bind = signature.bind_partial if use.has_more else signature.bind
            bind(*range(use.positional), **dict.fromkeys(use.keywords))
    except (ImportError, AttributeError, TypeError) as error:
        return f"{use.place}: {use.name}: {error}"
    return None


def _found(name: str) -> object:
    found, path = osprofiler, "osprofiler"
    for part in name.split(".")[1:]:
        path += f".{part}"
        if part.endswith("()"):
            found = osprofiler.profiler._Profiler("key")
            continue
        try:
            found = getattr(found, part)
        except AttributeError:
            if not inspect.ismodule(found):
                raise
            found = importlib.import_module(path)
    return found


class _Reader(ast.NodeVisitor):
    """Follows the names of one file, whichever scope they are bound in."""

    def __init__(self, place: str):
        self.place = place
        self.bound: dict[str, str] = {}
        self.found: list[Use] = []

    def read(self, content: bytes) -> list[Use]:
        nodes = list(ast.walk(ast.parse(content)))
        # Whoever uses a name may stand above whoever binds it; what is bound from what was bound comes second.
        for _ in range(2):
            for node in nodes:
                self._bind(node)
        for node in nodes:
            self._use(node)
        return self.found

    def _bind(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "osprofiler":
                    self.bound[alias.asname or "osprofiler"] = alias.name if alias.asname else "osprofiler"
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0 and (node.module or "").partition(".")[0] == "osprofiler":
                for alias in node.names:
                    self.bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, (ast.Assign, ast.NamedExpr)):
            name = self._named(node.value) or _imported_by_call(node.value)
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if name and isinstance(target, ast.Name):
                    self.bound.setdefault(target.id, name)

    def _use(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.level == 0 else []
        elif isinstance(node, ast.Call):
            if (name := self._named(node.func)) and name != "osprofiler":
                self._add_call(name, node)
            names = [_text_of_call(node)]
        else:
            names = [self._named(node)] if isinstance(node, ast.Attribute) else []
        for name in names:
            if name and DOTTED.fullmatch(name.replace("()", "")):
                self._add(name)

    def _add_call(self, name: str, node: ast.Call) -> None:
        positional = [argument for argument in node.args if not isinstance(argument, ast.Starred)]
        keywords = tuple(keyword.arg for keyword in node.keywords if keyword.arg)
        has_more = len(positional) < len(node.args) or len(keywords) < len(node.keywords)
        self._add(name, len(positional), keywords, has_more)

    def _add(self, name: str, *call: object) -> None:
        self.found.append(Use(self.place.partition("/")[0], self.place, name, *call))

    def _named(self, node: ast.AST) -> str | None:
        """Return the dotted name of what an expression means, if it is something of osprofiler's."""
        if isinstance(node, ast.Name):
            return self.bound.get(node.id)
        if isinstance(node, ast.Attribute) and (name := self._named(node.value)):
            return f"{name}.{node.attr}"
        if isinstance(node, ast.Call) and (name := self._named(node.func)) in RETURN_PROFILER:
            return f"{name}()"
        return None


def _imported_by_call(node: ast.AST) -> str | None:
    """Return the name of a module of osprofiler's that a call imports and returns, as oslo's `try_import` does."""
    name = _text_of_call(node)
    if name and isinstance(node.func, (ast.Name, ast.Attribute)):
        function = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        return name if function in ("try_import", "import_module") else None
    return None


def _text_of_call(node: ast.AST) -> str | None:
    """Return the dotted name of something of osprofiler's that a call is given as its first argument."""
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        text = node.args[0].value
        if isinstance(text, str) and DOTTED.fullmatch(text):
            return text
    return None
