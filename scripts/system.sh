# Set-up of what tests/system and tests/fuse need: real kernels, clients and programs to work with;
# to be sourced after lib.sh, not run.

# What these tests need beyond fsgw_setup, as program:package. A service that a package brings
# (rpcbind) is not started: the tests run their own in a namespace.
FSGW_SYSTEM_PROGRAMS=(
    qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio mmdebstrap:mmdebstrap
    nfs-ls:libnfs-utils showmount:nfs-common rpcbind:rpcbind rpcinfo:rpcbind ip:iproute2
    fusermount3:fuse3 make:make rsync:rsync
)

_fsgw_system_packages() {
    local pair packages=()
    for pair in "${FSGW_SYSTEM_PROGRAMS[@]}"; do
        PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null ||
            packages+=("${pair#*:}")
    done
    [ ${#packages[@]} -eq 0 ] && return 0
    mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
    # Debian asks this program whether it may start a service; 101 says no.
    local policy=/usr/sbin/policy-rc.d made=no status=0
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | _fsgw_root tee "$policy" >/dev/null
        _fsgw_root chmod 0755 "$policy" && made=yes
    fi
    _fsgw_apt_install "${packages[@]}" || status=1
    [ $made = no ] || _fsgw_root rm -f "$policy"
    return $status
}

# Makes ready what tests/system and tests/fuse need: their programs, and the images that virtual
# machines boot.
# Call fsgw_setup first.
fsgw_setup_system() {
    (
        flock 9 || exit 1
        _fsgw_system_packages 9>&-
    ) 9>"$FSGW_ROOT/.venv.lock" || fsgw_die 'the set-up for tests/system and tests/fuse failed' || return 1
    local image
    for image in kernel 'debian python3'; do
        # Words of their own: what it is and its packages.
        # shellcheck disable=SC2086
        "$FSGW_ROOT/scripts/vm-image" $image >/dev/null ||
            fsgw_die "scripts/vm-image $image failed" || return 1
    done
}
