"""What the benchmarks share: the programs, clusters of processes on this machine, and what a load cost them.

Only the standard library is needed. Everything a cluster leaves is in one directory, which goes with it.
"""

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READY_S = 30
HERTZ = os.sysconf("SC_CLK_TCK")


class Refused(Exception):
    """Why it does not go on, and perhaps what to do about it."""

    def __init__(self, error, hint=None):
        super().__init__(error)
        self.hint = hint


# What a parser of an argument says.
Unfit = argparse.ArgumentTypeError


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def __init__(self, **options):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message):
        raise Refused(message, f"{self.prog} --help shows what there is")


def main(run):
    """Runs a program to its exit code. What it started ends with it, also when it is told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        run()
    except Refused as refused:
        print(f"error: {refused}", file=sys.stderr)
        if refused.hint:
            print(f"\nhint: {refused.hint}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def say(text):
    print(text, file=sys.stderr, flush=True)


def size(text):
    """Bytes: `256`, `4k`, `4KiB` or `1MiB`."""
    found = re.fullmatch(r"([1-9]\d*)(?:([kmg])(?:ib)?)?", text, re.IGNORECASE)
    if not found:
        raise Unfit(f"`{text}` is no number of bytes, such as 256, 4KiB or 1MiB")
    return int(found[1]) << {"k": 10, "m": 20, "g": 30}.get((found[2] or "").lower(), 0)


def number(text):
    """A count: `500`, `10k` or `1m`."""
    found = re.fullmatch(r"([1-9]\d*)([km]?)", text, re.IGNORECASE)
    if not found:
        raise Unfit(f"`{text}` is no number, such as 500, 10k or 1m")
    return int(found[1]) * {"k": 1000, "m": 1_000_000}.get(found[2].lower(), 1)


def seconds(text):
    """A time: `500ms`, `3s` or `10m`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m)", text)
    if not found or float(found[1]) == 0:
        raise Unfit(f"`{text}` is no time, such as 500ms, 3s or 10m")
    return float(found[1]) * {"ms": 0.001, "s": 1, "m": 60}[found[2]]


def listed(parse):
    """A parser of lists with blanks or commas between, for argparse."""

    def parse_list(text):
        parts = text.replace(",", " ").split()
        if not parts:
            raise Unfit("the list is empty")
        return [parse(part) for part in parts]

    return parse_list


def one_of(names):
    """A parser of names, for argparse."""

    def parse_name(text):
        if text not in names:
            raise Unfit(f"there is no part `{text}`, only {', '.join(names)}")
        return text

    return parse_name


def bytes_in_words(count):
    for unit, shift in (("MiB", 20), ("KiB", 10)):
        if count >= 1 << shift and count % (1 << shift) == 0:
            return f"{count >> shift} {unit}"
    return f"{count} B"


def programs(*names):
    """The directory with our programs, which are built unless RAFT_BIN names one."""
    if named := os.environ.get("RAFT_BIN"):
        place = Path(named).resolve()
    else:
        if not shutil.which("cargo"):
            raise Refused("there is no cargo here", "install Rust, or name our programs with RAFT_BIN=DIR")
        target = (ROOT / os.environ.get("CARGO_TARGET_DIR", "target")).resolve()
        build = ["cargo", "build", "--quiet", "--release", "--locked", "--target-dir", str(target)]
        for name in names:
            build += ["-p", name]
        if subprocess.run(build, cwd=ROOT).returncode:
            raise Refused("our programs could not be built")
        place = target / "release"
    for name in names:
        if not os.access(place / name, os.X_OK):
            raise Refused(f"there is no program {name} in {place}")
    return place


class Workplace:
    """A new directory that goes when its block is left."""

    def __init__(self, path):
        self.path = Path(path).absolute()

    def __enter__(self):
        try:
            self.path.mkdir(parents=True)
        except FileExistsError:
            hint = "it may be of a run that goes on; else remove it, or name another with --dir"
            raise Refused(f"{self.path} is there already", hint) from None
        except OSError as error:
            raise Refused(f"could not create {self.path}: {error.strerror}") from None
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def free_ports(count):
    """The first of so many free ports in a row, below those that connections get from the system."""
    step = 0
    while step < 500:
        first = 12_000 + (os.getpid() * 31 + step * count) % 18_000
        if all(is_free(port) for port in range(first, first + count)):
            return first
        step += 1
    raise Refused(f"there are no {count} free ports in a row between 12000 and 30000")


def is_free(port):
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Cluster:
    """Servers on this machine, with the client that loads them. They end with the block."""

    def __init__(self, place, bin_dir, nodes=3, raft_options=""):
        self.place, self.bin, self.nodes = Path(place), Path(bin_dir), nodes
        self.raft_options = raft_options
        self.first_port = free_ports(3 * nodes)
        self.endpoints = ",".join(f"127.0.0.1:{self.port(id, 1)}" for id in self.ids())
        self.servers = {}

    system = "raft"

    def ids(self):
        return range(1, self.nodes + 1)

    def port(self, id, which):
        return self.first_port + 3 * (id - 1) + which

    def __enter__(self):
        self.place.mkdir(parents=True)
        self.configure(self.raft_options)
        for id in self.ids():
            self.start(id)
        return self

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.place, ignore_errors=True)

    def configure(self, raft_options):
        """Writes the cluster file; servers read it when they start."""
        lines = ["version: 1", "cluster: {name: bench}", 'storage: {dir: "n{id}"}']
        if raft_options:
            lines.append(f"raft: {raft_options}")
        lines.append("nodes:")
        for id in self.ids():
            peer, client, http = (f"127.0.0.1:{self.port(id, which)}" for which in range(3))
            lines.append(f"  - {{id: {id}, peer: {peer}, client: {client}, http: {http}}}")
        (self.place / "cluster.yaml").write_text("\n".join(lines) + "\n")

    def command(self, id):
        return [str(self.bin / "raft-server"), "--id", str(id), "--config", "cluster.yaml"]

    def log(self, id):
        return self.place / f"n{id}.log"

    def start(self, id):
        with open(self.log(id), "ab") as log:
            self.servers[id] = subprocess.Popen(
                self.command(id), cwd=self.place, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self, ids=None):
        for id in list(self.servers) if ids is None else ids:
            server = self.servers.pop(id)
            server.kill()
            server.wait()

    def stop(self):
        for server in self.servers.values():
            server.terminate()
        for server in self.servers.values():
            server.wait()
        self.servers = {}

    def has_ended(self, id):
        words = self.log(id).read_text(errors="replace").strip().splitlines()[-3:]
        return Refused(f"server {id} of {self.system} has ended; its last words: {' / '.join(words)}")

    def each(self, look):
        """What a look at each server's process gives."""
        seen = []
        for id, server in self.servers.items():
            try:
                seen.append(look(server.pid))
            except OSError:
                raise self.has_ended(id) from None
            if server.poll() is not None:
                raise self.has_ended(id)
        return seen

    def cpu_s(self):
        """Processor time that the servers have used."""

        def ticks(pid):
            # What stands before the last ")" may hold blanks.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return int(fields[11]) + int(fields[12])

        return sum(self.each(ticks)) / HERTZ

    def memory(self, field="VmRSS"):
        """Bytes of the server that has most."""

        def kib(pid):
            text = Path(f"/proc/{pid}/status").read_text()
            return int(re.search(rf"^{field}:\s*(\d+) kB", text, re.MULTILINE)[1])

        return max(self.each(kib)) << 10

    def forget_peaks(self):
        """From now on VmHWM is the most since now."""

        def forget(pid):
            Path(f"/proc/{pid}/clear_refs").write_text("5")

        self.each(forget)

    def bench(self, *options):
        """One run of the client: its report. Operations that failed or are unknown are told in it."""
        command = [str(self.bin / "raft-client"), "--endpoints", self.endpoints, "bench", "-o", "json"]
        command += ["--target", self.system, "--wait", f"{READY_S}s"]
        if "--out" not in options:
            command.append("--no-files")
        command += [str(option) for option in options]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAFT_")}
        done = subprocess.run(
            command, cwd=self.place, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode not in (0, 4):
            self.each(lambda pid: None)
            words = " / ".join(done.stderr.strip().splitlines()[-3:])
            raise Refused(f"the bench of {self.system} failed ({done.returncode}): {words}")
        return json.loads(done.stdout)


class Etcd(Cluster):
    """The same, of etcd, as it comes."""

    system = "etcd"

    def __init__(self, place, bin_dir, etcd):
        super().__init__(place, bin_dir)
        self.etcd = etcd

    def configure(self, _):
        pass

    def command(self, id):
        peer, client = (f"http://127.0.0.1:{self.port(id, which)}" for which in range(2))
        everyone = ",".join(f"n{other}=http://127.0.0.1:{self.port(other, 0)}" for other in self.ids())
        return [
            *(str(self.etcd), "--name", f"n{id}", "--data-dir", f"n{id}", "--log-level", "error"),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--initial-cluster", everyone, "--initial-cluster-state", "new"),
        ]


def measure(cluster, options, warm_s, measured_s):
    """A load for so long, after the same to get warm: its figures, in the units that are printed."""
    if warm_s:
        cluster.bench(*options, "-z", f"{warm_s}s", "-w", "0s")
    cluster.forget_peaks()
    before = cluster.cpu_s()
    report = cluster.bench(*options, "-z", f"{measured_s}s", "-w", "0s", "--seed", 1)
    servers_s = cluster.cpu_s() - before
    done = max(report["ok"], 1)
    return {
        "per_s": report["ops_per_s"],
        "p50_ms": (report["latency_us"]["p50"] or 0) / 1000,
        "p99_ms": (report["latency_us"]["p99"] or 0) / 1000,
        # CPU seconds for a thousand operations are milliseconds for one.
        "servers_cpu_s": servers_s * 1000 / done,
        "client_cpu_s": report["cpu"]["client_us"] / 1e6 * 1000 / done,
        "peak_mib": cluster.memory("VmHWM") / (1 << 20),
        "not_done": report["failed"] + report["unknown"],
    }


def floor(bin_dir, place):
    """What disk and loopback allow at this minute."""
    place = Path(place)
    place.mkdir(parents=True, exist_ok=True)
    command = [str(bin_dir / "raft-server"), "disk-probe", str(place), "-o", "json"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise Refused(f"the probe of the disk failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def machine(place):
    """This machine, in a few words for each thing."""
    cpu = re.search(r"^model name\s*: (.*)$", read("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", read("/proc/meminfo"), re.MULTILINE)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu[1] if cpu else platform.machine(),
        "memory_gib": round(int(memory[1]) / (1 << 20)) if memory else 0,
        "kernel": platform.release(),
        "filesystem": filesystem(place),
    }


def filesystem(place):
    """The type of the file system that a path is on: the mount point that is nearest."""
    path = Path(place).resolve()
    best = ("", "unknown")
    for line in read("/proc/self/mounts").splitlines():
        _, point, kind = line.split(" ")[:3]
        point = point.replace("\\040", " ")
        if (path == Path(point) or Path(point) in path.parents) and len(best[0]) <= len(point):
            best = (point, kind)
    return best[1]


def read(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def load():
    return read("/proc/loadavg").split(" ")[0]


def commit():
    """The commit that is checked out here; with a star if files differ from it."""

    def git(*arguments):
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    changed = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("*" if changed else "")


def today():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def wait_until(what, condition, limit_s):
    """Looks again and again, for so long at most."""
    end = time.monotonic() + limit_s
    while not (found := condition()):
        if end < time.monotonic():
            raise Refused(f"waited {limit_s:g} s for {what}")
        time.sleep(0.005)
    return found


class Spread:
    """The median of some figures, with the least and the most."""

    def __init__(self, values):
        self.median, self.least, self.most = statistics.median(values), min(values), max(values)
        self.count = len(values)

    def __str__(self):
        shown = figure(self.median)
        if self.count > 1:
            shown += f" ({figure(self.least)}–{figure(self.most)})"
        return shown


def figure(value):
    """Three digits that count, and blanks between thousands."""
    if value >= 99.95:
        return f"{value:,.0f}".replace(",", " ")
    digits = 1 if value >= 9.995 else 2 if value >= 0.9995 else 3 if value >= 0.09995 else 4
    return f"{value:.{digits}f}"
