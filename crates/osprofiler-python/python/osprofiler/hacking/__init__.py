# SPDX-License-Identifier: Apache-2.0
"""Checks for the tool ``hacking``."""
