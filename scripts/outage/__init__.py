# SPDX-License-Identifier: Apache-2.0
"""Outages of real stores: what becomes of what a service records meanwhile.

`trial` lets a service record through one fault and returns a row of the table; `faults` says what can happen, `stores`
to which store, `proxy` does it to what comes over a network. `make outage` lasts as long as a real outage does;
tests/stores/test_outages.py lets the same minutes pass at once.
"""
