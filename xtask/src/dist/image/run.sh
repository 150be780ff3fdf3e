# Runs the program of an unpacked image as its user, in its root directory and
# a network of its own. There is no /proc, no /etc and no /tmp.
#
# sh run.sh ROOT "UID GID" [EMULATOR]

set -eu
what=image
. "$(dirname "$0")/../common.sh"
root=$1
user=${2% *} group=${2#* }
program=/usr/bin/tzsp_packetstream_exporter
if [ $# -gt 2 ]; then
    # A program for another processor: the emulator, which is static too, runs it.
    cp "$(command -v "$3")" "$root/emulator"
    program="/emulator $program"
fi

inside() {
    chroot "$root" $program "$@"
}

ip link set lo up
inside --version
inside healthcheck 2>/dev/null && fail "healthy before it runs"

chroot --userspec="$user:$group" "$root" $program &
pid=$!
eventually inside healthcheck
grep --quiet "^CapEff:.*0000000000000000\$" "/proc/$pid/status" ||
    fail "capabilities: $(grep ^Cap "/proc/$pid/status")"
# 40 bytes of TCP from 192.168.1.2 to 142.250.74.110, in TZSP and Ethernet.
bash -c 'printf "\x1\0\0\x1\x1\2\0\0\0\0\4\2\0\0\0\0\3\x8\0\x45\0\0\x28\0\0\0\0\x40\6\0\0\xc0\xa8\1\2\x8e\xfa\x4a\x6e" \
    >/dev/udp/127.0.0.1/37008'
eventually metric '^tzsp_observed_bytes_total{from="192.168.1.2",.*} 40$'
kill -TERM "$pid"
wait "$pid" || fail "ended with $?"
echo "image: unpacked, run, healthy, stopped"
