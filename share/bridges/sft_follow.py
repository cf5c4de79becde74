# SPDX-License-Identifier: Apache-2.0
"""Follows the metrics.jsonl of a run, for the scripts beside this file.

A run that is resumed cuts the file back to its checkpoint and writes the steps behind it again; one
that begins anew gets a new file. Both are noticed, and each step goes to the tracker once."""
import argparse
import json
import os
import re
import signal
import sys
import time

NAME = os.path.basename(sys.argv[0])


def tell(text):
    print(f"{NAME}: {text}", file=sys.stderr, flush=True)


def die(code, text):
    tell(text)
    sys.exit(code)


class Log:
    """The lines of metrics.jsonl as they come, as `tail -F` follows a file."""

    def __init__(self, path):
        self.path, self.file, self.at, self.last, self.fresh = path, None, 0, b"", False

    def _moved(self):
        """Another file has the name."""
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        mine = os.fstat(self.file.fileno())
        return (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino)

    def _cut(self):
        """The last line that was read is no longer where it was."""
        return os.pread(self.file.fileno(), len(self.last), self.at - len(self.last)) != self.last

    def _open(self):
        try:
            file = open(self.path, "rb")
        except FileNotFoundError:
            return
        self.file, self.at, self.last, self.fresh = file, 0, b"", True

    def _read(self):
        """Complete lines; what comes behind the last line end is read again later."""
        while True:
            data = os.pread(self.file.fileno(), 1 << 20, self.at)
            data = data[:data.rfind(b"\n") + 1]
            if not data:
                return
            for line in data.splitlines(keepends=True):
                self.at, self.last = self.at + len(line), line
                yield line

    def lines(self):
        """The lines that are new. `fresh` is set when they come from the start of a file."""
        if self.file and self._cut():
            self.at, self.last, self.fresh = 0, b"", True
        if self.file:
            yield from self._read()
        if not self.file or self._moved():
            self._open()
            if self.file:
                yield from self._read()


def run_id(folder):
    """The id of the run, which config.yaml has as sft.run.id; a run that is resumed keeps it."""
    try:
        text = open(os.path.join(folder, "config.yaml"), encoding="utf-8").read()
    except OSError:
        return None
    found = re.search(r'^  run:\n(?:    .*\n)*?    id: "?([^"\n]+)', text, re.M)
    return found.group(1) if found else None


def settings(folder):
    """config.yaml as nested dictionaries; {} without it or without PyYAML."""
    try:
        import yaml
        # PyYAML takes 1e-05 for a string.
        number = re.compile(r"^[-+]?[0-9][0-9.]*[eE][-+]?[0-9]+$")
        yaml.SafeLoader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
        with open(os.path.join(folder, "config.yaml"), encoding="utf-8") as f:
            return yaml.safe_load(f) or {}
    except (ImportError, OSError):
        return {}


def numbers(line):
    """(step, {name: number}) of a line; None for a line that is no object with a step."""
    try:
        row = json.loads(line)
        step = int(row.pop("system/step"))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return step, {k: v for k, v in row.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}


def ended(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def arguments(text, more):
    """The options of all bridges, and those that more(parser) adds."""
    p = argparse.ArgumentParser(prog=NAME, description=text)
    p.add_argument("logs", metavar="LOGS", help="folder of metrics.jsonl, or that file")
    p.add_argument("--once", action="store_true", help="send what is there and end")
    p.add_argument("--pid", type=int, help="end after this process has ended")
    p.add_argument("--interval", type=float, default=2, metavar="SECONDS", help="time between looks at LOGS (2)")
    p.add_argument("--name", help="name of the run in the tracker; default the name of the folder LOGS")
    more(p)
    o = p.parse_args()
    if os.path.basename(o.logs) == "metrics.jsonl":
        o.logs = os.path.dirname(o.logs) or "."
    if not os.path.isdir(o.logs):
        die(66, f"{o.logs}: there is no such folder")
    o.logs = os.path.abspath(o.logs)
    o.name = o.name or os.path.basename(o.logs)
    return o


class Stop:
    """Set by the first INT or TERM; the bridge then sends what is there and ends."""

    def __init__(self):
        self.asked = False
        for s in (signal.SIGINT, signal.SIGTERM):
            signal.signal(s, self._ask)

    def _ask(self, *_):
        if self.asked:
            sys.exit(130)
        self.asked = True


class Bridge:
    """open_run(id) returns an object with put(step, values) and close()."""

    def __init__(self, o, open_run):
        self.o, self.open_run, self.run, self.id, self.bad = o, open_run, None, None, 0
        self.log = Log(os.path.join(o.logs, "metrics.jsonl"))

    def _choose(self):
        """At the start of a file: the run that it belongs to."""
        now = run_id(self.o.logs) or self.log.path
        if self.run and now != self.id:
            self.run.close()
            self.run = None
        if not self.run:
            self.run, self.id = self.open_run(now), now
        self.log.fresh = False

    def look(self):
        for line in self.log.lines():
            if self.log.fresh:
                self._choose()
            found = numbers(line)
            if found:
                self.run.put(*found)
            else:
                self.bad += 1
                tell(f"{self.log.path}: a line that is no JSON object with a step is left out")

    def follow(self):
        """Ends the process; a failure of the tracker is one line, and what it has got is not sent again."""
        try:
            self._follow()
        except Exception as e:
            die(69, f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else 'no reason was given'}")

    def _follow(self):
        stop = Stop()
        while True:
            last = self.o.once or stop.asked or (self.o.pid and ended(self.o.pid))  # before the last look
            self.look()
            if last:
                break
            if not stop.asked:
                time.sleep(self.o.interval)
        if self.run:
            self.run.close()
        elif self.o.once:
            die(66, f"{self.log.path}: there is no such file, or nothing in it")
