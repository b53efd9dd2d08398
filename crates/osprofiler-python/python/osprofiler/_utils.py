# SPDX-License-Identifier: Apache-2.0
"""Signing, splitting and shortening: what other packages call by these names."""

import base64
import hmac as _hmac
import importlib
import json
import os
import random
import sys
import uuid

from osprofiler import _native

_LOW_64_BITS = (1 << 64) - 1


def split(text, strip=True):
    """Return the parts of a comma-separated text; a list or tuple as it is."""
    if isinstance(text, (list, tuple)):
        return text
    if not isinstance(text, str):
        raise TypeError(f"Unknown how to split '{text}': {type(text)}")
    parts = text.split(",")
    if strip:
        return [part.strip() for part in parts if part.strip()]
    return parts


def binary_encode(text, encoding="utf-8"):
    """``text`` as bytes; bytes as they are."""
    if isinstance(text, bytes):
        return text
    if isinstance(text, str):
        return text.encode(encoding)
    raise TypeError("Expected binary or string type")


def binary_decode(data, encoding="utf-8"):
    """Return ``data`` as text; text as it is."""
    if isinstance(data, str):
        return data
    if isinstance(data, bytes):
        return data.decode(encoding)
    raise TypeError("Expected binary or string type")


def generate_hmac(data, hmac_key):
    """Return the hex HMAC-SHA1 of ``data``."""
    return _native.sign(binary_encode(data), binary_encode(hmac_key))


def signed_pack(data, hmac_key):
    """Return ``data`` as URL-safe base64 of its JSON, and that text's HMAC; ``None`` for the HMAC without a key."""
    raw_data = base64.urlsafe_b64encode(binary_encode(json.dumps(data)))
    return raw_data, generate_hmac(raw_data, hmac_key) if hmac_key else None


def signed_unpack(data, hmac_data, hmac_keys):
    """Return what ``signed_pack`` packed, with the matching key as ``hmac_key``; ``None`` for anything else."""
    if not hmac_keys or not hmac_data or not data:
        return None
    try:
        signature = binary_encode(hmac_data.strip())
        raw_data = binary_encode(data)
        for hmac_key in hmac_keys:
            expected = generate_hmac(raw_data, hmac_key)
            if _hmac.compare_digest(binary_encode(expected), signature):
                contents = json.loads(binary_decode(base64.urlsafe_b64decode(raw_data)))
                contents["hmac_key"] = hmac_key
                return contents
    except Exception:
        return None
    return None


def itersubclasses(cls, _seen=None):
    """Each subclass of ``cls`` once, a class before its own subclasses."""
    seen = set() if _seen is None else _seen
    for subclass in type.__subclasses__(cls):
        if subclass not in seen:
            seen.add(subclass)
            yield subclass
            yield from itersubclasses(subclass, seen)


def import_modules_from_package(package):
    """Import every module below the dotted ``package``."""
    root = os.path.dirname(importlib.import_module(package).__file__)
    for folder, _, files in os.walk(root):
        below = os.path.relpath(folder, root)
        prefix = package if below == "." else ".".join([package, *below.split(os.sep)])
        for file in files:
            if file.endswith(".py") and not file.startswith("__"):
                name = f"{prefix}.{file[:-3]}"
                if name not in sys.modules:
                    importlib.import_module(name)


def shorten_id(span_id):
    """Return the low 64 bits of an id; of what is no UUID, a random number."""
    if isinstance(span_id, int):
        return span_id & _LOW_64_BITS
    return _uuid_number(span_id) & _LOW_64_BITS


def uuid_to_int128(span_uuid):
    """Return the number of a UUID; of what is no UUID, a random one."""
    return span_uuid if isinstance(span_uuid, int) else _uuid_number(span_uuid)


def _uuid_number(text):
    try:
        return uuid.UUID(text).int
    except ValueError:
        # oslo's generator where the program has it: its tests may have replaced it.
        uuidutils = sys.modules.get("oslo_utils.uuidutils")
        return uuid.UUID(uuidutils.generate_uuid()).int if uuidutils else random.getrandbits(128)
