# Where a grid lives, which ports it uses, and how it was started. Sourced by grid.sh.
# shellcheck shell=bash disable=SC2034   # the variables are for the other files
case ${GRID_ARC:-} in
    '') ASKED_SITE=${GRID_SITE:-} ;;
    6) ASKED_SITE=${GRID_SITE:-plain} ;;
    7) ASKED_SITE=arc7 ;;
    *) die "GRID_ARC is 6 or 7, not $GRID_ARC" ;;
esac
if [ "$ASKED_SITE" = arc7 ]; then USUAL_DIR=/tmp/jasmin-arc-grid-arc7; else USUAL_DIR=/tmp/jasmin-arc-grid; fi
GRID_DIR=$(realpath -m "${GRID_DIR:-$USUAL_DIR}")
GRID_USER=griduser                  # the account that jobs run as
ASKED_PORT=${GRID_PORT:-}
ASKED_TIMERS=${GRID_TIMERS:-}

CONFIG_JSON=$GRID_DIR/config.json
NODE=$(hostname -s)                 # slurmctld starts only when its configuration names this very host
SYSTEM_PYTHON=/usr/bin/python3
SYSTEM_PATH=/usr/sbin:/usr/bin:/sbin:/bin

case $GRID_DIR in
    *[!A-Za-z0-9/._+-]*) die "GRID_DIR may hold letters, digits and / . _ + - only: $GRID_DIR" ;;
esac
((${#GRID_DIR} <= 80)) || die "GRID_DIR is too long for the path of a Unix socket (80 characters): $GRID_DIR"
[[ $ASKED_PORT =~ ^([1-9][0-9]{0,4})?$ ]] || die "GRID_PORT is not a port: $ASKED_PORT"
case $ASKED_TIMERS in
    '' | short | stock) ;;
    *) die "GRID_TIMERS is short or stock, not $ASKED_TIMERS" ;;
esac

case ${GRID_SITE:-} in
    '' | plain) ;;
    jasmin) [ "$ASKED_SITE" = jasmin ] || die "a jasmin site has no compute element: GRID_ARC=7 is a grid of its own" ;;
    *) die "GRID_SITE is plain or jasmin, not $GRID_SITE" ;;
esac

# Job ids are URLs with the port in them, so a grid keeps its port, and Slurm keeps what it knows of its site; the timers are asked for at each start. A grid that
# runs, or a half of one, goes on as it was started.
read_settings() {
    RECORDED_PORT=$(recorded port) RECORDED_TIMERS=$(recorded timers) RECORDED_SITE=$(recorded site)
    SITE=${RECORDED_SITE:-${ASKED_SITE:-plain}}
    PORT=${ASKED_PORT:-${RECORDED_PORT:-$(usual_port)}}
    TIMERS=${ASKED_TIMERS:-short}
    if [ -n "$RECORDED_PORT" ] && something_runs; then
        PORT=$RECORDED_PORT
        TIMERS=$RECORDED_TIMERS
    fi
    SLURMCTLD_PORT=${GRID_SLURMCTLD_PORT:-$(wrapped_port $((PORT + 8000)))}
    SSHD_PORT=${GRID_SSHD_PORT:-$((PORT + 1))}
    SLURMD_PORT=${GRID_SLURMD_PORT:-$(wrapped_port $((PORT + 16000)))}
    # of the jasmin site alone
    SLURMDBD_PORT=$((PORT + 2)) FRAIL_PORT=$((SLURMD_PORT + 1)) SCARCE_PORT=$((SLURMD_PORT + 2))
    VOMS_PORT=$((PORT + 1))         # of A-REX 7
    if [ "$SITE" = arc7 ]; then enter_debian; fi
}

usual_port() { if [ "$SITE" = arc7 ]; then echo 8953; else echo 8453; fi; }

wrapped_port() { echo $(($1 > 65535 ? $1 - 40000 : $1)); }

recorded() { sed -n "s/^$1=\([a-z0-9]*\)\$/\1/p" "$GRID_DIR/settings" 2>/dev/null || true; }

record_settings() {
    printf 'port=%s\ntimers=%s\nsite=%s\n' "$PORT" "$TIMERS" "$SITE" >"$GRID_DIR/settings.new"
    mv "$GRID_DIR/settings.new" "$GRID_DIR/settings"
}
