# A certificate authority of the grid's own, with a host and a user certificate. Sourced by grid.sh.
# shellcheck shell=bash
#
# All below GRID_DIR: nothing in /etc/grid-security changes. Clients read $GRID_DIR/certificates.
AUTHORITY=/DC=org/DC=jasmin-arc/CN=Grid-on-one-machine
USER_NAME=/DC=org/DC=jasmin-arc/CN=Grid-user
HOST_NAME=/DC=org/DC=jasmin-arc/CN=localhost

make_certificates() {
    [ ! -d "$GRID_DIR/certificates" ] || return 0
    local work=$GRID_DIR/certs.new
    rm -rf "$work"
    mkdir -p "$work/certificates"
    (
        cd "$work"
        umask 077
        make_authority
        issue host "$HOST_NAME" \
            "subjectAltName=DNS:localhost,DNS:$(hostname)" "extendedKeyUsage=serverAuth,clientAuth"
        issue user "$USER_NAME" "extendedKeyUsage=clientAuth"
        # One whom nobody knows, and one whom A-REX 7 lets in because the VO does.
        issue stranger "${USER_NAME%user}stranger" "extendedKeyUsage=clientAuth"
        issue member "${USER_NAME%user}member" "extendedKeyUsage=clientAuth"
        chmod 644 ./*cert.pem
    ) >"$GRID_DIR/openssl.log" 2>&1 || die "openssl could not make the certificates; see $GRID_DIR/openssl.log"
    mv -f "$work"/{user,stranger,member}{cert,key}.pem "$GRID_DIR/client/"
    # Only who holds the user certificate may submit.
    printf '"%s"\n' "$USER_NAME" >"$work/allowed-subjects"
    chmod -R go+rX "$work/certificates"
    rm -rf "$GRID_DIR/certs"
    mv "$work/certificates" "$work/.certificates"
    mv "$work" "$GRID_DIR/certs"
    mv "$GRID_DIR/certs/.certificates" "$GRID_DIR/certificates"     # last: it says that all is there
    # With sudo, the tests run as the user who called it, and private keys are for their owner alone.
    if [ -n "${SUDO_UID:-}" ]; then chown -R "$SUDO_UID" "$GRID_DIR/client"; fi
}

make_authority() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -sha256 -keyout cakey.pem -out cacert.pem -subj "$AUTHORITY" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
    # OpenSSL finds an authority by a hash of its name; Globus wants to know which names it may sign, and some
    # software still computes the hash as OpenSSL 0.9 did.
    local hash
    cp cacert.pem certificates/jasmin-arc-grid.pem
    printf "access_id_CA X509 '%s'\npos_rights globus CA:sign\ncond_subjects globus '\"%s\"'\n" \
        "$AUTHORITY" '/DC=org/DC=jasmin-arc/*' >certificates/jasmin-arc-grid.signing_policy
    for hash in $(openssl x509 -in cacert.pem -noout -subject_hash -subject_hash_old); do
        ln -s jasmin-arc-grid.pem "certificates/$hash.0"
        ln -s jasmin-arc-grid.signing_policy "certificates/$hash.signing_policy"
    done
}

# issue NAME SUBJECT EXTENSION...: NAMEkey.pem and NAMEcert.pem
issue() {
    local name=$1 subject=$2
    shift 2
    printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature,keyEncipherment \
        subjectKeyIdentifier=hash authorityKeyIdentifier=keyid "$@" >"$name.extensions"
    openssl req -new -newkey rsa:2048 -nodes -sha256 -keyout "${name}key.pem" -out "$name.request" -subj "$subject"
    openssl x509 -req -in "$name.request" -CA cacert.pem -CAkey cakey.pem -CAcreateserial -days 3650 -sha256 \
        -extfile "$name.extensions" -out "${name}cert.pem"
}
