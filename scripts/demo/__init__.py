# SPDX-License-Identifier: Apache-2.0
"""The scenario: a real Keystone and Glance, an image list traced through them, its report.

`cloud` prepares and runs the services (`keystone`, `glance`, `uwsgi`, `accounts`), `stores` is where they record,
`client` is the command that talks to them, `scenario` is the recorded request, `__main__` shows it to a person;
`tests/openstack` asserts it.
"""

import house  # noqa: F401  refuses a Python that could not read what comes next
