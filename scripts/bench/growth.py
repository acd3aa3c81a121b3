"""How cost grows with nodes, values, keys, time and the log: scripts/bench-growth."""

import csv
import os
import re
import sys
import threading
import time
from pathlib import Path

import common
from common import Cluster, Refused, say
from plot import write_csv, write_svg

ABOUT = """\
How cost grows, with real servers on this machine: one table (CSV) and one picture (SVG) for each part.
"""

PARTS = """\
parts, for --only:
  nodes      1, 3, 5 and 7 nodes: writes of one client and of many
  values     values of 16 B to 1 MiB: writes per second and megabytes per second
  keys       1k to 1m keys: writes, reads and memory. 10m want some 10 GB of memory and ten more minutes
  soak       full load for ten minutes: latency, memory and snapshots, every ten seconds
  restart    kill -9, and start again, by the length of the log: until the node is ready

  scripts/bench-growth                                      everything; twenty minutes
  scripts/bench-growth --only keys --keys "10k 100k 10m"    some of it, elsewhere

RAFT_BIN=DIR takes our programs from there and builds nothing. The machine must be left alone meanwhile.
"""

NEVER = "{entries: 1000m, bytes: 64GiB}"
PARTS_ALL = ["nodes", "values", "keys", "soak", "restart"]
WARM_S = 0.5


def parsed():
    parser = common.Parser(
        prog="scripts/bench-growth",
        description=ABOUT,
        epilog=PARTS,
    )
    add, numbers, sizes = parser.add_argument, common.listed(common.number), common.listed(common.size)
    add("out", type=Path, metavar="DIR", help="where tables and pictures go; those that are there are replaced")
    add("--only", type=common.listed(common.one_of(PARTS_ALL)), default=PARTS_ALL, metavar="PARTS", help="these parts alone; see below")
    add("-c", dest="clients", type=common.number, default=100, metavar="100", help="clients, where there are many")
    add("-z", dest="measured_s", type=common.seconds, default=5, metavar="5s", help="how long each load is measured")
    add("--nodes", type=numbers, default=[1, 3, 5, 7], metavar='"1 3"', help="[1 3 5 7]")
    add("--value-size", type=common.size, default=256, metavar="256", help="bytes of a value, where it is not told")
    add("--value-sizes", type=sizes, default=[16 << (2 * step) for step in range(9)], metavar='"16 1MiB"',
        help="[16 64 256 1k 4k 16k 64k 256k 1MiB]")
    add("--keys", type=numbers, default=[1000, 10_000, 100_000, 1_000_000], metavar='"1k 1m"', help="[1k 10k 100k 1m]")
    add("--soak", type=common.seconds, default=600, metavar="10m", help="how long the soak takes")
    add("--interval", type=common.seconds, default=10, metavar="10s", help="the slices of the soak")
    add("--log", type=numbers, default=[10_000, 100_000, 1_000_000], metavar='"10k 1m"',
        help="entries in the log at the restart [10k 100k 1m]")
    add("--dir", default=common.ROOT / ".raft/growth", metavar="DIR",
        help="where the clusters keep their data, on a real disk [.raft/growth in the project]")
    return parser.parse_args()


def run():
    args = parsed()
    bin_dir = common.programs("raft-server", "raft-client")
    args.out.mkdir(parents=True, exist_ok=True)
    parts = {"nodes": nodes, "values": values, "keys": keys, "soak": soak, "restart": restart}
    with common.Workplace(args.dir) as place:
        machine = common.machine(place)
        floor_us = common.floor(bin_dir, place / "probe")["floor_us"]
        say(f"{common.today()}, commit {common.commit()}, {machine['cores']} cores ({machine['cpu']}), "
            f"{machine['memory_gib']} GiB, Linux {machine['kernel']}, {machine['filesystem']}, load {common.load()}; "
            f"floor of one write by one client {floor_us:.0f} us")
        for name in args.only:
            parts[name](args, Bench(args, bin_dir, place / "data"), args.out / name)


class Bench:
    """Makes clusters, one at a time, and measures in the same way everywhere."""

    def __init__(self, args, bin_dir, place):
        self.args, self.bin, self.place = args, bin_dir, place

    def cluster(self, nodes=3, snapshot=None):
        return Cluster(self.place, self.bin, nodes, f"{{snapshot: {snapshot}}}" if snapshot else "")

    def measure(self, cluster, clients, *options):
        return common.measure(cluster, ["-c", clients, *options], WARM_S, self.args.measured_s)


def tell(row):
    say("  " + "  ".join(f"{name} {value}" for name, value in row.items()))
    return row


def figures(found, *names):
    return {name: round(found[name], 3) for name in names}


def nodes(args, bench, out):
    rows = []
    for count in args.nodes:
        with bench.cluster(count) as cluster:
            for clients in (1, args.clients):
                found = bench.measure(cluster, clients, "--put", "--value-size", args.value_size)
                told = figures(found, "per_s", "p50_ms", "p99_ms", "servers_cpu_s", "peak_mib")
                rows.append(tell({"nodes": count, "clients": clients, **told}))
    write_csv(out.with_suffix(".csv"), rows)
    clients = [1, args.clients]
    series = [(f"{it} clients" if it > 1 else "1 client", points(rows, "nodes", "per_s", clients=it)) for it in clients]
    title = f"Writes of {common.bytes_in_words(args.value_size)} by the number of nodes, all on one machine"
    write_svg(out.with_suffix(".svg"), title, ("nodes", False), ("writes per second", True), series)


def values(args, bench, out):
    rows = []
    for bytes_each in args.value_sizes:
        with bench.cluster() as cluster:
            # What is under way stays below what a leader takes on at a time.
            clients = max(1, min(args.clients, (8 << 20) // bytes_each))
            found = bench.measure(cluster, clients, "--put", "--keys", 1000, "--value-size", bytes_each)
            told = {"bytes": bytes_each, "clients": clients, **figures(found, "per_s", "p50_ms", "p99_ms", "peak_mib")}
            rows.append(tell({**told, "mb_per_s": round(found["per_s"] * bytes_each / 1e6, 2)}))
    write_csv(out.with_suffix(".csv"), rows)
    series = [(name, points(rows, "bytes", key)) for name, key in (("writes/s", "per_s"), ("MB/s", "mb_per_s"))]
    title = f"Writes by the size of a value, up to {args.clients} clients"
    write_svg(out.with_suffix(".svg"), title, ("bytes in a value", True), ("per second", True), series)


def fill(cluster, count, value_size):
    """Every key once, as fast as it goes."""
    options = ["--put", "--keys", count, "--key-dist", "seq", "--value-size", value_size]
    cluster.bench(*options, "-n", count, "-c", 4, "--pipeline", 250, "--op-deadline", "2m", "--give-up", "5m")


def keys(args, bench, out):
    rows = []
    for count in args.keys:
        with bench.cluster() as cluster:
            began = time.monotonic()
            fill(cluster, count, args.value_size)
            filled_s = time.monotonic() - began
            options = ["--keys", count, "--value-size", args.value_size]
            writes = bench.measure(cluster, args.clients, "--put", *options)
            reads = bench.measure(cluster, args.clients, "--mix", "get", *options)
            rows.append(tell({
                "keys": count, "fill_per_s": round(count / filled_s),
                "writes_per_s": round(writes["per_s"]), "writes_p99_ms": writes["p99_ms"],
                "reads_per_s": round(reads["per_s"]), "reads_p99_ms": reads["p99_ms"],
                "memory_mib": round(cluster.memory() / (1 << 20), 1),
            }))
    write_csv(out.with_suffix(".csv"), rows)
    lines = (("writes/s", "writes_per_s"), ("reads/s", "reads_per_s"), ("memory of a server, MiB", "memory_mib"))
    series = [(name, points(rows, "keys", key)) for name, key in lines]
    title = f"Keys with values of {common.bytes_in_words(args.value_size)}, {args.clients} clients"
    write_svg(out.with_suffix(".svg"), title, ("keys", True), ("per second; MiB", True), series)


def soak(args, bench, out):
    """Full load from many clients, looked at from outside meanwhile."""
    samples, over = [], threading.Event()
    with bench.cluster() as cluster:
        cluster.bench("--put", "-c", 1, "-n", 1)
        began = time.monotonic()

        def watch():
            # Until the load is over.
            while not over.wait(args.interval):
                try:
                    samples.append((time.monotonic() - began, cluster.memory() / (1 << 20), snapshots(cluster)))
                except Refused:
                    return

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            cluster.bench("--put", "-c", args.clients, "--keys", "100k", "--value-size", args.value_size, "-w", "0s",
                          "-z", f"{args.soak}s", "--interval", f"{args.interval}s", "--out", "soak")
        finally:
            over.set()
            watcher.join()
        slices = intervals(cluster.place / "soak/intervals.csv")
    rows = []
    for number, (at, memory, taken) in enumerate(samples):
        found = slices[number] if number < len(slices) else None
        if found:
            rows.append(tell({"at_s": round(at, 1), **found, "memory_mib": round(memory, 1), "snapshots": taken}))
    if not rows:
        raise Refused("the soak was shorter than one of its slices", "let it take longer, see --soak and --interval")
    write_csv(out.with_suffix(".csv"), rows)
    lines = (("writes/s", "per_s"), ("p50, us", "p50_us"), ("p99, us", "p99_us"), ("memory, MiB", "memory_mib"),
             ("snapshots", "snapshots"))
    series = [(name, points(rows, "at_s", key)) for name, key in lines]
    title = f"{args.clients} clients write {common.bytes_in_words(args.value_size)} for {args.soak / 60:g} min"
    write_svg(out.with_suffix(".svg"), title, ("seconds", False), ("per second; us; MiB; in all", True), series)


def snapshots(cluster):
    """How many the servers have taken, by their logs."""
    return sum(len(re.findall("took a snapshot", common.read(cluster.log(id)))) for id in cluster.ids())


def intervals(path):
    """What the client says of each slice."""
    with open(path, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["op"] == "put"]
    return [
        {"per_s": round(int(row["ok"]) / float(row["length_s"])), "p50_us": int(row["p50_us"] or 0),
         "p99_us": int(row["p99_us"] or 0), "max_us": int(row["max_us"] or 0)}
        for row in rows
        if float(row["length_s"]) > 0
    ]


def restart(args, bench, out):
    rows = []
    for entries in args.log:
        with bench.cluster(snapshot=NEVER) as cluster:
            fill(cluster, entries, args.value_size)
            cluster.kill()
            node = 1
            held = sum(path.stat().st_size for path in (cluster.place / f"n{node}").rglob("*") if path.is_file())
            cluster.log(node).write_text("")
            began = time.monotonic()
            cluster.start(node)
            common.wait_until("the node to be ready", lambda: is_ready(cluster, node), 600)
            ready_s = time.monotonic() - began
            memory = cluster.memory("VmHWM") / (1 << 20)
            rows.append(tell({"entries": entries, "files_mib": round(held / (1 << 20), 1),
                              "ready_ms": round(ready_s * 1000), "memory_mib": round(memory, 1)}))
    write_csv(out.with_suffix(".csv"), rows)
    series = [("ms until ready", points(rows, "entries", "ready_ms")), ("memory, MiB", points(rows, "entries", "memory_mib"))]
    title = f"Restart after kill -9, by the length of the log (entries of {common.bytes_in_words(args.value_size)}, no snapshot)"
    write_svg(out.with_suffix(".svg"), title, ("entries in the log", True), ("ms; MiB", True), series)


def is_ready(cluster, id):
    cluster.each(lambda pid: None)
    return " ready " in common.read(cluster.log(id))


def points(rows, x, y, **only):
    return [(row[x], float(row[y])) for row in rows if all(row[name] == value for name, value in only.items())]


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    common.main(run)
