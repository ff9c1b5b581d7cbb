# A-REX 7 lives in a Debian 13 below GRID_DIR, as Debian 12 has only 6.17. Sourced by grid.sh.
# shellcheck shell=bash
#
# Each command there runs in a mount namespace of its own: what it mounts, nobody else sees, and nothing is left when it
# has ended. GRID_DIR is there under its own path, so paths mean the same inside and outside.
DEBIAN=$GRID_DIR/debian
DEBIAN_SUITE=trixie
DEBIAN_PACKAGES=nordugrid-arc-arex,time,openssl,procps
VO=testvo
ISSUER=https://localhost/jasmin-arc/issuer              # of tokens; nobody listens there, as A-REX has its keys on disk
# The command in front of those that run where A-REX is: nothing for A-REX 6.
INSIDE=()

enter_debian() {
    # shellcheck disable=SC2016     # that shell's
    INSIDE=(unshare --mount --propagation private -- sh -c
        'mount -t proc proc "$0/proc" && mount --bind "$1" "$0$1" && shift && exec chroot "$0" "$@"' "$DEBIAN" "$GRID_DIR")
}

# Debian 13 with A-REX, and nothing else. The name is there when all of it is; what it was made of stands in it.
make_debian() {
    local made_of="$DEBIAN_SUITE $DEBIAN_PACKAGES python$(python_version)"
    if [ "$(cat "$DEBIAN/made-of" 2>/dev/null)" = "$made_of" ]; then return; fi
    say "installing A-REX 7 in $DEBIAN"
    remove_debian
    # The package makes a certificate for the host when it is installed, and fails where the host's name does not resolve.
    printf '127.0.0.1 localhost\n127.0.0.1 %s\n' "$(hostname)" >"$GRID_DIR/hosts"
    mmdebstrap --mode=root --variant=apt --include="$DEBIAN_PACKAGES" \
        --aptopt='Apt::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' --dpkgopt=force-unsafe-io \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --essential-hook="cp '$GRID_DIR/hosts' \"\$1/etc/hosts\"" \
        "$DEBIAN_SUITE" "$DEBIAN.new" "$(debian_mirror)" >"$GRID_DIR/debian.log" 2>&1 </dev/null 9>&- ||
        die "Debian 13 could not be installed; see $GRID_DIR/debian.log"
    cp "$GRID_DIR/hosts" "$DEBIAN.new/etc/hosts"
    add_python
    add_account passwd
    add_account group
    mkdir -p "$DEBIAN.new$GRID_DIR"
    echo "$made_of" >"$DEBIAN.new/made-of"
    mv "$DEBIAN.new" "$DEBIAN"
}

prepare_arc7() {
    make_debian
    make_token_keys
    make_vo
}

# Where this machine's packages come from.
debian_mirror() {
    local mirror
    # shellcheck disable=SC2016     # apt-get fills it in
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 2>/dev/null)
    mirror=${mirror%%$'\n'*}
    echo "${mirror:-http://deb.debian.org/debian}"
}

# The Python of this machine, which jobs find first: functions that are sent as jobs need the same version at both ends.
add_python() {
    local python
    python=python$(python_version)
    if [ -e "$DEBIAN.new/usr/bin/$python" ]; then return; fi
    tar -c -C /usr --exclude="lib/$python/test" --exclude="lib/$python/config-*" "lib/$python" "bin/$python" |
        tar -x -C "$DEBIAN.new/usr"
    ln -s "/usr/bin/$python" "$DEBIAN.new/usr/local/bin/python3"
}

# add_account passwd|group: the job's user has the same number inside and outside
add_account() {
    local key=$GRID_USER
    if [ "$1" = group ]; then key=$(id -g "$GRID_USER"); fi
    getent "$1" "$key" >>"$DEBIAN.new/etc/$1"
}

# A mount here would be one that nobody of the grid has made. What is in it must not go.
remove_debian() {
    if grep -qF " $DEBIAN" /proc/mounts; then die "something is mounted below $DEBIAN"; fi
    rm -rf --one-file-system "$DEBIAN" "$DEBIAN.new"
}

# Whose root folder it is: nobody else's.
processes_in_debian() {
    local root
    if [ "$SITE" != arc7 ]; then return; fi
    for root in /proc/[0-9]*/root; do
        if [ "$(readlink "$root" 2>/dev/null)" = "$DEBIAN" ]; then root=${root#/proc/}; echo "${root%/root}"; fi
    done
}

# A-REX trusts tokens of this issuer, as `arcctl deploy jwt-issuer` makes it: the keys are in its control folder.
trust_issuer() {
    "$SYSTEM_PYTHON" "$HERE/tokens.py" "$GRID_DIR" trust "$GRID_DIR/arc/control/tokenissuers"
}

make_token_keys() {
    local name
    for name in issuer other-issuer; do
        [ -s "$GRID_DIR/certs/$name.pem" ] || (umask 077
            openssl genrsa -out "$GRID_DIR/certs/$name.new" 2048 2>/dev/null && mv "$GRID_DIR/certs/$name"{.new,.pem})
        if [ -n "${SUDO_UID:-}" ]; then chown "$SUDO_UID" "$GRID_DIR/certs/$name.pem"; fi
    done
}

# The VOMS server's certificate is the host's.
make_vo() {
    local folder=$GRID_DIR/vomsdir/$VO
    mkdir -p "$folder"
    printf '%s\n' "$HOST_NAME" "$AUTHORITY" >"$folder/localhost.lsc"
    # Its web service looks here, whatever x509_voms_dir says.
    rm -rf "$DEBIAN/etc/grid-security/vomsdir"
    ln -s "$GRID_DIR/vomsdir" "$DEBIAN/etc/grid-security/vomsdir"
    printf '"%s" "localhost" "%s" "%s" "%s"\n' "$VO" "$VOMS_PORT" "$HOST_NAME" "$VO" >"$GRID_DIR/client/vomses"
}

start_voms_server() {
    if running voms-server; then return; fi
    launch arex setsid --fork "$SYSTEM_PYTHON" "$HERE/voms_server.py" "$GRID_DIR/" "$VOMS_PORT"
    wait_for 10 listening "$VOMS_PORT" || die_of_start voms-server
}

# What clients need besides config.json. The token is a new one at each "up".
make_clients_of_arc7() {
    local name
    for name in config-token.json config-voms.json; do render "$name" "$GRID_DIR/$name"; done
    mkdir -p "$GRID_DIR/bin"
    make_program token tokens.py
    make_program voms-proxy voms_proxy.py
}

# make_program NAME SCRIPT: a program in GRID_DIR/bin that knows its grid
make_program() {
    printf '#!/bin/sh\nexec %s "%s" "%s" %s "$@"\n' "$SYSTEM_PYTHON" "$HERE/$2" "$GRID_DIR" "$1" >"$GRID_DIR/bin/$1"
    chmod 755 "$GRID_DIR/bin/$1"
}

renew_token() {
    (umask 077; "$GRID_DIR/bin/token" --hours 24 >"$GRID_DIR/client/token.new")
    if [ -n "${SUDO_UID:-}" ]; then chown "$SUDO_UID" "$GRID_DIR/client/token.new"; fi
    mv "$GRID_DIR/client/token.new" "$GRID_DIR/client/token"
}
