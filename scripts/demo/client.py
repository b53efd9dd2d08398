# SPDX-License-Identifier: Apache-2.0
"""The `openstack` command against a cloud, as the administrator runs it; and what makes any other request profiled."""

import base64
import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from pathlib import Path

from demo.cloud import Cloud
from demo.settings import HMAC_KEY, PASSWORD, REGION, clean_environment
from house.failure import Failure
from house.process import Output, capture

TRACE_ID = re.compile(r"^Trace ID: (\S+)$", re.MULTILINE)


def trace_headers(base_id: str) -> dict[str, str]:
    """Return the headers with which a service joins the trace."""
    info = base64.urlsafe_b64encode(json.dumps({"base_id": base_id, "parent_id": base_id}).encode())
    signature = hmac.new(HMAC_KEY.encode(), info, hashlib.sha1).hexdigest()
    return {"X-Trace-Info": info.decode(), "X-Trace-HMAC": signature}


@dataclass(frozen=True)
class Recording:
    """A profiled request: what the client printed, and the id of the trace."""

    output: Output
    trace_id: str


class Client:
    """The `openstack` command of the cloud's environment."""

    def __init__(self, cloud: Cloud):
        """Point the command at the cloud."""
        self.program = cloud.environment.program("openstack")
        self.log = cloud.folder / "client.log"
        self.env = clean_environment(
            OS_AUTH_URL=cloud.keystone_url,
            OS_USERNAME="admin",
            OS_PASSWORD=PASSWORD,
            OS_PROJECT_NAME="admin",
            OS_USER_DOMAIN_NAME="Default",
            OS_PROJECT_DOMAIN_NAME="Default",
            OS_IDENTITY_API_VERSION="3",
            OS_REGION_NAME=REGION,
        )

    def run(self, *arguments: str | Path) -> Output:
        """Run a command; return what it printed."""
        return capture([self.program, *arguments], self.log, self.env)

    def profile(self, *arguments: str) -> Recording:
        """Run a command with profiling on."""
        output = self.run("--os-profile", HMAC_KEY, *arguments)
        found = TRACE_ID.search(output.messages)
        if found is None:
            raise Failure("the client printed no trace id", self.log)
        return Recording(output, found[1])
