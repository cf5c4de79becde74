#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""share/bridges with the real wandb, offline, and the real mlflow with a store of files: each step of a
run that grows, is cut back, written again and begun anew gets there once, with its values."""
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time

TMP = os.path.join(os.environ.get("TEST_TMP", "/tmp"), "bridges")
BRIDGES = os.path.abspath("share/bridges")


def check(name, ok, why=""):
    print(f"ok {name}" if ok else f"not ok {name}: {why}")


def line(step, try_=0):
    """A step of the try-th attempt: the same loss, another time, sometimes a value that is none."""
    loss = None if step == 4 else 8 - step / 2
    row = {"system/step": step, "sft_train/loss": loss, "time/step_train": 1 + step / 16 + 100 * try_}
    if step % 3 == 0:
        row["sft_train/val_loss"] = 9 - step / 4
        row["sft_train/suspect_rows"] = [["a.json", step]]
    return json.dumps(row) + "\n"


class Logs:
    """The folder of logs of a run, written as sft-train does it."""

    def __init__(self, name):
        self.dir = f"{TMP}/{name}"
        os.makedirs(self.dir)
        self.path = f"{self.dir}/metrics.jsonl"

    def begin(self, run):
        if os.path.exists(self.path):
            os.rename(self.path, f"{self.dir}/metrics-1.jsonl")
        with open(f"{self.dir}/config.yaml", "w") as f:
            f.write("exp_name: live\nsft_train:\n  training_args:\n    adam_epsilon: 1e-08\n"
                    f"sft:\n  run:\n    id: \"{run}\"\n    host: x\n")
        open(self.path, "w").close()

    def append(self, text):
        with open(self.path, "a") as f:
            f.write(text)

    def cut(self, lines):
        """As a resumed run does: the file keeps its place and loses its end."""
        with open(self.path, "r+") as f:
            keep = sum(len(f.readline()) for _ in range(lines))
            f.truncate(keep)


def start(bridge, logs, *options):
    time.sleep(1.1)  # wandb names the folder of a run by the second: two in one would be one file
    command = [sys.executable, f"{BRIDGES}/sft-to-{bridge}", "--interval", "0.05", *options, logs.dir]
    return subprocess.Popen(command, cwd=TMP, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait(what):
    for _ in range(600):
        if what():
            return True
        time.sleep(0.05)
    return False


def end(process, sign=signal.SIGTERM):
    process.send_signal(sign)
    return process.wait(60), process.stderr.read()


def scenario(name, bridge, logs, options, sent, seen):
    """sent(run) returns the last step that was sent; seen(run) the sorted [step, value] of each metric
    that the tracker has, after the bridge has ended."""
    def steps(run):
        return [k for k, _ in seen(run)["time/step_train"]]

    logs.begin("run-1")
    logs.append("".join(line(k) for k in range(4)) + line(4)[:20])  # the last line is not complete yet
    p = start(bridge, logs, *options)
    check(f"{name}: steps come while the run goes on", wait(lambda: sent("run-1") == 3), sent("run-1"))
    logs.append(line(4)[20:] + line(5))
    check(f"{name}: a line comes when it is complete", wait(lambda: sent("run-1") == 5), sent("run-1"))
    logs.cut(3)  # a resumed run, whose new lines reach beyond the place of the old ones
    logs.append("".join(line(k, 1) for k in range(3, 8)))
    wait(lambda: sent("run-1") == 7)
    rc, said = end(p)
    check(f"{name}: it ends when it is asked to", rc == 0, f"{rc}: {said[-300:]}")
    got = seen("run-1")["time/step_train"]
    check(f"{name}: what a resumed run repeats is not sent again",
          got == [(k, 1 + k / 16 + (100 if k > 5 else 0)) for k in range(8)], got)
    logs.append("no json\n" + line(8, 1))
    rc, said = end(start(bridge, logs, "--once", *options), 0)
    check(f"{name}: a line that is damaged is told and left out",
          rc == 0 and said.count("is left out") == 1, f"{rc}: {said[-300:]}")
    p = start(bridge, logs, *options)
    logs.append(line(9, 1))
    wait(lambda: steps("run-1")[-1:] == [9])
    end(p, signal.SIGKILL)
    logs.append(line(10, 1))
    end(start(bridge, logs, "--once", *options), 0)
    check(f"{name}: started again, also after a kill, it goes on behind the last step",
          wait(lambda: steps("run-1") == list(range(11))), steps("run-1"))
    got = seen("run-1")
    check(f"{name}: values are those of the lines, and a null is none",
          got["sft_train/loss"] == [(k, 8 - k / 2) for k in range(11) if k != 4] and
          got["sft_train/val_loss"] == [(k, 9 - k / 4) for k in (0, 3, 6, 9)], got)
    check(f"{name}: lists are no values", "sft_train/suspect_rows" not in got, sorted(got))
    p = start(bridge, logs, "--pid", str(os.getpid()), *options)
    logs.append(line(11, 1))
    wait(lambda: sent("run-1") == 11)
    logs.begin("run-2")
    logs.append("".join(line(k) for k in range(3)))
    wait(lambda: sent("run-2") == 2)
    end(p)
    check(f"{name}: a run that begins anew in the same logs is another run",
          (steps("run-1"), steps("run-2")) == (list(range(12)), [0, 1, 2]), (steps("run-1"), steps("run-2")))
    gone = subprocess.Popen(["true"])
    gone.wait()
    logs.append(line(3))
    p = start(bridge, logs, "--pid", str(gone.pid), *options)
    check(f"{name}: it reads what is there and ends with the process of --pid",
          p.wait(60) == 0 and steps("run-2") == [0, 1, 2, 3], p.stderr.read()[-300:])


class Seen(dict):
    def __missing__(self, key):
        return []


def mlflow_seen(run):
    from mlflow.tracking import MlflowClient
    client, got = MlflowClient(tracking_uri=f"{TMP}/mlruns"), Seen()
    there = client.get_experiment_by_name("live")
    found = client.search_runs([there.experiment_id], filter_string=f"tags.`sft.run` = '{run}'") if there else []
    for r in found:
        for name in r.data.metrics:
            got[name] = sorted((m.step, m.value) for m in client.get_metric_history(r.info.run_id, name))
    return got


def mlflow_settings():
    """The parameters that the first run has, by the keys of its config.yaml."""
    from mlflow.tracking import MlflowClient
    client = MlflowClient(tracking_uri=f"{TMP}/mlruns")
    where = client.get_experiment_by_name("live").experiment_id
    return client.search_runs([where], filter_string="tags.`sft.run` = 'run-1'")[0].data.params


def mlflow_sent(run):
    return max((k for k, _ in mlflow_seen(run)["time/step_train"]), default=-1)


def records(path):
    """The records of a .wandb file: the log format of LevelDB behind 7 bytes."""
    data, at, part = open(path, "rb").read(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        n, kind = struct.unpack_from("<HB", data, at + 4)
        piece = data[at + 7:at + 7 + n]
        if len(piece) < n or kind == 0:
            return
        at += 7 + n
        part = part + piece if kind in (3, 4) else piece
        if kind in (1, 4):
            yield part


def wandb_seen(run):
    import hashlib
    from wandb.proto import wandb_internal_pb2 as pb
    got, name = Seen(), hashlib.sha256(run.encode()).hexdigest()[:16]
    for folder in sorted(os.listdir(f"{TMP}/wandb") if os.path.isdir(f"{TMP}/wandb") else []):
        for file in os.listdir(f"{TMP}/wandb/{folder}") if folder.endswith(name) else []:
            for raw in records(f"{TMP}/wandb/{folder}/{file}") if file.endswith(".wandb") else []:
                history = pb.Record.FromString(raw).history
                for item in history.item:
                    key = item.key or "/".join(item.nested_key)
                    got.setdefault(key, []).append((history.step.num, json.loads(item.value_json)))
    return Seen({k: sorted(v) for k, v in got.items()})


def wandb_sent(run):
    """From the bridge's own file: wandb writes its own late."""
    try:
        with open(f"{TMP}/w/.sft-to-wandb.json") as f:
            seen = json.load(f)
    except FileNotFoundError:
        return -1
    return seen["step"] if seen["run"] == run else -1


def main():
    shutil.rmtree(TMP, ignore_errors=True)
    os.makedirs(TMP)
    os.environ.update(MLFLOW_ALLOW_FILE_STORE="true", WANDB_MODE="offline", WANDB_SILENT="true")
    try:
        import mlflow  # noqa: F401
        scenario("mlflow", "mlflow", Logs("m"), ["--uri", f"{TMP}/mlruns", "--experiment", "live"], mlflow_sent,
                 mlflow_seen)
        got = mlflow_settings()
        check("mlflow: the keys of config.yaml are parameters",
              got.get("sft_train.training_args.adam_epsilon") == "1e-08" and got.get("exp_name") == "live", got)
    except ImportError:
        print("skip mlflow: the package is not installed")
    try:
        import wandb  # noqa: F401
        scenario("wandb", "wandb", Logs("w"), ["--dir", TMP], wandb_sent, wandb_seen)
    except ImportError:
        print("skip wandb: the package is not installed")


main()
