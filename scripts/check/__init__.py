# SPDX-License-Identifier: Apache-2.0
"""`make test`: the sections that everybody's change goes through (`sections`), and what their runners say (`tally`)."""
