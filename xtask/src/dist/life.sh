# The life of the Debian package, in a copy of this system that is thrown away: installed, run as
# its units would, upgraded, removed, purged. The network and the processes are its own.
#
# sh life.sh FIRST.deb NEXT.deb EMPTY-DIRECTORY

set -eu
first=$1 next=$2 scene=$3
name=tzsp-packetstream-exporter
program=/usr/bin/tzsp_packetstream_exporter

fail() {
    echo "package: $*" >&2
    exit 1
}

mount -t tmpfs none "$scene"
mkdir "$scene/upper" "$scene/work" "$scene/system"
mount -t overlay none "$scene/system" \
    -o "lowerdir=/,upperdir=$scene/upper,workdir=$scene/work"
cp "$first" "$scene/system/first.deb"
cp "$next" "$scene/system/next.deb"
mount -t proc none "$scene/system/proc"
mount --rbind /dev "$scene/system/dev"
mount -t tmpfs none "$scene/system/run"
ip link set lo up
cd "$scene/system"

in_it() {
    chroot "$scene/system" "$@"
}

# Waits for what takes a moment.
eventually() {
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    fail "waited in vain: $*"
}

metric() {
    curl --silent localhost:9184/metrics | grep --quiet "$1"
}

# run UNIT CAPABILITIES MASK: as the unit's user, with its capabilities and no others.
run() {
    # systemd reads this file much like a shell.
    . "$scene/system/etc/default/$name"
    command=$(sed -n 's/^ExecStart=//p' "usr/lib/systemd/system/$1.service")
    eval "set -- $2 $3 $command"
    capabilities=$1 mask=$2
    shift 2
    chroot "$scene/system" setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs \
        --bounding-set "$capabilities" --inh-caps "$capabilities" \
        --ambient-caps "$capabilities" "$@" &
    pid=$!
    eventually curl --silent --fail localhost:9184/-/ready
    grep --quiet "^CapEff:.*$mask\$" "proc/$pid/status" ||
        fail "capabilities: $(grep ^Cap "proc/$pid/status")"
    # 40 bytes of TCP from 192.168.1.2 to 142.250.74.110, in TZSP and Ethernet.
    bash -c 'printf "\x1\0\0\x1\x1\2\0\0\0\0\4\2\0\0\0\0\3\x8\0\x45\0\0\x28\0\0\0\0\x40\6\0\0\xc0\xa8\1\2\x8e\xfa\x4a\x6e" \
        >/dev/udp/127.0.0.1/37008'
    eventually metric '^tzsp_observed_bytes_total{from="192.168.1.2",.*} 40$'
    kill -TERM "$pid"
    wait "$pid" || fail "ended with $?"
}

in_it dpkg --install /first.deb
for unit in $name tzsp-packetstream-capture; do
    in_it systemd-analyze verify --man=no "$unit.service"
    # In tenths, of 10: more than that would be a step back.
    in_it systemd-analyze security --offline=true --threshold=25 --no-pager "$unit.service" \
        >"$scene/exposure" || fail "$(cat "$scene/exposure")"
    tail -n 1 "$scene/exposure"
    for wanted in etc/systemd/system/*.wants/"$unit.service"; do
        [ ! -e "$wanted" ] || fail "$unit is enabled"
    done
done
grep --quiet tzsp proc/[0-9]*/comm && fail "something was started"
in_it $program --version

run $name -all 0000000000000000
run tzsp-packetstream-capture -all,+net_raw,+net_admin 0000000000003000

echo 'ARGS="--log-level warn"' >>etc/default/$name
in_it dpkg --install /next.deb
[ "$(in_it dpkg-query --show --showformat '${Version}' $name)" = 999.0.0-1 ]
tail -n 1 etc/default/$name | grep --quiet warn || fail "the upgrade lost the options"
run $name -all 0000000000000000

in_it dpkg --listfiles $name >"$scene/files"
in_it dpkg --remove $name
[ ! -e .$program ] || fail "the program is still there"
[ -e etc/default/$name ] || fail "the options are gone"
in_it dpkg --purge $name
while read -r file; do
    if [ -f ".$file" ]; then fail "$file is still there"; fi
done <"$scene/files"
in_it dpkg-query --status $name >/dev/null 2>&1 && fail "it is still known"
echo "package: installed, run, upgraded, removed and purged"
