"""Writes unusual_layers.h5: what Keras 3 computes for fields and combinations of fields that are seldom used, and for
models whose layers share masks, states or statistics. The layout is that of layers.h5. Needs scipy for windows.

channels_first, which TensorFlow refuses on a CPU, is computed by transposing around the same layer with channels last.
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
from keras import Input, Model, Sequential
from keras import layers as L
from keras.src.legacy.layers import ThresholdedReLU

rng = np.random.default_rng(5)


def real(*shape):
    return rng.standard_normal(shape).astype("float32")


def integers(bound, *shape):
    return rng.integers(0, bound, shape).astype("int32")


def with_zeros(batch=3):
    """A sequence (batch, 5, 4) with masked steps at the end, at both ends, and everywhere."""
    x = real(batch, 5, 4)
    x[0, 3:] = 0
    x[1, :2] = 0
    x[1, 4:] = 0
    if batch > 2:
        x[2] = 0
    return x


def moved(axis, to):
    """Moves the channels of data with `to` < 0 last, else to that axis."""
    def move(x):
        order = [i for i in range(len(x.shape)) if i != axis % len(x.shape)]
        order.insert(to % len(x.shape), axis % len(x.shape))
        return tf.transpose(x, order)
    return move


def channels_first(config):
    if isinstance(config, dict):
        return {k: "channels_first" if k == "data_format" else channels_first(v) for k, v in config.items()}
    return [channels_first(v) for v in config] if isinstance(config, list) else config


def states_to_zero(layer):
    if getattr(layer, "stateful", False) and hasattr(layer, "reset_state"):
        layer.reset_state()
    for inner in getattr(layer, "layers", []):
        states_to_zero(inner)


class File:
    def __init__(self, path):
        # Compact headers; Debian's library reads all but the newest form of enumerations, so bool is stored as uint8.
        self.file, self.counts = h5py.File(path, "w", libver="latest"), {}

    def add(self, layer, *inputs, train=False, first=None, name=None):
        """`first`: (channels last for the inputs, channels first for the outputs)."""
        name = name or type(layer).__name__
        group = self.file.create_group(f"{name}/{self.counts.setdefault(name, 0)}")
        self.counts[name] += 1

        def call(tensors, **options):
            if first:
                tensors = [first[0](x) for x in tensors]
            outputs = tf.nest.flatten(layer(tensors[0] if len(tensors) == 1 else list(tensors), **options))
            return [first[1](y) for y in outputs] if first else outputs

        def put(key, values):
            for i, value in enumerate(values):
                value = np.asarray(value)
                group.create_dataset(f"{key}/{i}", data=value.astype("uint8") if value.dtype == bool else value)

        call([tf.constant(x) for x in inputs])
        weights = [w for w in layer.weights if "seed" not in w.path]
        for w in weights:
            value = 0.5 * rng.standard_normal(w.shape)
            w.assign(np.abs(value) + 0.5 if "variance" in w.path else value)
        config = keras.saving.serialize_keras_object(layer)
        group.attrs["config"] = json.dumps(channels_first(config) if first else config)
        group.attrs["train"] = int(train)
        put("inputs", inputs)
        for i, w in enumerate(weights):
            group.create_dataset(f"weights/{i}", data=w.numpy()).attrs["path"] = w.path

        def run(prefix, training):
            states_to_zero(layer)
            xs = [tf.Variable(x) if x.dtype == np.float32 else tf.constant(x) for x in inputs]
            floats = [x for x in xs if isinstance(x, tf.Variable)]
            trained = [i for i, w in enumerate(weights) if w.trainable]
            with tf.GradientTape() as tape:
                outputs = call(xs, training=training)
                cotangents = [real(*y.shape) for y in outputs]
                total = sum(tf.reduce_sum(y * c) for y, c in zip(outputs, cotangents))
            slopes = tape.gradient(total, floats + [weights[i].value for i in trained], unconnected_gradients="zero")
            slopes = [tf.convert_to_tensor(slope) for slope in slopes]
            put(prefix + "output", outputs)
            put(prefix + "cotangent", cotangents)
            put(prefix + "grad_inputs", slopes[:len(floats)])
            for i, slope in zip(trained, slopes[len(floats):]):
                group.create_dataset(f"{prefix}grad_weights/{i}", data=slope)

        run("", False)
        if train:
            run("train_", True)
            put("weights_after", [w.numpy() for w in weights])


def convolutions(file):
    file.add(L.Conv1D(4, 3, padding="causal", dilation_rate=2, groups=2), real(2, 9, 4))
    file.add(L.Conv1D(4, 4, padding="causal", strides=3), real(2, 9, 3))
    file.add(L.Conv2D(3, 2, strides=4, padding="same"), real(1, 9, 8, 2))
    for rank in (1, 2):
        transposed = getattr(L, f"Conv{rank}DTranspose")
        for fields in (dict(strides=3, output_padding=2, padding="same"), dict(strides=4), dict(strides=2, output_padding=0),
                       dict(strides=3, output_padding=1), dict(dilation_rate=2, padding="same")):
            file.add(transposed(2, 3, **fields), real(1, *[5, 4][:rank], 2))
    file.add(L.SeparableConv2D(4, 2, depth_multiplier=2), real(2, 3, 6, 5), first=(moved(1, -1), moved(-1, 1)))


def pooling(file):
    # TensorFlow crashes where there is a single window, or more windows than places.
    for kind in ("Max", "Average"):
        for rank, counts in ((1, (3, 4, 9)), (2, (3, (2, 5), (9, 4))), (3, ((2, 3, 2),))):
            for count in counts:
                file.add(getattr(L, f"Adaptive{kind}Pooling{rank}D")(count), real(2, *[9, 8, 4][:rank], 2))
        file.add(getattr(L, f"Adaptive{kind}Pooling2D")((5, 3)), real(2, 3, 6, 7), first=(moved(1, -1), moved(-1, 1)))
    file.add(Sequential([L.Masking(), L.GlobalAveragePooling1D(keepdims=True)]), with_zeros(2))


def normalization(file):
    for fields in (dict(), dict(renorm_clipping=dict(rmax=1.5, rmin=0.5, dmax=0.5)),
                   dict(renorm_clipping=dict(dmax=0.1), center=False, renorm_momentum=0.8), dict(scale=False, axis=1)):
        file.add(L.BatchNormalization(renorm=True, momentum=0.9, **fields), real(5, 4, 3), train=True)
    file.add(Sequential([L.Masking(), L.BatchNormalization(momentum=0.5)]), with_zeros(), train=True)
    file.add(L.GroupNormalization(groups=2, axis=1), real(2, 6, 4))
    file.add(L.GroupNormalization(groups=-1, axis=1, scale=False), real(2, 3, 2, 2))
    file.add(L.LayerNormalization(axis=[1, 3], epsilon=1e-5), real(3, 4, 3, 2))
    file.add(L.LayerNormalization(axis=[1, -1]), real(2, 4, 3))
    file.add(L.RMSNormalization(axis=[1, 2]), real(2, 4, 3))

    shared, a, b, c = L.BatchNormalization(momentum=0.6), Input((5,)), Input((5,)), Input((5,))
    model = Model([a, b, c], [shared(a), shared(L.Activation("relu")(b)), shared(c)])
    file.add(model, real(4, 5), real(4, 5), real(4, 5), train=True, name="SharedBatchNormalization")


def spectral_normalization(file):
    for layer, x in ((L.Dense(4), real(3, 5)), (L.Conv2D(3, 2), real(2, 4, 4, 2)), (L.DepthwiseConv2D(2), real(2, 4, 4, 2))):
        for iterations in (1, 3):
            copy = type(layer).from_config(layer.get_config())
            file.add(L.SpectralNormalization(copy, power_iterations=iterations), x, train=True)
    shared, a, b = L.SpectralNormalization(L.Dense(4)), Input((5,)), Input((5,))
    file.add(Model([a, b], [shared(a), shared(b)]), real(3, 5), real(3, 5), train=True, name="SharedSpectralNormalization")


def recurrent(file):
    for kind, states in (("SimpleRNN", 1), ("LSTM", 2), ("GRU", 1)):
        layer = getattr(L, kind)
        for fields in (dict(go_backwards=True, return_sequences=True),
                       dict(return_sequences=True, zero_output_for_mask=True, return_state=True)):
            file.add(Sequential([L.Masking(), layer(3, **fields)]), with_zeros(), name="Masked" + kind)
        for backwards in (False, True):
            a, b, mask = Input(batch_shape=(3, 5, 4)), Input(batch_shape=(3, 5, 4)), L.Masking()
            shared = layer(3, stateful=True, return_sequences=True, go_backwards=backwards)
            file.add(Model([a, b], [shared(mask(a)), shared(b)]), with_zeros(), with_zeros(), name="Stateful" + kind)
        x, initial = Input((5, 4)), [Input((3,)) for _ in range(2 * states)]
        both = L.Bidirectional(layer(3, return_sequences=True, return_state=True), merge_mode="mul")
        file.add(Model([x, *initial], both(x, initial_state=initial)), real(2, 5, 4),
                 *[real(2, 3) for _ in initial], name="InitialStates")
    file.add(Sequential([L.Masking(), L.RNN([L.GRUCell(3, reset_after=False), L.LSTMCell(2)])]), with_zeros(), name="MaskedCells")
    ids = np.array([[1, 2, 0, 0, 3], [4, 0, 5, 6, 0], [0, 0, 1, 2, 0]], "int32")
    i = Input((5,), dtype="int32")
    both = L.Bidirectional(L.GRU(2, return_sequences=True), merge_mode="sum")
    file.add(Model(i, L.LSTM(2)(both(L.Embedding(7, 3, mask_zero=True)(i)))), ids, name="MaskedBidirectional")


def time_distributed(file):
    ids = integers(6, 2, 3, 5)
    ids[:, :, 0] = 1
    for inner in (L.LSTM(3), L.Bidirectional(L.GRU(2)), L.GlobalAveragePooling1D()):
        i = Input((3, 5), dtype="int32")
        words = L.Embedding(7, 4, mask_zero=True)(i)
        file.add(Model(i, L.TimeDistributed(inner)(words)), ids, name="MaskedTimeDistributed")
    file.add(L.TimeDistributed(L.BatchNormalization(momentum=0.7)), real(3, 4, 5), train=True)
    file.add(L.TimeDistributed(Sequential([L.Dense(3), L.BatchNormalization(momentum=0.7)])), real(3, 4, 5), train=True)
    file.add(L.TimeDistributed(L.SpectralNormalization(L.Dense(3))), real(3, 4, 5), train=True)


def conv_lstm(file):
    for rank, all_fields in (
        (1, (dict(), dict(strides=2, padding="same", return_sequences=True, return_state=True, go_backwards=True),
             dict(dilation_rate=2, padding="same", use_bias=False, activation="relu", recurrent_activation="hard_sigmoid"))),
        (2, (dict(padding="same", return_sequences=True), dict(strides=2, return_state=True), dict(dilation_rate=2))),
        (3, (dict(unit_forget_bias=False),))):
        layer, sizes = getattr(L, f"ConvLSTM{rank}D"), [6, 5, 4][:rank]
        for fields in all_fields:
            file.add(layer(2, 2, **fields), real(2, 3, *sizes, 2))
        step_last = moved(-1, 2), moved(-1, 1)
        file.add(layer(2, 2, return_sequences=True, return_state=True), real(1, 2, 2, *sizes),
                 first=(moved(2, -1), lambda y, rank=rank, turn=step_last: turn[0 if len(y.shape) == rank + 3 else 1](y)))
    sizes = (6, 5)
    for fields in (dict(), dict(return_sequences=True, go_backwards=True), dict(return_sequences=True, zero_output_for_mask=True)):
        x, mask = Input((4, *sizes, 2)), Input((4,), dtype="bool")
        file.add(Model([x, mask], L.ConvLSTM2D(2, 2, **fields)(x, mask=mask)), real(2, 4, *sizes, 2),
                 np.array([[1, 1, 0, 1], [0, 1, 1, 0]], bool), name="MaskedConvLSTM")
    a, b, shared = Input(batch_shape=(2, 3, 6, 2)), Input(batch_shape=(2, 3, 6, 2)), L.ConvLSTM1D(2, 2, stateful=True)
    file.add(Model([a, b], [shared(a), shared(b)]), real(2, 3, 6, 2), real(2, 3, 6, 2), name="StatefulConvLSTM")
    x, initial = Input((3, 6, 2)), [Input((5, 2)), Input((5, 2))]
    file.add(Model([x, *initial], L.ConvLSTM1D(2, 2)(x, initial_state=initial)), real(2, 3, 6, 2), real(2, 5, 2),
             real(2, 5, 2), name="InitialConvLSTM")


def spectrograms(file):
    for mode in ("log", "magnitude", "psd", "real", "imag", "angle", "stft"):
        file.add(L.STFTSpectrogram(mode=mode, frame_length=7, frame_step=3, fft_length=16, padding="same", scaling="spectrum",
                                   window="hamming", periodic=True), real(2, 30, 2))
        file.add(L.STFTSpectrogram(mode=mode, frame_length=8, expand_dims=True), real(2, 3, 20),
                 first=(moved(1, -1), moved(-1, 1)))
    file.add(L.STFTSpectrogram(frame_length=6, window=None), real(2, 20, 1))
    file.add(L.STFTSpectrogram(frame_length=4, window=[0.5, 1.0, 1.0, 0.25], fft_length=9), real(2, 20, 1))
    basic = dict(fft_length=32, sequence_stride=8, num_mel_bins=6, sampling_rate=8000)
    for fields in (dict(), dict(fft_length=33, sequence_stride=7), dict(sequence_length=20, window="hamming"),
                   dict(sequence_length=21, window=None, power_to_db=False), dict(top_db=10.0, ref_power=0.5, min_power=1e-3),
                   dict(mag_exp=1.5, min_freq=100.0, max_freq=3000.0), dict(window=[1.0 + i / 32 for i in range(32)])):
        file.add(L.MelSpectrogram(**{**basic, **fields}), real(2, 80))
    file.add(L.MelSpectrogram(**basic), real(70))


def others(file):
    for interpolation in ("bilinear", "bicubic", "lanczos3", "lanczos5"):
        for size in (2, (3, 1), (2, 5)):
            file.add(L.UpSampling2D(size, interpolation=interpolation), real(1, 4, 3, 2))
        file.add(L.UpSampling2D((2, 3), interpolation=interpolation), real(1, 1, 5, 3), first=(moved(1, -1), moved(-1, 1)))
    for axes, a, b in ((1, (2, 4), (2, 4, 3)), ((3, 1), (2, 3, 4, 5), (2, 5, 2)), ((3, 2), (2, 3, 4, 5), (2, 3, 5)),
                       ((1, 3), (2, 5, 4, 3), (2, 2, 3, 5))):
        for normalize in (False, True):
            file.add(L.Dot(axes=axes, normalize=normalize), real(*a), real(*b))
    file.add(L.ReLU(max_value=1.0, negative_slope=0.3, threshold=0.5), real(3, 5))
    file.add(L.PReLU(shared_axes=[1]), real(2, 3, 4, 2))
    file.add(ThresholdedReLU(theta=0.5), real(3, 5))
    x, mask = Input((4,)), Input((4,))
    file.add(Model([x, mask], L.Softmax()(x, mask=mask)), real(3, 4), (rng.random((3, 4)) < 0.6).astype("float32"), name="MaskedSoftmax")
    for kind in ("Multiply", "Maximum", "Concatenate"):
        a, b = Input((5, 4)), Input((5, 4))
        merged = getattr(L, kind)()([L.Masking()(a), L.Masking()(b)])
        file.add(Model([a, b], L.LSTM(2)(merged)), with_zeros(2), with_zeros(2)[::-1].copy(), name="Masked" + kind)


def main(path):
    keras.utils.set_random_seed(5)
    file = File(path)
    for part in (convolutions, pooling, normalization, spectral_normalization, recurrent, time_distributed, conv_lstm, spectrograms,
                 others):
        part(file)
    print(sum(file.counts.values()), "cases")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "unusual_layers.h5"))
