"""How Lua's eager mode and compiled loops fare: beside fit, and beside eager PyTorch in the same run.

usage: eager.py [--nacre BINARY] [--torch VENV/bin/python] [--rounds 5]

Prints the medians of the rounds, in which everything takes turns: lenet at a batch of 128 by fit, by a compiled loop of Lua,
by eager loops of Lua and, where --torch names a Python that has it, by eager PyTorch; what an operation on scalars costs;
and the memory of a million temporary tensors. The exit code is 1 when a bound of the table is not kept.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEER = ROOT / "../shared/bench/peer_torch.py"


def number(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nacre", default=str(ROOT / "build/release/cli/nacre"), help="the binary")
    parser.add_argument("--torch", help="a Python with PyTorch")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    modes = ["fit", "compiled", "eager", "layers"]
    times = {mode: [] for mode in modes}
    scalars, memory = [], []
    for _ in range(options.rounds):
        for mode in modes:
            times[mode].append(float(number([options.nacre, "lua", HERE / "lua/lenet.lua", mode])))
        if options.torch:
            line = number([options.torch, PEER, "lenet", "train", "128", "eager", "3"]).strip().splitlines()[-1]
            times.setdefault("torch", []).append(json.loads(line)["ms"])
        scalars.append(float(number([options.nacre, "lua", HERE / "lua/scalars.lua"])))
        memory.append(float(number([options.nacre, "lua", HERE / "lua/temporaries.lua"])))
    middle = {name: statistics.median(values) for name, values in times.items()}
    for name, value in middle.items():
        print(f"lenet, batch 128, {name:9} {value:8.2f} ms a step")
    bounds = [("compiled loop / fit", middle["compiled"] / middle["fit"], 1.05),
              ("operation on scalars, µs", statistics.median(scalars), 3),
              ("a million temporaries, MB", statistics.median(memory), 200)]
    if "torch" in middle:
        bounds += [("eager / eager PyTorch", middle["eager"] / middle["torch"], 1),
                   ("eager, layer by layer / eager PyTorch", middle["layers"] / middle["torch"], 1)]
    kept = True
    for name, value, bound in bounds:
        print(f"{name:40} {value:8.2f}  at most {bound}")
        kept = kept and value <= bound
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
