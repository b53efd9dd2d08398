# SPDX-License-Identifier: Apache-2.0
"""Helpers for commands made of decorated functions."""

import os


def env(*args, **kwargs):
    """Return the first of the environment variables that is set and not empty, or ``default``."""
    for name in args:
        value = os.environ.get(name)
        if value:
            return value
    return kwargs.get("default", "")


def arg(*args, **kwargs):
    """Return a decorator that adds a command-line argument to a function."""

    def decorator(function):
        add_arg(function, *args, **kwargs)
        return function

    return decorator


def add_arg(function, *args, **kwargs):
    """Add a command-line argument to ``function.arguments``, once, first the one decorated last."""
    if not hasattr(function, "arguments"):
        function.arguments = []
    if (args, kwargs) not in function.arguments:
        function.arguments.insert(0, (args, kwargs))
