#!/bin/bash
# Make the project's virtual environment $VENV with $PYTHON. Called by the Makefile.
set -euo pipefail

if ! "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null; then
    # Debian's Python comes without them
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "make: $PYTHON cannot make virtual environments: install its venv module (Debian: apt-get install python3-venv)" >&2
        exit 1
    fi
    apt-get -o DPkg::Lock::Timeout=300 update -q
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -q -y --no-install-recommends python3-venv </dev/null
fi

"$PYTHON" -m venv --clear "$VENV"
# What is imported is compiled then. Most of it never is, and to compile all takes as long as the rest.
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile -e '.[dev]'
