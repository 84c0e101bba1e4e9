"""nacre beside its peers on one machine, alternately, so that a machine that drifts is fair to all.

usage: compare.py --nacre build/release/tests/bench_throughput --peers FOLDER [--torch PYTHON] [--keras PYTHON]
                  [--rounds 5] [--seconds 4] MODEL:BATCH...

FOLDER holds peer_torch.py and peer_keras.py (usage: SCRIPT MODEL train BATCH MODE SECONDS, one JSON line each). Prints
medians over the rounds and the ratio of nacre's throughput to that of the best peer mode.
"""
import argparse
import json
import pathlib
import statistics
import subprocess

parser = argparse.ArgumentParser()
parser.add_argument("--nacre", required=True)
parser.add_argument("--peers", required=True, type=pathlib.Path)
parser.add_argument("--torch")
parser.add_argument("--keras")
parser.add_argument("--what", default="train", choices=["train", "infer"])
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seconds", default="4")
parser.add_argument("workloads", nargs="+")
arguments = parser.parse_args()
here = pathlib.Path(__file__).parent


def commands(model, batch):
    yield "nacre", [arguments.nacre, str(here / "workloads" / f"{model}.yaml"), arguments.what, batch, arguments.seconds]
    for python, script, modes in ((arguments.torch, "peer_torch.py", ("eager", "nhwc", "compile")),
                                  (arguments.keras, "peer_keras.py", ("graph", "xla"))):
        for mode in modes if python else ():
            yield f"{script[5:-3]} {mode}", [python, str(arguments.peers / script), model, arguments.what, batch, mode, arguments.seconds]


for workload in arguments.workloads:
    model, batch = workload.split(":")
    results = {}
    for _ in range(arguments.rounds):
        for name, command in commands(model, batch):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode == 0:
                results.setdefault(name, []).append(json.loads(done.stdout.strip().splitlines()[-1]))
            else:
                print(f"{name}: {done.stderr.strip().splitlines()[-1:]}")
    median = {name: {key: statistics.median(row[key] for row in rows) for key in ("samples_per_s", "ms", "rss_mb")}
              for name, rows in results.items()}
    print(f"{model}, batch {batch}, {arguments.what}, median of {arguments.rounds} rounds")
    for name, row in median.items():
        print(f"  {name:16} {row['samples_per_s']:10.1f} samples/s {row['ms']:9.2f} ms {row['rss_mb']:7.0f} MB")
    peers = [row["samples_per_s"] for name, row in median.items() if name != "nacre"]
    if peers and "nacre" in median:
        print(f"  nacre / best peer: {median['nacre']['samples_per_s'] / max(peers):.3f}")
