#!/usr/bin/env python3
"""Training goes on across the border: some steps in Keras, some in nacre, some in Keras again, against all in Keras.

For every optimizer, in .keras and .h5. From .h5 files Keras itself cannot go on: it builds the optimizer for no variables
at all. So what nacre made of such a file returns to Keras as .keras, and the state in nacre's .h5 must be the same
variables in the same order as in Keras's, which is how Keras reads it. Skipped (77) where Keras or the binary of the tests is missing. The interpreter
that has Keras is $NACRE_KERAS_PYTHON, else the one that runs this file. Arguments choose optimizers by a part of their
name; --table prints the largest differences.
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BATCH, BATCHES = 8, 4
FORMATS = (".keras", ".h5")


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def optimizers():
    from keras import optimizers as o

    schedule = o.schedules
    return {
        "SGD": lambda: o.SGD(0.05),
        "SGD-momentum": lambda: o.SGD(0.05, momentum=0.9),
        "SGD-nesterov-decay": lambda: o.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
        "SGD-clipnorm": lambda: o.SGD(0.05, momentum=0.5, clipnorm=0.3),
        "SGD-global_clipnorm": lambda: o.SGD(0.05, global_clipnorm=0.3),
        "RMSprop": lambda: o.RMSprop(0.01),
        "RMSprop-centered-momentum": lambda: o.RMSprop(0.01, centered=True, momentum=0.9),
        "Adam": lambda: o.Adam(0.02),
        "Adam-amsgrad": lambda: o.Adam(0.02, amsgrad=True),
        "Adam-ema": lambda: o.Adam(0.02, use_ema=True, ema_momentum=0.9),
        "Adam-ema-overwrite": lambda: o.Adam(0.02, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3),
        "Adam-accumulation": lambda: o.Adam(0.02, gradient_accumulation_steps=3),
        "Adam-loss_scale": lambda: o.Adam(0.02, loss_scale_factor=64.0),
        "AdamW": lambda: o.AdamW(0.02, weight_decay=0.02),
        "Adamax": lambda: o.Adamax(0.02),
        "Nadam": lambda: o.Nadam(0.02),
        "Adagrad": lambda: o.Adagrad(0.05),
        "Adadelta": lambda: o.Adadelta(0.5),
        "Adafactor": lambda: o.Adafactor(0.05),
        "Ftrl": lambda: o.Ftrl(0.05, l1_regularization_strength=0.001, beta=0.1),
        "Lamb": lambda: o.Lamb(0.02),
        "Lion": lambda: o.Lion(0.01),
        "Muon": lambda: o.Muon(0.02),
        "ScheduleFreeAdamW": lambda: o.ScheduleFreeAdamW(0.02, warmup_steps=3),
        "LossScaleOptimizer": lambda: o.LossScaleOptimizer(o.Adam(0.02), initial_scale=16.0, dynamic_growth_steps=5),
        "ExponentialDecay": lambda: o.Adam(schedule.ExponentialDecay(0.05, 5, 0.7)),
        "CosineDecay": lambda: o.SGD(schedule.CosineDecay(0.05, 10, warmup_target=0.1, warmup_steps=3), momentum=0.9),
        "PiecewiseConstantDecay": lambda: o.RMSprop(schedule.PiecewiseConstantDecay([3, 7], [0.05, 0.02, 0.01])),
        "PolynomialDecay": lambda: o.Adam(schedule.PolynomialDecay(0.05, 9)),
        "InverseTimeDecay": lambda: o.Nadam(schedule.InverseTimeDecay(0.05, 4, 0.5)),
        "CosineDecayRestarts": lambda: o.Adam(schedule.CosineDecayRestarts(0.05, 4)),
    }


def make_model(optimizer):
    import keras

    keras.utils.set_random_seed(7)
    layers = keras.layers
    model = keras.Sequential([keras.Input((6,)), layers.Dense(5, "tanh"), layers.BatchNormalization(), layers.Dense(3)], name="net")
    model.compile(optimizer, loss="mean_squared_error")
    return model


def train(model, data, phase):
    first = phase * BATCH * BATCHES
    x, y = (array[first : first + BATCH * BATCHES] for array in data)
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)


def optimizer_state(path):
    """What each variable is (the end of its name: "momentum") and its shape, in order."""
    import h5py

    with h5py.File(path) as file:
        group = file["optimizer_weights"]
        shapes = [(name, group[name].shape) for name in group.attrs["weight_names"]]
        return [(name.rsplit("_", 1)[-1] if shape else "", shape) for name, shape in shapes]


def run(folder, words):
    import h5py
    import keras
    import numpy as np

    random = np.random.default_rng(3)
    data = [random.standard_normal((3 * BATCH * BATCHES, width)).astype("float32") for width in (6, 3)]
    with h5py.File(folder / "data.h5", "w") as file:
        half = slice(BATCH * BATCHES, 2 * BATCH * BATCHES)
        file["x"], file["y"] = data[0][half], data[1][half]
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    wanted = {}
    for name, make in optimizers().items():
        if words and not any(word in name for word in words):
            continue
        model = make_model(make())
        train(model, data, 0)
        for ending in FORMATS:
            try:
                model.save(folder / "in" / (name + ending))
            except ValueError as error:  # two variables of one name
                (folder / "in" / (name + ending)).unlink()
                print(f"excused: Keras cannot write {name}{ending}: {error}")
        for phase in (1, 2):
            train(model, data, phase)
        wanted[name] = [w.numpy() for w in model.weights]
    subprocess.run([os.environ["NACRE_API_TESTS"], "--gtest_filter=ContinueForKeras.*"], env=dict(os.environ, NACRE_KERAS_FOLDER=str(folder)), check=True)
    failures = 0
    for name, weights in wanted.items():
        row = []
        for ending in FORMATS:
            if not (folder / "in" / (name + ending)).exists():
                row.append(f"{'-':>12} ")
                continue
            if ending == ".h5":
                states = [optimizer_state(folder / place / (name + ending)) for place in ("in", "out")]
                if states[0] != states[1]:
                    failures += 1
                    print(f"{name}{ending}: the optimizer's state is {states[1]}, Keras's is {states[0]}")
            keras.backend.clear_session()
            model = keras.models.load_model(folder / "out" / (name + {".h5": ".h5.keras"}.get(ending, ending)))
            train(model, data, 2)
            difference = max(float(np.max(np.abs(a.numpy() - b))) for a, b in zip(model.weights, weights, strict=True))
            failures += not difference <= 2e-5
            row.append(f"{difference:12.2g}{' ' if difference <= 2e-5 else '!'}")
        if "--table" in sys.argv or "!" in "".join(row):
            print(f"{name:28}", *row)
    print(f"{len(wanted)} optimizers, {failures} failures")
    sys.exit(1 if failures else 0)


def main():
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    python = os.environ.get("NACRE_KERAS_PYTHON", sys.executable)
    quiet = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="", NACRE_KERAS_PYTHON=python)
    if Path(python).resolve() != Path(sys.executable).resolve() or os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3":
        if subprocess.run([python, "-c", "import keras, h5py"], env=quiet, capture_output=True).returncode != 0:
            skip(f"{python} has no Keras; set NACRE_KERAS_PYTHON to one that has")
        sys.exit(subprocess.run([python, __file__, *sys.argv[1:]], env=quiet).returncode)
    if not os.environ.get("NACRE_API_TESTS"):
        skip("NACRE_API_TESTS does not name the binary api_tests")
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), words)


if __name__ == "__main__":
    main()
