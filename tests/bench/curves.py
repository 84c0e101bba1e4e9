"""Whether training in bfloat16 learns like training in float32: loss curves of both, with several seeds each.

usage: curves.py [NAME...] [--nacre BINARY] [--data FOLDER] [--seeds 3] [--threads N]

NAME is lenet (MNIST), resnet20 (CIFAR-10), transformer or lstm (Tiny Shakespeare: is the next character a letter?);
without one, all. FOLDER is the one with mnist/, cifar10-jpeg.tar.gz and text/ (default: ../shared/data). Prints the loss on the
training and on the validation data after each epoch: the means over the seeds, their difference, and how far the seeds of
float32 lie apart. The last epoch's difference is noise when it is within twice that, or within 2% of the loss: else the
exit code is 1.
"""
import argparse
import csv
import pathlib
import random
import statistics
import struct
import subprocess
import sys
import tarfile
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
POLICIES = ("float32", "mixed_bfloat16")


def write_npy(path, rows, code, kind):
    """Rows of equally many numbers as a NumPy array; `code` is for struct, `kind` NumPy's name of it."""
    shape = (len(rows), len(rows[0])) if isinstance(rows[0], (list, bytes)) else (len(rows),)
    header = str({"descr": kind, "fortran_order": False, "shape": shape})
    header += " " * (-(len(header) + 11) % 64) + "\n"
    flat = [number for row in rows for number in row] if len(shape) == 2 else rows
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + struct.pack(f"<{len(flat)}{code}", *flat))


def lenet(data, folder):
    return "tutorials/mnist.yaml", [f"variables.mnist={data / 'mnist'}", "train.epochs=3"]


def resnet20(data, folder):
    """1,000 pictures of each class, and 200 to validate."""
    with tarfile.open(data / "cifar10-jpeg.tar.gz") as archive:
        wanted = [member for member in archive.getmembers()
                  if member.name.endswith(".jpg") and int(pathlib.Path(member.name).stem) < (1000 if member.name.startswith("train") else 200)]
        archive.extractall(folder, wanted)
    return "tutorials/resnet.yaml", [f"data.train.images.folder={folder / 'train'}", f"data.validation.images.folder={folder / 'test'}",
                                     "train.epochs=6", "train.optimizer.SGD.learning_rate=0.05"]


def letters(data, folder, length):
    text = (data / "text/tinyshakespeare.txt").read_bytes()
    draw = random.Random(1)
    for name, count in (("train", 6000), ("validation", 1500)):
        places = [draw.randrange(len(text) - length - 1) for _ in range(count)]
        write_npy(folder / f"{name}_x.npy", [list(text[at:at + length]) for at in places], "i", "<i4")
        write_npy(folder / f"{name}_y.npy", [int(chr(text[at + length]).isalpha()) for at in places], "i", "<i4")
    words = [f"data.{name}.npy.{which}={folder / f'{name}_{which}.npy'}" for name in ("train", "validation") for which in "xy"]
    return [*words, "train.epochs=5", "train.batch_size=32"]


def transformer(data, folder):
    words = letters(data, folder, 128)
    return "tests/bench/workloads/transformer.yaml", [*words, "variables.width=64", "train.optimizer.Adam.learning_rate=0.001"]


def lstm(data, folder):
    return "tests/bench/workloads/lstm.yaml", [*letters(data, folder, 80), "train.optimizer.SGD.learning_rate=0.1"]


def losses(options, config, words, policy, seed, folder):
    run = folder / f"{policy}-{seed}"
    command = [options.nacre, "train", str(ROOT / config), "--output", str(run), *words, f"train.dtype={policy}", f"seed={seed}"]
    if options.threads:
        command += ["--threads", str(options.threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    with open(run / "history.csv") as file:
        return [(float(row["loss"]), float(row["val_loss"])) for row in csv.DictReader(file)]


def compare(options, name):
    """Prints the curves; whether the last epochs are alike."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        config, words = globals()[name](options.data, folder)
        curves = {policy: [losses(options, config, words, policy, seed, folder) for seed in range(1, options.seeds + 1)]
                  for policy in POLICIES}
    alike = True
    print(f"{name}, {options.seeds} seeds\n{'epoch':>5} {'':10} {'float32':>9} {'bfloat16':>9} {'difference':>10} {'seeds apart':>11}")
    epochs = len(curves["float32"][0])
    for epoch in range(epochs):
        for index, kind in enumerate(("loss", "val_loss")):
            full, half = ([curve[epoch][index] for curve in curves[policy]] for policy in POLICIES)
            difference, apart = statistics.mean(half) - statistics.mean(full), max(full) - min(full)
            print(f"{epoch + 1:5} {kind:10} {statistics.mean(full):9.4f} {statistics.mean(half):9.4f} {difference:+10.4f} {apart:11.4f}")
            if epoch + 1 == epochs:
                alike = alike and abs(difference) <= max(2 * apart, 0.02 * statistics.mean(full))
    print("within noise\n" if alike else "MORE THAN NOISE\n", flush=True)
    return alike


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="lenet, resnet20, transformer, lstm; default: all")
    parser.add_argument("--nacre", default=str(ROOT / "build/release/cli/nacre"), help="the binary")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "../shared/data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    options.data = options.data.resolve()
    if not options.data.is_dir():
        print(f"skipped: no data at {options.data}")
        return 0
    known = ("lenet", "resnet20", "transformer", "lstm")
    for name in options.names:
        if name not in known:
            parser.error(f"'{name}' is none of {', '.join(known)}")
    return 0 if all([compare(options, name) for name in options.names or known]) else 1


if __name__ == "__main__":
    sys.exit(main())
