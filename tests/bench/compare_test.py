#!/usr/bin/env python3
"""compare.py with peers that only pretend: ratios, failures and files. No time is measured."""
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

COMPARE = Path(__file__).with_name("compare.py")
PEER = """import json, sys
if sys.argv[4] == "compile": sys.exit("no compiler")
speed = {"eager": 100, "nhwc": 200, "bf16": 50, "graph": 150, "xla": 10}[sys.argv[4]]
print("a line of chatter")
print(json.dumps(dict(peer="x", samples_per_s=speed, ms=1.0, rss_mb=400 if "torch" in sys.argv[0] else 300)))
"""
NACRE = """#!/bin/sh
[ "$1" = bench ] && [ "$3" = --train ] || exit 2
echo '{"samples_per_s": 300, "ms": 2.0, "rss_mb": 100}'
"""


class Compare(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.folder = Path(self.temporary.name)
        for peer in ("torch", "keras"):
            (self.folder / f"peer_{peer}.py").write_text(PEER)
        (self.folder / "nacre").write_text(NACRE)
        (self.folder / "nacre").chmod(0o755)

    def compare(self, *words):
        command = [sys.executable, COMPARE, *words, "--nacre", self.folder / "nacre", "--peers", self.folder, "--torch", sys.executable,
                   "--rounds", "2", "--output", self.folder / "out"]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True)

    def test_ratios_are_to_the_best_and_to_the_leanest(self):
        done = self.compare("lenet:128", "--keras", sys.executable, "--what", "train", "--dtype", "float32")
        self.assertEqual(done.returncode, 0, done.stderr)
        [row] = json.loads((self.folder / "out.json").read_text())["rows"]
        self.assertEqual((row["best"], row["leanest"]), ("torch nhwc", "keras graph"))
        self.assertAlmostEqual(row["speed_ratio"], 1.5)
        self.assertAlmostEqual(row["memory_ratio"], 1 / 3)
        self.assertEqual(len(row["results"]["nacre"]), 2)
        self.assertIn("geometric mean, train float32, 1 rows: 1.500", done.stdout)

    def test_slow_modes_are_measured_once(self):
        words = ("lenet:128", "--keras", sys.executable, "--what", "train", "--dtype", "float32")
        counts = {}
        for share in ("0.75", "0"):
            self.assertEqual(self.compare(*words, "--contenders", share).returncode, 0)
            [row] = json.loads((self.folder / "out.json").read_text())["rows"]
            counts[share] = {name: len(results) for name, results in row["results"].items()}
        self.assertEqual(counts["0.75"], {"nacre": 2, "torch eager": 1, "torch nhwc": 2, "keras graph": 2, "keras xla": 1})
        self.assertEqual(set(counts["0"].values()), {2})

    def test_training_in_bfloat16_meets_every_precision(self):
        if "avx512_bf16" not in Path("/proc/cpuinfo").read_text() and "amx_bf16" not in Path("/proc/cpuinfo").read_text():
            self.skipTest("this processor does not compute in bfloat16")
        done = self.compare("lenet:128", "--keras", sys.executable, "--what", "train")
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = json.loads((self.folder / "out.json").read_text())["rows"]
        self.assertEqual([(row["dtype"], row["best"]) for row in rows], [("float32", "torch nhwc"), ("bfloat16", "torch nhwc")])
        self.assertEqual(rows[1]["leanest"], "keras bf16")

    def test_failures_are_reported(self):
        done = self.compare("lenet:128", "--what", "train", "--dtype", "float32")
        self.assertEqual(done.returncode, 0, "a peer that fails does not stop the others")
        self.assertIn("torch compile  failed: exit code 1: no compiler", done.stdout)
        table = (self.folder / "out.md").read_text()
        self.assertIn("- lenet, batch 128, train, float32: torch compile: exit code 1: no compiler", table)
        self.assertIn("- no --keras: that peer was left out", table)
        self.assertIn("| lenet | 128 | train | float32 | 300.0 | torch nhwc | 200.0 | 1.50 | 100 | 400 (torch eager) | 0.25 |", table)

    def test_a_failure_of_ours_is_one_of_the_comparison(self):
        done = self.compare("lenet:1", "--what", "infer", "--dtype", "float32")
        self.assertEqual(done.returncode, 1)
        self.assertIn("nacre          failed: exit code 2", done.stdout)
        self.assertIn("onnxruntime    failed:", done.stdout, "its script is missing here")

    def test_wrong_usage(self):
        for words in (["lenett:1"], ["lenet"], ["lenet:0"], ["--what", "learn"], ["--dtype", "float8"]):
            self.assertEqual(self.compare(*words).returncode, 2, words)


if __name__ == "__main__":
    unittest.main()
