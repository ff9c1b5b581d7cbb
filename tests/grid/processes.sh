# Start, recognise and end the grid's own processes, and nobody else's. Sourced by grid.sh.
# shellcheck shell=bash
#
# A daemon is running when its pid file names a process whose command line holds a path of this grid: a pid alone may
# since belong to someone else. What is left behind without a pid file (helpers of a killed A-REX, jobs that hid
# from Slurm) is found by its environment, which no other process of the machine shares, or by its folder.

pid_file() {
    case $1 in
        munged) echo "$GRID_DIR/munge/munged.pid" ;;
        slurmctld) echo "$GRID_DIR/slurm/slurmctld.pid" ;;
        slurmd) echo "$GRID_DIR/slurm/slurmd-$NODE.pid" ;;
        slurmd-*) echo "$GRID_DIR/slurm/$1.pid" ;;
        slurmdbd | mariadbd) echo "$GRID_DIR/accounts/$1.pid" ;;
        sshd) echo "$GRID_DIR/ssh/sshd.pid" ;;
        arex) echo "$GRID_DIR/arc/run/arched-arex.pid" ;;
        arex-ws) echo "$GRID_DIR/arc/run/arched-arex-ws.pid" ;;
        accelerate | voms-server) echo "$GRID_DIR/arc/run/$1.pid" ;;
    esac
}

pid_of() { cat "$(pid_file "$1")" 2>/dev/null; }

# running NAME...: all of them run
running() {
    local name pid
    for name; do
        pid=$(pid_of "$name") && [[ $pid =~ ^[0-9]+$ ]] || return 1
        [[ " $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")" == *[\ =]"$GRID_DIR"/* ]] || return 1   # a zombie's is empty
    done
}

# launch PART [NAME=VALUE...] COMMAND...: start a daemon that carries the grid's mark, and nothing else of the caller's
# environment: a virtual environment or a PYTHONPATH would change A-REX's own scripts.
launch() {
    local part=$1
    shift
    env -i PATH=$SYSTEM_PATH HOME=/root LANG=C.UTF-8 JASMIN_ARC_GRID="$part:$GRID_DIR" \
        SLURM_CONF="$SLURM_CONF" ARC_CONFIG="$ARC_CONFIG" TMPDIR="$GRID_DIR/arc/tmp" \
        "$@" </dev/null >>"$GRID_DIR/start.log" 2>&1 9>&-
}

# strays PART: pids of what the daemons of a part (slurm, ssh or arex) have left behind; a slurmstepd is a job's, not slurmd's.
strays() {
    local pid
    # shellcheck disable=SC2013     # pids have no spaces
    for pid in $(grep -lzxF "JASMIN_ARC_GRID=$1:$GRID_DIR" /proc/[0-9]*/environ 2>/dev/null | cut -d / -f 3); do
        if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != slurmstepd ]; then echo "$pid"; fi
    done
}

# Processes of the job user that work in a session directory, and those of anyone that Slurm of this grid started for a job.
job_processes() {
    local pid
    for pid in $(pgrep -u "$GRID_USER"); do
        if [[ "$(readlink "/proc/$pid/cwd")" == "$GRID_DIR"/* ]]; then echo "$pid"; fi
    done
    # shellcheck disable=SC2013     # pids have no spaces
    for pid in $(grep -lzxF "SLURM_CONF=$SLURM_CONF" /proc/[0-9]*/environ 2>/dev/null | cut -d / -f 3); do
        if grep -qz '^SLURM_JOB_ID=' "/proc/$pid/environ" 2>/dev/null; then echo "$pid"; fi
    done
    processes_in_debian
    # and the slurmstepd of each job, known by its folder: it writes its title over its environment
    for pid in $(pgrep -x slurmstepd); do
        if [ "$(readlink "/proc/$pid/cwd")" = "$GRID_DIR/slurm/log" ]; then echo "$pid"; fi
    done
}

# stop_daemons SECONDS NAME...: ask all of them at once, wait that long for the last one, then kill
stop_daemons() {
    local patience=$1 name
    shift
    for name; do
        if running "$name"; then kill "$(pid_of "$name")" 2>/dev/null || true; fi
    done
    for name; do
        wait_for "$patience" not running "$name" || kill -KILL "$(pid_of "$name")" 2>/dev/null || true
        rm -f "$(pid_file "$name")"
    done
}

kill_all() { if [ $# -gt 0 ]; then kill -KILL "$@" 2>/dev/null || true; fi; }

not() { ! "$@"; }

# wait_for SECONDS COMMAND...: until the command succeeds
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS <= deadline)) || return 1
        sleep 0.1
    done
}

# free_port PORT VARIABLE: end with a clear message when somebody listens there, on whatever address
free_port() {
    local listener
    listener=$(ss -Hltnp "sport = :$1")
    [ -z "$listener" ] || die "port $1 is in use by ${listener##*users:}: choose another with $2=..."
}
