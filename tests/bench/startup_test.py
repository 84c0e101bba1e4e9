#!/usr/bin/env python3
"""startup.py with a nacre that only pretends. No time is measured."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

STARTUP = Path(__file__).with_name("startup.py")
NACRE = """#!/usr/bin/env python3
import json, sys
if sys.argv[1] == "summary": print(json.dumps({"inputs": [{"shape": [None, 4, 3]}]}))
elif sys.argv[1] == "predict":
    sample = open(sys.argv[3], "rb").read()
    ok = sample.startswith(b"\\x93NUMPY") and b"'shape': (1, 4, 3)" in sample and len(sample) % 64 == 48
    sys.exit(0 if ok and sys.argv[2] == "good.keras" else "broken")
"""


class Startup(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.nacre = Path(temporary.name) / "nacre"
        self.nacre.write_text(NACRE)
        self.nacre.chmod(0o755)

    def startup(self, *words):
        return subprocess.run([sys.executable, STARTUP, *words, "--nacre", self.nacre, "--runs", "2"], capture_output=True, text=True)

    def test_prints_a_line_for_each_program(self):
        done = self.startup("good.keras")
        self.assertEqual(done.returncode, 0, done.stderr)
        [line] = done.stdout.splitlines()
        self.assertRegex(line, r"^good\.keras +nacre +[\d.]+ ms, [\d.]+ … [\d.]+$")

    def test_a_failure_ends_it(self):
        done = self.startup("bad.keras")
        self.assertEqual(done.returncode, 1)
        self.assertIn("broken", done.stderr)


if __name__ == "__main__":
    unittest.main()
