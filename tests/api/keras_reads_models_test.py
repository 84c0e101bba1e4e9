#!/usr/bin/env python3
"""Keras opens the models that nacre wrote and predicts the same. Skipped (77) where Keras is not installed.

The interpreter that has Keras is $NACRE_KERAS_PYTHON, else the one that runs this file.
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def compare(folder):
    import h5py
    import keras
    import numpy as np

    models = sorted(path for path in folder.iterdir() if path.suffix in (".h5", ".keras") and not path.name.endswith(".io.h5"))
    assert models, "nacre wrote no models"
    for path in models:
        model = keras.models.load_model(path)
        with h5py.File(path.with_suffix(".io.h5")) as io:
            inputs = [io["inputs"][name][()] for name in sorted(io["inputs"], key=int)]
            wanted = [io["outputs"][name][()] for name in sorted(io["outputs"], key=int)]
        got = model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0)
        got = got if isinstance(got, list) else [got]
        difference = max(float(np.max(np.abs(a - b))) for a, b in zip(got, wanted, strict=True))
        optimizer = getattr(model, "optimizer", None)
        print(f"{path.name}: largest difference {difference:.2g}, optimizer {type(optimizer).__name__ if optimizer else None}")
        assert difference <= 1e-5, f"{path.name}: predictions differ by {difference}"
        if path.stem == "cnn":
            assert int(optimizer.iterations.numpy()) == 2, "the optimizer's state was not loaded"


def main():
    if len(sys.argv) > 1:
        return compare(Path(sys.argv[1]))
    python = os.environ.get("NACRE_KERAS_PYTHON", sys.executable)
    quiet = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
    if subprocess.run([python, "-c", "import keras, h5py"], env=quiet, capture_output=True).returncode != 0:
        skip(f"{python} has no Keras; set NACRE_KERAS_PYTHON to one that has")
    tests = os.environ.get("NACRE_API_TESTS", "")
    if not tests:
        skip("NACRE_API_TESTS does not name the binary api_tests")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([tests, "--gtest_filter=SaveForKeras.*"], env=dict(os.environ, NACRE_KERAS_FOLDER=folder), check=True)
        subprocess.run([python, __file__, folder], env=quiet, check=True)


if __name__ == "__main__":
    main()
