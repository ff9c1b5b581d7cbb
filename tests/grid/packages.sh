# The Debian packages a grid needs. Sourced by grid.sh.
# shellcheck shell=bash
PACKAGES=(
    slurmctld slurmd slurm-client munge libnss-wrapper                   # Slurm; slurm.sh says what the last is for
    openssh-server openssh-client                                        # the way in from elsewhere
    environment-modules                                                  # 'module load' in jobs
    nordugrid-arc-arex                                                   # the CE
    nordugrid-arc-client nordugrid-arc-plugins-arcrest nordugrid-arc-plugins-needed python3-nordugrid-arc
    time                                                                 # A-REX measures jobs with /usr/bin/time
    openssl iproute2 procps                                              # certificates; ss; ps for A-REX's scripts
    zsh fish                                                             # the tests press Tab in them
    curl                                                                 # make bench compares with it
    libpythonX.Y-testsuite                                               # the standard library's tests of executors
)
JASMIN_PACKAGES=(slurmdbd mariadb-server-core)     # accounting, which only the site like JASMIN has
ARC7_PACKAGES=(
    mmdebstrap debian-archive-keyring                                    # a Debian 13 in a folder, for A-REX 7
    nordugrid-arc-client nordugrid-arc-plugins-needed                    # arcproxy
    voms-clients                                                         # attributes of a VO
    openssl iproute2 procps
)

missing_packages() {
    local package
    for package; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || echo "$package"
    done
}

python_version() {
    /usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo 3.11
}

install_packages() {
    local missing wanted=("${PACKAGES[@]/X.Y/$(python_version)}")
    case ${1:-$SITE} in
        jasmin) wanted+=("${JASMIN_PACKAGES[@]}") ;;
        arc7) wanted=("${ARC7_PACKAGES[@]}") ;;
        all) wanted+=("${JASMIN_PACKAGES[@]}" "${ARC7_PACKAGES[@]}") ;;
    esac
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        die "needs root on Debian 12 or Ubuntu, for its packages ${wanted[*]}"
    fi
    missing=$(missing_packages "${wanted[@]}" | tr '\n' ' ')
    [ -n "$missing" ] || return 0
    [ "$(id -u)" = 0 ] || die "needs root, to install $missing"
    say "installing $missing"
    # Debian's own way to say that the machine's sshd shall not start, now or at the next boot: nobody asked for that one.
    case " $missing" in *' openssh-server '*) mkdir -p /etc/ssh; touch /etc/ssh/sshd_not_to_be_run ;; esac
    # One grid after the other: the first to be ready would let the services of the second start.
    (
        flock 8
        without_starting_services apt_get_install "$missing"
    ) 8>/run/jasmin-arc-grid.lock || die "apt-get could not install $missing"
}

apt_get_install() {
    local wait=(-o DPkg::Lock::Timeout=300)     # another apt-get may be at work
    apt-get "${wait[@]}" update -q >&2 || return 1
    # shellcheck disable=SC2086                 # one word for each package
    DEBIAN_FRONTEND=noninteractive apt-get "${wait[@]}" install -q -y --no-install-recommends \
        -o Dpkg::Options::=--force-confold $1 >&2 </dev/null
}

# Debian starts the service of a package when it installs it: the machine's own munged, which nobody here wants.
without_starting_services() {
    local policy=/usr/sbin/policy-rc.d code=0
    if [ -e $policy ]; then "$@"; return; fi
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    "$@" || code=$?
    rm -f $policy
    return $code
}
