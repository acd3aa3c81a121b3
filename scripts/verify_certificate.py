#!/usr/bin/env python3
"""Checks by itself that a certificate proves a history linearizable.

usage: verify_certificate.py CERTIFICATE.json HISTORY.jsonl

The history has one operation per line: who asked what of which key (or of the keys from one on), when it was
called and answered, and the answer. The certificate is an order of lines, from 0. It is a proof, if

  1. every answered operation is in the order once, one of unknown outcome at most once, no other at all;
  2. done one after the other in that order, each would be given the answer that its client saw;
  3. no operation stands after one that was called only when it had returned.

Nothing here knows of Raft, and nothing is believed of what a server said. Exit code: 0 it is a proof,
5 it is none (which operation, and why), 2 the files cannot be read.
"""

import json
import sys


def fail(code, text):
    print(text, file=sys.stderr)
    sys.exit(code)


def read(certificate_path, history_path):
    with open(certificate_path, encoding="utf-8") as file:
        order = json.load(file)["order"]
    with open(history_path, encoding="utf-8") as file:
        return order, [json.loads(line) for line in file if line.strip()]


def step(state, key, question, answer):
    """Lets the operation take effect. False if it could not be answered so. `answer` None: not known."""
    kind = question if isinstance(question, str) else next(iter(question))
    asked, held = question[kind] if isinstance(question, dict) else {}, state.get(key)
    right, after = [], held
    if kind == "get":
        right = [{"value": held}]
    elif kind == "put":
        right, after = ["done", {"put": {"replaced": held is not None}}], asked["value"]
    elif kind == "delete":
        right, after = ["done", {"deleted": {"existed": held is not None}}], None
    elif kind == "cas" and asked.get("expected") == held:
        right, after = ["swapped"], asked.get("value")
    elif kind == "cas":
        right = ["differs", {"differs_from": held}]
    elif kind == "range":  # From this key on; `pairs` says how far it got.
        end, limit = asked.get("end"), asked.get("limit")
        found = sorted(k for k, v in state.items() if key <= k and (end is None or k < end) and v is not None)
        got = len(answer["pairs"]["found"]) if answer else 0
        if not found or 0 < got <= (len(found) if limit is None else limit):  # Fewer is right, if it says so.
            right = [{"pairs": {"found": [[k, state[k]] for k in found[:got]], "complete": got == len(found)}}]
    else:
        fail(2, f"error: nobody knows what {kind!r} asks")
    state[key] = after
    return answer is None or answer in right


def verify(order, history):
    answers = [line["outcome"]["ok"] if isinstance(line["outcome"], dict) else None for line in history]
    placed, state = set(), {}
    for number in order:
        if not (isinstance(number, int) and 0 <= number < len(history)):
            return f"there is no operation {number}"
        line = history[number]
        if number in placed or line["outcome"] == "fail":
            return f"operation {number} has no place in the order: {json.dumps(line)}"
        placed.add(number)
        if not step(state, line["key"], line["input"], answers[number]):
            return f"operation {number} would have been answered differently: {json.dumps(line)}"
    for number, answer in enumerate(answers):
        if answer is not None and number not in placed:
            return f"operation {number} was answered and is missing: {json.dumps(history[number])}"
    earliest = (float("inf"), None)
    for number in reversed(order):
        if earliest[0] < history[number]["called_ns"]:
            return f"operation {number} was called after {earliest[1]} had returned, and stands before it"
        if answers[number] is not None:
            earliest = min(earliest, (history[number]["returned_ns"], number))
    return None


def main():
    if len(sys.argv) != 3:
        fail(2, __doc__)
    try:
        order, history = read(sys.argv[1], sys.argv[2])
        why = verify(order, history)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        fail(2, f"error: {type(error).__name__}: {error}")
    if why is not None:
        fail(5, f"NOT A PROOF: {why}")
    print(f"PROOF: an order of {len(order)} operations explains all {len(history)}")


if __name__ == "__main__":
    main()
