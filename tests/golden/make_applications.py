#!/usr/bin/env python3
"""Writes tests/golden/applications: what Keras Applications are made of, one text file per case.

The first line is the model as nacre names it with its arguments, and the number of all parameters and of the trainable
ones; then comes a line per operation of the model, in Keras's order: name, class, parameters, output shape; layers of a stack
in it follow its line. Of operations that are no layers the class is that of keras.ops. Arguments choose cases by a part
of their name.
"""
import gzip
import math
import os
import sys
from pathlib import Path
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import keras  # noqa: E402

LONG = 20_000  # bytes of a text that is kept gzipped

# Beside every application as it is by default: widths, depths and sizes, models without their top, as published.
CASES = {
    "VGG16": [dict(include_top=False, pooling="avg", input_shape=(64, 64, 3)), dict(classes=10, input_shape=(48, 32, 1))],
    "VGG19": [dict(include_top=False)],
    "ResNet50": [dict(include_top=False, pooling="max", input_shape=(97, 64, 3)), dict(classes=10, classifier_activation=None)],
    "ResNet50V2": [dict(include_top=False, pooling="avg"), dict(classes=7, input_shape=(75, 96, 3))],
    "MobileNet": [
        dict(alpha=0.25, input_shape=(128, 128, 3), classes=10, depth_multiplier=2, dropout=0.2),
        dict(include_top=False, pooling="max"),
        dict(alpha=0.75, include_top=False, input_shape=(99, 70, 3)),
    ],
    "MobileNetV2": [
        dict(alpha=0.35, input_shape=(96, 96, 3)),
        dict(alpha=1.4, classes=10),
        dict(include_top=False, pooling="avg", input_shape=(100, 75, 3)),
        dict(alpha=0.5, include_top=False),
    ],
    "MobileNetV3Small": [
        dict(minimalistic=True, classes=10),
        dict(alpha=0.75, include_preprocessing=False, input_shape=(96, 96, 3)),
        dict(include_top=False, pooling="avg", input_shape=(75, 100, 3)),
        dict(alpha=1.5, dropout_rate=0, classifier_activation=None),
    ],
    "MobileNetV3Large": [dict(minimalistic=True, include_top=False), dict(alpha=0.75, classes=10, input_shape=(97, 64, 3))],
    "DenseNet121": [dict(include_top=False, pooling="avg", input_shape=(64, 96, 3)), dict(classes=10, input_shape=(32, 32, 3))],
    "DenseNet169": [dict(include_top=False, pooling="max")],
    "Xception": [dict(include_top=False, pooling="avg", input_shape=(71, 75, 3)), dict(classes=10, input_shape=(128, 128, 3))],
    "InceptionV3": [dict(include_top=False, pooling="max", input_shape=(75, 80, 3)), dict(classes=10)],
    "InceptionResNetV2": [dict(include_top=False, pooling="avg", input_shape=(75, 76, 3))],
    "EfficientNetB0": [
        dict(weights="imagenet"),
        dict(include_top=False, pooling="avg", input_shape=(65, 90, 3)),
        dict(include_top=False),
        dict(classes=10, input_shape=(32, 32, 1)),
    ],
    "EfficientNetB3": [dict(include_top=False, pooling="max", weights="imagenet")],
    "EfficientNetV2B0": [
        dict(weights="imagenet", include_top=False, pooling="avg"),
        dict(include_preprocessing=False, input_shape=(65, 90, 3), classes=10),
    ],
    "EfficientNetV2S": [dict(include_top=False, pooling="max", include_preprocessing=False, input_shape=(32, 32, 1))],
    "NASNetMobile": [dict(include_top=False, pooling="avg", input_shape=(75, 64, 3)), dict(classes=10)],
    "ConvNeXtTiny": [
        dict(include_top=False, pooling="avg"),
        dict(include_preprocessing=False, classes=10, input_shape=(64, 70, 3)),
        dict(input_shape=(32, 32, 1), classes=10, classifier_activation=None),
    ],
    "ConvNeXtBase": [dict(include_top=False, input_shape=(64, 64, 3))],
}


def text_of(value):
    """As in a reference: input_shape=96,96,3."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def reference(name, arguments):
    words = "&".join(f"{key}={text_of(value)}" for key, value in arguments.items())
    return name.lower() + ("?" + words if words else "")


def listing(name, arguments):
    keras.backend.clear_session()
    # The published weights are not wanted, only the graph that they belong to.
    with mock.patch("keras.src.utils.file_utils.get_file", return_value=""), mock.patch("keras.Model.load_weights"):
        model = getattr(keras.applications, name)(**{"weights": None, **arguments})
    trainable = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    lines = [f"{reference(name, arguments)} {model.count_params()} {trainable}"]
    lines += [line for operation in model.operations for line in lines_of(operation)]
    return "\n".join(lines) + "\n"


def lines_of(operation, path=""):
    parameters = operation.count_params() if isinstance(operation, keras.layers.Layer) else 0
    yield f"{path}{operation.name} {type(operation).__name__} {parameters} {shape_text(operation.output.shape)}"
    if isinstance(operation, keras.Sequential):
        for layer in operation.layers:
            yield from lines_of(layer, f"{path}{operation.name}/")


def shape_text(shape):
    return "(" + ", ".join(map(str, shape)) + ")"


def main():
    words = sys.argv[1:]
    folder = Path(__file__).resolve().parent / "applications"
    folder.mkdir(exist_ok=True)
    for name in sorted(name for name in dir(keras.applications) if callable(getattr(keras.applications, name))):
        for number, arguments in enumerate([{}, *CASES.get(name, [])]):
            if words and not any(word in name.lower() for word in words):
                continue
            file = folder / (name.lower() + (f"_{number}" if number else "") + ".txt")
            text = listing(name, arguments).encode()
            if len(text) > LONG:
                file = file.with_suffix(".txt.gz")
            file.write_bytes(gzip.compress(text, mtime=0) if len(text) > LONG else text)
            print(file.name, flush=True)


if __name__ == "__main__":
    main()
