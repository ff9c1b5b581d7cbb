#!/bin/bash
# Run tests with $PYTHON: first those that do not mind others, several at a time as most of them wait, and then the rest.
# Usage: run.sh [OPTION OF PYTEST...]
set -uo pipefail

# No tests (5) is no failure where the others are.
NONE=5
"$PYTHON" -m pytest -m 'not alone' -n "${WORKERS:-6}" --no-loadscope-reorder "$@"
several=$?
[ $several = 2 ] && exit 2      # Ctrl-C
"$PYTHON" -m pytest -m alone "$@"
alone=$?
for code in $several $alone; do
    if [ $code != 0 ] && [ $code != $NONE ]; then exit $code; fi
done
((several + alone < 2 * NONE)) || exit $NONE
