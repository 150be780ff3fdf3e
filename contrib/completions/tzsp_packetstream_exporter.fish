# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_tzsp_packetstream_exporter_global_optspecs
    string join \n interface= capture= promiscuous listen-port= publish-port= publish-address= web.config.file= web.max-requests= capture-buffer= snaplen= receive-buffer= log-format= log-level= verbose max-flows= flow-idle-timeout= max-idle-flows= hold-new-flows= labels= network= prefix-length= ipv6 h/help
end

function __fish_tzsp_packetstream_exporter_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_tzsp_packetstream_exporter_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_tzsp_packetstream_exporter_using_subcommand
    set -l cmd (__fish_tzsp_packetstream_exporter_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l interface -d 'Capture packets on this network interface, or on any; may be given several times. tshark also takes a number from `tshark -D`' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l capture -d 'How packets are captured' -r -f -a "auto\t'Through tshark if it is installed, otherwise natively'
tshark\t'Through tshark'
native\t'Through packet sockets of Linux'"
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l listen-port -l port -d 'UDP ports to which the TZSP stream is sent, separated by commas; may be given several times' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l publish-port -l publish -d 'TCP port on which metrics are published' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l publish-address -d 'Publish metrics on this address of the host alone, such as 127.0.0.1 [default: all addresses]' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l web.config.file -d 'Serve with TLS and ask for passwords as this file says: the web configuration that the Prometheus exporters share' -r -F
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l web.max-requests -d 'Answer this many scrapes at a time at most; 0: any number' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l capture-buffer -d 'Kernel\'s capture buffer for each interface, in MiB' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l snaplen -d 'Bytes that are captured of each frame; the default holds every header that matters' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l receive-buffer -d 'Kernel\'s receive buffer for each UDP socket, in MiB' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l log-format -d 'How log lines on standard error look' -r -f -a "text\t''
json\t''"
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l log-level -d 'The least important messages that are logged' -r -f -a "error\t''
warn\t''
info\t''
debug\t''"
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l max-flows -d 'Expose this many flows at most; packets of others are counted as `other`' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l flow-idle-timeout -d 'A flow without a packet for this long gives up its place, and its count is kept; 0: never' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l max-idle-flows -d 'Keep the counts of this many idle flows at most; the longest idle are forgotten first [default: ten times --max-flows]' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l hold-new-flows -d 'Show 0 for a new flow until it is this old, such as the scrape interval: its first packets then count in rate() and increase()' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l labels -d 'Labels that tell flows apart, separated by commas: any of the default, sensor, from_port, to_port, vlan, dscp and ip_version' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l network -d 'Call addresses in this range NAME in from_type and to_type, such as office=192.0.2.0/24; may be given several times, and the longest prefix wins' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l prefix-length -d 'Show addresses of this class or network as their prefix, such as public=24; IPv6 may differ: public=24/48; may be given several times' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l promiscuous -d 'Capture frames for other hosts too'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l verbose -d 'Log what is started and how, and what tshark says; the same as --log-level debug'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -l ipv6 -d 'Count mirrored IPv6 packets too'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -f -a "analyze" -d 'Read captures and write the metrics of what is in them to standard output'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l listen-port -l port -d 'Take TZSP sent to these UDP ports alone, separated by commas; may be given several times [default: every datagram that starts like TZSP]' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l write-inner -d 'Write the mirrored frames to this pcap file too, for programs that do not read TZSP' -r -F
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l format -d 'What is written: the metrics as Prometheus or OpenMetrics text, one JSON object, or tables for people' -r -f -a "prometheus\t''
openmetrics\t''
json\t''
table\t''"
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l every -d 'Write what the metrics were every so often by the capture\'s time, such as 15s, for `promtool tsdb create-blocks-from openmetrics`; with --format openmetrics' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l top -d 'Rows of each table; with --format table [default: 20]' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l jobs -d 'How many files are read at a time [default: as many as there are processors]' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l max-flows -d 'Expose this many flows at most; packets of others are counted as `other`' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l flow-idle-timeout -d 'A flow without a packet for this long, by the capture\'s time, gives up its place; 0: never' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l max-idle-flows -d 'Keep the counts of this many idle flows at most; the longest idle are forgotten first [default: ten times --max-flows]' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l hold-new-flows -d 'Show 0 for a new flow until it is this old, such as the scrape interval: its first packets then count in rate() and increase()' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l labels -d 'Labels that tell flows apart, separated by commas: any of the default, sensor, from_port, to_port, vlan, dscp and ip_version' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l network -d 'Call addresses in this range NAME in from_type and to_type, such as office=192.0.2.0/24; may be given several times, and the longest prefix wins' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l prefix-length -d 'Show addresses of this class or network as their prefix, such as public=24; IPv6 may differ: public=24/48; may be given several times' -r
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l plain -d 'Count captures that are not mirrored: the packet of each frame itself, rather than TZSP in it'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l quiet -d 'Show no progress, also on a terminal'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -l ipv6 -d 'Count mirrored IPv6 packets too'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand analyze" -s h -l help -d 'Print help'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand help; and not __fish_seen_subcommand_from analyze help" -f -a "analyze" -d 'Read captures and write the metrics of what is in them to standard output'
complete -c tzsp_packetstream_exporter -n "__fish_tzsp_packetstream_exporter_using_subcommand help; and not __fish_seen_subcommand_from analyze help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
