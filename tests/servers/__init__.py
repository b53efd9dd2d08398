# SPDX-License-Identifier: Apache-2.0
"""Real servers for tests: one file a server, each a context manager that gives its address and ends what it started.

Ports are chosen by the system, data lies below the folder that the caller names, and a server is ended by its recorded
process id. Tools are installed by `scripts/house/debian.py`, not here.
"""
