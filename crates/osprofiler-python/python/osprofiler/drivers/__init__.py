# SPDX-License-Identifier: Apache-2.0
"""Drivers: where notifications go, and where reports come from."""
