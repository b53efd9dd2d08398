# SPDX-License-Identifier: Apache-2.0
"""What the targets of the Makefile share: places, progress, processes, environments, builds. Standard library only."""
