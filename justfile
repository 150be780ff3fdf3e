# Everything here is cargo and xtask; nothing needs just.

# List the recipes
default:
    @just --list

# Check everything that must pass
ci:
    cargo xtask ci

# Run the tests
test *ARGS:
    cargo test --workspace --locked {{ARGS}}

# Write the captures in testdata/
fixtures *ARGS:
    cargo xtask fixtures {{ARGS}}

# Run the exporter, e.g. just run --listen-port 37008
run *ARGS:
    cargo run --release --locked -- {{ARGS}}

# Print the metrics of captures
analyze +FILES:
    cargo run --release --locked -- analyze {{FILES}}

# Write a synthetic capture, e.g. just generate /tmp/load.pcap --packets 2000000
generate OUT *ARGS:
    cargo run --release --locked --quiet --package xtask -- generate {{OUT}} {{ARGS}}

# Send a capture to an exporter, e.g. just replay /tmp/load.pcap --to 127.0.0.1:37008
replay FILE *ARGS:
    cargo run --release --locked --quiet --package xtask -- replay {{FILE}} {{ARGS}}

# Measure beside other programs, e.g. just bench --only analyze-a
bench *ARGS:
    cargo xtask bench {{ARGS}}

# Feed broken input to the library, e.g. just fuzz --seconds 600 capture
fuzz *ARGS:
    cargo xtask fuzz {{ARGS}}
