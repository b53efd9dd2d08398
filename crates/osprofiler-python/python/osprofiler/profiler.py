# SPDX-License-Identifier: Apache-2.0
"""Trace points (``start``/``stop``, ``Trace``, ``trace``, ``trace_cls``, ``TracedMeta``) and the context's profiler.

Without a profiler in the context a point does nothing but ask for it: no argument is turned into text. What a notifier
or store does never reaches the traced code. ``trace`` and ``Trace`` look ``start`` and ``stop`` up in this module when
they run, so that tests may replace them.
"""

import contextlib
import functools
import importlib
import inspect

from osprofiler import _native
from osprofiler._native import _Profiler, clean, get, init, start, stop

__all__ = [
    "Trace",
    "TracedMeta",
    "_Profiler",
    "clean",
    "get",
    "init",
    "start",
    "stop",
    "trace",
    "trace_cls",
]


def __getattr__(name):
    """Return what upstream's module has under a name that tests replace, imported when somebody asks."""
    if name == "notifier":
        return importlib.import_module("osprofiler.notifier")
    if name in ("timeutils", "uuidutils"):
        return importlib.import_module(f"oslo_utils.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_is_tracing = _native.is_tracing
_native_start = start
_native_stop = stop
_safe_repr = _native.safe_repr
_safe_str = _native.safe_str


def _inactive():
    """Whether a point would do nothing: no profiler here, and ``start`` is still ours."""
    return not _is_tracing() and start is _native_start


def _class_name(cls):
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"


def _callable_name(function):
    """``module.Class.method`` or ``module.function``; of any other callable, its class."""
    if isinstance(function, type):
        return f"{function.__module__}.{function.__qualname__}"
    if inspect.isfunction(function) or inspect.ismethod(function):
        return f"{function.__module__}.{function.__qualname__}"
    return _callable_name(type(function))


def _error_info(error):
    return {"etype": _class_name(type(error)), "message": _safe_str(error)}


def _arguments_text(arguments):
    """``str(arguments)``; where an argument's ``repr`` raises, each on its own and that one named by its type."""
    try:
        return str(arguments)
    except Exception:
        pass
    if isinstance(arguments, dict):
        items = (f"{key!r}: {_safe_repr(value)}" for key, value in arguments.items())
        return f"{{{', '.join(items)}}}"
    items = ", ".join(_safe_repr(value) for value in arguments)
    return f"({items},)" if len(arguments) == 1 else f"({items})"


# The place of a point that somebody else's ``start`` has opened.
_ELSEWHERE = object()


def _open(name, info):
    """Open a point and return its place; ``None`` if there is none to close."""
    if start is _native_start:
        return _native.open_point(name, info)
    start(name, info=info)
    return _ELSEWHERE


def _close(place, info=None):
    """Close the point that ``_open`` has opened."""
    if stop is not _native_stop or place is _ELSEWHERE:
        stop(info=info)
    elif place is not None:
        _native.close_point(place, info)


def _close_failed(place, error):
    """Close the point with an error; what is no ``Exception`` just ends it."""
    if place is None:
        return
    _close(place, _error_info(error) if isinstance(error, Exception) else None)


class Trace:
    """A point as a context manager: ``with Trace("name", info={...}): ...``."""

    def __init__(self, name, info=None):
        self._name = name
        self._info = info
        # One object may be entered again before it is left.
        self._places = []

    def __enter__(self):
        self._places.append(None if _inactive() else _open(self._name, self._info))

    def __exit__(self, etype, value, traceback):
        place = self._places.pop()
        if place is None:
            return
        _close(place, None if value is None else _error_info(value))


class _Point:
    """What ``trace`` knows about one function: its name, the user's info, what to hide."""

    __slots__ = ("function_name", "hide_args", "hide_result", "info", "name")

    def __init__(self, name, info, function, hide_args, hide_result):
        self.name = name
        self.info = info
        self.function_name = _callable_name(function)
        self.hide_args = hide_args
        self.hide_result = hide_result

    def open(self, args, kwargs):
        function = {"name": self.function_name}
        if not self.hide_args:
            function["args"] = _arguments_text(args)
            function["kwargs"] = _arguments_text(kwargs)
        return _open(self.name, {**self.info, "function": function})

    def close(self, place, result):
        _close(place, None if self.hide_result else {"function": {"result": _safe_repr(result)}})


def _wrap(point, function):
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wrapper(*args, **kwargs):
            if _inactive():
                return await function(*args, **kwargs)
            place = point.open(args, kwargs)
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                _close_failed(place, error)
                raise
            point.close(place, result)
            return result

    else:

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            if _inactive():
                return function(*args, **kwargs)
            place = point.open(args, kwargs)
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                _close_failed(place, error)
                raise
            point.close(place, result)
            return result

    return wrapper


def trace(name, info=None, hide_args=False, hide_result=True, allow_multiple_trace=True):
    """Make a function a point: ``@trace("name", info={...})``.

    The start's info is ``info`` and ``function`` with the function's name and, unless ``hide_args``, its arguments as
    text; the stop's has the result's ``repr`` unless ``hide_result``, or ``etype`` and ``message`` of the error.
    ``allow_multiple_trace=False`` refuses a function that is traced already.
    """
    info = {} if not info else info.copy()

    def decorator(function):
        times = getattr(function, "__traced__", 0)
        if not allow_multiple_trace and times > 0:
            raise ValueError(f"Function '{function}' has already been traced {times} times")
        with contextlib.suppress(AttributeError):
            function.__traced__ = times + 1
        return _wrap(_Point(name, info, function, hide_args, hide_result), function)

    return decorator


def _is_traceable(name, trace_private):
    return not name.startswith("__") and (trace_private or not name.startswith("_"))


def _unwrapped(owner, name):
    """Return the attribute as its class holds it: with its ``staticmethod`` or ``classmethod``."""
    for cls in inspect.getmro(owner if inspect.isclass(owner) else type(owner)):
        if name in cls.__dict__:
            return cls.__dict__[name]
    return None


def trace_cls(
    name,
    info=None,
    hide_args=False,
    hide_result=True,
    trace_private=False,
    allow_multiple_trace=True,
    trace_class_methods=False,
    trace_static_methods=False,
):
    """Make each method of a class a point, inherited ones too.

    Names that begin with ``__`` never are, those with ``_`` only if ``trace_private``; class and static methods only if
    asked for. Properties are not touched. ``allow_multiple_trace=False`` refuses a class that has a traced method.
    """

    def collect(owner):
        for attribute_name, attribute in inspect.getmembers(owner, _is_function):
            if not _is_traceable(attribute_name, trace_private):
                continue
            held = _unwrapped(owner, attribute_name)
            if isinstance(held, staticmethod):
                if trace_static_methods:
                    yield attribute_name, attribute, held.__func__, staticmethod
            elif isinstance(held, classmethod):
                if trace_class_methods:
                    yield attribute_name, attribute, held.__func__, classmethod
            else:
                yield attribute_name, attribute, attribute, None

    def decorator(owner):
        found = list(collect(owner))
        if not allow_multiple_trace:
            for attribute_name, attribute, _, _ in found:
                times = getattr(attribute, "__traced__", 0)
                if times > 0:
                    raise ValueError(
                        f"Can not apply new trace on top of previously traced attribute '{attribute_name}' "
                        f"since it has been traced {times} times previously"
                    )
        for attribute_name, _, function, binding in found:
            traced = trace(name, info, hide_args, hide_result)(function)
            setattr(owner, attribute_name, binding(traced) if binding else traced)
        return owner

    return decorator


def _is_function(value):
    return inspect.isfunction(value) or inspect.ismethod(value)


class TracedMeta(type):
    """A metaclass that makes each function of a class body a point, as ``__trace_args__`` says.

    ``__trace_args__`` is a dict of the arguments of ``trace``, and ``trace_private``; its ``name`` is needed.
    """

    def __init__(cls, cls_name, bases, attrs):
        super().__init__(cls_name, bases, attrs)
        arguments = dict(getattr(cls, "__trace_args__", {}))
        trace_private = arguments.pop("trace_private", False)
        allow_multiple_trace = arguments.pop("allow_multiple_trace", True)
        if "name" not in arguments:
            raise TypeError("Please specify __trace_args__ class level dictionary attribute with mandatory 'name' key")
        found = [
            (name, value)
            for name, value in attrs.items()
            if inspect.isfunction(value) and _is_traceable(name, trace_private)
        ]
        if not allow_multiple_trace:
            for name, value in found:
                times = getattr(value, "__traced__", 0)
                if times > 0:
                    raise ValueError(
                        f"Can not apply new trace on top of previously traced attribute '{name}' "
                        f"since it has been traced {times} times previously"
                    )
        for name, value in found:
            setattr(cls, name, trace(**arguments)(value))
