function __fish_tzsp_packetstream_exporter_needs_command
    set -l words (commandline -opc)
    if contains -- "$words[2]" healthcheck analyze help
        echo $words[2]
        return 1
    end
end

function __fish_tzsp_packetstream_exporter_using_subcommand
    set -l cmd (__fish_tzsp_packetstream_exporter_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l capture -d 'How packets are captured' -r -f -a "auto\t'Through tshark if it is installed, otherwise natively'
tshark\t'Through tshark'
native\t'Through packet sockets of Linux'"
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l listen-port -l port -d 'UDP ports to which the TZSP stream is sent, separated by commas; may be given several times' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l publish-port -l publish -d 'TCP port on which metrics are published' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l publish-address -d 'Local address on which metrics are published, such as 127.0.0.1 [default: all addresses]' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l web.listen-address -d 'Local address and TCP port on which metrics are published, in the form that Prometheus exporters share, such as :9184, 127.0.0.1:9184 or [::1]:9184; may be given several times; replaces --publish-port and --publish-address' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l web.config.file -d 'Web configuration file with settings for TLS and passwords, in the format that Prometheus exporters share' -r -F
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l web.max-requests -d 'Maximum number of concurrent scrapes; 0 means no limit' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l capture-buffer -d 'Size of the kernel\'s capture buffer for each interface, in MiB' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l snaplen -d 'Number of bytes to capture of each frame; the default covers every header that matters, and the messages that --names reads [default: 384; 1616 with --names dhcp or dns]' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l receive-buffer -d 'Size of the kernel\'s receive buffer for each UDP socket, in MiB' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l max-sensors -d 'Maximum number of sensors (routers) to distinguish; frames of further sensors are counted as `other`' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l log-format -d 'Format of the log on standard error' -r -f -a "text\t''
json\t''"
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l log-level -d 'Minimum severity of messages to log' -r -f -a "error\t''
warn\t''
info\t''
debug\t''"
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l max-flows -d 'Maximum number of flows to expose; packets of further flows are counted as `other`' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l flow-idle-timeout -d 'Stop exposing a flow or a host after this long without a packet, but keep its count; 0 means never' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l hold-new-flows -d 'Show 0 for a new flow or host until it is this old, such as the scrape interval: its first packets then count in rate() and increase()' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l max-idle-flows -d 'Maximum number of idle flows whose counts are kept; the longest-idle are forgotten first [default: ten times --max-flows]' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l labels -d 'Labels that distinguish flows, separated by commas: any of the default ones, sensor, from_port, to_port, vlan, dscp, ip_version and service; also from_name and to_name, which need --names; and from_country, to_country, from_asn and to_asn, which need --geo-database' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l network -d 'Name for an address range in from_type and to_type, such as office=192.0.2.0/24; it replaces private or public there, so queries for those no longer match; may be given several times, and the longest prefix wins' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l services -d 'File of services in the format of services(5), such as /etc/services: names for the label service, which replace those of IANA\'s registry or add to them' -r -F
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l prefix-length -d 'Replace addresses of this class or network by their prefix, such as public=24, or public=24/48 with another length for IPv6; may be given several times' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l hosts -d 'Classes and networks whose addresses are hosts, separated by commas: what each host sends and receives is counted [default: private, and every --network in private, shared, link-local or unique local address space]' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l max-hosts -d 'Maximum number of hosts to distinguish; further hosts are counted together as `other`; 0 means no metrics of hosts' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l geo-database -d 'Database of countries or network operators in the MaxMind DB format, for the labels from_country, to_country, from_asn and to_asn; may be given several times, such as for one of each kind, and the first that knows a value wins' -r -F
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l interface -d 'Capture packets on this network interface, or on any; may be given several times. tshark also takes a number from `tshark -D`' -r -f -a "any\t''
(ls /sys/class/net 2>/dev/null)"
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l names -d 'Source of names for addresses: hosts=FILE, leases=FILE (of dnsmasq, ISC dhcpd or Kea), dhcp and dns (seen in the mirrored traffic), or resolve (reverse DNS of private addresses; not with analyze); may be given several times, and the first that knows an address wins' -r -F -a "dhcp\t''
dns\t''
resolve\t''
hosts=\t''
leases=\t''"
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l promiscuous -d 'Capture frames for other hosts too'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l web.created-series -d 'In OpenMetrics, also write the time at which each counter was 0, as a series of its own whose name ends in _created. Protobuf always has these times'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l verbose -d 'Also log how tshark is started and what it prints; same as --log-level debug'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l ipv6 -d 'Also count mirrored IPv6 packets'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -f -a "healthcheck" -d 'Ask a running exporter whether it is healthy: exit status 0 if it is, 1 if not'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -f -a "analyze" -d 'Read captures and print their metrics to standard output'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand healthcheck" -l url -d 'URL of the exporter, such as https://localhost:9184; certificates are not verified' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand healthcheck" -s h -l help -d 'Print help'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l listen-port -l port -d 'Count only TZSP sent to these UDP ports, separated by commas; may be given several times [default: every datagram that starts like TZSP]' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l write-inner -d 'Also write the mirrored frames to this pcap file, for programs that cannot read TZSP; - is standard output and requires --format none' -r -F
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l format -d 'Output format: metrics as Prometheus or OpenMetrics text, one JSON object, tables for people, or nothing' -r -f -a "prometheus\t''
openmetrics\t''
json\t''
table\t''
none\t''"
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l every -d 'Write samples at this interval of the capture\'s time, such as 15s, for `promtool tsdb create-blocks-from openmetrics`; requires --format openmetrics' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l top -d 'Number of rows in each table; requires --format table [default: 20]' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l jobs -d 'Number of threads to use [default: number of processors]' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l max-flows -d 'Maximum number of flows to expose; packets of further flows are counted as `other`' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l flow-idle-timeout -d 'Stop exposing a flow or a host after this long without a packet, by the capture\'s time; 0 means never' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l hold-new-flows -d 'An option of live mode, which is refused here with the reason' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l max-idle-flows -d 'Maximum number of idle flows whose counts are kept; the longest-idle are forgotten first [default: ten times --max-flows]' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l labels -d 'Labels that distinguish flows, separated by commas: any of the default ones, sensor, from_port, to_port, vlan, dscp, ip_version and service; also from_name and to_name, which need --names; and from_country, to_country, from_asn and to_asn, which need --geo-database' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l network -d 'Name for an address range in from_type and to_type, such as office=192.0.2.0/24; it replaces private or public there, so queries for those no longer match; may be given several times, and the longest prefix wins' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l services -d 'File of services in the format of services(5), such as /etc/services: names for the label service, which replace those of IANA\'s registry or add to them' -r -F
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l prefix-length -d 'Replace addresses of this class or network by their prefix, such as public=24, or public=24/48 with another length for IPv6; may be given several times' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l hosts -d 'Classes and networks whose addresses are hosts, separated by commas: what each host sends and receives is counted [default: private, and every --network in private, shared, link-local or unique local address space]' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l max-hosts -d 'Maximum number of hosts to distinguish; further hosts are counted together as `other`; 0 means no metrics of hosts' -r -f
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l geo-database -d 'Database of countries or network operators in the MaxMind DB format, for the labels from_country, to_country, from_asn and to_asn; may be given several times, such as for one of each kind, and the first that knows a value wins' -r -F
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l names -d 'Source of names for addresses: hosts=FILE, leases=FILE (of dnsmasq, ISC dhcpd or Kea), dhcp and dns (seen in the mirrored traffic), or resolve (reverse DNS of private addresses; not with analyze); may be given several times, and the first that knows an address wins' -r -F -a "dhcp\t''
dns\t''
hosts=\t''
leases=\t''"
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l plain -d 'Count the packets of the frames themselves, for captures without TZSP'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l quiet -d 'Do not show progress, even on a terminal'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l ipv6 -d 'Also count mirrored IPv6 packets'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -s h -l help -d 'Print help'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand help; and not __fish_seen_subcommand_from healthcheck analyze help" -f -a "healthcheck" -d 'Ask a running exporter whether it is healthy: exit status 0 if it is, 1 if not'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand help; and not __fish_seen_subcommand_from healthcheck analyze help" -f -a "analyze" -d 'Read captures and print their metrics to standard output'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand help; and not __fish_seen_subcommand_from healthcheck analyze help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
