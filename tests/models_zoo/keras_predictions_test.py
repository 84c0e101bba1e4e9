#!/usr/bin/env python3
"""The zoo's Keras applications have the configurations of Keras's, and with weights that Keras wrote the same predictions.

Each gets random weights (those of normalisations and scales, too), which Keras writes as .weights.h5 and, in the order of
the layers, as .h5 of Keras 2; nacre reads either. Skipped (77) without Keras or nacre. The interpreter that has Keras is
$NACRE_KERAS_PYTHON, else the one that runs this file. Arguments choose applications by a part of their name, and of all
that there are, not only of those that each test run looks at.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

LARGEST = 1e-4  # of the difference, relative to the largest output
ALWAYS = ("MobileNetV2", "ResNet50", "EfficientNetB0", "DenseNet121", "ConvNeXtTiny")
# Sides of the pictures that are not 64.
SMALLEST = {"Xception": 71, "InceptionV3": 75, "InceptionResNetV2": 75}


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def run(*command):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(result.stderr.strip() or f"exit code {result.returncode}")


def randomise(model, random):
    """Weights that are not all alike, and variances near 1, so that no layer hides another."""
    import numpy as np

    for weight in model.weights:
        shape, name = weight.shape, weight.path.rsplit("/", 1)[-1]
        if name in ("gamma", "moving_variance", "variance") or (len(shape) == 1 and "layer_scale" in weight.path):
            weight.assign(random.uniform(0.5, 1.5, shape))
        elif len(shape) == 1:
            weight.assign(random.normal(0, 0.1, shape))
        elif len(shape) > 1:
            inputs = np.prod(shape[:-2]) if "depthwise" in name else np.prod(shape[:-1])
            weight.assign(random.normal(0, inputs**-0.5, shape))


def plain(value, key=""):
    """A part of a model's configuration without what says the same in other words."""
    if isinstance(value, dict):
        if "keras_history" in value:
            return value["keras_history"]
        unsaid = ("module", "registered_name", "build_config", "trainable", "dtype", "training")
        unsaid += ("name",) if "batch_shape" in value else ()  # inputs of models in the model are numbered
        fields = {name: plain(field, name) for name, field in value.items() if name not in unsaid}
        return {name: field for name, field in fields.items() if field not in (None, "linear")}
    if isinstance(value, list):
        return [plain(item, key) for item in value]
    if key == "axis" and value == 3:
        return -1
    return float(f"{value:.9g}") if isinstance(value, float) else value


def compare_configurations(model, config):
    wanted, got = plain(json.loads(model.to_json())["config"]), plain(config)
    for layer, other in zip(wanted["layers"], got["layers"]):
        assert layer == other, f"configurations differ:\n  {layer}\n  {other}"
    for part in ("layers", "input_layers", "output_layers"):
        assert len(wanted[part]) == len(got[part]) and (part == "layers" or wanted[part] == got[part]), part


def check(binary, name, folder):
    """The largest difference with either file of weights."""
    import h5py
    import keras
    import numpy as np
    from keras.src.legacy.saving import legacy_h5_format

    keras.backend.clear_session()
    side, random = SMALLEST.get(name, 64), np.random.default_rng(5)
    arguments = {"input_shape": (side, side, 3), "classes": 10, "classifier_activation": None}
    model = getattr(keras.applications, name)(weights=None, **arguments)
    config = f"zoo:{name.lower()}?weights=none&input_shape={side},{side},3&classes=10&classifier_activation=null"
    run(binary, "convert", config, folder / "out.json")
    compare_configurations(model, json.loads((folder / "out.json").read_text())["config"])
    randomise(model, random)
    pictures = random.uniform(-1, 1, (2, side, side, 3)).astype("float32")
    expected = model.predict(pictures, verbose=0)
    np.save(folder / "in.npy", pictures)
    model.save_weights(folder / "k.weights.h5")
    with h5py.File(folder / "k.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    largest = 0.0
    for weights in ("k.weights.h5", "k.h5"):
        run(binary, "convert", config, folder / "out.keras", "--weights", folder / weights, "--overwrite")
        run(binary, "predict", folder / "out.keras", folder / "in.npy", "-o", folder / "out.npz")
        (result,) = np.load(folder / "out.npz").values()
        assert result.shape == expected.shape, f"{weights}: shape {result.shape} instead of {expected.shape}"
        largest = max(largest, float(np.abs(result - expected).max() / np.abs(expected).max()))
    return largest


def main():
    words = sys.argv[1:]
    python = os.environ.get("NACRE_KERAS_PYTHON", sys.executable)
    quiet = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="", NACRE_KERAS_PYTHON=python)
    if Path(python).resolve() != Path(sys.executable).resolve() or os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3":
        if subprocess.run([python, "-c", "import keras, h5py"], env=quiet, capture_output=True).returncode != 0:
            skip(f"{python} has no Keras; set NACRE_KERAS_PYTHON to one that has")
        sys.exit(subprocess.run([python, __file__, *words], env=quiet).returncode)
    binary = os.environ.get("NACRE_BINARY", "")
    if not binary:
        skip("NACRE_BINARY does not name the binary nacre")
    import keras

    known = [name for name in dir(keras.applications) if callable(getattr(keras.applications, name))]
    names = [name for name in known if any(word.lower() in name.lower() for word in words)] if words else ALWAYS
    failures = 0
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            try:
                largest = check(binary, name, Path(folder))
                failures += not largest <= LARGEST
                print(f"{name:20} {largest:.1e}" + ("" if largest <= LARGEST else "  FAILED"), flush=True)
            except Exception as error:  # noqa: BLE001: every kind is reported
                failures += 1
                print(f"{name:20} FAILED: {error}", flush=True)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
