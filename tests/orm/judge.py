"""What the Python applications share: the commands, and how findings are reported."""

import sys
import traceback

failures = []


def fail(message):
    failures.append(message)
    print(message)


def expect(condition, message):
    if not condition:
        fail(message)


def equal(place, actual, expected):
    if actual != expected:
        fail(f"{place}: {actual!r} instead of {expected!r}")


def compare_rows(table, actual, expected):
    """Compares rows, which are dictionaries by their keys."""
    for key in expected.keys() - actual.keys():
        fail(f"{table} {key}: the row is missing")
    for key in actual.keys() - expected.keys():
        fail(f"{table} {key}: the row is not in SQLite")
    for key in expected.keys() & actual.keys():
        for column, value in expected[key].items():
            equal(f"{table} {key} {column}", actual[key].get(column), value)


def main(commands):
    """Runs the command that the arguments name. The exit code is 1 if a line was reported."""
    name, *arguments = sys.argv[1:] or [""]
    if name not in commands:
        sys.exit(f"usage: {' | '.join(commands)}")
    try:
        commands[name](*arguments)
    except Exception as cause:
        traceback.print_exc()
        fail(f"{name}: {type(cause).__name__}: {cause}")
    sys.exit(1 if failures else 0)
