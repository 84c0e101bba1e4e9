"""From the start of a process to its first prediction: what a command line tool or a server that has just been started waits for.

usage: startup.py MODEL... [--nacre BINARY] [--keras PYTHON] [--torch PYTHON] [--runs 10]

A MODEL is a file that nacre and Keras open (.keras, .h5), with one input of known size. Each run is a process of its own
that opens it, predicts one sample and ends; the file lies in the system's cache. --keras measures Keras on TensorFlow with
the same file. PyTorch cannot open it: --torch measures one convolution of a picture, less than any model takes. Prints
medians, and the fastest and slowest run.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

THREADS = 2
KERAS = """import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy, keras
keras.models.load_model(sys.argv[1], compile=False).predict_on_batch(numpy.load(sys.argv[2]))
"""
TORCH = """import torch
with torch.no_grad():
    torch.nn.Conv2d(3, 32, 3)(torch.zeros(1, 3, 224, 224))
"""


def write_npy(path, shape):
    """Zeros: what they are makes no difference to the time."""
    header = repr({"descr": "<f4", "fortran_order": False, "shape": tuple(shape)}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    count = 1
    for size in shape:
        count *= size
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(4 * count))


def input_shape(nacre, model):
    """Of one sample, as a batch."""
    done = subprocess.run([nacre, "summary", model, "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    [port] = json.loads(done.stdout)["inputs"]
    return [1] + port["shape"][1:]


def seconds_of(command, environment):
    begin = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    seconds = time.perf_counter() - begin
    if done.returncode != 0:
        sys.exit(f"{command[0]}: exit code {done.returncode}: {done.stderr.strip()}")
    return seconds


def main():
    root = pathlib.Path(__file__).resolve().parent.parent.parent
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--nacre", default=str(root / "build/release/cli/nacre"), help="the binary")
    parser.add_argument("--keras", metavar="PYTHON", help="with keras and tensorflow")
    parser.add_argument("--torch", metavar="PYTHON", help="with torch")
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            sample = pathlib.Path(folder) / "sample.npy"
            write_npy(sample, input_shape(options.nacre, model))
            commands = {"nacre": [options.nacre, "predict", model, str(sample), "--threads", str(THREADS), "--output",
                                  str(pathlib.Path(folder) / "result.npy")]}
            if options.keras:
                commands["keras"] = [options.keras, "-c", KERAS, model, str(sample)]
            if options.torch:
                commands["torch"] = [options.torch, "-c", TORCH]
            times = {name: [] for name in commands}
            for name, command in commands.items():
                seconds_of(command, environment)  # brings the files into the system's cache
            for _ in range(options.runs):
                for name, command in commands.items():
                    times[name].append(1e3 * seconds_of(command, environment))
            for name, each in times.items():
                print(f"{pathlib.Path(model).name:24} {name:6} {statistics.median(each):8.1f} ms, {min(each):.1f} … {max(each):.1f}", flush=True)


if __name__ == "__main__":
    main()
