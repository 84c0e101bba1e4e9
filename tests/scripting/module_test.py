#!/usr/bin/env python3
"""require "nacre" from a stock lua5.4: the built module in the interpreter that Debian ships."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

LUA, MODULE, NACRE = shutil.which("lua5.4"), os.environ.get("NACRE_LUA_MODULE"), os.environ.get("NACRE_BINARY")
TRAINING = """
local nacre = require "nacre"
local model = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1}}
model:compile{optimizer = "sgd", loss = "mse"}
"""


class Module(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def command(self, source, before=()):
        (self.folder / "s.lua").write_text(source)
        return {"args": [*before, LUA, "s.lua"], "cwd": self.folder, "text": True,
                "env": {**os.environ, "OMP_NUM_THREADS": "1", "LUA_CPATH": str(Path(MODULE).with_name("?.so"))}}

    def run_lua(self, source, before=()):
        return subprocess.run(**self.command(source, before), capture_output=True, timeout=300)

    def test_trains_and_saves(self):
        done = self.run_lua(TRAINING + """
            local history = model:fit(nacre.ones{64, 2}, nacre.ones{64, 1}, {epochs = 5, verbose = false})
            assert(history.loss[5] < history.loss[1])
            model:save("model.keras")
            local a, b = model:predict(nacre.ones{3, 2}), nacre.load("model.keras"):predict(nacre.ones{3, 2})
            assert(tostring(a) == tostring(b))
            print(nacre == require "nacre", rawget(_G, "nacre"), #a)""")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "true\tnil\t3\n", ""))

    def test_mistakes_have_their_line_and_hint(self):
        done = self.run_lua('local nacre = require "nacre"\nnacre.layers.Dense{unit = 3}')
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.splitlines()[:2], [LUA + ": s.lua:2: layer 'dense' (Dense): unknown key 'unit'",
                                                        "  hint: did you mean 'units'?"])
        self.assertEqual(self.run_lua('require "nacre" print(pcall(error, nil)) error(nil)').stdout, "false\tnil\n")

    def test_coroutines_call_it(self):
        done = self.run_lua("""
            local early = coroutine.wrap(function() coroutine.yield() return require("nacre").ones{2} end)
            early()
            local nacre = require "nacre"
            print(early(), coroutine.wrap(function() return pcall(nacre.zeros, print) end)())""")
        self.assertIn("tensor float32(2,) {1, 1}\tfalse\ts.lua:", done.stdout, done.stderr)

    def test_ends_with_live_objects(self):
        for end in ("", "os.exit(true, true)", "coroutine.wrap(function() os.exit(true, true) end)()",
                    "late = setmetatable({}, {__gc = function() nacre.zeros{2} t = nacre.ones{1} end})"):
            done = self.run_lua("before = setmetatable({}, {__gc = function() pcall(nacre.zeros, {1}) end})" + TRAINING +
                                "_G.nacre, t, m = nacre, nacre.ones{1000}, model " + end)
            self.assertEqual((done.returncode, done.stderr), (0, ""), end)

    def interrupted(self, source):
        """The exit code, output and errors of a script that is interrupted after it has made the file `begun`."""
        with subprocess.Popen(**self.command(source), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as lua:
            while not (self.folder / "begun").exists() and lua.poll() is None:
                time.sleep(0.01)
            time.sleep(0.3)
            lua.send_signal(signal.SIGINT)
            out, errors = lua.communicate(timeout=60)
        return lua.returncode, out, errors

    def test_control_c_ends_training(self):
        code, _, errors = self.interrupted(TRAINING + """
            local x, y = nacre.ones{64, 2}, nacre.ones{64, 1}
            io.open("begun", "w"):close()
            model:fit(x, y, {epochs = 1 << 40, verbose = false})""")
        self.assertEqual(code, 1, errors)
        self.assertRegex(errors, r"lua5\.4: (s\.lua:8: interrupted|interrupted!)\n")

    def test_training_that_was_interrupted_can_be_caught(self):
        code, out, errors = self.interrupted(TRAINING + """
            local x, y = nacre.ones{64, 2}, nacre.ones{64, 1}
            io.open("begun", "w"):close()
            local good, text = pcall(model.fit, model, x, y, {epochs = 1 << 40, verbose = false})
            print(good, text)
            print(#model:fit(x, y, {epochs = 2, verbose = false}).loss)""")
        self.assertEqual(code, 0, errors)
        self.assertRegex(out, r"^false\t.*interrupted!?\n2\n$")

    def test_shows_one_name(self):
        nm = shutil.which("nm")
        if not nm:
            self.skipTest("nm is not installed")
        names = subprocess.run([nm, "-D", "--defined-only", MODULE], capture_output=True, text=True, check=True).stdout
        self.assertEqual([line.split()[-1] for line in names.splitlines()], ["luaopen_nacre"])

    def test_leaves_nothing_behind(self):
        valgrind = shutil.which("valgrind")
        if not valgrind:
            self.skipTest("valgrind is not installed")
        done = self.run_lua("""
            local nacre = require "nacre"
            t, model = nacre.ones{3}, nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1}}
            for i = 1, 100 do local u = nacre.zeros{i} end
            assert(not pcall(nacre.zeros, print) and not pcall(nacre.layers.Dense, {unit = 1}))
            coroutine.wrap(function() t = nacre.ones{4} end)()
            model:compile{loss = "mse"}
            model:fit(nacre.ones{8, 2}, nacre.ones{8, 1}, {verbose = false, callbacks = {{
              on_epoch_end = function() gradient = nacre.grad(function(x) return x:sum() end)(t) end}}})""",
                            [valgrind, "-q", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite"])
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_scripts_run_in_nacre_as_they_are(self):
        if not NACRE:
            self.skipTest("the nacre binary is not built")
        (self.folder / "s.lua").write_text('local own = require "nacre" print(own == nacre, package.loaded.nacre == own)')
        done = subprocess.run([NACRE, "lua", "s.lua"], cwd=self.folder, capture_output=True, text=True)
        self.assertEqual((done.stdout, done.stderr), ("true\ttrue\n", ""))


if __name__ == "__main__":
    if not LUA or not MODULE:
        print("skipped: " + ("lua5.4 is not installed" if not LUA else "there is no module, or it is built with a sanitizer"))
        sys.exit(77)
    unittest.main()
