"""Writes attention/NAME.h5 and NAME.io.h5: functional models whose masks meet attention, and what they predict; "hub" only
where KerasHub is installed."""
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import h5py
import keras
import numpy as np
from keras import layers as L

rng = np.random.default_rng(5)


def block(x, number):
    a = L.MultiHeadAttention(2, 3, name=f"attention_{number}")(x, x)
    x = L.LayerNormalization(name=f"norm_{number}")(L.Add(name=f"sum_{number}")([x, a]))
    y = L.Dense(5, activation="relu", name=f"hidden_{number}")(x)
    return L.Add(name=f"sum2_{number}")([x, L.Dense(x.shape[-1], name=f"output_{number}")(y)])


def blocks():
    tokens = keras.Input((6,), dtype="int32", name="tokens")
    x = L.Embedding(9, 4, mask_zero=True, name="embedding")(tokens)
    for number in (1, 2):
        x = block(x, number)
    x = L.GlobalAveragePooling1D(name="pool")(x)
    return keras.Model(tokens, L.Dense(3, activation="softmax", name="classes")(x))


def nested():
    inner = keras.Input((6, 4), name="inner_input")
    x = L.Add(name="inner_sum")([inner, L.MultiHeadAttention(2, 3, name="inner_attention")(inner, inner)])
    encoder = keras.Model(inner, L.LayerNormalization(name="inner_norm")(x), name="encoder")
    tokens = keras.Input((6,), dtype="int32", name="tokens")
    x = encoder(L.Embedding(9, 4, mask_zero=True, name="embedding")(tokens))
    x = L.MultiHeadAttention(1, 4, dropout=0.1, name="attention")(x, x)
    return keras.Model(tokens, L.GlobalAveragePooling1D(name="pool")(x))


def siblings(attention_first):
    tokens = keras.Input((4,), dtype="int32", name="tokens")
    x = L.Embedding(6, 3, mask_zero=True, name="embedding")(tokens)
    y, a = L.MultiHeadAttention(1, 2, name="heads")(x, x), L.Attention(name="plain")([x, x])
    return keras.Model(tokens, [a, y] if attention_first else [y, a])


def arguments():
    q, v = (keras.Input((n,), dtype="int32", name=name) for n, name in ((3, "q"), (5, "v")))
    seen = keras.Input((3, 5), dtype="bool", name="seen")
    embed = L.Embedding(9, 4, mask_zero=True, name="embedding")
    eq, ev = embed(q), embed(v)
    o, weights = L.MultiHeadAttention(2, 3, name="heads")(
        query=eq, value=ev, key=L.Dense(5, name="keys")(ev), attention_mask=seen, return_attention_scores=True)
    g = L.GroupQueryAttention(3, 2, 1, name="groups")(o, ev, use_causal_mask=True)
    t = L.Attention(name="plain")([g, ev])
    e = L.EinsumDense("...x,xy->...y", 3, bias_axes="y", activation="tanh", name="einsum")(t)
    return keras.Model([q, v, seen], [e, weights, L.ReversibleEmbedding(7, 4, name="table")(t, reverse=True)])


def half():
    q, v = keras.Input((4, 6), name="q"), keras.Input((5, 6), name="v")
    kind = {"dtype": "mixed_float16"}
    x = L.MultiHeadAttention(2, 3, name="direct", **kind)(q, v)
    x, weights = L.MultiHeadAttention(2, 3, dropout=0.2, name="by_steps", **kind)(x, v, return_attention_scores=True)
    x = L.AdditiveAttention(name="additive", **kind)([L.Attention(use_scale=True, name="plain", **kind)([x, v]), v])
    x = L.GroupQueryAttention(2, 4, 2, name="groups", **kind)(x, v, use_causal_mask=True)
    x = L.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d", name="einsum", **kind)(x)
    return keras.Model([q, v], [x, weights])


def hub():
    from keras.src.applications.convnext import LayerScale, StochasticDepth
    from keras_hub.src.layers.modeling.position_embedding import PositionEmbedding
    from keras_hub.src.layers.modeling.rotary_embedding import RotaryEmbedding
    from keras_hub.src.layers.modeling.sine_position_encoding import SinePositionEncoding
    from keras_hub.src.layers.modeling.transformer_decoder import TransformerDecoder as Decoder
    from keras_hub.src.layers.modeling.transformer_encoder import TransformerEncoder as Encoder
    a, b = (keras.Input((n,), dtype="int32", name=name) for n, name in ((5, "a"), (4, "b")))
    seen = keras.Input((5, 5), dtype="bool", name="seen")
    embed = L.Embedding(7, 6, mask_zero=True, name="embedding")
    x, other = embed(a), embed(b)
    x = L.Add(name="learned")([PositionEmbedding(5, name="rows")(x, start_index=0), x])
    x = L.Add(name="waves")([SinePositionEncoding(name="sine")(x), x])
    x = Encoder(8, 2, name="encoder_1")(x)
    x = Encoder(8, 3, normalize_first=True, name="encoder_2")(x, attention_mask=seen)
    x = Encoder(8, 3, name="encoder_3")(x, None, seen)
    x = Decoder(8, 2, name="decoder_1")(x, encoder_sequence=other)
    x = Decoder(8, 2, dropout=0.1, normalize_first=True, name="decoder_2")(x, use_causal_mask=False)
    x = LayerScale(0.1, 6, name="scale")(RotaryEmbedding(name="rotary")(x))
    return keras.Model([a, b, seen], StochasticDepth(0.2, name="depth")(x))


if __name__ == "__main__":
    models = {"blocks": blocks, "nested": nested, "scores_first": lambda: siblings(False),
              "attention_first": lambda: siblings(True), "arguments": arguments, "half": half}
    try:
        import keras_hub  # noqa: F401
        models["hub"] = hub
    except ImportError:
        pass
    for name, make in models.items():
        model = make()
        for weight in model.weights:
            weight.assign(0.7 * rng.standard_normal(weight.shape))
        data = []
        for tensor in model.inputs:
            shape = tuple(3 if size is None else size for size in tensor.shape)
            if tensor.dtype == "bool":
                data.append(rng.random(shape) < 0.6)
            elif tensor.dtype == "float32":
                data.append(rng.standard_normal(shape).astype("float32"))
            else:
                data.append(rng.integers(1, 6, shape).astype("int32"))
                data[-1][0, -2:], data[-1][1, -1:] = 0, 0
        outputs = model.predict(data if len(data) > 1 else data[0], verbose=0)
        model.save(f"{sys.argv[1]}/{name}.h5")
        with h5py.File(f"{sys.argv[1]}/{name}.io.h5", "w") as file:
            for i, value in enumerate(data):
                file[f"inputs/{i}"] = value
            for i, value in enumerate(outputs if isinstance(outputs, list) else [outputs]):
                file[f"outputs/{i}"] = value.astype("float32")
