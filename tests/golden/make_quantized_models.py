"""Writes quantized/NAME.keras, NAME.weights.h5 or NAME.h5: models whose weights Keras quantised, or that have LoRAs or maps of
dtype policies; and NAME.io.h5: inputs, what Keras predicts ("outputs"), and what it predicts without rounding the inputs
of its layers ("exact")."""
import os
import sys
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import h5py
import keras
import numpy as np
from keras import layers as L
from keras.dtype_policies import DTypePolicyMap, QuantizedFloat8DTypePolicy
from keras.quantizers import Int4QuantizationConfig, Int8QuantizationConfig

rng = np.random.default_rng(11)


def fill(model):
    for weight in model.weights:
        weight.assign(0.7 * rng.standard_normal(weight.shape))


def whole():
    """All kinds of layers that quantize() changes, with axes in every order and an odd number of columns."""
    tokens = keras.Input((4,), dtype="int32", name="tokens")
    tied = L.ReversibleEmbedding(7, 5, name="tied")
    untied = L.ReversibleEmbedding(7, 5, tie_weights=False, logit_soft_cap=3.0, name="untied")
    x = L.Add(name="sum")([L.Embedding(7, 5, name="table")(tokens), tied(tokens), untied(tokens)])
    x = L.MultiHeadAttention(2, 3, name="heads")(x, x)
    back = [tied(x, reverse=True), untied(x, reverse=True)]
    x = L.EinsumDense("abc,cde->abed", (4, 3, 2), bias_axes="ed", activation="tanh", name="swapped")(x)
    x = L.EinsumDense("abed,fed->abf", (4, 5), name="summed_last")(x)
    x = L.EinsumDense("abc,cd->abd", (4, 3), bias_axes="d", name="plain")(x)
    x = L.Dense(5, activation="relu", name="hidden")(x)
    x = L.Dense(3, name="narrow")(x)
    return keras.Model(tokens, [L.Dense(1, use_bias=False, name="score")(L.Flatten(name="flat")(x))] + back)


def small():
    """A model within a model, and one within that."""
    inner = keras.Sequential([keras.Input((4,)), L.Dense(3, activation="relu", name="first"), L.Dense(1, name="second")], name="inner")
    x = keras.Input((4,), name="x")
    return keras.Model(x, L.Dense(2, name="last")(inner(x)))


def quantized(model, mode, **options):
    fill(model)
    kind = {"int8": Int8QuantizationConfig, "int4": Int4QuantizationConfig}[mode]
    model.quantize(mode, config=kind(**options))
    return model


def float8():
    policy = QuantizedFloat8DTypePolicy("float8", "float32", amax_history_length=2)
    x = keras.Input((4, 3), name="x")
    y = L.EinsumDense("abc,cd->abd", (4, 5), bias_axes="d", dtype=policy, name="einsum")(x)
    model = keras.Model(x, L.Dense(2, use_bias=False, dtype=policy, name="dense")(y))
    fill(model)
    for layer in model.layers[1:]:  # of numbers around 1; and a bias that bfloat16 holds
        layer.inputs_scale.assign(0.02), layer.kernel_scale.assign(0.01)
    model.layers[1].bias.assign([0.5, -0.25, 1, 2, -1.5])
    return model


def calibrated(policy):
    """What GPTQ and AWQ leave in a file, of any numbers."""
    x = keras.Input((4, 6), name="x")
    y = L.EinsumDense("abc,cde->abde", (4, 3, 2), bias_axes="e", dtype=policy, name="einsum")(x)
    y = L.Reshape((4, 6), name="flat")(y)
    model = keras.Model(x, L.Dense(5, activation="tanh", dtype=policy, name="dense")(y))
    limit = 16 if "/4/" in policy else 256 if "/8/" in policy else 4
    for layer in (model.get_layer("einsum"), model.get_layer("dense")):
        layer.is_gptq_calibrated, layer.is_awq_calibrated = policy.startswith("gptq"), policy.startswith("awq")
        values = rng.integers(0, limit, (layer.kernel_scale.shape[0], 6)).astype("uint8")
        if limit == 16:
            values = keras.quantizers.pack_int4(values, axis=0, dtype="uint8")[0]
        layer.quantized_kernel.assign(values)
        layer.kernel_scale.assign(rng.uniform(0.5, 1, layer.kernel_scale.shape) / limit)
        layer.kernel_zero.assign(rng.integers(0, limit, layer.kernel_zero.shape))
        layer.g_idx.assign(rng.permutation(np.arange(6) // 2) if layer.kernel_scale.shape[1] > 1 else np.zeros(6))
        layer.bias.assign(rng.standard_normal(layer.bias.shape))
        if policy.startswith("awq"):
            layer.awq_scales.assign(rng.uniform(0.5, 2, 6))
    return model


def lora(mode=None):
    x = keras.Input((6, 5, 2), name="x")
    y = L.Conv2D(3, 2, name="conv")(x)
    y = L.Reshape((20, 3), name="flat")(y)
    y = L.MultiHeadAttention(1, 2, name="heads")(y, y)
    y = keras.Sequential([keras.Input((20, 3)), L.Dense(4, name="dense")], name="inner")(y)
    y = L.EinsumDense("abc,cde->abde", (20, 2, 3), bias_axes="de", name="einsum")(y)
    model = keras.Model(x, y)
    fill(model)
    dense, einsum = model.get_layer("inner").layers[0], model.get_layer("einsum")
    if mode:
        dense.quantize(mode), einsum.quantize(mode)
    model.get_layer("conv").enable_lora(2)
    model.get_layer("heads").query_dense.enable_lora(1)
    dense.enable_lora(2, lora_alpha=3), einsum.enable_lora(1, lora_alpha=0.5)
    for weight in model.weights:
        if "lora" in weight.name:
            weight.assign(0.7 * rng.standard_normal(weight.shape))
    return model


def lora_table():
    tokens = keras.Input((3,), dtype="int32", name="tokens")
    model = keras.Sequential([tokens, L.Embedding(7, 4, name="table")], name="texts")
    fill(model)
    model.layers[0].enable_lora(2, lora_alpha=5)
    fill(model)
    return model


def policies():
    policy = DTypePolicyMap("float32", {"inner/d.*": keras.DTypePolicy("mixed_bfloat16"), "heads/query": keras.dtype_policies.get("int8_from_float32")})
    x = keras.Input((4, 3), name="x")
    y = L.MultiHeadAttention(1, 2, dtype=policy, name="heads")(x, x)
    y = keras.Sequential([keras.Input((4, 3)), L.Dense(4, dtype=policy, name="dense_7")], name="inner")(y)
    return keras.Model(x, L.Dense(2, dtype=policy, name="dense")(y))


def without_rounding(model, data):
    """Of the inputs; weights stay as they are."""
    layers = [layer for layer in model._flatten_layers() if getattr(layer, "inputs_quantizer", None)]
    kept = [layer.inputs_quantizer for layer in layers]
    for layer in layers:
        layer.inputs_quantizer = None
    model.make_predict_function(force=True)
    outputs = model.predict(data, verbose=0)
    for layer, quantizer in zip(layers, kept):
        layer.inputs_quantizer = quantizer
    model.make_predict_function(force=True)
    return outputs


def exact_of_float8(model, data):
    """With a float32 model that has the same weights."""
    y = np.einsum("abc,cd->abd", data, model.layers[1].kernel.numpy()) + model.layers[1].bias.numpy()
    return y @ model.layers[2].kernel.numpy()


def pack(path):
    """The same archive, deflated."""
    with zipfile.ZipFile(path) as archive:
        files = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    models = {
        "int8": (".keras", lambda: quantized(whole(), "int8")),
        "int4": (".keras", lambda: quantized(whole(), "int4", block_size=2)),
        "int4_channels": (".keras", lambda: quantized(whole(), "int4", block_size=-1)),
        "small_int8": (".weights.h5", lambda: quantized(small(), "int8")),
        "small_int4": (".h5", lambda: quantized(small(), "int4", block_size=None)),
        "float8": (".keras", float8),
        "gptq4": (".h5", lambda: calibrated("gptq/4/2_from_float32")),
        "gptq8": (".h5", lambda: calibrated("gptq/8/-1_from_float32")),
        "gptq2": (".h5", lambda: calibrated("gptq/2/2_from_float32")),
        "awq": (".h5", lambda: calibrated("awq/4/2_from_float32")),
        "awq_without_zeros": (".keras", lambda: calibrated("awq/4/2_from_float32")),  # Keras 3.15 leaves them out
        "lora": (".h5", lora),
        "lora_int8": (".h5", lambda: lora("int8")),
        "lora_table": (".h5", lora_table),
        "lora_merged": (".keras", lora),
        "policies": (".h5", policies),
    }
    for name, (extension, make) in models.items():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        keras.backend.clear_session()
        model = make()
        if name == "policies":
            fill_float = [weight for weight in model.weights if weight.dtype == "float32" and "scale" not in weight.name]
            for weight in fill_float:
                weight.assign(0.7 * rng.standard_normal(weight.shape))
            query = model.get_layer("heads").query_dense
            query._kernel.assign(rng.integers(-127, 128, query._kernel.shape).astype("int8"))
            query.kernel_scale.assign(rng.uniform(100, 200, query.kernel_scale.shape))
        (tensor,) = model.inputs
        shape = tuple(3 if size is None else size for size in tensor.shape)
        data = rng.integers(0, 7, shape).astype("int32") if tensor.dtype == "int32" else rng.standard_normal(shape).astype("float32")
        outputs = model.predict(data, verbose=0)
        exact = exact_of_float8(model, data) if name == "float8" else without_rounding(model, data)
        path = f"{sys.argv[1]}/{name}{extension}"
        (model.save_weights if extension == ".weights.h5" else model.save)(path)
        if extension == ".keras":
            pack(path)
        with h5py.File(f"{sys.argv[1]}/{name}.io.h5", "w") as file:
            file["inputs/0"] = data
            for kind, values in (("outputs", outputs), ("exact", exact)):
                for i, value in enumerate(values if isinstance(values, list) else [values]):
                    file[f"{kind}/{i}"] = np.asarray(value, "float32")
        off = max(np.abs(np.asarray(a, "float32") - np.asarray(b, "float32")).max() for a, b in zip(
            outputs if isinstance(outputs, list) else [outputs], exact if isinstance(exact, list) else [exact]))
        print(name, os.path.getsize(path), f"{off:.3g}")
