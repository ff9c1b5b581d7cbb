# sshd, for those who use the cluster from elsewhere, and Slurm's commands as such a user finds them. Sourced by grid.sh.
# shellcheck shell=bash

ssh_daemons() { if has_slurm; then echo sshd; fi; }

# shellcheck disable=SC2046     # one word for each daemon
ssh_running() { running $(ssh_daemons); }

start_ssh() {
    prepare_ssh
    if ssh_running; then return; fi
    mkdir -p /run/sshd                      # where sshd locks its unprivileged part in; systemd would make it
    launch ssh /usr/sbin/sshd -f "$GRID_DIR/ssh/sshd_config" -E "$GRID_DIR/ssh/sshd.log" || die_of_start sshd
    wait_for 10 ssh_running || die_of_start sshd
}

prepare_ssh() {
    local ssh=$GRID_DIR/ssh
    mkdir -p "$ssh/bin"
    make_ssh_key host_ed25519
    make_ssh_key id_ed25519
    install -m 644 "$ssh/id_ed25519.pub" "$ssh/authorized_keys"
    echo "grid $(cut -d ' ' -f 1,2 "$ssh/host_ed25519.pub")" >"$ssh/known_hosts"
    render sshd_config "$ssh/sshd_config"
    render ssh_config "$ssh/config"
    make_command "$ssh/bin/ssh" "/usr/bin/ssh -F $ssh/config"
    make_command "$ssh/bin/sftp" "/usr/bin/sftp -F $ssh/config"
    # As with the user's certificate: with sudo, the tests run as the user who called it.
    if [ -n "${SUDO_UID:-}" ]; then chown "$SUDO_UID" "$ssh" "$ssh/id_ed25519"; fi
}

make_ssh_key() { [ -s "$GRID_DIR/ssh/$1" ] || ssh-keygen -q -t ed25519 -N '' -C "$1" -f "$GRID_DIR/ssh/$1" </dev/null; }

# Slurm's commands, for SLURM_BIN: they know this grid, whatever the environment says.
make_slurm_commands() {
    local name
    mkdir -p "$GRID_DIR/bin" "$GRID_DIR/work"
    chmod 1777 "$GRID_DIR/work"                     # SLURM_DIR of every user
    for name in sbatch squeue scancel scontrol sinfo sacct sacctmgr sstat sprio sshare sreport; do
        make_command "$GRID_DIR/bin/$name" "env SLURM_CONF=$SLURM_CONF /usr/bin/$name"
    done
}

# make_command FILE COMMAND: a program that runs COMMAND with its own arguments, and writes down when it was called, and how
make_command() {
    local calls=$GRID_DIR/calls/${1##*/}
    mkdir -p "$GRID_DIR/calls"
    [ -e "$calls" ] || install -m 666 /dev/null "$calls"    # every user writes there
    cat >"$1.new" <<EOF
#!/bin/bash
line="\$EPOCHREALTIME \$\$ \${*@Q}"
printf '%s\n' "\${line:0:1000}" >>'$calls'
exec $2 "\$@"
EOF
    chmod 755 "$1.new"
    mv "$1.new" "$1"
}

# What a site's shell prints at each login does not wait to be asked.
make_shell_talk() {
    local bashrc home
    home=$(getent passwd "$GRID_USER" | cut -d : -f 6)
    bashrc=$home/.bashrc
    if grep -qs 'jasmin-arc grid' "$bashrc"; then return; fi
    {
        echo '# jasmin-arc grid: over ssh, this shell prints also when nobody reads, as those of many users do.'
        # shellcheck disable=SC2016     # for that shell
        echo 'if [ -n "$SSH_CONNECTION" ]; then echo "Welcome to the grid"; echo "Have a nice day" >&2; fi'
        cat "$bashrc" 2>/dev/null || true
    } >"$bashrc.new"
    chown "$GRID_USER:" "$bashrc.new"
    mv "$bashrc.new" "$bashrc"
}

stop_ssh() {
    local pids
    pids=$(ss -Htnp "sport = :$SSHD_PORT" | grep -o 'pid=[0-9]*' | cut -d = -f 2 | sort -u) || true     # one for each connection
    stop_daemons 5 sshd
    # shellcheck disable=SC2046,SC2086      # one word for each pid
    kill_all $pids $(strays ssh)
}
