"""Writes quantized/float8_training.keras, a model under float8 policies, and float8_training.io.h5: inputs, targets, and of some
optimizers the losses of five steps, the weights after them and what the model predicts then; and rounded.h5: what ml_dtypes
rounds numbers to."""
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import h5py
import keras
import ml_dtypes
import numpy as np
from keras import layers as L
from keras.dtype_policies import QuantizedFloat8DTypePolicy

rng = np.random.default_rng(5)
folder = os.path.join(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(__file__), "quantized")


def policy(length):
    return QuantizedFloat8DTypePolicy("float8", "float32", amax_history_length=length)


def model():
    x = keras.Input((4, 3), name="x")
    y = L.EinsumDense("abc,cd->abd", (4, 5), bias_axes="d", activation="tanh", dtype=policy(3), name="einsum")(x)
    y = L.Flatten(name="flat")(y)
    y = L.Dense(6, activation="relu", dtype=policy(1), name="hidden")(y)
    return keras.Model(x, L.Dense(2, dtype="float8_from_float32", name="last")(y))


net = model()
for weight in net.weights:
    if "scale" not in weight.name and "amax" not in weight.name:
        weight.assign(0.7 * rng.standard_normal(weight.shape))
net.save(os.path.join(folder, "float8_training.keras"))
start = net.get_weights()
inputs = rng.standard_normal((5, 8, 4, 3)).astype("float32")
targets = rng.standard_normal((5, 8, 2)).astype("float32")
optimizers = {
    "sgd": lambda: keras.optimizers.SGD(0.05),
    "adam": lambda: keras.optimizers.Adam(0.01, global_clipnorm=1.0, weight_decay=0.01, use_ema=True, ema_momentum=0.9),
    "accumulated": lambda: keras.optimizers.SGD(0.05, momentum=0.9, gradient_accumulation_steps=2),
}
with h5py.File(os.path.join(folder, "float8_training.io.h5"), "w") as file:
    file["inputs"], file["targets"] = inputs, targets
    for name, make in optimizers.items():
        net.set_weights(start)
        net.compile(optimizer=make(), loss="mse")
        losses = []
        for x, y in zip(inputs, targets):
            net.reset_metrics()
            losses.append(net.train_on_batch(x, y))
        group = file.create_group(name)
        group["losses"] = np.array(losses, "float32")
        for index, weight in enumerate(net.get_weights()):
            group[f"weights/{index:02}"] = weight
        group["predicted"] = net.predict_on_batch(inputs[0])

    # Every number of the formats, what lies half way between neighbours and close to that, and what is beyond.
    for dtype in ("float8_e4m3fn", "float8_e5m2"):
        numbers = np.arange(256, dtype="uint8").view(dtype).astype("float32")
        numbers = np.sort(numbers[np.isfinite(numbers)])
        middles = (numbers[1:] + numbers[:-1]) / 2
        x = np.concatenate([numbers, middles, np.nextafter(middles, np.float32(np.inf)), np.nextafter(middles, np.float32(-np.inf)),
                            rng.standard_normal(500).astype("float32"), np.array([1e6, -1e6, 1e30, -1e30], "float32")])
        most = float(ml_dtypes.finfo(dtype).max)
        file[f"{dtype}/x"] = x
        file[f"{dtype}/rounded"] = np.clip(x, -most, most).astype(dtype).astype("float32")
