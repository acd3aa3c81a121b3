#!/usr/bin/env python3
"""Checks by itself that a certificate proves a history linearizable.

usage: verify_certificate.py CERTIFICATE.json HISTORY.jsonl

The history has one operation per line: who asked what of which key (or of the keys from one on), when it was
called and answered, and the answer. The certificate is an order of lines, from 0. It is a proof, if
  1. every answered operation is in the order once, one of unknown outcome at most once, no other at all;
  2. done one after the other in that order, each would be given the answer that its client saw;
  3. no operation stands after one that was called only when it had returned.
Nothing here knows of Raft, and nothing is believed of what a server said. Exit code: 0 it is a proof,
5 it is none (which operation, and why), 2 the files cannot be read, or there is nothing in them.
"""

import json
import sys

FIELDS = {"process", "key", "input", "called_ns", "returned_ns", "outcome", "index", "node", "term"}


def fail(code, text):
    sys.exit(print(text, file=sys.stderr) or code)


def parse(text):
    """No field twice, and whole numbers alone: of a time that is NaN nothing could be said."""
    unique = lambda pairs: dict(pairs) if len(dict(pairs)) == len(pairs) else fail(2, f"error: fields twice: {pairs}")
    return json.loads(text, parse_float=int, parse_constant=int, object_pairs_hook=unique)


def operation(text):
    it = parse(text)
    called, returned, outcome = it["called_ns"], it.get("returned_ns"), it["outcome"]
    timely = type(called) is int and (returned is None or type(returned) is int and 0 <= called <= returned)
    ok = returned is not None and isinstance(outcome, dict) and list(outcome) == ["ok"] and outcome["ok"] is not None
    right = timely and it.keys() <= FIELDS and type(it["key"]) is str and (ok or outcome in ("fail", "unknown"))
    return it if right else fail(2, f"error: this is no operation: {text[:200].strip()}")


def step(state, key, question, answer):
    """Lets the operation take effect. False if it could not be answered so. `answer` None: not known."""
    [kind] = [question] if isinstance(question, str) else question
    asked, held = question[kind] if isinstance(question, dict) else {}, state.get(key)
    right, after = [], held
    if kind == "get":
        right = [{"value": held}]
    elif kind == "put":
        right, after = ["done", {"put": {"replaced": held is not None}}], asked["value"] + ""  # None is no value.
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
    placed, state, earliest = set(), {}, (float("inf"), None)
    for number in order:
        if type(number) is not int or not 0 <= number < len(history):
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
    for number in reversed(order):
        if earliest[0] < history[number]["called_ns"]:
            return f"operation {number} was called after {earliest[1]} had returned, and stands before it"
        if answers[number] is not None:
            earliest = min(earliest, (history[number]["returned_ns"], number))


if len(sys.argv) != 3:
    fail(2, __doc__)
try:
    with open(sys.argv[1], encoding="utf-8") as file, open(sys.argv[2], encoding="utf-8") as lines:
        order, history = parse(file.read())["order"], [operation(line) for line in lines if line.strip()]
    why = verify(order, history) if history and type(order) is list else fail(2, "error: there is nothing to be proven")
except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
    fail(2, f"error: {type(error).__name__}: {error}")
if why is not None:
    fail(5, f"NOT A PROOF: {why}")
print(f"PROOF: an order of {len(order)} operations explains all {len(history)}")
