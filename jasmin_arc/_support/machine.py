"""Which machine this is."""

from __future__ import annotations

import os


def host_name() -> str:
    """The name of this machine."""
    return os.uname().nodename.replace("/", "_") or "localhost"


def boot_id() -> str:
    """What is different after each start of this machine; empty where the system does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123 - quick to load
            return file.read().strip()
    except OSError:
        return ""
