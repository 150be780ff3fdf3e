# Functions of the scripts that run a packaged program. They set `what` first.

fail() {
    echo "$what: $*" >&2
    exit 1
}

# Repeats a command until it succeeds.
eventually() {
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    fail "timed out: $*"
}

metric() {
    curl --silent localhost:9184/metrics | grep --quiet "$1"
}
