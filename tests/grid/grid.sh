#!/bin/bash
# A real Slurm and a real ARC CE on this machine, for tests. README.md tells what and why.
set -euo pipefail

USAGE="usage: grid.sh COMMAND
  up           install what is missing, start the grid, wait until it accepts jobs
  down         end every process of the grid; its files and logs stay
  status       say what runs (exit code 0 when the grid is up, 3 when it is not)
  possible     say in one line why no grid can run here (exit code 3), if that is so
  with CMD...  run CMD with the grid up, and leave the grid as it was found
  with-all CMD...  the same, with a jasmin site in GRID_DIR-jasmin and ARC 7 in GRID_DIR-arc7 beside it, which
               JASMIN_ARC_TEST_SITE and JASMIN_ARC_TEST_ARC7 tell
  stop-arex    stop the CE and its web service; jobs stay in Slurm
  start-arex   start them again and wait until the CE accepts jobs
  logs         print the end of every log
  wipe         down, and remove all its files
Variables: GRID_DIR, GRID_PORT, GRID_TIMERS (short or stock), GRID_SITE (plain or jasmin), GRID_ARC (6 or 7); see
tests/grid/README.md"

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { echo "grid: $*" >&2; }      # stdout is for answers alone: the path of config.json, the status
die() { say "$*"; exit 1; }
die_of_start() { tail -n 5 "$GRID_DIR/start.log" >&2; die "$1 did not start; see '$HERE/grid.sh logs'"; }

for part in settings packages processes certificates accounts slurm ssh arex arc7; do
    # shellcheck source=/dev/null
    . "$HERE/$part.sh"
done

# Only one command at a time changes a grid. The daemons are started without descriptor 9, or they would keep the lock.
lock() {
    mkdir -p "$GRID_DIR"
    exec 9>"$GRID_DIR/lock"
    flock -w 300 9 || die "another grid.sh has been busy with $GRID_DIR for five minutes"
}

need_root() {
    [ "$(id -u)" = 0 ] || die "needs root, and Debian 12 or Ubuntu: Slurm and A-REX change to the job's user"
}

has_slurm() { [ "$SITE" != arc7 ]; }
has_ce() { [ "$SITE" != jasmin ]; }

accepts_jobs() { ! has_ce || "$SYSTEM_PYTHON" "$HERE/accepts_jobs.py" "$CONFIG_JSON"; }

wait_until_it_accepts_jobs() {
    local why='' deadline=$((SECONDS + 90))
    until why=$(accepts_jobs 2>&1) && { ! has_slurm || slurm_ready; }; do
        ((SECONDS < deadline)) || die "does not accept jobs after 90 s (${why:-Slurm has no usable node}); see '$HERE/grid.sh logs'"
        sleep 0.1
    done
}

something_runs() { { has_slurm && slurm_running; } || any_arex_running; }
is_up() { slurm_running && ssh_running && arex_running && accepts_jobs >/dev/null 2>&1; }

# What was asked for must be what runs: to change it under running jobs would surprise everyone who uses the grid.
refuse_other_settings() {
    if [ -n "$ASKED_SITE" ] && [ "$ASKED_SITE" != "$SITE" ]; then
        die "the grid in $GRID_DIR is the $SITE site, not $ASKED_SITE: choose another GRID_DIR, or wipe this one"
    fi
    something_runs || return 0
    if [ -n "$ASKED_TIMERS" ] && [ "$ASKED_TIMERS" != "$RECORDED_TIMERS" ]; then
        die "the grid in $GRID_DIR is running with $RECORDED_TIMERS timers, not $ASKED_TIMERS: 'make grid-down' first"
    fi
    if [ -n "$ASKED_PORT" ] && [ "$ASKED_PORT" != "$RECORDED_PORT" ]; then
        die "the grid in $GRID_DIR is running on port $RECORDED_PORT, not $ASKED_PORT: 'make grid-down' first"
    fi
}

make_account() {
    id "$GRID_USER" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$GRID_USER" 9>&-
    # No password fits "*" either, but "!" would also keep out who has a key.
    case $(getent shadow "$GRID_USER" | cut -d : -f 2) in '!'*) usermod --password '*' "$GRID_USER" 9>&- ;; esac
    make_shell_talk
}

check_folder() {
    [ -O "$GRID_DIR" ] || die "$GRID_DIR belongs to somebody else: choose another GRID_DIR"
    mkdir -p "$GRID_DIR/client/.arc"     # arcsub does not make ~/.arc for its list of jobs
    chmod go+rx "$GRID_DIR"
    runuser -u "$GRID_USER" -- test -x "$GRID_DIR" ||
        die "the job user $GRID_USER cannot enter $GRID_DIR: choose a GRID_DIR below folders that everyone may enter"
}

# End what an interrupted start or a crash has left, and see that all ports are free before anything starts.
clear_the_way() {
    if has_slurm && ! slurm_running; then
        stop_slurm_daemons
        free_port "$SLURMCTLD_PORT" GRID_SLURMCTLD_PORT
        free_port "$SLURMD_PORT" GRID_SLURMD_PORT
        if [ "$SITE" = jasmin ]; then
            free_port "$SLURMDBD_PORT" GRID_PORT
            free_port "$FRAIL_PORT" GRID_SLURMD_PORT
            free_port "$SCARCE_PORT" GRID_SLURMD_PORT
        fi
    fi
    if ! ssh_running; then
        stop_ssh
        free_port "$SSHD_PORT" GRID_SSHD_PORT
    fi
    if ! arex_running; then
        stop_arex
        free_port "$PORT" GRID_PORT
        if [ "$SITE" = arc7 ]; then free_port "$VOMS_PORT" GRID_PORT; fi
    fi
}

# render TEMPLATE TARGET: fill in the @NAMES@
render() {
    sed -e "s#@GRID_DIR@#$GRID_DIR#g" -e "s#@NODE@#$NODE#g" -e "s#@USER@#$GRID_USER#g" -e "s#@PORT@#$PORT#g" \
        -e "s#@SLURMCTLD_PORT@#$SLURMCTLD_PORT#g" -e "s#@SLURMD_PORT@#$SLURMD_PORT#g" \
        -e "s#@SSHD_PORT@#$SSHD_PORT#g" -e "s#@SLURMDBD_PORT@#$SLURMDBD_PORT#g" \
        -e "s#@ISSUER@#$ISSUER#g" -e "s#@FRAIL_PORT@#$FRAIL_PORT#g" -e "s#@SCARCE_PORT@#$SCARCE_PORT#g" "$HERE/$1" >"$2.new"
    chmod 644 "$2.new"
    mv "$2.new" "$2"
}

up() {
    refuse_other_settings
    if is_up; then
        say "already up ($(what_it_is))"
    else
        install_packages
        need_root
        lock
        read_settings       # again: whoever held the lock may have changed them
        refuse_other_settings
        # A start that fails leaves nothing running, but never ends what ran before.
        something_runs || trap stop_all EXIT
        make_account
        check_folder
        record_settings
        if has_ce; then make_certificates; fi
        clear_the_way
        if has_slurm; then start_cluster; else prepare_arc7; fi
        start_arex
        make_configurations
        wait_until_it_accepts_jobs
        trap - EXIT
        say "up after $SECONDS s ($(what_it_is))"
    fi
    if [ "$SITE" = arc7 ]; then renew_token; fi
    configuration
}

start_cluster() {
    start_slurm
    make_slurm_commands
    start_ssh
}

stop_all() {
    stop_arex
    if has_slurm; then
        stop_ssh
        cancel_slurm_jobs       # what A-REX has submitted meanwhile
        stop_slurm
    else
        # shellcheck disable=SC2046     # one word for each pid
        kill_all $(processes_in_debian)
    fi
}

configuration() { if has_ce; then echo "$CONFIG_JSON"; else echo "$GRID_DIR/slurm.json"; fi; }

what_it_is() { if has_ce; then echo "$TIMERS timers, https://localhost:$PORT/arex"; else echo "the $SITE site"; fi; }

make_configurations() {
    if has_slurm; then
        make_slurm_configuration here slurm.json
        make_slurm_configuration ssh slurm-ssh.json
    fi
    if has_ce; then
        render config.json "$CONFIG_JSON"
        render client.conf "$GRID_DIR/client/client.conf"
        render env.sh "$GRID_DIR/client/env.sh"
    fi
    if [ "$SITE" = arc7 ]; then make_clients_of_arc7; fi
}

# make_slurm_configuration WHERE NAME: for the backend "slurm"
make_slurm_configuration() {
    render slurm.json "$GRID_DIR/$2"
    if [ "$1" != ssh ]; then sed -i '/# over ssh only$/d' "$GRID_DIR/$2"; fi
    if [ "$SITE" != jasmin ]; then sed -i '/# jasmin only$/d' "$GRID_DIR/$2"; fi
    sed -i -e 's/ # .*$//' -e "s/@WHERE@/$1/" "$GRID_DIR/$2"
}

down() {
    [ -d "$GRID_DIR" ] || { say "not up"; return 0; }
    need_root
    lock
    # Slurm forgets a job after an hour, and an A-REX that asks for it later waits for ever: so it hears of the end now.
    if has_slurm; then
        cancel_slurm_jobs
        if [ "$TIMERS" = short ] && arex_running; then wait_for 5 not jobs_in_batch_system || true; fi
    fi
    stop_all
    say "down; logs stay in $GRID_DIR"
}

status() {
    local name state=0
    for name in $(slurm_daemons) $(ssh_daemons) $(arex_daemons); do
        if running "$name"; then
            echo "$name: running, pid $(pid_of "$name")"
        else
            echo "$name: not running"
            state=3
        fi
    done
    if [ $state = 0 ] && why=$(accepts_jobs 2>&1); then
        echo "up: accepts jobs ($(what_it_is)); configuration $(configuration)"
    else
        echo "not up: ${why:-see above} ($GRID_DIR)"
        state=3
    fi
    return $state
}

need_ce() { has_ce || die "the $SITE site has no compute element"; }

start_arex_again() {
    need_root
    lock
    ! has_slurm || slurm_running || die "the grid in $GRID_DIR is down: 'make grid-up' starts all of it"
    clear_the_way
    start_arex
    wait_until_it_accepts_jobs
}

# What needs no grid can be run anywhere: so the Makefile asks first.
possible() {
    if is_up; then return; fi
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
        echo "no grid can be installed here: that needs root on Debian or Ubuntu"
        return 3
    fi
}

# with COMMAND...: the command's exit code is ours
with_grid() {
    if ! is_up; then
        trap '"$HERE/grid.sh" down' EXIT
        trap 'exit 130' INT TERM        # so that the line above also runs after Ctrl-C
    fi
    "$HERE/grid.sh" up >/dev/null
    "$@"
}

# with-all COMMAND...: all start at the same time
with_all() {
    local name starting=()
    [ "$SITE" = plain ] || die "this grid is the $SITE site itself: 'grid.sh with'"
    install_packages all        # once, for all
    to_end=()
    for name in plain jasmin arc7; do
        if ! of "$name" status >/dev/null 2>&1; then to_end+=("$name"); fi
    done
    trap end_those_started EXIT
    trap 'exit 130' INT TERM
    for name in plain jasmin arc7; do
        of "$name" up >/dev/null &
        starting+=($!)
    done
    for name in "${starting[@]}"; do wait "$name"; done
    JASMIN_ARC_TEST_SITE=$GRID_DIR-jasmin JASMIN_ARC_TEST_ARC7=$GRID_DIR-arc7 "$@"
}

# of SITE COMMAND: for the grid here, or for one of those beside it
of() {
    local other=(env -u GRID_TIMERS -u GRID_SITE -u GRID_ARC -u GRID_SSHD_PORT -u GRID_SLURMCTLD_PORT -u GRID_SLURMD_PORT)
    case $1 in
        plain) other=() ;;
        jasmin) other+=(GRID_DIR="$GRID_DIR-jasmin" GRID_SITE=jasmin GRID_PORT="${GRID_SITE_PORT:-$((PORT + 1000))}") ;;
        arc7) other+=(GRID_DIR="$GRID_DIR-arc7" GRID_ARC=7 GRID_PORT="${GRID_ARC7_PORT:-$((PORT + 500))}") ;;
    esac
    shift
    "${other[@]}" "$HERE/grid.sh" "$@"
}

end_those_started() {
    local name
    for name in "${to_end[@]}"; do of "$name" down & done
    wait
}

logs() {
    local log
    for log in "$GRID_DIR"/*.log "$GRID_DIR"/munge/*.log "$GRID_DIR"/slurm/log/*.log "$GRID_DIR"/{ssh,accounts}/*.log "$GRID_DIR"/arc/log/*; do
        if [ -f "$log" ] && [ -s "$log" ]; then
            printf '\n=== %s\n' "$log"
            tail -n "${GRID_LOG_LINES:-40}" "$log"
        fi
    done
}

wipe() {
    down
    if [ "$SITE" = arc7 ]; then remove_debian; fi
    rm -rf "${GRID_DIR:?}"/{munge,slurm,accounts,modules,ssh,bin,calls,work,arc,certs,certificates,vomsdir,client,hosts}
    rm -f "$GRID_DIR"/{config,config-token,config-voms,slurm,slurm-ssh}.json "$GRID_DIR"/{start,openssl,debian}.log "$GRID_DIR"/{settings,lock}
    rmdir --ignore-fail-on-non-empty "$GRID_DIR"
}

read_settings
case ${1:-} in
    up | down | status | possible | logs | wipe) "$1" ;;
    with) shift; with_grid "$@" ;;
    with-all) shift; with_all "$@" ;;
    stop-arex) need_ce; need_root; lock; stop_arex ;;
    start-arex) need_ce; start_arex_again ;;
    *) echo "$USAGE" >&2; exit 2 ;;
esac
