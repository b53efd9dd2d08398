# SPDX-License-Identifier: Apache-2.0
"""The build backend: maturin's hooks, after the command ``osprofiler`` has been built and laid beside."""

import command
import maturin
from maturin import (
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Build a wheel with the command in its scripts."""
    command.lay()
    return maturin.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    """Build an editable install with the command in its scripts."""
    command.lay()
    return maturin.build_editable(wheel_directory, config_settings, metadata_directory)


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    """Write a wheel's metadata; maturin wants the scripts' folder for that, not yet what is in it."""
    command.make_folder()
    return maturin.prepare_metadata_for_build_wheel(metadata_directory, config_settings)


def prepare_metadata_for_build_editable(metadata_directory, config_settings=None):
    """Write an editable install's metadata."""
    command.make_folder()
    return maturin.prepare_metadata_for_build_editable(metadata_directory, config_settings)
