# Shortcuts for cargo and xtask commands, which work without just as well.

# List the recipes
default:
    @just --list

# Run every check that must pass
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

# Compare the performance with other programs, e.g. just bench --only analyze-a
bench *ARGS:
    cargo xtask bench {{ARGS}}

# Fuzz the library, e.g. just fuzz --seconds 600 capture
fuzz *ARGS:
    cargo xtask fuzz {{ARGS}}
