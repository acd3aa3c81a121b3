#!/usr/bin/env bash
# This project's servers and etcd's, on this machine, under the same load. Run it with --help.
set -euo pipefail

usage() {
    cat <<'TEXT'
Three raft-servers and three etcds, on this machine, one cluster at a time, under the same load.

Usage: scripts/bench-vs-etcd.sh [OPTIONS]

Options:
  -c "1 10 100"      numbers of clients, one after the other
  -z 5s              how long each is measured
  --rounds 3         rounds; each has both systems, with new clusters, in turns the first
  --mix put          what is done, as for `raft-client bench --mix`: put, get, cas with weights
  --value-size 128   bytes of a value
  --dir DIR          where the clusters keep their data [default: .raft/vs-etcd in the project].
                     It should be on a real disk: both sync every write
  -h, --help

Both serve the same client program with the same connections. What is printed are medians of the
rounds, and the ratio. The processor time is that of all three servers, and of the client.
ETCD=FILE names the etcd program. RAFT_BIN=DIR takes our programs from there and builds nothing.
TEXT
}

fail() {
    printf 'error: %s\n' "$1" >&2
    if [[ -n "${2:-}" ]]; then printf '\nhint: %s\n' "$2" >&2; fi
    exit 2
}

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
clients="1 10 100" seconds=5s rounds=3 mix=put size=128 dir=$here/.raft/vs-etcd
while [[ $# -gt 0 ]]; do
    case $1 in
        -h | --help) usage; exit ;;
        -c | -z | --rounds | --mix | --value-size | --dir)
            [[ $# -ge 2 && -n $2 ]] || fail "\`$1\` needs a value"
            case $1 in
                -c) clients=$2 ;;
                -z) seconds=$2 ;;
                --rounds) rounds=$2 ;;
                --mix) mix=$2 ;;
                --value-size) size=$2 ;;
                --dir) dir=$2 ;;
            esac
            shift 2
            ;;
        *) fail "there is no option \`$1\`" 'scripts/bench-vs-etcd.sh --help shows what there is' ;;
    esac
done
[[ $rounds =~ ^[1-9][0-9]*$ ]] || fail "--rounds must be a number, not \`$rounds\`"
[[ $clients =~ ^\ *[1-9][0-9]*(\ +[1-9][0-9]*)*\ *$ ]] || fail "-c must be numbers, not \`$clients\`"

etcd=${ETCD:-$(command -v etcd || true)}
[[ -n $etcd && -x $etcd ]] || fail "there is no etcd here${ETCD:+: $ETCD}" \
    'Debian, Ubuntu: apt-get install etcd-server; or name the program: ETCD=/path/to/etcd'
[[ -r /proc/self/stat ]] || fail 'there is no /proc here, which tells what processor time servers use'

target="${CARGO_TARGET_DIR:-$here/target}"
if [[ $target != /* ]]; then target=$here/$target; fi
bin="${RAFT_BIN:-$target/release}"
if [[ -z "${RAFT_BIN:-}" ]]; then
    command -v cargo >/dev/null || fail 'there is no cargo here' 'install Rust, or name our programs with RAFT_BIN=DIR'
    (cd "$here" && cargo build --quiet --release --locked --target-dir "$target" -p raft-server -p raft-client)
fi
for program in raft-server raft-client; do
    [[ -x $bin/$program ]] || fail "there is no program $program in $bin"
done

[[ ! -e $dir ]] || fail "$dir is there already" 'it may be of a run that goes on; else remove it, or name another with --dir'
mkdir -p "$dir"
dir=$(cd -- "$dir" && pwd)
pids=()

# Ends the servers that were started here, and nobody else.
stop() {
    if [[ ${#pids[@]} -gt 0 ]]; then
        kill -KILL "${pids[@]}" 2>/dev/null || true
        wait "${pids[@]}" 2>/dev/null || true
    fi
    pids=()
}
trap 'stop; rm -rf -- "$dir"' EXIT
trap 'exit 130' INT TERM

base=$((20000 + $$ % 1000 * 10))

start_raft() {
    {
        printf 'version: 1\ncluster: {name: vs-etcd}\nstorage: {dir: "n{id}"}\nnodes:\n'
        local id
        for id in 1 2 3; do
            printf '  - {id: %d, peer: 127.0.0.1:%d, client: 127.0.0.1:%d, http: 127.0.0.1:%d}\n' \
                $id $((base + 3 * id)) $((base + 3 * id + 1)) $((base + 3 * id + 2))
        done
    } >"$dir/data/cluster.yaml"
    endpoints=
    for id in 1 2 3; do
        (cd "$dir/data" && exec "$bin/raft-server" --id $id --config cluster.yaml) >"$dir/n$id.log" 2>&1 &
        pids+=($!)
        endpoints+=${endpoints:+,}127.0.0.1:$((base + 3 * id + 1))
    done
}

start_etcd() {
    local id all=
    for id in 1 2 3; do all+=${all:+,}n$id=http://127.0.0.1:$((base + 3 * id)); done
    endpoints=
    for id in 1 2 3; do
        local peer=http://127.0.0.1:$((base + 3 * id)) client=http://127.0.0.1:$((base + 3 * id + 1))
        "$etcd" --name n$id --data-dir "$dir/data/n$id" --log-level error \
            --listen-peer-urls $peer --initial-advertise-peer-urls $peer \
            --listen-client-urls $client --advertise-client-urls $client \
            --initial-cluster "$all" --initial-cluster-state new >"$dir/n$id.log" 2>&1 &
        pids+=($!)
        endpoints+=${endpoints:+,}127.0.0.1:$((base + 3 * id + 1))
    done
}

# Ticks of the processor that the servers have used; what stands before ")" may hold blanks.
ticks() {
    local pid sum=0 line
    for pid in "${pids[@]}"; do
        line=$(cat "/proc/$pid/stat") || fail "a server has ended; its last words: $(tail -n 3 "$dir"/n*.log)"
        line=${line##*) }
        # shellcheck disable=SC2086
        set -- $line
        sum=$((sum + ${12} + ${13}))
    done
    printf '%d' "$sum"
}

# One number of a report, the first with this name after the first line with that one.
number() {
    awk -v after="\"$2\"" -v name="\"$3\":" \
        'index($0, after) { on = 1 } on && index($0, name) { gsub(/[",]/, ""); print $2; exit }' "$1"
}

hertz=$(getconf CLK_TCK)

# Measures one system with so many clients; adds a line to the results.
measure() {
    local system=$1 c=$2 before after code=0
    "$bin/raft-client" --endpoints "$endpoints" bench --target "$system" -c "$c" -z 1s -w 0s --wait 30s \
        --mix "$mix" --value-size "$size" --no-files >/dev/null 2>&1 || code=$?
    before=$(ticks)
    "$bin/raft-client" --endpoints "$endpoints" bench --target "$system" -c "$c" -z "$seconds" -w 0s \
        --mix "$mix" --value-size "$size" --seed 1 --out "$dir/out" >/dev/null 2>"$dir/err" || code=$?
    after=$(ticks)
    [[ $code -eq 0 || $code -eq 4 ]] || fail "the bench of $system failed: $(tail -n 3 "$dir/err")"
    local json=$dir/out/bench.json
    awk -v name="$system" -v c="$c" -v ok="$(number "$json" schema ok)" \
        -v rate="$(number "$json" schema ops_per_s)" -v p50="$(number "$json" schema p50)" \
        -v p99="$(number "$json" schema p99)" -v client="$(number "$json" cpu client_us)" \
        -v ticks=$((after - before)) -v hertz="$hertz" \
        'BEGIN { ok = ok ? ok : 1
                 print name, c, rate, p50 / 1000, p99 / 1000, ticks / hertz * 1e6 / ok / 1000, client / ok / 1000 }' \
        >>"$dir/results"
}

for ((round = 1; round <= rounds; round++)); do
    order="raft etcd"
    if ((round % 2 == 0)); then order="etcd raft"; fi
    for system in $order; do
        printf 'round %d of %d: %s\n' "$round" "$rounds" "$system" >&2
        mkdir -p "$dir/data"
        "start_$system"
        for c in $clients; do measure "$system" "$c"; done
        stop
        rm -rf -- "$dir/data"
    done
done

version=$("$etcd" --version | awk '/etcd Version/ { print $3 }')
printf '\n%s, values of %s B, %s each, medians of %s rounds; etcd %s\n\n' "$mix" "$size" "$seconds" "$rounds" "$version"
awk '
    function median(list,    n, part, i, j, held) {
        n = split(list, part, " ")
        for (i = 2; i <= n; i++) {
            held = part[i] + 0
            for (j = i - 1; j > 0 && held < part[j] + 0; j--) part[j + 1] = part[j]
            part[j + 1] = held
        }
        return n % 2 ? part[(n + 1) / 2] : (part[n / 2] + part[n / 2 + 1]) / 2
    }
    BEGIN { split("op/s|p50 ms|p99 ms|servers, cpu s per 1000|client, cpu s per 1000", name, "|") }
    {
        if (!($2 in seen)) { seen[$2] = 1; order[++count] = $2 }
        for (k = 1; k <= 5; k++) all[$1, $2, k] = all[$1, $2, k] " " $(k + 2)
    }
    END {
        printf "%-8s %-24s %12s %12s %14s\n", "clients", "", "raft", "etcd", "raft / etcd"
        for (i = 1; i <= count; i++)
            for (k = 1; k <= 5; k++) {
                ours = median(all["raft", order[i], k]); theirs = median(all["etcd", order[i], k])
                form = k == 1 ? "%12.0f %12.0f" : k < 4 ? "%12.2f %12.2f" : "%12.4f %12.4f"
                printf "%-8s %-24s " form, k == 1 ? order[i] : "", name[k], ours, theirs
                if (theirs > 0) printf " %13.2fx\n", ours / theirs; else printf " %14s\n", "-"
            }
    }' "$dir/results"
