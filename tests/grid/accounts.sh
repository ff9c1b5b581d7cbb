# Accounting: slurmdbd, and a MariaDB of its own that listens on a socket alone. Sourced by grid.sh.
# shellcheck shell=bash

start_accounting() {
    if [ "$SITE" = plain ]; then return; fi
    start_database
    render slurmdbd.conf "$GRID_DIR/accounts/slurmdbd.conf"
    chmod 600 "$GRID_DIR/accounts/slurmdbd.conf"        # slurmdbd wants it so
    # It finds its configuration beside SLURM_CONF, and takes no path on its command line to be known by.
    ln -sfn /usr/sbin/slurmdbd "$GRID_DIR/accounts/slurmdbd"
    launch slurm "${LOOPBACK[@]}" SLURM_CONF="$GRID_DIR/accounts/slurm.conf" MYSQL_UNIX_PORT="$GRID_DIR/accounts/socket" \
        "$GRID_DIR/accounts/slurmdbd" || die_of_start slurmdbd
    wait_for 30 listening "$SLURMDBD_PORT" || die "slurmdbd does not listen; see $GRID_DIR/accounts/slurmdbd.log"
}

start_database() {
    local folder=$GRID_DIR/accounts
    mkdir -p "$folder"
    chmod 700 "$folder"
    if [ ! -d "$folder/data" ]; then
        rm -rf "$folder/data.new"
        launch slurm mariadb-install-db --no-defaults --datadir="$folder/data.new" --user=root --skip-test-db ||
            die_of_start mariadb-install-db
        mv "$folder/data.new" "$folder/data"
    fi
    # Nothing here must outlive a crash of the machine, so it need not wait for the disk.
    launch slurm setsid --fork mariadbd --no-defaults --datadir="$folder/data" --user=root --pid-file="$folder/mariadbd.pid" \
        --skip-networking --socket="$folder/socket" --innodb-flush-method=nosync --innodb-flush-log-at-trx-commit=0 \
        --innodb-lock-wait-timeout=900 --log-error="$folder/mariadbd.log" || die_of_start mariadbd
    wait_for 30 test -S "$folder/socket" || die_of_start mariadbd
}

# Once: the accounts stay in the database.
make_accounts() {
    if [ "$SITE" = plain ] || [ -e "$GRID_DIR/accounts/made" ]; then return; fi
    render accounts.sacctmgr "$GRID_DIR/accounts/sacctmgr.in"
    sacctmgr --immediate <"$GRID_DIR/accounts/sacctmgr.in" >>"$GRID_DIR/start.log" 2>&1 9>&- || die_of_start sacctmgr
    touch "$GRID_DIR/accounts/made"
}
