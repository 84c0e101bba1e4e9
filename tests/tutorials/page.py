#!/usr/bin/env python3
"""Does what a page of tutorials/ says: page.py PAGE.md [--show]

The page's fenced blocks, in an empty folder, with nacre on the PATH:
  ```LANGUAGE FILE   is a file of that name
  ```sh              runs in the folder; what follows on the info string is needed, else the block is passed over:
                     `keras` (python3 with Keras: $NACRE_KERAS_PYTHON, else the one that runs this) or
                     `package` (an installed nacre for CMake: $NACRE_PREFIX)
  ```text            right after an sh block is what it prints, see `fits`
Anything else, such as an indented block, is not run. Ends with 77 where blocks were passed over and nothing failed.
--show prints what blocks really print.
"""
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)")
MEASURED = re.compile(r"\d+:\d\d\b|\d+(?:\.\d+)?(?= ?(?:s|ms|samples/s|[kMG]?B|GFLOP/s)\b)")  # other on every machine


@dataclass
class Block:
    line: int
    words: list  # of the info string
    text: str


def blocks(page):
    found, block = [], None
    for number, line in enumerate(page.splitlines(), 1):
        if block is None and line.startswith("```"):
            block = Block(number, line[3:].split(), "")
        elif block is not None and line.startswith("```"):
            found.append(block)
            block = None
        elif block is not None:
            block.text += line + "\n"
    if block is not None:
        raise SystemExit(f"line {block.line}: a block without an end")
    return found


def line_fits(wanted, got):
    """`…` stands for anything, integers are the same, other numbers about the same, times and speeds are whatever."""
    def simple(line):
        return re.sub(r"\s+", " ", re.sub(r"[ \t]*[-─=]{4,}[ \t]*", " ---- ", MEASURED.sub("0", line))).strip()

    wanted, got = re.sub(r" ?… ?", "…", simple(wanted)), simple(got)
    pattern, at, numbers = "", 0, []
    for match in re.finditer(NUMBER.pattern + "|…", wanted):
        pattern += re.escape(wanted[at:match.start()])
        at = match.end()
        if match[0] == "…":
            pattern += ".*"
        elif re.fullmatch(r"-?[\d,]+", match[0]):
            pattern += re.escape(match[0])
        else:
            numbers.append((match[0], wanted[at:at + 1] == "%"))
            pattern += "(" + NUMBER.pattern + ")"
    found = re.fullmatch(pattern + re.escape(wanted[at:]), got)
    if not found:
        return False
    for (number, percent), other in zip(numbers, found.groups()):
        a, b = (float(text.replace(",", "")) for text in (number, other))
        if abs(a - b) > (15 if percent else 0.15 * (1 + max(abs(a), abs(b)))):
            return False
    return True


def fits(wanted, got):
    """Whether the lines fit; a line that is `…` stands for any number of lines. Blank lines do not count."""
    wanted, got = ([line for line in text.splitlines() if line.strip()] for text in (wanted, got))
    reachable = {0}  # lines of `got` that what was read of `wanted` can end before
    for line in wanted:
        if line.strip() == "…":
            reachable = set(range(min(reachable), len(got) + 1))
        else:
            reachable = {at + 1 for at in reachable if at < len(got) and line_fits(line, got[at])}
        if not reachable:
            return False
    return len(got) in reachable


def has_keras(python):
    code = "import importlib.util, sys; sys.exit(any(importlib.util.find_spec(n) is None for n in ('keras', 'tensorflow')))"
    return subprocess.run([python, "-c", code], capture_output=True).returncode == 0


def environment(folder):
    """What blocks see, and what is there of what they may need."""
    programs, home = folder / "programs", folder / "home"
    programs.mkdir()
    home.mkdir()
    (programs / "nacre").symlink_to(Path(os.environ["NACRE_BINARY"]).resolve())
    variables = {name: value for name, value in os.environ.items() if not name.startswith("NACRE_")}
    variables |= {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(home), "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1",
                  "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "",
                  "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}  # no page needs a network
    there = set()
    python = os.environ.get("NACRE_KERAS_PYTHON", sys.executable)
    if has_keras(python):
        there.add("keras")
        (programs / "python3").write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
        (programs / "python3").chmod(0o755)
    if os.environ.get("NACRE_PREFIX"):
        there.add("package")
        variables["CMAKE_PREFIX_PATH"] = os.environ["NACRE_PREFIX"]
    return variables, there


def indented(text):
    return "".join("    " + line + "\n" for line in text.splitlines())


def run(page, show=False):
    """The number of blocks that were passed over; SystemExit tells what failed."""
    passed_over, output = 0, None
    with tempfile.TemporaryDirectory() as temporary:
        variables, there = environment(Path(temporary))
        folder = Path(temporary) / "page"
        folder.mkdir()
        for block in blocks(page.read_text()):
            language, *words = block.words or [""]
            where = f"{page}:{block.line}"
            if language == "sh":
                output = None
                if missing := [word for word in words if word not in there]:
                    print(f"{where}: passed over: {', '.join(missing)} is not here")
                    passed_over += 1
                    continue
                done = subprocess.run(["bash", "-euo", "pipefail", "-c", block.text], cwd=folder, env=variables, text=True,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace")
                output = done.stdout
                if show:
                    print(f"{where}\n{indented(block.text)}prints\n{indented(output)}", flush=True)
                if done.returncode != 0:
                    raise SystemExit(f"{where}: ended with {done.returncode}:\n{indented(block.text)}printed\n{indented(output)}")
            elif language == "text":
                if output is not None and not fits(block.text, output):
                    raise SystemExit(f"{where}: should have been printed:\n{indented(block.text)}was\n{indented(output)}")
                output = None
            elif len(words) == 1:
                path = folder / words[0]
                if folder not in path.resolve().parents:
                    raise SystemExit(f"{where}: '{words[0]}' is no file of this folder")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text)
    return passed_over


def main():
    if not os.environ.get("NACRE_BINARY"):
        print("skipped: no NACRE_BINARY")
        return 77
    return 77 if run(Path(sys.argv[1]), "--show" in sys.argv) else 0


if __name__ == "__main__":
    sys.exit(main())
