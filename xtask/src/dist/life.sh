# Installs the Debian package in a temporary copy of this system, runs the program as the package's
# units would, then upgrades, removes and purges the package. The copy has its own network and
# process namespaces.
#
# sh life.sh FIRST.deb NEXT.deb EMPTY-DIRECTORY

set -eu
what=package
. "$(dirname "$0")/common.sh"
first=$1 next=$2 sandbox=$3
name=tzsp-packetstream-exporter
program=/usr/bin/tzsp_packetstream_exporter

mount -t tmpfs none "$sandbox"
mkdir "$sandbox/upper" "$sandbox/work" "$sandbox/system"
mount -t overlay none "$sandbox/system" \
    -o "lowerdir=/,upperdir=$sandbox/upper,workdir=$sandbox/work"
cp "$first" "$sandbox/system/first.deb"
cp "$next" "$sandbox/system/next.deb"
mount -t proc none "$sandbox/system/proc"
mount --rbind /dev "$sandbox/system/dev"
mount -t tmpfs none "$sandbox/system/run"
ip link set lo up
cd "$sandbox/system"

inside() {
    chroot "$sandbox/system" "$@"
}

# run UNIT CAPABILITIES MASK: runs the unit's command as an unprivileged user, with these
# capabilities and no others.
run() {
    # The shell reads this file in nearly the same way as systemd.
    . "$sandbox/system/etc/default/$name"
    command=$(sed -n 's/^ExecStart=//p' "usr/lib/systemd/system/$1.service")
    eval "set -- $2 $3 $command"
    capabilities=$1 mask=$2
    shift 2
    chroot "$sandbox/system" setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs \
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

inside dpkg --install /first.deb
for unit in $name tzsp-packetstream-capture; do
    inside systemd-analyze verify --man=no "$unit.service"
    # The exposure level times 10, from 0 (best) to 100. More than 25 would be a regression.
    inside systemd-analyze security --offline=true --threshold=25 --no-pager "$unit.service" \
        >"$sandbox/exposure" || fail "$(cat "$sandbox/exposure")"
    tail -n 1 "$sandbox/exposure"
    for wanted in etc/systemd/system/*.wants/"$unit.service"; do
        [ ! -e "$wanted" ] || fail "$unit is enabled"
    done
done
grep --quiet tzsp proc/[0-9]*/comm && fail "the installation started the program"
inside $program --version

run $name -all 0000000000000000
run tzsp-packetstream-capture -all,+net_raw,+net_admin 0000000000003000

echo 'ARGS="--log-level warn"' >>etc/default/$name
inside dpkg --install /next.deb
[ "$(inside dpkg-query --show --showformat '${Version}' $name)" = 999.0.0-1 ]
tail -n 1 etc/default/$name | grep --quiet warn || fail "the upgrade overwrote the configuration file"
run $name -all 0000000000000000

inside dpkg --listfiles $name >"$sandbox/files"
inside dpkg --remove $name
[ ! -e .$program ] || fail "the program is still there"
[ -e etc/default/$name ] || fail "removal deleted the configuration file"
inside dpkg --purge $name
while read -r file; do
    if [ -f ".$file" ]; then fail "$file is still there"; fi
done <"$sandbox/files"
inside dpkg-query --status $name >/dev/null 2>&1 && fail "dpkg still lists the package"
echo "package: installed, run, upgraded, removed and purged"
