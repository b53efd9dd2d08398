# SPDX-License-Identifier: Apache-2.0
"""The command ``osprofiler``, for who calls it from Python. ``template.html`` lies beside this file."""
