# Slurm: munged, slurmctld, and a slurmd for each node, of many processors that are not there. Sourced by grid.sh.
# shellcheck shell=bash
export SLURM_CONF=$GRID_DIR/slurm/slurm.conf

# Slurm listens where the name of the host points, which may be the network, or nowhere. For its daemons it points here.
LOOPBACK=(LD_PRELOAD=libnss_wrapper.so NSS_WRAPPER_HOSTS="$GRID_DIR/slurm/hosts")

# shellcheck disable=SC2046     # one word for each daemon
slurm_running() { running $(slurm_daemons); }

slurm_daemons() {
    case $SITE in
        plain) echo munged slurmctld slurmd ;;
        jasmin) echo munged mariadbd slurmdbd slurmctld slurmd slurmd-frail slurmd-scarce ;;
    esac
}

slurm_ready() { timeout 5 sinfo -h -n "$NODE" -o %T 2>/dev/null | grep -qE '^(idle|mixed|allocated)$'; }

start_slurm() {
    if slurm_running; then return; fi
    mkdir -p "$GRID_DIR/munge" "$GRID_DIR"/slurm/{state,spool,log} "$GRID_DIR/arc/tmp"
    chmod 755 "$GRID_DIR/munge" "$GRID_DIR"/slurm{,/state,/spool,/log}     # munged wants it so, whatever the umask
    render slurm.conf "$SLURM_CONF"
    render "$SITE.conf" "$GRID_DIR/slurm/site.conf"
    render job_submit.lua "$GRID_DIR/slurm/job_submit.lua"
    render task_prolog "$GRID_DIR/slurm/task_prolog"
    chmod 755 "$GRID_DIR/slurm/task_prolog"
    rm -rf "$GRID_DIR/modules"
    cp -R "$HERE/modules" "$GRID_DIR/modules"
    render cgroup.conf "$GRID_DIR/slurm/cgroup.conf"
    echo "127.0.0.1 $(hostname) $NODE" >"$GRID_DIR/slurm/hosts"
    [ -s "$GRID_DIR/munge/munge.key" ] || (umask 077; head -c 1024 /dev/urandom >"$GRID_DIR/munge/munge.key")
    rm -f "$GRID_DIR"/munge/munge.socket*       # a killed munged leaves it, and the next one would not start
    launch slurm "${LOOPBACK[@]}" munged \
        --key-file="$GRID_DIR/munge/munge.key" --socket="$GRID_DIR/munge/munge.socket" \
        --pid-file="$GRID_DIR/munge/munged.pid" --log-file="$GRID_DIR/munge/munged.log" \
        --seed-file="$GRID_DIR/munge/munged.seed" || die_of_start munged
    start_accounting
    make_accounts
    launch slurm "${LOOPBACK[@]}" slurmctld -f "$SLURM_CONF" || die_of_start slurmctld
    start_nodes
    # They go to the background before they have written their pid files.
    wait_for 30 slurm_running || die "Slurm did not start; see $GRID_DIR/slurm/log"
}

start_nodes() {
    local daemon node
    for daemon in $(slurm_daemons); do
        case $daemon in
            slurmd) node=$NODE ;;
            slurmd-*) node=${daemon#slurmd-} ;;
            *) continue ;;
        esac
        launch slurm "${LOOPBACK[@]}" slurmd -f "$SLURM_CONF" -N "$node" || die_of_start "$daemon"
    done
}

# slurmd may go and come without its jobs noticing; so the jobs are not touched here.
# shellcheck disable=SC2046     # one word for each pid
stop_slurm_daemons() {
    stop_daemons 10 slurmd slurmd-frail slurmd-scarce slurmctld
    stop_daemons 10 slurmdbd
    stop_daemons 5 mariadbd munged
    kill_all $(strays slurm)
}

cancel_slurm_jobs() {
    running munged slurmctld slurmd || return 0
    # Root's too: who runs the tests may be root.
    timeout 20 squeue -h -o %A | sort -u | timeout 20 xargs -r scancel 2>/dev/null || true
    wait_for 20 no_jobs_left || true
}

no_jobs_left() { [ -z "$(timeout 5 squeue -h -o %i 2>/dev/null)" ]; }

# shellcheck disable=SC2046
stop_slurm() {
    stop_slurm_daemons
    kill_all $(job_processes)
}
