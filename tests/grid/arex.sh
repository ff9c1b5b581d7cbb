# The CE: A-REX, its web service, and the helper that shortens its timers. Sourced by grid.sh.
# shellcheck shell=bash
ARC_CONFIG=$GRID_DIR/arc/arc.conf

arex_daemons() {
    if [ "$SITE" = jasmin ]; then return; fi        # its users have none
    echo arex-ws arex
    if [ "$TIMERS" = short ]; then echo accelerate; fi
    if [ "$SITE" = arc7 ]; then echo voms-server; fi
}

# shellcheck disable=SC2046     # one word for each daemon
arex_running() { running $(arex_daemons); }
any_arex_running() { running arex || running arex-ws || running accelerate || running voms-server; }

start_arex() {
    if arex_running; then return; fi
    prepare_arex
    # The web service comes first: the information provider, which A-REX starts at once, looks whether it listens and
    # else calls the endpoint critical for a whole period.
    start_arex_daemon arex-ws arc-arex-ws-start
    wait_for 30 listening "$PORT" || die "the web service does not listen on port $PORT; see $GRID_DIR/arc/log"
    start_arex_daemon arex arc-arex-start
    if [ "$TIMERS" = short ]; then start_accelerate; fi
    if [ "$SITE" = arc7 ]; then start_voms_server; fi
}

prepare_arex() {
    mkdir -p "$GRID_DIR"/arc/{bin,control,session,log,run,tmp}
    chmod 755 "$GRID_DIR"/arc{,/session}
    chmod 1777 "$GRID_DIR/arc/tmp"              # A-REX writes there as the job's user too
    # A document or a lock of an earlier A-REX would speak for this one.
    rm -f "$GRID_DIR"/arc/control/info.xml "$GRID_DIR"/arc/tmp/{arex.xml.*,scan-slurm-job.lock}
    # Without this file A-REX computes one of 4096 bits: minutes of a full core.
    [ -s "$GRID_DIR/arc/control/dhparam.pem" ] ||
        (umask 077; openssl dhparam -dsaparam -out "$GRID_DIR/arc/control/dhparam.pem" 2048 2>/dev/null)
    enable_runtime_environments
    if [ "$SITE" = arc7 ]; then
        trust_issuer
        render arc7.conf "$ARC_CONFIG"
    else
        render arc.conf "$ARC_CONFIG"
    fi
    if [ "$TIMERS" = short ]; then
        sed -i 's/ *# short timers only$//' "$ARC_CONFIG"
        make_location
    else
        sed -i '/# short timers only$/d' "$ARC_CONFIG"
    fi
}

# A place like /usr for A-REX's programs, where one of them is another.
make_location() {
    local location=$GRID_DIR/arc/location program
    rm -rf "$location"
    mkdir -p "$location"/{lib/arc,answers/0}
    ln -s /usr/sbin /usr/share "$location"
    for program in "$(debian_root)"/usr/lib/arc/*; do ln -s "/usr/lib/arc/${program##*/}" "$location/lib/arc"; done
    rm "$location/lib/arc/arcconfig-parser"
    render arcconfig-parser "$location/lib/arc/arcconfig-parser"
    chmod 755 "$location/lib/arc/arcconfig-parser"
    install -d -o "$GRID_USER" "$location/answers/$(id -u "$GRID_USER")"
}

# As `arcctl rte enable` does it, which is in another package: A-REX offers what it finds below enabled/.
enable_runtime_environments() {
    local enabled=$GRID_DIR/arc/control/rte/enabled
    rm -rf "$GRID_DIR/arc/rte" "$enabled"
    mkdir -p "$enabled"/{ENV,APPS}
    cp -R "$HERE/rte" "$GRID_DIR/arc/rte"
    ln -s /usr/share/arc/rte/ENV/PROXY "$enabled/ENV/PROXY"
    ln -s "$GRID_DIR/arc/rte/APPS/GREETING-1.0" "$enabled/APPS/GREETING-1.0"
}

# Where A-REX is installed.
debian_root() { if [ "$SITE" = arc7 ]; then echo "$DEBIAN"; fi; }

# start_arex_daemon NAME SCRIPT: with the package's own start script, changed in two places that arc.conf cannot reach
start_arex_daemon() {
    local script=$GRID_DIR/arc/bin/$2
    cp "$(debian_root)/usr/share/arc/$2" "$script"
    if [ "$1" = arex-ws ]; then
        insert "$script" 'listen on the loopback address only' '<tcp:Listen>' \
            '<tcp:Interface>127.0.0.1</tcp:Interface><tcp:Version>4</tcp:Version>'
    elif [ "$TIMERS" = short ] && has_slurm; then       # no test wants to know how busy an A-REX 7 is
        # shellcheck disable=SC2016     # it is the script that has a variable there
        insert "$script" 'shorten the information period (unit 0.1 s)' '<arex:gmconfig>$ARC_RUNTIME_CONFIG</arex:gmconfig>' \
            '<arex:InfoproviderWakeupPeriod>100</arex:InfoproviderWakeupPeriod>'
    fi
    launch arex PATH="$(path_of_jobs)" ARC_LOCATION="$(arc_location)" "${INSIDE[@]}" "$script" || die_of_start "$1"
    wait_for 30 running "$1" || die_of_start "$1"
}

# Jobs inherit it from A-REX.
path_of_jobs() { if [ "$SITE" = arc7 ]; then echo "/usr/local/bin:$SYSTEM_PATH"; else echo "$SYSTEM_PATH"; fi; }

arc_location() { if [ "$TIMERS" = short ]; then echo "$GRID_DIR/arc/location"; else echo /usr; fi; }

# insert FILE PURPOSE ANCHOR TEXT: put the text behind the anchor, everywhere in the file
insert() {
    local script
    script=$(cat "$1")
    [[ $script == *"$3"* ]] || die "cannot $2: $1 has no $3 (grids are made for A-REX 6.17 and 7.0)"
    printf '%s\n' "${script//"$3"/"$3$4"}" >"$1"
}

start_accelerate() {
    cp "$HERE/accelerate.py" "$GRID_DIR/arc/bin"
    # setsid puts it into the background, away from the caller's terminal and its Ctrl-C
    launch arex ARC_LOCATION="$(arc_location)" setsid --fork "${INSIDE[@]}" \
        "$SYSTEM_PYTHON" "$GRID_DIR/arc/bin/accelerate.py" "$GRID_DIR/arc"
    wait_for 10 running accelerate || die_of_start accelerate
}

stop_arex() {
    # A-REX takes up to 11 s to notice SIGTERM. It survives being killed: a job's state is in its control files.
    stop_daemons 3 arex arex-ws accelerate voms-server
    # shellcheck disable=SC2046     # one word for each pid
    kill_all $(strays arex)
}

jobs_in_batch_system() { grep -qsE 'INLRMS|CANCELING' "$GRID_DIR"/arc/control/processing/*.status; }

listening() { [ -n "$(ss -Hltn "src = 127.0.0.1:$1")" ]; }
