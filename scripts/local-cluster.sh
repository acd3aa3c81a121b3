#!/usr/bin/env bash
# A cluster on this machine: built, started, shown, stopped. Run it with --help.
set -euo pipefail

usage() {
    cat <<'TEXT'
A replicated key-value store on this machine.

Usage: scripts/local-cluster.sh [COMMAND] [-f FILE]

Commands:
  start      build, start the nodes in the background, and wait until they serve (default)
  stop       stop them, and see that nothing is left
  status     show them; exit 0 if all is well, 8 if some node is missing, 3 if nothing runs
  logs [N]   show what the nodes, or node N, have logged
  demo       build, run three nodes of its own under load, kill their leaders, and judge

Options:
  -f FILE    another cluster than configs/cluster.yaml; also CLUSTER=FILE. Not for demo
  -h, --help

It needs Rust and a C linker, and nothing else. RAFT_BIN=DIR takes the binaries in DIR and builds nothing.
TEXT
}

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
    printf 'error: %s\n' "$1" >&2
    if [[ -n "${2:-}" ]]; then printf '\nhint: %s\n' "$2" >&2; fi
    exit 2
}

# Where cargo puts what it builds.
bin="${RAFT_BIN:-${CARGO_TARGET_DIR:-$here/target}/release}"

need_tools() {
    # A fresh rustup may not be on the path of this shell yet.
    if ! command -v cargo >/dev/null && [[ -x "$HOME/.cargo/bin/cargo" ]]; then
        PATH="$HOME/.cargo/bin:$PATH"
    fi
    command -v cargo >/dev/null || fail 'there is no cargo here' \
        "install Rust: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
    command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null || fail \
        'there is no C linker here, which Rust needs to link programs' \
        'Debian, Ubuntu: apt-get install gcc libc6-dev; Fedora: dnf install gcc'
}

# On a terminal cargo shows its progress; elsewhere it is quiet, as it may take minutes only once.
build() {
    if [[ -n "${RAFT_BIN:-}" ]]; then return; fi
    need_tools
    if [[ ! -x "$bin/raft-server" || ! -x "$bin/raft-client" || ! -x "$bin/chaos-ctl" ]]; then
        printf 'building the server and the tools, once: this takes a few minutes\n' >&2
    fi
    local options=(--release --locked -p raft-server -p raft-client -p chaos-ctl)
    if [[ ! -t 2 ]]; then options+=(--quiet); fi
    (cd "$here" && cargo build "${options[@]}")
}

# What was never built cannot be running.
built() {
    [[ -x "$bin/chaos-ctl" ]]
}

start() {
    build
    local state=0
    "$bin/chaos-ctl" status -f "$cluster" >/dev/null 2>&1 || state=$?
    if [[ $state -eq 0 || $state -eq 8 ]]; then
        printf 'it runs already\n\n'
        "$bin/chaos-ctl" status -f "$cluster" || true
        return
    fi
    "$bin/chaos-ctl" up -f "$cluster" --detach --wait
}

stop() {
    if built; then
        "$bin/chaos-ctl" down -f "$cluster"
    else
        printf 'nothing runs: nothing was built yet\n'
    fi
}

status() {
    built || fail 'nothing was built yet' 'scripts/local-cluster.sh start'
    "$bin/chaos-ctl" status -f "$cluster"
}

logs() {
    built || fail 'nothing was built yet' 'scripts/local-cluster.sh start'
    "$bin/chaos-ctl" logs --config "$cluster" "$@"
}

demo() {
    build
    # In its place, so that Ctrl-C reaches it alone and its exit code is ours.
    exec "$bin/chaos-ctl" demo --dir "${RAFT_DEMO_DIR:-$here/.raft/demo-run}" "$@"
}

command=
cluster=${CLUSTER:-$here/configs/cluster.yaml}
rest=()
while [[ $# -gt 0 ]]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        -f | --config)
            [[ $# -ge 2 ]] || fail "$1 needs a file"
            cluster=$2
            shift
            ;;
        *) if [[ -z $command ]]; then command=$1; else rest+=("$1"); fi ;;
    esac
    shift
done

command=${command:-start}
case $command in
    start | stop | status)
        [[ ${#rest[@]} -eq 0 ]] || fail "\`$command\` takes no \`${rest[0]}\`"
        "$command"
        ;;
    logs | demo) "$command" ${rest[@]+"${rest[@]}"} ;;
    *) usage >&2; printf '\n' >&2; fail "there is no command \`$command\`" ;;
esac
