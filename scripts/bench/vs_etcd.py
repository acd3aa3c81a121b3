"""This project's servers and etcd's, on this machine, under the same load: scripts/bench-vs-etcd.sh."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import common
from common import Cluster, Etcd, Refused, Spread, figure, say

ABOUT = """\
Three raft-servers and three etcds, on this machine, one cluster at a time, under the same load. Both serve
the same client program over the same connections, and sync every write. The systems take turns, and the
order changes from round to round. Printed is a table in Markdown, of medians, with the least and the most.
"""

PARTS = """\
parts, for --only:
  writes     puts
  reads      linearizable gets, of the leader
  stale      gets that need not be fresh (etcd: serializable), of the leader as well
  mixed      nine linearizable gets for each put
  streams    puts over one stream for each connection, ours alone: etcd's clients have no such thing
  memory     of a server: at rest, after one write. The most under load is told with each load
  kills      SIGKILL to the leader, again and again; etcd also with a heartbeat of 30 ms and an election
             timeout of 300 ms. Each run is one of `chaos-ctl run kill-leader`

  scripts/bench-vs-etcd.sh                                             everything; half an hour
  scripts/bench-vs-etcd.sh --only writes -c "1 10" --value-sizes 256   two minutes

ETCD=FILE names the etcd program. RAFT_BIN=DIR takes our programs from there and builds nothing.
The machine must be left alone meanwhile. Compare what stands in one table, never two tables.
"""

# What is done, by the name of the part.
LOADS = {
    "writes": ["--mix", "put"],
    "reads": ["--mix", "get", "--consistency", "linearizable"],
    "stale": ["--mix", "get", "--consistency", "stale"],
    "mixed": ["--mix", "get=90,put=10"],
}
NAMES = {
    "writes": "writes",
    "reads": "linearizable reads",
    "stale": "stale reads",
    "mixed": "90 % reads, 10 % writes",
    "streams": "writes over streams",
}
PARTS_ALL = [*LOADS, "streams", "memory", "kills"]

# Name, what it is called in the table.
METRICS = {
    "per_s": "per s",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "servers_cpu_s": "servers, CPU s per 1000",
    "client_cpu_s": "client, CPU s per 1000",
    "peak_mib": "memory of a server at most, MiB",
}

TUNED = ["--env", "ETCD_HEARTBEAT_INTERVAL=30", "--env", "ETCD_ELECTION_TIMEOUT=300"]
WARM_S = 0.5
# What a cluster's start, a run's start and its report take, besides.
START_S, OVERHEAD_S, KILL_S = 6, 0.6, 2.2


def parsed():
    parser = common.Parser(
        prog="scripts/bench-vs-etcd.sh",
        description=ABOUT,
        epilog=PARTS,
    )
    add = parser.add_argument
    add("-c", dest="clients", type=common.listed(common.number), default=[1, 10, 100, 1000], metavar='"1 10"',
        help="numbers of clients, one after the other [1 10 100 1000]")
    add("-z", dest="measured_s", type=common.seconds, default=3, metavar="3s", help="how long each load is measured")
    add("--rounds", type=common.number, default=3, metavar="3", help="times that both take their turns")
    add("--value-sizes", type=common.listed(common.size), default=[64, 256, 4096], metavar='"64 4k"',
        help="bytes of a value [64 256 4KiB]")
    add("--keys", type=common.number, default=10_000, metavar="10k", help="how many keys there are; all are filled first")
    add("--only", type=common.listed(common.one_of(PARTS_ALL)), default=PARTS_ALL, metavar="PARTS", help="these parts alone; see below")
    add("--in-flight", type=common.listed(common.number), default=[10, 100, 1000], metavar='"10 100"',
        help="writes under way over one stream [10 100 1000]")
    add("--kills", type=common.number, default=20, metavar="20", help="leaders that are killed, of each system")
    add("--dir", default=common.ROOT / ".raft/vs-etcd", metavar="DIR",
        help="where the clusters keep their data, on a real disk [.raft/vs-etcd in the project]")
    add("--out", type=Path, metavar="FILE", help="write every figure of every round here, as JSON")
    return parser.parse_args()


class Results:
    """Figures by what was done, how large values were, how many clients there were, and whose servers."""

    def __init__(self):
        self.cells = {}
        self.rest_mib = {}
        self.floors = []
        self.kills = {}

    def add(self, key, system, figures):
        for metric, value in figures.items():
            self.cells.setdefault(key, {}).setdefault(system, {}).setdefault(metric, []).append(value)

    def spread(self, key, system, metric):
        values = self.cells[key].get(system, {}).get(metric)
        return Spread(values) if values else None

    def ratio(self, key, metric):
        ours, theirs = (self.spread(key, system, metric) for system in ("raft", "etcd"))
        if not ours or not theirs or not theirs.median:
            return None
        return ours.median / theirs.median

    def floor_ms(self):
        """Of one write by one client: to the leader and back, to a follower and back, and one sync."""
        return [it["floor_us"] / 1000 for it in self.floors]


def run():
    args = parsed()
    etcd = os.environ.get("ETCD") or shutil.which("etcd")
    if not etcd or not os.access(etcd, os.X_OK):
        named = os.environ.get("ETCD")
        raise Refused("there is no etcd here" + (f": {named}" if named else ""),
                      "Debian, Ubuntu: apt-get install etcd-server; or name the program: ETCD=/path/to/etcd")
    etcd = str(Path(etcd).resolve())
    etcd_version = version(etcd)
    kills = "kills" in args.only
    bin_dir = common.programs("raft-server", "raft-client", *(["chaos-ctl"] if kills else []))
    say(f"about {minutes(args):.0f} min")
    results, before = Results(), common.load()
    with common.Workplace(args.dir) as place:
        machine = common.machine(place)
        for number in range(1, args.rounds + 1):
            results.floors.append(common.floor(bin_dir, place / "probe"))
            one_round(args, number, results, lambda system: cluster(system, place / "data", bin_dir, etcd))
        if kills:
            results.kills = kill_leaders(args, bin_dir, etcd, place / "kills")
    about = {
        "date": common.today(), "machine": machine, "load": [before, common.load()],
        "commit": common.commit(), "etcd": etcd_version,
    }
    if args.out:
        write(args.out, about, results)
    print(report(args, about, results))


def version(etcd):
    done = subprocess.run([etcd, "--version"], capture_output=True, text=True)
    first = (done.stdout.splitlines() or [""])[0]
    if done.returncode or not first.startswith("etcd Version:"):
        raise Refused(f"{etcd} does not say which version of etcd it is")
    return first.split()[-1]


def cluster(system, place, bin_dir, etcd):
    return Cluster(place, bin_dir) if system == "raft" else Etcd(place, bin_dir, etcd)


def loads(args):
    return [part for part in LOADS if part in args.only]


def minutes(args):
    """How long all this takes."""
    each = args.measured_s + WARM_S + 2 * OVERHEAD_S
    cells = 2 * len(loads(args)) * len(args.clients)
    if "streams" in args.only:
        cells += len(args.in_flight)
    total = args.rounds * (len(args.value_sizes) * (cells * each + 2 * START_S) + 3)
    if "kills" in args.only:
        total += 3 * (args.kills * KILL_S + 10)
    return total / 60


def one_round(args, number, results, make):
    order = ["raft", "etcd"] if number % 2 else ["etcd", "raft"]
    for bytes_each in args.value_sizes:
        for system in order:
            if not {"memory", *loads(args)} & set(args.only) and (system == "etcd" or "streams" not in args.only):
                continue
            say(f"round {number} of {args.rounds}: {system}, {common.bytes_in_words(bytes_each)}")
            with make(system) as servers:
                one_cluster(args, servers, bytes_each, results)


def one_cluster(args, servers, bytes_each, results):
    """Everything that is asked of one cluster, from its start to its end."""
    common_options = ["--value-size", bytes_each, "--keys", args.keys]
    servers.bench(*common_options, "--put", "-c", 1, "-n", 1)
    results.rest_mib.setdefault(servers.system, []).append(servers.memory() / (1 << 20))
    if not set(args.only) & {*LOADS, "streams"}:
        return
    servers.bench(*common_options, "--put", "-c", 64, "-n", args.keys, "--key-dist", "seq")
    for part in loads(args):
        for clients in args.clients:
            options = [*common_options, *LOADS[part], "-c", clients]
            figures = common.measure(servers, options, WARM_S, args.measured_s)
            results.add((part, bytes_each, clients), servers.system, figures)
    if "streams" in args.only and servers.system == "raft":
        for under_way in args.in_flight:
            options = [*common_options, "--mix", "put", "-c", 1, "--pipeline", under_way]
            figures = common.measure(servers, options, WARM_S, args.measured_s)
            results.add(("streams", bytes_each, under_way), "raft", figures)


def kill_leaders(args, bin_dir, etcd, place):
    systems = {
        "ours": ["--system", "raft"],
        "etcd": ["--system", "etcd", "--bin", etcd],
        "etcd, tuned": ["--system", "etcd", "--bin", etcd, *TUNED],
    }
    kills = {}
    for name, options in systems.items():
        say(f"{args.kills} leaders killed: {name}")
        command = [bin_dir / "chaos-ctl", "run", "kill-leader", "--rounds", str(args.kills), "--seed", "7", "--json"]
        command += ["--dir", str(place / name.replace(", ", "-")), *options]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        try:
            found = json.loads(done.stdout)
            gaps = found["leader_gaps"]
            writes = [load for load in (found["registers"], found["lists"]) if load]
        except (ValueError, KeyError):
            words = " / ".join(done.stderr.strip().splitlines()[-3:])
            raise Refused(f"chaos-ctl failed on {name} ({done.returncode}): {words}") from None
        if not gaps:
            raise Refused(f"no leader of {name} was killed: {found['why']}")
        kills[name] = {
            "count": gaps["count"],
            "median_ms": gaps["median_us"] / 1000,
            "p90_ms": gaps["p90_us"] / 1000,
            "worst_ms": gaps["max_us"] / 1000,
            "unknown": sum(load["unknown"] for load in writes),
            "verdict": found["verdict"],
        }
    return kills


def write(path, about, results):
    cells = [
        {"what": what, "value_bytes": bytes_each, "clients": clients, "figures": figures}
        for (what, bytes_each, clients), figures in results.cells.items()
    ]
    told = {"about": about, "floors": results.floors, "rest_mib": results.rest_mib, "cells": cells, "kills": results.kills}
    try:
        path.write_text(json.dumps(told, indent=1) + "\n")
    except OSError as error:
        say(f"warning: could not write {path}: {error.strerror}")


def row(*cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table(*titles):
    return [row(*titles), "|" + "---|" * len(titles)]


def times(ratio):
    return "–" if ratio is None else f"{figure(ratio)}×"


def report(args, about, results):
    machine = about["machine"]
    lines = [
        f"### Beside etcd {about['etcd']}, {about['date']}",
        "",
        f"Commit {about['commit']}. {machine['cores']} cores ({machine['cpu']}), {machine['memory_gib']} GiB, "
        f"Linux {machine['kernel']}, {machine['filesystem']}; load average {about['load'][0]} before, {about['load'][1]} after. "
        f"Three servers and the client share the machine. {args.rounds} rounds in turns, {args.measured_s:g} s each, "
        f"{args.keys} keys of 16 B; medians, with the least and the most. Servers are all three together.",
        "",
        *floor_lines(results),
        *summary(args, results),
    ]
    for part in [*loads(args), "streams"]:
        keys = [key for key in results.cells if key[0] == part]
        if keys:
            lines += ["", *(streams(results, keys) if part == "streams" else beside(results, part, keys))]
    if "memory" in args.only:
        lines += ["", *memory(results)]
    if results.kills:
        lines += ["", *kill_lines(results.kills)]
    not_done = [
        f"{NAMES[what]}, {common.bytes_in_words(bytes_each)}, {clients} clients, {system}: {sum(figures['not_done'])}"
        for (what, bytes_each, clients), systems in results.cells.items()
        for system, figures in systems.items()
        if sum(figures["not_done"])
    ]
    if not_done:
        lines += ["", "Operations that failed or whose outcome is unknown: " + "; ".join(not_done) + "."]
    return "\n".join(lines)


def summary(args, results):
    """The ratios alone."""
    besides = [key[:2] for key in results.cells if "etcd" in results.cells[key]]
    if not besides:
        return []
    lines = ["", *table("ours / etcd: per s, p99, CPU of servers", *(f"{clients} client{'s' * (clients > 1)}" for clients in args.clients))]
    for what, bytes_each in sorted(set(besides), key=lambda key: (PARTS_ALL.index(key[0]), key[1])):
        keys = [(what, bytes_each, clients) for clients in args.clients]
        shown = [", ".join(times(results.ratio(key, it)) for it in ("per_s", "p99_ms", "servers_cpu_s")) for key in keys]
        lines.append(row(f"{NAMES[what]}, {common.bytes_in_words(bytes_each)}", *shown))
    return lines


def floor_lines(results):
    floors = results.floors

    def spread(find):
        return Spread([find(it) for it in floors])

    lines = [
        *table("the machine itself", "p50, µs", "p99, µs", "per s"),
    ]
    for place, name in enumerate(("write and fdatasync of 4 KiB", "the same by three at once, in sum")):
        rates = spread(lambda it: it["sync"][place]["per_s"])
        times_us = [spread(lambda it: it["sync"][place][key]) for key in ("p50_us", "p99_us")]
        lines.append(row(name, *times_us, rates))
    for kind, name in (
        ("threads", "200 B over loopback and back, two threads"),
        ("processes", "the same, two processes"),
        ("one_processor", "the same, both on one processor"),
        ("two_processors", "the same, each on one of its own"),
    ):
        if any(not it["round_trip"].get(kind) for it in floors):
            continue
        trips = [spread(lambda it: it["round_trip"][kind][key]) for key in ("p50_us", "p99_us", "per_s")]
        lines.append(row(name, *trips))
    floor = Spread(results.floor_ms())
    lines += ["", f"The floor of one write by one client (two round trips and one sync, p50): {floor} ms."]
    for (what, bytes_each, clients), systems in results.cells.items():
        if (what, clients) != ("writes", 1):
            continue
        told = [
            f"{name} {figure(results.spread((what, bytes_each, 1), system, 'p50_ms').median / floor.median)}×"
            for system, name in (("raft", "ours"), ("etcd", "etcd"))
            if system in systems
        ]
        lines.append(f"Values of {common.bytes_in_words(bytes_each)}: {', '.join(told)} that.")
    return lines


def beside(results, part, keys):
    lines = table(NAMES[part], "clients", "", *METRICS.values())
    for key in sorted(keys, key=lambda key: key[1:]):
        for system, name in (("raft", "ours"), ("etcd", "etcd")):
            shown = [results.spread(key, system, metric) for metric in METRICS]
            first = (common.bytes_in_words(key[1]), key[2]) if system == "raft" else ("", "")
            lines.append(row(*first, name, *shown))
        lines.append(row("", "", "**ours / etcd**", *(f"**{times(results.ratio(key, metric))}**" for metric in METRICS)))
    return lines


def streams(results, keys):
    lines = table(NAMES["streams"] + " (ours; etcd has no peer for it)", "under way", *METRICS.values())
    for key in sorted(keys, key=lambda key: key[1:]):
        lines.append(row(common.bytes_in_words(key[1]), key[2], *(results.spread(key, "raft", metric) for metric in METRICS)))
    return lines


def memory(results):
    ours, theirs = (Spread(results.rest_mib[system]) for system in ("raft", "etcd"))
    lines = table("memory of a server at rest, MiB", "ours", "etcd", "ours / etcd")
    return [*lines, row("after one write", ours, theirs, times(ours.median / theirs.median))]


def kill_lines(kills):
    lines = table(f"leaders killed by SIGKILL ({kills['ours']['count']} each)", "no write acknowledged, median, ms", "p90",
                  "worst", "writes in doubt", "verdict")
    for name, it in kills.items():
        shown = [figure(it[key]) for key in ("median_ms", "p90_ms", "worst_ms")]
        lines.append(row(name, *shown, it["unknown"], it["verdict"]))
    theirs = kills["etcd"]
    ratios = [times(kills["ours"][key] / theirs[key]) for key in ("median_ms", "p90_ms", "worst_ms")]
    return [*lines, row("**ours / etcd**", *(f"**{ratio}**" for ratio in ratios), "", "")]


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    common.main(run)
