"""nacre beside its peers on one machine, alternately, so that a machine that drifts is fair to all.

usage: compare.py [ROW...] [--nacre BINARY] [--peers FOLDER] [--torch PYTHON] [--keras PYTHON] [--what train,infer]
                  [--dtype float32,bfloat16] [--rounds 5] [--seconds 4] [--contenders 0.75] [--without xla,...]
                  [--output comparison]

A ROW is MODEL:BATCH ("lenet:128"), measured as --what and --dtype say; without one, all rows of both kinds. FOLDER holds
peer_torch.py and peer_keras.py (usage: SCRIPT MODEL train|infer BATCH MODE SECONDS) and peer_ort.py (MODEL BATCH SECONDS);
each prints one JSON line. PYTHON are the interpreters that have the peers' packages; a peer without one is left out.

Prints each row and writes OUTPUT.json (every single figure) and OUTPUT.md (the tables) after each. The ratio of a row is
the median samples/s of nacre by that of the best peer mode; above 1 nacre is faster. Training in bfloat16 is compared
with the peers' float32 modes too, when the run measures them. The memory ratio is nacre's peak by that of the leanest
peer; below 1 nacre needs less. After the first round a peer's mode is measured again only when it has --contenders of the
speed of the fastest.
"""
import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

TRAIN = ("mlp:128", "lenet:128", "resnet20:128", "lstm:32", "ncf:1024", "transformer:32", "mobilenetv2:16", "resnet50:16",
         "alexnet:32", "vgg19:4")
INFER = tuple(f"{model}:{batch}" for model in ("lenet", "lstm", "transformer", "mobilenetv2", "resnet50") for batch in (1, 32))
MODES = {"float32": {"torch": ("eager", "nhwc", "compile"), "keras": ("graph", "xla")},
         "bfloat16": {"torch": ("bf16",), "keras": ("bf16",)}}
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
THREADS = 2  # that the peers' scripts use


def words_of(known):
    def parse(text):
        words = text.split(",")
        for word in words:
            if word not in known:
                raise argparse.ArgumentTypeError(f"'{word}' is none of {', '.join(known)}")
        return words
    return parse


def parse_row(text):
    model, _, batch = text.partition(":")
    if not (pathlib.Path(__file__).parent / "workloads" / f"{model}.yaml").exists() or not batch.isdigit() or int(batch) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no MODEL:BATCH with a file in workloads/")
    return model, int(batch)


def computes_bfloat16():
    """Whether the processor has instructions for it; elsewhere every library only imitates them."""
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def commands(options, model, batch, what, dtype):
    """(peer and mode, command) of everything that a row measures."""
    here = pathlib.Path(__file__).parent
    seconds = str(options.seconds)
    yield "nacre", [options.nacre, "bench", str(here / "workloads" / f"{model}.yaml"), f"--{what}", "--batch", str(batch), "--seconds",
                    seconds, "--threads", str(THREADS), "--dtype", POLICIES[dtype], "--json"]
    for peer in ("torch", "keras"):
        python = getattr(options, peer)
        for mode in MODES[dtype][peer] if python else ():
            if mode in options.without:
                continue
            yield f"{peer} {mode}", [python, str(options.peers / f"peer_{peer}.py"), model, what, str(batch), mode, seconds]
    if options.torch and what == "infer" and dtype == "float32":
        yield "onnxruntime", [options.torch, str(options.peers / "peer_ort.py"), model, str(batch), seconds]


def measure(command):
    """The figures that a command prints, or what it says when it fails."""
    environment = {"CUDA_VISIBLE_DEVICES": "", **os.environ}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        said = done.stderr.strip().splitlines()
        return None, f"exit code {done.returncode}: {said[-1] if said else 'it said nothing'}"
    try:
        figures = json.loads(lines[-1])
        return {key: figures[key] for key in figures if key in ("samples_per_s", "ms", "rss_mb")}, None
    except ValueError:
        return None, f"no JSON: {lines[-1]}"


def median_row(row, others=()):
    """Adds the medians and ratios to a row of {results: {name: [figures]}}; `others` may be faster than its own peers."""
    row["median"] = {name: {key: statistics.median(figures[key] for figures in results) for key in ("samples_per_s", "ms", "rss_mb")}
                     for name, results in row["results"].items() if results}
    ours = row["median"].get("nacre")
    peers = {name: figures for name, figures in row["median"].items() if name != "nacre"}
    row.pop("speed_ratio", None), row.pop("memory_ratio", None)
    if ours and peers:
        row["leanest"] = min(peers, key=lambda name: peers[name]["rss_mb"])
        row["memory_ratio"] = ours["rss_mb"] / peers[row["leanest"]]["rss_mb"]
        for other in others:
            if (other["model"], other["batch"], other["what"]) == (row["model"], row["batch"], row["what"]) and "best" in other:
                peers[other["best"]] = row["median"][other["best"]] = other["median"][other["best"]]
        row["best"] = max(peers, key=lambda name: peers[name]["samples_per_s"])
        row["speed_ratio"] = ours["samples_per_s"] / peers[row["best"]]["samples_per_s"]


def contenders(row, share):
    """The names whose first figures are within that share of the fastest peer's; nacre always is."""
    first = {name: results[0]["samples_per_s"] for name, results in row["results"].items() if results}
    fastest = max((speed for name, speed in first.items() if name != "nacre"), default=0)
    return {name for name, speed in first.items() if name == "nacre" or speed >= share * fastest}


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def means(rows):
    """(kind, speed ratio, memory ratio, number of rows) of each kind of row, then of all."""
    kinds = {}
    for row in rows:
        if "speed_ratio" in row:
            kinds.setdefault(f"{row['what']} {row['dtype']}", []).append(row)
    if len(kinds) > 1:
        kinds["all"] = [row for kind in kinds.values() for row in kind]
    return [(kind, geometric_mean([row["speed_ratio"] for row in each]), geometric_mean([row["memory_ratio"] for row in each]), len(each))
            for kind, each in kinds.items()]


def text_of(row):
    lines = [f"{row['model']}, batch {row['batch']}, {row['what']}, {row['dtype']}"]
    for name, figures in row["median"].items():
        lines.append(f"  {name:14} {figures['samples_per_s']:10.1f} samples/s {figures['ms']:10.2f} ms {figures['rss_mb']:7.0f} MB")
    lines += [f"  {name:14} failed: {said}" for name, said in row["failed"].items()]
    if "speed_ratio" in row:
        lines.append(f"  nacre / {row['best']}: {row['speed_ratio']:.3f} of the speed; "
                     f"/ {row['leanest']}: {row['memory_ratio']:.3f} of the memory")
    return "\n".join(lines)


def markdown_of(report):
    lines = [f"Medians of {report['rounds']} alternating rounds of {report['seconds']} s, {THREADS} threads, on {report['machine']}.", "",
             "| model | batch | | dtype | nacre, samples/s | best peer | its samples/s | speed | nacre, MB | leanest peer, MB | memory |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    for row in report["rows"]:
        ours, best = row["median"].get("nacre"), row["median"].get(row.get("best"))
        cells = [row["model"], row["batch"], row["what"], row["dtype"], f"{ours['samples_per_s']:.1f}" if ours else "failed"]
        if best:
            lean = row["median"][row["leanest"]]
            cells += [row["best"], f"{best['samples_per_s']:.1f}", f"{row['speed_ratio']:.2f}", f"{ours['rss_mb']:.0f}",
                      f"{lean['rss_mb']:.0f} ({row['leanest']})", f"{row['memory_ratio']:.2f}"]
        else:
            cells += ["", "", "", f"{ours['rss_mb']:.0f}" if ours else "", "", ""]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += ["", "| geometric mean | speed | memory | rows |", "|---|---|---|---|"]
    lines += [f"| {kind} | {speed:.2f} | {memory:.2f} | {count} |" for kind, speed, memory, count in means(report["rows"])]
    failures = [f"- {row['model']}, batch {row['batch']}, {row['what']}, {row['dtype']}: {name}: {said}"
                for row in report["rows"] for name, said in row["failed"].items()]
    notes = [f"- {note}" for note in report["notes"]]
    if failures or notes:
        lines += ["", *notes, *failures]
    return "\n".join(lines) + "\n"


def write_whole(path, text):
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "an unknown processor"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "an unknown processor")


def main():
    here = pathlib.Path(__file__).resolve().parent
    root = here.parent.parent
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="*", type=parse_row, metavar="ROW", help="MODEL:BATCH; default: all")
    parser.add_argument("--nacre", default=str(root / "build/release/cli/nacre"), help="the binary")
    parser.add_argument("--peers", type=pathlib.Path, default=root / "../shared/bench", help="folder of the peers' scripts")
    parser.add_argument("--torch", metavar="PYTHON", help="with torch and onnxruntime")
    parser.add_argument("--keras", metavar="PYTHON", help="with keras and tensorflow")
    parser.add_argument("--what", type=words_of(("train", "infer")), default=["train", "infer"], help="default: train,infer")
    parser.add_argument("--dtype", type=words_of(tuple(MODES)), default=list(MODES), help="default: float32,bfloat16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of each figure")
    parser.add_argument("--contenders", type=float, default=0.75, help="share of the fastest peer's speed; 0: all modes in all rounds")
    parser.add_argument("--without", type=words_of({mode for peers in MODES.values() for modes in peers.values() for mode in modes}), default=[],
                        help="modes of the peers that are left out")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("comparison"), help="files to write, without extension")
    options = parser.parse_args()

    report = {"machine": processor(), "rounds": options.rounds, "seconds": options.seconds, "notes": [], "rows": []}
    if "bfloat16" in options.dtype and not computes_bfloat16():
        options.dtype.remove("bfloat16")
        report["notes"].append("this processor does not compute in bfloat16: those rows were skipped")
    for peer in ("torch", "keras"):
        if not getattr(options, peer):
            report["notes"].append(f"no --{peer}: that peer was left out")
    if options.without:
        report["notes"].append(f"without the peers' modes {', '.join(options.without)}")
    for note in report["notes"]:
        print(f"note: {note}", file=sys.stderr)

    failed = False
    for what in options.what:
        rows = options.rows or [parse_row(row) for row in (TRAIN if what == "train" else INFER)]
        for model, batch in rows:
            for dtype in options.dtype:
                row = {"model": model, "batch": batch, "what": what, "dtype": dtype, "results": {}, "failed": {}}
                for number in range(options.rounds):
                    again = contenders(row, options.contenders)
                    for name, command in commands(options, model, batch, what, dtype):
                        if name in row["failed"] or (number > 0 and name not in again):
                            continue
                        figures, said = measure(command)
                        if figures:
                            row["results"].setdefault(name, []).append(figures)
                        else:
                            row["failed"][name] = said
                            row["results"].pop(name, None)
                median_row(row, [other for other in report["rows"] if what == "train" and dtype == "bfloat16"])
                failed = failed or "nacre" in row["failed"]
                report["rows"].append(row)
                print(text_of(row), flush=True)
                write_whole(options.output.with_name(options.output.name + ".json"), json.dumps(report, indent=1) + "\n")
                write_whole(options.output.with_name(options.output.name + ".md"), markdown_of(report))
    for kind, speed, memory, count in means(report["rows"]):
        print(f"geometric mean, {kind}, {count} rows: {speed:.3f} of the speed of the best peer, {memory:.3f} of the memory of the leanest")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
