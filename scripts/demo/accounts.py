# SPDX-License-Identifier: Apache-2.0
"""What Keystone has to know of a service: its user, its endpoints; made through Keystone's own HTTP API."""

import json
import urllib.request
from dataclasses import dataclass

from demo.settings import PASSWORD, REGION

DOMAIN = "default"
# What the administrator sends to get a token.
LOG_IN = {
    "auth": {
        "identity": {
            "methods": ["password"],
            "password": {"user": {"name": "admin", "domain": {"id": DOMAIN}, "password": PASSWORD}},
        },
        "scope": {"project": {"name": "admin", "domain": {"id": DOMAIN}}},
    }
}


@dataclass(frozen=True)
class Account:
    """A service as Keystone knows it: its and its user's name, its type, what its endpoints name for its address."""

    name: str
    type: str
    placeholder: str
    path: str = ""


class Identity:
    """Keystone's API as the administrator sees it."""

    def __init__(self, url: str):
        """Log in as the administrator."""
        self.url = url
        self.token = None
        told, self.token = self._call("POST", "/auth/tokens", LOG_IN)
        self.project = told["token"]["project"]["id"]

    def _call(self, method: str, path: str, body: object = None) -> tuple[dict, str | None]:
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["X-Auth-Token"] = self.token
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=60) as answer:
            text = answer.read()
            return (json.loads(text) if text else {}), answer.headers.get("X-Subject-Token")

    def create(self, kind: str, **fields: object) -> str:
        """Create an entity; return its id."""
        return self._call("POST", f"/{kind}s", {kind: fields})[0][kind]["id"]

    def find(self, kind: str, name: str) -> str | None:
        """Return the id of the entity with this name, if there is one."""
        found = self._call("GET", f"/{kind}s?name={name}")[0][f"{kind}s"]
        return found[0]["id"] if found else None

    def grant(self, role: str, user: str, project: str) -> None:
        """Give a user a role in a project."""
        self._call("PUT", f"/projects/{project}/users/{user}/roles/{role}")


def create(keystone: str, account: Account) -> None:
    """Create a service's user and endpoints; the endpoints name a placeholder for its address."""
    identity = Identity(keystone)
    project = identity.find("project", "service") or identity.create("project", name="service", domain_id=DOMAIN)
    user = identity.create("user", name=account.name, domain_id=DOMAIN, password=PASSWORD)
    role = identity.find("role", "service") or identity.create("role", name="service")
    identity.grant(role, user, project)
    service = identity.create("service", type=account.type, name=account.name)
    url = account.placeholder + account.path
    for interface in ("public", "internal", "admin"):
        identity.create("endpoint", service_id=service, interface=interface, url=url, region_id=REGION)
