# SPDX-License-Identifier: Apache-2.0
# A new Debian system for the checks of releases, which source this file; it needs root, debootstrap
# and a mirror.
# SUITE, MIRROR: which system, from where (default: those of this one)

# need TOOL...: ends the check, whose name is $0, unless the tools are there and this is root
need() {
    local tool
    for tool; do
        command -v "$tool" >/dev/null ||
            { echo "${0##*/}: $tool is missing; install $*" >&2; exit 69; }
    done
    [ "$(id -u)" -eq 0 ] ||
        { echo "${0##*/}: a new system can be made by root alone" >&2; exit 69; }
}
# mirror: prints the first archive in this system's sources
mirror() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null |
        grep -v '^#' | grep -oE '(https?|file):[^ ]+' | head -n 1
}
# new_system ROOT LOG: makes one. What is mounted there goes with this process, which must have
# mounts of its own (unshare -m). Its programs reach the network as those here do.
new_system() {
    local f suite=${SUITE:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
    root=$1
    echo "== a new system: $suite"
    rm -rf "$root"
    debootstrap --variant=minbase "$suite" "$root" "${MIRROR:-$(mirror)}" >"$2" 2>&1 ||
        { tail -n 5 "$2" >&2; exit 1; }
    mount -t proc proc "$root/proc" # for /dev/fd
    cp /etc/resolv.conf "$root/etc/" 2>/dev/null || true
    for f in /etc/apt/apt.conf.d/*proxy* /etc/pip.conf; do
        [ ! -e "$f" ] || cp "$f" "$root$f"
    done
    # Certificates of this network count there as soon as its package ca-certificates is installed.
    local own=/usr/local/share/ca-certificates
    mkdir -p "$root$own"
    cp $own/*.crt "$root$own" 2>/dev/null || true
}
# in_root COMMAND...: runs it there; threads that wait leave a busy machine to the others
in_root() {
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive OMP_WAIT_POLICY=passive "$@"
}
# drop_system: removes it
drop_system() {
    umount "$root/proc"
    rm -rf "$root"
}
