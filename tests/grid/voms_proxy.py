"""The member's proxies, with attributes and without a VOMS server. See --help of GRID_DIR/bin/voms-proxy.

voms-proxy-fake signs the attributes with the host's key, as a VOMS server would.
"""

import argparse
import subprocess
import sys
from pathlib import Path

grid = Path(sys.argv[1])
parser = argparse.ArgumentParser(prog="voms-proxy", description="Write a proxy with VOMS attributes into a file.")
parser.add_argument("file", help="where to write it")
parser.add_argument("attribute", nargs="*", default=["/testvo"], help="such as /testvo/climate/Role=production")
parser.add_argument("--name", default="member", help="whose: member, user or stranger; default: %(default)s")
parser.add_argument("--hours", type=int, default=12, help="how long the attributes last; default: %(default)s")
parser.add_argument("--ended", action="store_true", help="the attributes have ended, and the proxy has not")
asked = parser.parse_args(sys.argv[3:])


def whole(attribute):
    """With what voms-proxy-fake wants to read at the end."""
    role = attribute if "/Role=" in attribute else f"{attribute}/Role=NULL"
    return role if "/Capability=" in role else f"{role}/Capability=NULL"


ended = ["-vomslife", "1", "-pastac", "2:00"]
subprocess.run(
    [
        *("voms-proxy-fake", "-rfc", "-bits", "2048", "-voms", "testvo", "-uri", "localhost:15000", "-out", asked.file),
        *("-cert", grid / "client" / f"{asked.name}cert.pem", "-key", grid / "client" / f"{asked.name}key.pem"),
        *("-hostcert", grid / "certs" / "hostcert.pem", "-hostkey", grid / "certs" / "hostkey.pem"),
        *("-certdir", grid / "certificates", "-hours", str(max(asked.hours, 12))),
        *(ended if asked.ended else ["-vomslife", str(asked.hours)]),
        *(word for attribute in asked.attribute for word in ("-fqan", whole(attribute))),
    ],
    check=True,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,  # thousands of dots
)
