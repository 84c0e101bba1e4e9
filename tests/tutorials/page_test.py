#!/usr/bin/env python3
"""page.py fails where a page is wrong: a command that fails, or prints something else than the page says."""
import contextlib
import io
import os
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import page  # noqa: E402

os.environ.setdefault("NACRE_BINARY", "/bin/true")


def outcome(text):
    """'' when the page is right, else what was said."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.md"
        path.write_text(text)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                page.run(path)
        except SystemExit as error:
            return str(error)
    return ""


def printed(command, text):
    return outcome(f"```sh\n{command}\n```\n\n```text\n{text}\n```\n")


class Page(unittest.TestCase):
    def test_files_and_commands(self):
        self.assertEqual(outcome("```lua a/b.lua\none\n```\n```sh\ngrep one a/b.lua\n```\n```text\none\n```\n"), "")

    def test_commands_that_fail(self):
        self.assertIn("page.md:1: ended with 3", outcome("```sh\nexit 3\n```\n"))
        self.assertIn("ended with 1", outcome("```sh\nfalse\ntrue\n```\n"))
        self.assertIn("ended with 1", outcome("```sh\nfalse | cat\n```\n"))

    def test_text_that_differs(self):
        self.assertEqual(printed("printf 'a\\nb\\nc\\n'", "a\n…\nc"), "")
        self.assertEqual(printed("printf 'a\\nc\\n'", "a\n…\nc"), "")
        self.assertIn("should have been printed", printed("printf 'a\\nb\\n'", "a"))
        self.assertIn("should have been printed", printed("echo a", "a\nb"))
        self.assertIn("should have been printed", printed("echo saved x", "saved y"))
        self.assertEqual(printed("echo saved to x.h5 now", "saved … now"), "")

    def test_what_goes_to_stderr_is_seen(self):
        self.assertEqual(printed("echo oops >&2", "oops"), "")

    def test_numbers(self):
        for wanted, got, fit in [
                ("accuracy 0.95", "accuracy 0.91", True), ("accuracy 0.95", "accuracy 0.62", False),
                ("loss 2.10", "loss 2.25", True), ("loss 2.10", "loss 3.00", False),
                ("ring 97.0%", "ring 90.1%", True), ("ring 97.0%", "ring 50.1%", False), ("ring 97.0%", "cross 97.0%", False),
                ("1,234 parameters", "1,234 parameters", True), ("1,234 parameters", "1,235 parameters", False),
                ("Epoch 1/4 - 0:03 - 2k samples/s", "Epoch 1/4 - 1:12 - 950 samples/s", False),
                ("Epoch 1/4 - 0:03 - …", "Epoch 1/4 - 1:12 - 950 samples/s", True),
                ("Epoch 1/4", "Epoch 1/5", False), ("about 57 MB", "about 61 MB", True), ("28×28", "28×29", False)]:
            with self.subTest(wanted=wanted, got=got):
                self.assertEqual(page.fits(wanted, got), fit)

    def test_blocks_whose_needs_are_not_met(self):
        self.assertEqual(outcome("```sh nothing_of_this_name\nfalse\n```\n```text\nnever\n```\n"), "")

    def test_files_stay_in_the_folder(self):
        self.assertIn("is no file of this folder", outcome("```lua ../a.lua\n```\n"))

    def test_blocks_end(self):
        self.assertIn("line 1: a block without an end", outcome("```sh\ntrue\n"))


if __name__ == "__main__":
    unittest.main()
