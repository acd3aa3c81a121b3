#!/usr/bin/env python3
"""Checks by itself that a certificate proves a history linearizable.

usage: verify_certificate.py CERTIFICATE.json HISTORY.jsonl

The history has one operation per line: who asked what of which key, when it was called and answered,
and the answer. The certificate has an order of operations, by line from 0. Three things make it a proof:

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
    try:
        with open(certificate_path, encoding="utf-8") as file:
            order = json.load(file)["order"]
        with open(history_path, encoding="utf-8") as file:
            history = [json.loads(line) for line in file if line.strip()]
        return order, history
    except (OSError, ValueError, KeyError, TypeError) as error:
        fail(2, f"error: {type(error).__name__}: {error}")


def step(state, question, answer):
    """The value after the operation, or None if it could not be answered so. `answer` None: not known."""
    kind = question if isinstance(question, str) else next(iter(question))
    there = state is not None
    if kind == "get":
        right = answer is None or answer == {"value": state}
        after = state
    elif kind == "put":
        right = answer in (None, "done", {"put": {"replaced": there}})
        after = question["put"]["value"]
    elif kind == "delete":
        right = answer in (None, "done", {"deleted": {"existed": there}})
        after = None
    elif kind == "cas":
        swaps = question["cas"]["expected"] == state
        answers = ("swapped",) if swaps else ("differs", {"differs_from": state})
        right = answer is None or answer in answers
        after = question["cas"]["value"] if swaps else state
    else:
        fail(2, f"error: nobody knows what {kind!r} asks")
    return (after,) if right else None


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
        after = step(state.get(line["key"]), line["input"], answers[number])
        if after is None:
            return f"operation {number} would have been answered differently: {json.dumps(line)}"
        state[line["key"]] = after[0]
    for number, answer in enumerate(answers):
        if answer is not None and number not in placed:
            return f"operation {number} was answered and is missing: {json.dumps(history[number])}"
    earliest = None
    for number in reversed(order):
        if earliest is not None and earliest[0] < history[number]["called_ns"]:
            return f"operation {number} was called after {earliest[1]} had returned, and stands before it"
        if answers[number] is not None:
            ended = (history[number]["returned_ns"], number)
            earliest = ended if earliest is None else min(earliest, ended)
    return None


def main():
    if len(sys.argv) != 3:
        fail(2, __doc__)
    order, history = read(sys.argv[1], sys.argv[2])
    why = verify(order, history)
    if why is not None:
        fail(5, f"NOT A PROOF: {why}")
    print(f"PROOF: an order of {len(order)} operations explains all {len(history)}")


if __name__ == "__main__":
    main()
