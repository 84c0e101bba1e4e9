#!/usr/bin/env python3
"""Models of texts and tables between Keras and nacre: what Keras learned by adapt() nacre predicts with and hands back in
.keras and .h5, and what nacre learned from its training data Keras opens.

Skipped (77) without Keras or nacre. The interpreter that has Keras is $NACRE_KERAS_PYTHON, else the one that runs this file.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

EXPERIMENT = """
name: texts
data: {train: {csv: {file: reviews.csv, text: review, target: label}}}
model:
  sequential:
    - Input: {shape: [], dtype: string, name: review}
    - TextVectorization: {max_tokens: 20, ngrams: 2, output_mode: tf_idf, pad_to_max_tokens: true}
    - Dense: {units: 2, activation: softmax}
train: {optimizer: adam, loss: sparse_categorical_crossentropy, epochs: 2}
"""
REVIEWS = ["great film", "awful film", "great great story", "awful été", "", "a great film"]


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def nacre(folder, *words):
    result = subprocess.run([os.environ["NACRE_BINARY"], *map(str, words)], cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def keras_model(keras, np):
    """Every layer that learns, behind one dense layer."""
    layers = keras.layers
    text = keras.Input((1,), dtype="string", name="text")
    numbers = keras.Input((3,), name="numbers")
    category = keras.Input((1,), dtype="int64", name="category")
    words = layers.TextVectorization(max_tokens=20, output_sequence_length=5)
    words.adapt(np.array(["the cat sat", "the dog été", "a cat"]))
    normal = layers.Normalization()
    normal.adapt(np.arange(12, dtype="float32").reshape(4, 3) ** 2)
    lookup = layers.IntegerLookup(output_mode="one_hot", num_oov_indices=2, mask_token=0)
    lookup.adapt(np.array([5, 7, 7, 9]))
    weighed = layers.StringLookup(output_mode="tf_idf", max_tokens=8, pad_to_max_tokens=False)
    weighed.adapt(np.array([["a"], ["b"], ["a"]]))
    bins = layers.Discretization(num_bins=4, output_mode="multi_hot")
    bins.adapt(np.arange(20.0))
    parts = [layers.GlobalAveragePooling1D()(layers.Embedding(20, 4)(words(text))), normal(numbers), lookup(category),
             layers.Hashing(6, output_mode="one_hot", salt=3)(category), weighed(text), bins(numbers)]
    return keras.Model([text, numbers, category], layers.Dense(3)(layers.Concatenate()(parts)))


def main():
    if not os.environ.get("NACRE_BINARY"):
        skip("$NACRE_BINARY does not name nacre")
    if python := os.environ.pop("NACRE_KERAS_PYTHON", None):
        os.execvp(python, [python, __file__])
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
    try:
        import keras
        import numpy as np
        import tensorflow as tf
    except ImportError as error:
        skip(error)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = keras_model(keras, np)
        texts = ["the cat été", "a", "b dog"]
        inputs = [tf.constant([[t] for t in texts]), np.array([[1.0, 9, 30], [2, 2, 2], [0, -5, 77]], "float32"), np.array([[5], [0], [1]])]
        expected = model.predict(inputs, verbose=0)
        (folder / "text.txt").write_text("\n".join(texts) + "\n")
        np.save(folder / "numbers.npy", inputs[1])
        np.save(folder / "category.npy", inputs[2])
        model.save(folder / "keras.keras")
        got = json.loads(nacre(folder, "predict", "keras.keras", "text=text.txt", "numbers=numbers.npy", "category=category.npy"))
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
        for target in ("nacre.keras", "nacre.h5"):
            nacre(folder, "convert", "keras.keras", target)
            again = keras.models.load_model(folder / target, compile=False)
            np.testing.assert_allclose(again.predict(inputs, verbose=0), expected, rtol=1e-4, atol=1e-5, err_msg=target)
            print(target, "predicts in Keras what it did before")

        rows = "".join(f'"{text}",{"good" if "great" in text else "bad"}\n' for text in REVIEWS)
        (folder / "reviews.csv").write_text("review,label\n" + rows)
        (folder / "texts.yaml").write_text(EXPERIMENT)
        (folder / "reviews.txt").write_text("\n".join(REVIEWS) + "\n")
        nacre(folder, "train", "texts.yaml", "--output", "run")
        expected = json.loads(nacre(folder, "predict", "run/model.h5", "reviews.txt"))
        nacre(folder, "convert", "run/model.h5", "trained.keras")
        for target in ("run/model.h5", "trained.keras"):
            trained = keras.models.load_model(folder / target, compile=False)
            np.testing.assert_allclose(trained.predict(tf.constant(REVIEWS), verbose=0), expected, rtol=1e-4, atol=1e-5, err_msg=target)
            print(target, "predicts in Keras what it does in nacre")


if __name__ == "__main__":
    main()
