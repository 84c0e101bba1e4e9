"""Writes calls.h5: what Keras (and KerasHub, where its package is installed) computes for calls with masks, named
arguments and options, which layers.h5 has not. The layout is that of layers.h5, and in addition
  options          attribute: JSON of the arguments that are no tensors
  named/NAME       tensors given by name
  masks/i          the mask that comes with input i
  masked           attribute: whether one comes with the first output
"""
import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import h5py
import keras
import numpy as np
import tensorflow as tf
from keras import layers as L
from keras.src import backend

rng = np.random.default_rng(7)


def real(*shape):
    return rng.standard_normal(shape).astype("float32")


def mask(*rows):
    return np.array(rows, dtype=bool)


def causal(n, m):
    return np.tril(np.ones((n, m), dtype=bool))


def call(layer, spread, inputs, named, masks, options):
    tensors = list(inputs)
    for i, m in masks.items():
        backend.set_keras_mask(tensors[i], tf.constant(m))
    args = tensors if spread else [tensors if len(tensors) > 1 else tensors[0]]
    out = layer(*args, **named, **options)
    return list(out) if isinstance(out, (list, tuple)) else [out]


def case(file, counts, layer, inputs, named=None, masks=None, options=None, spread=True):
    named, masks, options = named or {}, masks or {}, options or {}
    name = type(layer).__name__
    name = "GroupQueryAttention" if name == "GroupedQueryAttention" else name
    group = file.create_group(f"{name}/{counts.setdefault(name, 0)}")
    counts[name] += 1
    xs = [tf.constant(x) for x in inputs]
    tensors = {k: tf.constant(v) for k, v in named.items()}
    call(layer, spread, xs, tensors, masks, options)
    for variable in layer.weights:
        variable.assign(0.5 * rng.standard_normal(variable.shape))
    xs = [tf.constant(x) for x in inputs]
    with tf.GradientTape() as tape:
        tape.watch(xs)
        outputs = call(layer, spread, xs, tensors, masks, options)
        cotangents = [rng.standard_normal(o.shape).astype("float32") for o in outputs]
        total = sum(tf.reduce_sum(tf.cast(o, "float32") * c) for o, c in zip(outputs, cotangents))
    floats = [x for x in xs if x.dtype.is_floating]
    grad_inputs, grad_weights = tape.gradient(total, [floats, [w.value for w in layer.weights]])
    group.attrs["config"] = json.dumps(keras.saving.serialize_keras_object(layer))
    group.attrs["options"] = json.dumps(options)
    group.attrs["train"] = 0
    group.attrs["masked"] = int(backend.get_keras_mask(outputs[0]) is not None)

    def put(key, values):
        for i, value in enumerate(values):
            if value is not None:
                group[f"{key}/{i}"] = np.asarray(value)

    put("inputs", inputs)
    for key, value in named.items():
        group[f"named/{key}"] = value
    for i, m in masks.items():
        group[f"masks/{i}"] = m
    put("weights", [w.numpy() for w in layer.weights])
    for i, weight in enumerate(layer.weights):
        group[f"weights/{i}"].attrs["path"] = weight.path
    put("output", outputs)
    put("cotangent", cotangents)
    put("grad_inputs", [np.zeros(x.shape, "float32") if g is None else tf.convert_to_tensor(g)
                        for g, x in zip(grad_inputs, floats)])
    put("grad_weights", [np.zeros(w.shape, "float32") if g is None else tf.convert_to_tensor(g)
                         for g, w in zip(grad_weights, layer.weights)])


def attention(add):
    q, v, k = real(2, 3, 4), real(2, 5, 4), real(2, 5, 4)
    qm, vm = mask([1, 1, 0], [1, 1, 1]), mask([1, 1, 1, 0, 0], [0, 1, 1, 1, 1])
    for layer in (lambda: L.Attention(), lambda: L.Attention(use_scale=True),
                  lambda: L.Attention(use_scale=True, score_mode="concat"),
                  lambda: L.AdditiveAttention(), lambda: L.AdditiveAttention(use_scale=False)):
        add(layer(), [q, v, k], masks={0: qm, 1: vm}, spread=False, options={"return_attention_scores": True})
        add(layer(), [q, v], masks={1: vm}, spread=False, options={"use_causal_mask": True})
        add(layer(), [q, v, real(2, 5, 4)], spread=False)
    add(L.Attention(), [q, v], masks={1: mask([0] * 5, [1] * 5)}, spread=False)  # a sample without any key
    add(L.Attention(), [real(2, 2, 3, 4), real(2, 2, 5, 4)], spread=False, options={"use_causal_mask": True})
    add(L.Attention(), [q, real(2, 5, 6), k], spread=False)


def multi_head(add):
    q, v, k = real(2, 3, 4), real(2, 5, 6), real(2, 5, 7)
    qm, vm, km = mask([1, 1, 0], [1, 1, 1]), mask([1, 1, 1, 0, 0], [0, 1, 1, 1, 1]), mask([1, 1, 1, 1, 0], [1] * 5)
    am = rng.random((2, 3, 5)) < 0.6
    am[0, 0] = False  # a query without any key
    M = L.MultiHeadAttention
    for dropout in (0.0, 0.3):  # Keras computes both differently
        add(M(2, 3, dropout=dropout), [q, v])
        add(M(2, 3, value_dim=5, output_shape=[2, 3], dropout=dropout), [q, v, k], masks={0: qm, 1: vm, 2: km})
        add(M(2, 3, dropout=dropout), [q, v], named={"attention_mask": am})
        add(M(2, 3, dropout=dropout), [q, q], masks={0: qm}, options={"use_causal_mask": True})
        add(M(2, 3, use_gate=True, sliding_window=2, dropout=dropout), [v, v], options={"use_causal_mask": True})
        add(M(1, 4, use_bias=False, sliding_window=1, dropout=dropout), [v, v], named={"value_mask": vm})
        add(M(2, 3, dropout=dropout), [q, v], named={"query_mask": qm})
        add(M(3, 2, output_shape=5, dropout=dropout), [q, v], named={"key_mask": vm, "attention_mask": am.astype("int32")})
    add(M(2, 3), [q, v, k], options={"return_attention_scores": True})
    add(M(2, 3), [q, v], named={"attention_mask": am}, options={"return_attention_scores": True}, masks={0: qm})
    add(M(2, 3), [q, v], named={"attention_mask": rng.random((2, 2, 3, 5)) < 0.5})
    add(M(2, 3), [q, v], named={"attention_mask": rng.random((3, 5)) < 0.5})
    image, other = real(2, 3, 4, 5), real(2, 3, 4, 6)
    for axes in (None, 1, 2, (1, 2), (2, 1), -2):
        add(M(2, 3, attention_axes=axes), [image, other], options={"return_attention_scores": True})
    add(M(2, 3, attention_axes=2), [real(2, 3, 2, 5), real(2, 3, 4, 6)], named={"attention_mask": rng.random((2, 3, 2, 4)) < 0.5})
    add(M(2, 3, attention_axes=(1, 2), output_shape=[2, 2], use_gate=True), [real(2, 3, 2, 5), other],
        named={"attention_mask": rng.random((2, 3, 2, 3, 4)) < 0.5})
    add(M(2, 3, attention_axes=1), [image, image], options={"use_causal_mask": True})
    G = L.GroupQueryAttention
    for dropout in (0.0, 0.3):
        add(G(3, 4, 2, dropout=dropout), [q, v], masks={0: qm, 1: vm})
        add(G(3, 4, 1, dropout=dropout, use_gate=True), [q, v, k], named={"attention_mask": am, "query_mask": qm})
        add(G(2, 6, 3, dropout=dropout, use_bias=False, sliding_window=2), [v, v], options={"use_causal_mask": True},
            masks={0: vm})
    add(G(3, 4, 2), [q, v, k], options={"return_attention_scores": True})


def einsum(add):
    E = L.EinsumDense
    x3, x4 = real(2, 3, 4), real(2, 3, 4, 5)
    add(E("ab,bc->ac", 6, bias_axes="c"), [real(2, 4)])
    add(E("abc,cd->abd", (None, 5), bias_axes="d", activation="tanh"), [x3])
    add(E("abc,cd->abd", (3, 5), bias_axes="bd"), [x3])
    add(E("abc,cde->abde", (None, 2, 3), bias_axes="de"), [x3])
    add(E("abcd,cde->abe", (None, 6), bias_axes="e"), [x4])
    add(E("abcd,dc->ab", (3,)), [x4])
    add(E("...x,xy->...y", 6, bias_axes="y"), [x4])
    add(E("...x,xy->...y", 6, bias_axes="y"), [real(2, 4)])
    add(E("...xy,xyz->...z", 7), [x4])
    add(E("abx...,xy->aby...", (3, 6), bias_axes="y"), [x4])
    add(E("abx...,xyz->ayzb...", (2, 6, 3), bias_axes="yz"), [real(2, 3, 4, 5, 2)])
    add(E("abc,ce->aeb", (6, None)), [x3])
    add(E("abc,bcd->abd", (3, 5), bias_axes="bd"), [x3])  # a kernel for each b
    add(E("abc,cb->abc", (3, 4), bias_axes="c"), [x3])  # no sum
    add(E("abcd,bd->acb", (4, 3)), [x4])
    add(E("abc,db->adc", (6, None), bias_axes="d"), [x3])
    add(E("abc,d->abcd", (None, None, 3)), [x3])  # an outer product


def reversible(add):
    R = L.ReversibleEmbedding
    tokens = rng.integers(0, 7, (2, 5)).astype("int32")
    for tied in (True, False):
        add(R(7, 4, tie_weights=tied, mask_zero=True), [tokens])
        add(R(7, 4, tie_weights=tied), [real(2, 5, 4)], options={"reverse": True})
        add(R(7, 4, tie_weights=tied, logit_soft_cap=1.5), [real(2, 4)], options={"reverse": True})


def others(add):
    """Merging with masks, products along any axes, and masks that are given by name."""
    a, b = real(2, 3, 4), real(2, 3, 4)
    masks = {0: mask([1, 1, 0], [1, 0, 0]), 1: mask([1, 0, 1], [1, 1, 0])}
    for layer in (L.Add, L.Multiply, L.Average, L.Maximum, L.Minimum, L.Subtract):
        add(layer(), [a, b], masks=masks, spread=False)
        add(layer(), [a, real(2, 4)], masks={0: masks[0]}, spread=False)
    for axes, left, right in ((1, (2, 4), (2, 4)), ((2, 1), (2, 3, 4), (2, 4, 5)), (-1, (2, 3, 4), (2, 5, 4)),
                              ((1, 1), (2, 4), (2, 4, 5)), ((3, 2), (2, 3, 4, 5), (2, 6, 5)),
                              (-1, (2, 3, 4, 5), (2, 3, 6, 5))):
        add(L.Dot(axes, normalize=len(left) % 2 == 1), [real(*left), real(*right)], spread=False)
    add(L.Concatenate(axis=1), [a, real(2, 2, 4)], masks={0: masks[0]}, spread=False)
    add(L.Concatenate(), [a, b], masks=masks, spread=False)
    add(L.Softmax(), [real(2, 3)], named={"mask": mask([1, 1, 0], [0, 0, 0])})
    add(L.Softmax(axis=(1, 2)), [a], named={"mask": rng.random((2, 3, 4)) < 0.5})
    add(L.PReLU(shared_axes=[-1]), [a])
    add(L.Dense(3, activation="gelu"), [a], masks={0: masks[0]})


def residual(add):
    from keras.src.applications.convnext import LayerScale, StochasticDepth
    add(LayerScale(0.1, 4), [real(2, 3, 3, 4)])
    add(StochasticDepth(0.3), [real(2, 3)])


def hub(add):
    sys.path[:0] = sys.argv[2:3]
    from keras_hub.src.layers.modeling.position_embedding import PositionEmbedding
    from keras_hub.src.layers.modeling.rotary_embedding import RotaryEmbedding
    from keras_hub.src.layers.modeling.sine_position_encoding import SinePositionEncoding
    from keras_hub.src.layers.modeling.transformer_decoder import TransformerDecoder
    from keras_hub.src.layers.modeling.transformer_encoder import TransformerEncoder
    x, e = real(2, 5, 6), real(2, 4, 8)
    places = np.array([[0, 1, 2, 0, 1], [3, 4, 5, 6, 0]], dtype="int32")
    add(PositionEmbedding(7), [x])
    add(PositionEmbedding(7), [x], options={"start_index": 2})
    add(PositionEmbedding(7), [x], named={"positions": places})
    add(SinePositionEncoding(), [x])
    add(SinePositionEncoding(max_wavelength=50), [real(2, 3, 5)], options={"start_index": 3})
    add(SinePositionEncoding(), [x], named={"positions": places.astype("float32")})
    add(RotaryEmbedding(), [x])
    add(RotaryEmbedding(max_wavelength=100, scaling_factor=2.0), [real(2, 5, 3, 6)], options={"start_index": 2})
    add(RotaryEmbedding(rope_type="dynamic", scaling_factor=4.0), [real(2, 5, 8)], named={"positions": places})
    for truncate in (False, True):
        add(RotaryEmbedding(rope_type="yarn", scaling_factor=4.0, truncate=truncate, original_max_position_embeddings=64),
            [real(1, 9, 32)])
    add(RotaryEmbedding(sequence_axis=-2), [real(2, 3, 5, 6)])
    add(RotaryEmbedding(sequence_axis=-1, feature_axis=1), [real(2, 6, 5)])
    pad, pad_e = mask([1, 1, 1, 0, 0], [1] * 5), mask([1, 1, 0, 0], [1, 1, 1, 1])
    am = rng.random((2, 5, 5)) < 0.7
    for first, dropout in ((False, 0.0), (True, 0.2)):
        T = lambda: TransformerEncoder(8, 2, dropout=dropout, normalize_first=first, activation="gelu")
        add(T(), [x])
        add(T(), [x], masks={0: pad})
        add(T(), [x], named={"padding_mask": pad, "attention_mask": am})
        add(T(), [x], options={"return_attention_scores": True}, masks={0: pad})
        D = lambda: TransformerDecoder(8, 3, dropout=dropout, normalize_first=first, layer_norm_epsilon=1e-3)
        add(D(), [x], masks={0: pad})
        add(D(), [x], options={"use_causal_mask": False}, named={"decoder_attention_mask": am})
        add(D(), [x, e], masks={1: pad_e})
        add(D(), [x, e], named={"decoder_padding_mask": pad, "encoder_padding_mask": pad_e,
                                "encoder_attention_mask": rng.random((2, 5, 4)) < 0.8})


if __name__ == "__main__":
    with h5py.File(sys.argv[1], "w", libver=("v108", "v108")) as file:
        counts = {}
        for family in [attention, multi_head, einsum, reversible, others, residual] + ([hub] if len(sys.argv) > 2 else []):
            family(lambda layer, inputs, **more: case(file, counts, layer, inputs, **more))
        print(counts)
