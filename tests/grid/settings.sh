# Where a grid lives, which ports it uses, and how it was started. Sourced by grid.sh.
# shellcheck shell=bash disable=SC2034   # the variables are for the other files
GRID_DIR=$(realpath -m "${GRID_DIR:-/tmp/jasmin-arc-grid}")
GRID_USER=griduser                  # the account that jobs run as
ASKED_PORT=${GRID_PORT:-}
ASKED_TIMERS=${GRID_TIMERS:-}
ASKED_SITE=${GRID_SITE:-}

CONFIG_JSON=$GRID_DIR/config.json
NODE=$(hostname -s)                 # slurmctld starts only when its configuration names this very host
SYSTEM_PYTHON=/usr/bin/python3

case $GRID_DIR in
    *[!A-Za-z0-9/._+-]*) die "GRID_DIR may hold letters, digits and / . _ + - only: $GRID_DIR" ;;
esac
((${#GRID_DIR} <= 80)) || die "GRID_DIR is too long for the path of a Unix socket (80 characters): $GRID_DIR"
[[ $ASKED_PORT =~ ^([1-9][0-9]{0,4})?$ ]] || die "GRID_PORT is not a port: $ASKED_PORT"
case $ASKED_TIMERS in
    '' | short | stock) ;;
    *) die "GRID_TIMERS is short or stock, not $ASKED_TIMERS" ;;
esac

case $ASKED_SITE in
    '' | plain | jasmin) ;;
    *) die "GRID_SITE is plain or jasmin, not $ASKED_SITE" ;;
esac

# Job ids are URLs with the port in them, so a grid keeps its port, and Slurm keeps what it knows of its site; the timers are asked for at each start. A grid that
# runs, or a half of one, goes on as it was started.
read_settings() {
    RECORDED_PORT=$(recorded port) RECORDED_TIMERS=$(recorded timers) RECORDED_SITE=$(recorded site)
    SITE=${RECORDED_SITE:-${ASKED_SITE:-plain}}
    PORT=${ASKED_PORT:-${RECORDED_PORT:-8453}}
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
}

wrapped_port() { echo $(($1 > 65535 ? $1 - 40000 : $1)); }

recorded() { sed -n "s/^$1=\([a-z0-9]*\)\$/\1/p" "$GRID_DIR/settings" 2>/dev/null || true; }

record_settings() {
    printf 'port=%s\ntimers=%s\nsite=%s\n' "$PORT" "$TIMERS" "$SITE" >"$GRID_DIR/settings.new"
    mv "$GRID_DIR/settings.new" "$GRID_DIR/settings"
}
