#!/usr/bin/env bash
# A cluster on this machine: built, started, shown, stopped. Run it with --help.
set -euo pipefail

usage() {
    cat <<'TEXT'
A replicated key-value store on this machine.

Usage: scripts/local-cluster.sh [COMMAND] [-f FILE]

Commands:
  start           build, start the nodes in the background, and wait until they serve (default)
                  exit 8 if they serve, but some node is not well: it is named
  start NODE      start a node that is down
  stop            stop them, and see that nothing is left
  kill NODE       end it with SIGKILL; it stays down until `start NODE`
  restart [NODE]  end it gently and start it again; without NODE: all are stopped, and the cluster is started
  clean [--yes]   say what the cluster has left on the disk; with --yes, remove it once it is stopped
  status          show them; exit 0 if all is well, 8 if some node is missing, 3 if nothing runs
  logs [N]        show what the nodes, or node N, have logged
  demo [OPTIONS]  build, run three nodes of its own under load, kill their leader ten times, and judge:
                  `chaos-ctl run kill-leader`; `demo --help` shows its options
  help            show this

NODE is a number, several as in 1,3, or leader, follower, any, minority, majority, all.

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

# Where cargo is told to put what it builds. It reads a relative path from where it runs.
target="${CARGO_TARGET_DIR:-${CARGO_BUILD_TARGET_DIR:-$here/target}}"
if [[ $target != /* ]]; then target=$here/$target; fi
bin="${RAFT_BIN:-$target/release}"

# A directory that was named must have what is asked of it: nothing else is tried in its place.
check_named() {
    if [[ -z "${RAFT_BIN:-}" ]]; then return; fi
    local program
    [[ -d "$bin" ]] || fail "RAFT_BIN names $bin, which is not a directory"
    for program in "$@"; do
        [[ -f "$bin/$program" && -x "$bin/$program" ]] ||
            fail "RAFT_BIN names $bin, where there is no program $program"
    done
}

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
    check_named raft-server raft-client chaos-ctl
    if [[ -n "${RAFT_BIN:-}" ]]; then return; fi
    need_tools
    if [[ ! -x "$bin/raft-server" || ! -x "$bin/raft-client" || ! -x "$bin/chaos-ctl" ]]; then
        printf 'building the server and the tools, once: this takes a few minutes\n' >&2
    fi
    local options=(--release --locked --target-dir "$target" -p raft-server -p raft-client -p chaos-ctl)
    if [[ ! -t 2 ]]; then options+=(--quiet); fi
    (cd "$here" && cargo build "${options[@]}")
}

# Any chaos-ctl can look after any cluster, so one from another build will do. Sets `tool`.
find_tool() {
    check_named chaos-ctl
    local dir
    for dir in "$bin" "$here/target/release" "$here/target/debug"; do
        tool=$dir/chaos-ctl
        if [[ -f "$tool" && -x "$tool" ]]; then return; fi
        if [[ -n "${RAFT_BIN:-}" ]]; then break; fi
    done
    return 1
}

# What may belong to a cluster, by the names of all processes. Fails if they cannot be seen.
suspects() {
    local file name
    [[ -r /proc/self/comm ]] || return 1
    for file in /proc/[0-9]*/comm; do
        # It may have ended meanwhile.
        name=$(cat "$file" 2>/dev/null) || continue
        case $name in raft-server | chaos-ctl)
            file=${file#/proc/}
            printf ' %s' "${file%/comm}"
            ;;
        esac
    done
}

cannot_tell() {
    local more="build it with \`cargo build --release -p chaos-ctl\`, or name its directory with RAFT_BIN=DIR"
    if [[ -n "${1:-}" ]]; then more+="; these may be nodes or their runner: process$1"; fi
    fail "cannot tell what runs: there is no chaos-ctl in $bin" "$more"
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

# Something is done to nodes of the cluster that runs.
order() {
    find_tool || cannot_tell "$(suspects)"
    "$tool" "$1" -f "$cluster" "$2"
}

restart() {
    stop
    start
}

clean() {
    find_tool || cannot_tell
    "$tool" clean -f "$cluster" "$@"
}

stop() {
    local found
    if find_tool; then
        "$tool" down -f "$cluster"
    elif found=$(suspects) && [[ -z $found ]]; then
        printf 'nothing runs: no process on this machine is a raft-server or a chaos-ctl\n'
    else
        cannot_tell "$found"
    fi
}

status() {
    find_tool || cannot_tell "$(suspects)"
    "$tool" status -f "$cluster"
}

logs() {
    find_tool || cannot_tell
    "$tool" logs --config "$cluster" "$@"
}

demo() {
    build
    local option
    local place=(--dir "${RAFT_DEMO_DIR:-$here/.raft/demo-run}")
    local rounds=(--rounds 10)
    for option in "$@"; do
        case $option in
            --dir | --dir=*) place=() ;;
            --rounds | --rounds=* | --duration | --duration=*) rounds=() ;;
        esac
    done
    # In its place, so that Ctrl-C reaches it alone and its exit code is ours.
    exec "$bin/chaos-ctl" run kill-leader ${place[@]+"${place[@]}"} ${rounds[@]+"${rounds[@]}"} "$@"
}

help() {
    if [[ $1 != demo ]]; then
        usage
    elif find_tool; then
        "$tool" run --help
    else
        usage
        printf '\nThe options of demo can be shown when chaos-ctl has been built.\n'
    fi
}

command=
file=
helped=
rest=()
while [[ $# -gt 0 ]]; do
    case $1 in
        -h | --help) helped=yes ;;
        -f | --config)
            [[ $# -ge 2 && -n $2 ]] || fail "\`$1\` needs a file"
            file=$2
            shift
            ;;
        --config=?*) file=${1#*=} ;;
        help) if [[ -z $command ]]; then helped=yes; else rest+=("$1"); fi ;;
        *) if [[ -z $command ]]; then command=$1; else rest+=("$1"); fi ;;
    esac
    shift
done

if [[ -n $helped ]]; then
    help "$command"
    exit
fi
cluster=${file:-${CLUSTER:-$here/configs/cluster.yaml}}
command=${command:-start}
case $command in
    start | kill | restart)
        [[ ${#rest[@]} -le 1 ]] || fail "\`$command\` takes one node, and not \`${rest[1]}\` besides" \
            'several are written as 1,3; scripts/local-cluster.sh --help shows what there is'
        if [[ ${#rest[@]} -eq 1 ]]; then
            order "$command" "${rest[0]}"
        elif [[ $command == kill ]]; then
            fail '`kill` needs a node' 'as in: scripts/local-cluster.sh kill leader'
        else
            "$command"
        fi
        ;;
    clean) clean ${rest[@]+"${rest[@]}"} ;;
    stop | status)
        [[ ${#rest[@]} -eq 0 ]] || fail "\`$command\` takes no \`${rest[0]}\`" \
            'scripts/local-cluster.sh --help shows what there is'
        "$command"
        ;;
    logs) logs ${rest[@]+"${rest[@]}"} ;;
    demo)
        [[ -z $file ]] || fail 'demo has a cluster of its own and takes no file' \
            '`chaos-ctl up -f FILE --kill-interval 15-30s` kills the nodes of another cluster'
        demo ${rest[@]+"${rest[@]}"}
        ;;
    *) fail "there is no command \`$command\`" 'scripts/local-cluster.sh --help shows what there is' ;;
esac
