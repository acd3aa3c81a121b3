#!/usr/bin/env bash
# This project's servers and etcd's, on this machine, under the same load. Run it with --help.
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
command -v python3 >/dev/null || { printf 'error: there is no python3 here\n' >&2; exit 2; }
exec python3 -B "$here/bench/vs_etcd.py" "$@"
