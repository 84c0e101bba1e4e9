#!/usr/bin/env python3
"""Files of Keras go through nacre and come back: Keras opens what nacre makes of them and predicts the same.

For every layer class of goldens/layers.h5, every model of goldens/models and of tests/golden/quantized, and every file
of keras-models: Keras (or its older version, which made the file) gives the model, `nacre convert` writes it as .keras
and .h5, Keras 3 predicts.
Skipped (77) without Keras, nacre or the shared files. The interpreter that has Keras is $NACRE_KERAS_PYTHON, else the
one that runs this file. Arguments choose cases by a part of their name; --table prints class × format.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ABSOLUTE, RELATIVE = 1e-4, 1e-3
FORMATS = (".keras", ".h5")

# What stops Keras itself, with its own file of the same model.
KERAS_CANNOT = {
    "STFTSpectrogram": "needs scipy",
    "MelSpectrogram": "needs scipy",
}


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def as_list(value):
    return list(value) if isinstance(value, (list, tuple)) else list(value.values()) if isinstance(value, dict) else [value]


class Checker:
    def __init__(self, binary, folder, words):
        self.binary, self.folder, self.words = binary, folder, words
        self.table, self.failures, self.excused = {}, [], []

    def wanted(self, name):
        return not self.words or any(word in name for word in self.words)

    def convert(self, source, target, *options):
        result = subprocess.run([self.binary, "convert", str(source), str(target), "--overwrite", *options], capture_output=True, text=True)
        if result.returncode != 0:
            raise RuntimeError("nacre: " + (result.stderr.strip() or f"exit code {result.returncode}"))
        return result.stderr

    def compare(self, name, path, inputs, expected):
        """Keras opens the file and predicts from the inputs, or inputs(model) does; what differs is an error."""
        import keras
        import numpy as np

        model = keras.models.load_model(path, compile=False)
        got = inputs(model) if callable(inputs) else as_list(model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0))
        assert len(got) == len(expected), f"{len(got)} outputs instead of {len(expected)}"
        for a, b in zip(got, expected):
            a, b = np.asarray(a), np.asarray(b)
            assert a.shape == b.shape, f"shape {a.shape} instead of {b.shape}"
            if a.dtype.kind in "SUO":
                assert (a == b).all(), "texts differ"
            else:
                np.testing.assert_allclose(a.astype("float64"), b.astype("float64"), rtol=RELATIVE, atol=ABSOLUTE)

    def check(self, name, source, inputs, expected, own=None):
        """own(format) opens Keras's own file of the model: what Keras cannot do itself is not asked of nacre's file."""
        row = self.table.setdefault(name.rsplit("/", 1)[0] if own else name, {})
        for ending in FORMATS:
            target = self.folder / ("out" + ending)
            try:
                warnings = self.convert(source, target)
                self.compare(name, target, inputs, expected)
                outcome = "ok"
            except Exception as error:  # noqa: BLE001: every kind is reported
                reason = str(error).strip().replace("\n", " ")[:300]
                if own and not own(ending):
                    outcome = "Keras cannot"
                    self.excused.append(f"{name} {ending}: {reason}")
                elif "has no such layer" in locals().get("warnings", ""):
                    outcome = "no such layer"
                else:
                    outcome = "FAILED"
                    self.failures.append(f"{name} {ending}: {reason}")
            if row.get(ending) != "FAILED":
                row[ending] = outcome


def layer_cases(checker, goldens):
    import h5py
    import keras
    import numpy as np

    with h5py.File(goldens / "layers.h5") as file:
        for class_name in file:
            for case in file[class_name]:
                name = f"{class_name}/{case}"
                if not checker.wanted(name):
                    continue
                group = file[name]
                inputs = [group["inputs"][i][()] for i in sorted(group["inputs"], key=int)]
                try:
                    keras.backend.clear_session()
                    layer = keras.saving.deserialize_keras_object(json.loads(group.attrs["config"]))
                    symbols = [keras.Input(batch_shape=(None,) + x.shape[1:], dtype=x.dtype.name) for x in inputs]
                    spread = class_name in ("MultiHeadAttention", "GroupQueryAttention")
                    outputs = layer(*symbols) if spread else layer(symbols if len(symbols) > 1 else symbols[0])
                    model = keras.Model(symbols, outputs)
                    weights = [group["weights"][i][()] for i in sorted(group["weights"], key=int)] if "weights" in group else []
                    if weights:
                        layer.set_weights(weights)
                    expected = as_list(model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0))
                    source = checker.folder / "in.keras"
                    model.save(source)
                except Exception as error:  # noqa: BLE001
                    reason = KERAS_CANNOT.get(class_name)
                    (checker.excused if reason else checker.failures).append(f"{name}: Keras cannot make the model: {reason or str(error)[:200]}")
                    continue

                def own(ending, model=model, inputs=inputs, expected=expected):
                    try:
                        model.save(checker.folder / ("own" + ending))
                        checker.compare(name, checker.folder / ("own" + ending), inputs, expected)
                        return True
                    except Exception:  # noqa: BLE001
                        return False

                checker.check(name, source, inputs, expected, own)


# Layers that the goldens do not have: random ones, in inference, and those that learn tables from data.
PICTURE_LAYERS = {
    "RandomFlip": {}, "RandomRotation": {"factor": 0.1}, "RandomZoom": {"height_factor": 0.1}, "RandomCrop": {"height": 8, "width": 8},
    "RandomTranslation": {"height_factor": 0.1, "width_factor": 0.1}, "RandomContrast": {"factor": 0.2}, "RandomHue": {"factor": 0.2},
    "RandomBrightness": {"factor": 0.2}, "RandomSaturation": {"factor": 0.2}, "RandomSharpness": {"factor": 0.2}, "RandomInvert": {},
    "RandomColorDegeneration": {"factor": 0.2}, "RandomColorJitter": {}, "RandomGrayscale": {}, "RandomErasing": {},
    "RandomGaussianBlur": {}, "RandomPerspective": {}, "RandomShear": {}, "RandomElasticTransform": {}, "AutoContrast": {},
    "RandomPosterization": {"factor": 4}, "Solarization": {}, "RandAugment": {}, "AugMix": {}, "CutMix": {}, "MixUp": {},
    "Resizing": {"height": 6, "width": 5}, "CenterCrop": {"height": 6, "width": 5}, "MaxNumBoundingBoxes": {"max_number": 3},
    "ContrastLimitedAdaptiveHistogramEqualization": {}, "AdaptiveAveragePooling2D": {"output_size": 3},
    "AdaptiveMaxPooling2D": {"output_size": 3}, "SpatialDropout2D": {"rate": 0.2}, "AlphaDropout": {"rate": 0.2},
    "GaussianNoise": {"stddev": 0.2}, "GaussianDropout": {"rate": 0.2},
}  # fmt: skip


def table_layers():
    import keras
    import numpy as np

    layers, random = keras.layers, np.random.default_rng(5)
    texts, words = np.array(["a b c", "a d", "b b"]), np.array([["a", "b"], ["b", "c"]])
    numbers = random.standard_normal((9, 3)).astype("float32")
    return {
        "TextVectorization": (layers.TextVectorization(output_mode="tf_idf"), texts),
        "StringLookup": (layers.StringLookup(output_mode="tf_idf"), words),
        "IntegerLookup": (layers.IntegerLookup(output_mode="one_hot"), np.array([[3], [5], [9]])),
        "Normalization": (layers.Normalization(), numbers),
        "Discretization": (layers.Discretization(num_bins=3), numbers),
        "Hashing": (layers.Hashing(7), words),
        "CategoryEncoding": (layers.CategoryEncoding(4), np.array([[1], [3]])),
    }


def other_cases(checker):
    import keras
    import numpy as np
    import tensorflow

    pictures = np.random.default_rng(5).uniform(0, 255, (2, 12, 12, 3)).astype("float32")
    cases = {name: (getattr(keras.layers, name)(**config), pictures) for name, config in PICTURE_LAYERS.items()}
    cases.update(table_layers())
    for name, (layer, data) in cases.items():
        if not checker.wanted("others/" + name):
            continue
        if hasattr(layer, "adapt"):
            layer.adapt(data)
        model = keras.Sequential([keras.Input(data.shape[1:], dtype="string" if data.dtype.kind == "U" else data.dtype.name), layer])
        # Texts are no arrays for predict().
        run = lambda model, data=data: [np.asarray(model(tensorflow.constant(data), training=False))]  # noqa: E731
        expected = run(model)
        source = checker.folder / "in.keras"
        model.save(source)
        checker.check("others/" + name, source, run, expected)


def operation_cases(checker):
    """Functional models: arithmetic, slices and keras.ops between the layers, layers that models share."""
    import keras
    import numpy as np

    layers, ops = keras.layers, keras.ops

    def attention(x):
        y = layers.Dense(4)(x)
        return ops.mean(ops.matmul(ops.softmax(ops.matmul(y, ops.transpose(y, (0, 2, 1))) / 2.0), x), axis=1)

    cases = {
        "arithmetic": lambda x: layers.Dense(2)(layers.Flatten()(x * 2.0 + 1.0)),
        "slice": lambda x: ops.relu(x[:, 1:3] - 0.5),
        "concatenate": lambda x: layers.Dense(3)(ops.concatenate([x, ops.square(x)], axis=-1)),
        "where": lambda x: ops.where(x > 0, x, -0.1 * x),
        "ellipsis": lambda x: x[..., ::-1, None][:, 0] * 2 - x[:, 1:2, :, None],
        "constants": lambda x: ops.pad(3 - x, ((0, 0), (1, 0), (0, 2)), constant_values=1) @ np.ones((6, 2), "float32"),
        "lists": lambda x: ops.select([x > 1, x < 0], [x, ops.exp(x)], 0.5),
        "outputs": lambda x: ops.concatenate([ops.top_k(x, 2)[0], ops.split(x, 2, axis=-1)[1]], axis=1),
        "attention": attention,
    }
    # A layer of two models. Keras cannot open its own file of this.
    shared = layers.Dense(4)
    inner_source = keras.Input((5, 4))
    inner = keras.Model(inner_source, shared(inner_source))
    cases["shared"] = lambda x: layers.Add()([inner(x), shared(x)])
    data = np.random.default_rng(5).standard_normal((3, 5, 4)).astype("float32")
    for name, build in cases.items():
        if not checker.wanted("operations/" + name):
            continue
        source = keras.Input((5, 4))
        model = keras.Model(source, build(source))
        expected = [model.predict(data, verbose=0)]
        model.save(checker.folder / "in.keras")
        checker.check("operations/" + name, checker.folder / "in.keras", [data], expected)


def model_cases(checker, goldens):
    import h5py

    for path in sorted((goldens / "models").glob("*")):
        if path.name.endswith((".io.h5", ".weights.h5")) or not checker.wanted("models/" + path.name):
            continue
        with h5py.File(path.with_suffix(".io.h5")) as io:
            inputs = [io["inputs"][i][()] for i in sorted(io["inputs"], key=int)]
            expected = [io["outputs"][i][()] for i in sorted(io["outputs"], key=int)]
        checker.check("models/" + path.name, path, inputs, expected)
        if path.suffix == ".keras":  # its weights alone, with the architecture
            name = f"models/{path.stem}.weights.h5"
            checker.convert(path, checker.folder / "a.json")
            checker.convert(checker.folder / "a.json", checker.folder / "whole.keras", "--weights", str(path.with_suffix("")) + ".weights.h5")
            checker.check(name, checker.folder / "whole.keras", inputs, expected)


def quantized_cases(checker):
    """Models that quantize() and enable_lora() changed, as floating ones."""
    import h5py

    folder = Path(__file__).resolve().parents[1] / "golden" / "quantized"
    for io_path in sorted(folder.glob("*.io.h5")):
        name = io_path.name.removesuffix(".io.h5")
        sources = [folder / (name + ending) for ending in FORMATS if (folder / (name + ending)).exists()]
        if not sources or name == "awq_without_zeros" or not checker.wanted("quantized/" + name):
            continue
        with h5py.File(io_path) as io:
            inputs, expected = ([io[kind][i][()] for i in sorted(io[kind], key=int)] for kind in ("inputs", "exact"))
        checker.check("quantized/" + name, sources[0], inputs, expected)


def collected_cases(checker, folder):
    """Files of all vintages: what nacre makes of them is what it predicts itself, in the meaning of their own Keras."""
    import numpy as np

    for path in sorted(folder.rglob("*.npz")):
        name = str(path.relative_to(folder).with_suffix(""))
        sources = [path.with_suffix(ending) for ending in (".h5", ".hdf5", ".keras") if path.with_suffix(ending).exists()]
        if not sources or not checker.wanted(name):
            continue
        arrays = np.load(path)
        inputs = [arrays[f"in_{i}"] for i in range(len(arrays.files)) if f"in_{i}" in arrays.files]
        summary = subprocess.run([checker.binary, "summary", str(sources[0]), "--json"], capture_output=True, text=True)
        if summary.returncode != 0:
            checker.failures.append(f"{name}: {summary.stderr.strip()[:200]}")
            continue
        summary = json.loads(summary.stdout)
        if "weights" in summary:  # without a model
            continue
        # Some were recorded with more axes of samples than one, which Keras 3 does not take for the shape in the file.
        inputs = [array.reshape(-1, *array.shape[array.ndim - len(port["shape"]) + 1:]) for port, array in zip(summary["inputs"], inputs)]
        words = []
        for port, array in zip(summary["inputs"], inputs):
            file = checker.folder / f"{len(words)}.npy"
            np.save(file, array)
            words.append(f"{port['name']}={file}")
        result = checker.folder / "expected.npz"
        answer = subprocess.run([checker.binary, "predict", str(sources[0]), *words, "-o", str(result)], capture_output=True, text=True)
        if answer.returncode != 0:
            checker.failures.append(f"{name}: nacre does not predict from these inputs: {answer.stderr.strip()[:200]}")
            continue
        outputs = np.load(result)
        checker.check(name, sources[0], inputs, [outputs[port["name"]] for port in summary["outputs"]])


def main():
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    python = os.environ.get("NACRE_KERAS_PYTHON", sys.executable)
    quiet = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="", NACRE_KERAS_PYTHON=python)
    if Path(python).resolve() != Path(sys.executable).resolve() or os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3":
        if subprocess.run([python, "-c", "import keras, h5py"], env=quiet, capture_output=True).returncode != 0:
            skip(f"{python} has no Keras; set NACRE_KERAS_PYTHON to one that has")
        sys.exit(subprocess.run([python, __file__, *sys.argv[1:]], env=quiet).returncode)
    binary = os.environ.get("NACRE_BINARY", "")
    if not binary:
        skip("NACRE_BINARY does not name the binary nacre")
    shared = Path(os.environ.get("NACRE_SHARED", Path(__file__).resolve().parents[2].parent / "shared"))
    goldens = Path(os.environ.get("NACRE_GOLDENS", shared / "goldens"))
    if not goldens.exists():
        skip(f"there are no goldens at {goldens}")
    with tempfile.TemporaryDirectory() as folder:
        checker = Checker(binary, Path(folder), words)
        layer_cases(checker, goldens)
        other_cases(checker)
        operation_cases(checker)
        model_cases(checker, goldens)
        quantized_cases(checker)
        if (shared / "keras-models").exists():
            collected_cases(checker, shared / "keras-models")
    if "--table" in sys.argv:
        for name, row in checker.table.items():
            print(f"{name:60}", *(f"{row.get(ending, ''):14}" for ending in FORMATS))
    for line in checker.excused:
        print("excused:", line)
    for line in checker.failures:
        print("FAILED:", line)
    print(f"{len(checker.table)} classes and models, {len(checker.failures)} failures")
    sys.exit(1 if checker.failures else 0)


if __name__ == "__main__":
    main()
