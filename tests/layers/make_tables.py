#!/usr/bin/env python3
"""Makes tables.json: cases of the layers of texts, tables and categories, computed by Keras 3 with TensorFlow.

    python make_tables.py tables.json
"""
import itertools
import json
import os
import sys

os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
os.environ['CUDA_VISIBLE_DEVICES'] = '-1'
import keras
import numpy as np
import tensorflow as tf
from keras import layers as L

cases = []


def array(x):
    x = x.numpy() if hasattr(x, 'numpy') else np.asarray(x)
    if x.dtype.kind in 'OSU':
        values = [v.decode('utf-8') if isinstance(v, bytes) else str(v) for v in x.reshape(-1)]
        return {'dtype': 'string', 'shape': list(x.shape), 'values': values}
    return {'dtype': str(x.dtype), 'shape': list(x.shape), 'values': [float(v) if x.dtype.kind == 'f' else int(v) for v in x.reshape(-1)]}


def tensor(x):
    if isinstance(x, (list, tuple)):
        x = np.array(x)
    return tf.constant(x.astype(str).tolist()) if x.dtype.kind in 'OSU' else tf.constant(x)


def case(make, *inputs, adapt=None, error=False):
    layer = make()
    entry = {'layer': keras.saving.serialize_keras_object(layer)}
    entry['layer'].pop('build_config', None)
    inputs = [tensor(x) for x in inputs]
    try:
        if adapt is not None:
            entry['adapt'] = array(np.array(adapt))
            layer.adapt(np.array(adapt))
            if hasattr(layer, 'get_vocabulary'):
                entry['vocabulary'] = [v if isinstance(v, str) else int(v) for v in layer.get_vocabulary()]
        out = layer(inputs[0] if len(inputs) == 1 else inputs)
        if hasattr(out, 'to_tensor'):
            raise RuntimeError('ragged')
        entry['inputs'] = [array(x) for x in inputs]
        entry['output'] = array(out)
        cases.append(entry)
    except Exception as e:
        print('no case:', layer.__class__.__name__, layer.get_config(), str(e).replace('\n', ' ')[:300])


texts = ['The cat SAT, on the mat!', '', '  été  naïve ÉTÉ ', 'dog\tdog\ndog. cat', '日本 語 dog', 'a-b_c (d) [e] {f} ~']
words = ['cat', 'dog', '', 'bird', 'été', '[UNK]', 'mat', 'zebra']
vocabulary = ['dog', 'cat', 'été', 'the', 'a']
idf = [0.5, 1.25, 2.0, 0.75, 3.0]

# StringLookup
for oov, mask, mode in itertools.product([0, 1, 3], [None, '', 'mat'], ['int', 'one_hot', 'multi_hot', 'count', 'tf_idf']):
    known = ['cat', 'dog', 'été', 'a'] + ([mask] if mask is not None else [])
    for shape in [(8,), (8, 1), (4, 2), (2, 2, 2)]:
        if mode != 'int' and shape in [(2, 2, 2), (8,)] and mode == 'tf_idf':
            continue
        if shape != (4, 2) and (oov, mask) not in [(1, None), (3, '')]:
            continue
        data = np.array((known * 8)[:8] if oov == 0 else words).reshape(shape)
        case(lambda: L.StringLookup(vocabulary=vocabulary, num_oov_indices=oov, mask_token=mask, output_mode=mode,
                                    idf_weights=idf if mode == 'tf_idf' else None), data)
case(lambda: L.StringLookup(vocabulary=['', '[UNK]', 'x', 'y'], mask_token=''), np.array([['x', 'q', '', 'y']]))
case(lambda: L.StringLookup(vocabulary=['[UNK]', 'x', 'y'], output_mode='count'), np.array([['x', 'q', '', 'y', 'y']]))
case(lambda: L.StringLookup(vocabulary=['[UNK]', 'x', 'y'], output_mode='tf_idf', idf_weights=[9.0, 1.0, 2.0], max_tokens=6, pad_to_max_tokens=True), np.array([['x', 'q', '', 'y', 'y']]))
case(lambda: L.StringLookup(vocabulary=vocabulary, max_tokens=9, pad_to_max_tokens=True, output_mode='multi_hot'), np.array(words).reshape(2, 4))
case(lambda: L.StringLookup(vocabulary=vocabulary, num_oov_indices=5, salt=[3, -4]), np.array(words))
case(lambda: L.StringLookup(vocabulary=vocabulary, num_oov_indices=5, salt=11), np.array(words))
case(lambda: L.StringLookup(vocabulary=vocabulary, invert=True), np.array([[0, 1, 2], [5, 6, -1]]))
case(lambda: L.StringLookup(vocabulary=vocabulary, invert=True, mask_token='', oov_token='?', num_oov_indices=2), np.array([0, 1, 2, 3, 4, 7, 8]))
case(lambda: L.StringLookup(), np.array(words), adapt=['b', 'a', 'c', 'b', 'é', 'Z', '[UNK]', 'mat', 'mat', 'c'])
case(lambda: L.StringLookup(max_tokens=4, mask_token=''), np.array(words), adapt=[['b', 'mat', 'dog'], ['dog', '', 'a'], ['b', 'c', 'dog']])
case(lambda: L.StringLookup(output_mode='tf_idf', num_oov_indices=2), np.array(words).reshape(2, 4), adapt=[['b', 'mat', 'dog'], ['dog', 'dog', 'a'], ['b', 'c', 'dog']])
case(lambda: L.StringLookup(output_mode='tf_idf', max_tokens=10, pad_to_max_tokens=True), np.array(words).reshape(2, 4), adapt=[['b', 'mat', 'dog'], ['dog', 'dog', 'a'], ['b', 'c', 'dog']])

# IntegerLookup
numbers = np.array([12, 1138, 42, -7, 0, 36, 1000000007, 5], dtype='int64')
for oov, mask, mode, method in itertools.product([1, 4], [None, 0, 36], ['int', 'one_hot', 'multi_hot', 'count'], ['floormod', 'farmhash']):
    case(lambda: L.IntegerLookup(vocabulary=[12, 36 if mask != 36 else 37, 1138, 42], num_oov_indices=oov, mask_token=mask, output_mode=mode, oov_method=method), numbers.reshape(2, 4))
case(lambda: L.IntegerLookup(vocabulary=[5, 12], num_oov_indices=3, oov_method='farmhash', salt=[1, 2]), numbers)
case(lambda: L.IntegerLookup(vocabulary=[5, 12], num_oov_indices=0), np.array([5, 12, 5]))
case(lambda: L.IntegerLookup(vocabulary=[5, 12], invert=True), np.array([[0, 1], [2, 3]]))
case(lambda: L.IntegerLookup(vocabulary=[5, 12], invert=True, mask_token=0), np.array([[0, 1], [2, 3]], dtype='int32'))
case(lambda: L.IntegerLookup(), numbers, adapt=[3, 3, 12, -7, -7, 5, 42, -1])
case(lambda: L.IntegerLookup(max_tokens=3, mask_token=0), numbers, adapt=[[3, 3, 12], [-7, -7, 0], [5, 42, -1]])

# TextVectorization
words_of_texts = ['the', 'cat', 'dog', 'été', 'dog dog', 'the cat', 'ÉTÉ', 'abc', 'd', 'a', '日', 'T']
for standardize, split, ngrams in itertools.product(['lower_and_strip_punctuation', 'lower', 'strip_punctuation', None], ['whitespace', 'character'], [None, 2, (2, 3)]):
    for length in [None, 3]:
        if length is None and ngrams is not None:
            continue
        case(lambda: L.TextVectorization(vocabulary=words_of_texts, standardize=standardize, split=split, ngrams=ngrams, output_sequence_length=length), np.array(texts))
for mode in ['multi_hot', 'count', 'tf_idf']:
    for shape in [(6,), (6, 1)]:
        case(lambda: L.TextVectorization(vocabulary=['the', 'cat', 'dog', 'été'], output_mode=mode, idf_weights=[.5, 1, 2, .25] if mode == 'tf_idf' else None), np.array(texts).reshape(shape))
    case(lambda: L.TextVectorization(vocabulary=['the', 'cat', 'dog', 'été'], max_tokens=9, pad_to_max_tokens=True, output_mode=mode, idf_weights=[.5, 1, 2, .25] if mode == 'tf_idf' else None), np.array(texts))
    case(lambda: L.TextVectorization(output_mode=mode, ngrams=2), np.array(texts), adapt=texts)
case(lambda: L.TextVectorization(vocabulary=['the', 'cat'], output_mode='one_hot'), np.array(texts))
case(lambda: L.TextVectorization(vocabulary=['', '[UNK]', 'the', 'cat'], output_sequence_length=9), np.array(texts).reshape(6, 1))
case(lambda: L.TextVectorization(vocabulary=['the', 'cat', 'dog'], split=None, standardize='lower'), np.array([['The', 'cat', ''], ['x', 'DOG', 'dog']]))
case(lambda: L.TextVectorization(vocabulary=['the', 'cat', 'dog'], split=None, standardize='lower', output_sequence_length=5), np.array([['The', 'cat', ''], ['x', 'DOG', 'dog']]))
case(lambda: L.TextVectorization(vocabulary=['the', 'cat', 'dog'], split=None, standardize='lower', output_sequence_length=2), np.array([['The', 'cat', ''], ['x', 'DOG', 'dog']]))
case(lambda: L.TextVectorization(vocabulary=['the', 'cat', 'the cat'], split=None, standardize='lower', ngrams=2), np.array([['The', 'cat', ''], ['x', 'DOG', 'dog']]))
case(lambda: L.TextVectorization(vocabulary=['the', 'cat', 'dog'], split=None, standardize='lower', output_mode='count'), np.array([['The', 'cat', ''], ['x', 'DOG', 'dog']]))
case(lambda: L.TextVectorization(), np.array(texts), adapt=texts)
case(lambda: L.TextVectorization(max_tokens=5, output_sequence_length=4), np.array(texts), adapt=texts)
case(lambda: L.TextVectorization(split='character', standardize=None), np.array(texts), adapt=[t.replace('\n', ' ') for t in texts])

# Hashing and HashedCrossing
for mode, salt, mask in itertools.product(['int', 'one_hot', 'multi_hot', 'count'], [None, 133, [133, 137]], [None, '']):
    case(lambda: L.Hashing(num_bins=5, salt=salt, mask_value=mask, output_mode=mode), np.array(words).reshape(4, 2))
case(lambda: L.Hashing(num_bins=1, mask_value=''), np.array(words))
case(lambda: L.Hashing(num_bins=7, dtype='int32'), np.array(words).reshape(8, 1))
case(lambda: L.Hashing(num_bins=7, output_mode='one_hot'), np.array(words).reshape(8, 1))
case(lambda: L.Hashing(num_bins=7, output_mode='multi_hot'), np.array(words).reshape(2, 2, 2))
case(lambda: L.Hashing(num_bins=1000, mask_value=42), numbers)
case(lambda: L.Hashing(num_bins=1000, mask_value=42, salt=7), numbers.astype('int32') % 97)
case(lambda: L.Hashing(num_bins=50), np.array([1.5, -2.7, 3.0, 0.0], dtype='float32'))
for mode in ['int', 'one_hot']:
    case(lambda: L.HashedCrossing(num_bins=11, output_mode=mode), np.array(words), numbers)
    case(lambda: L.HashedCrossing(num_bins=11, output_mode=mode), np.array(words).reshape(8, 1), numbers.reshape(8, 1), np.array(words[::-1]).reshape(8, 1))
case(lambda: L.HashedCrossing(num_bins=1000), numbers, numbers[::-1].copy())

# CategoryEncoding, Discretization, Normalization
categories = np.array([[3, 1, 0, 1], [0, 5, 6, 9]], dtype='int32')
for mode in ['one_hot', 'multi_hot', 'count']:
    for x in [categories, categories[0], categories.reshape(8, 1), categories.reshape(2, 2, 2), categories.reshape(2, 4, 1), categories.astype('int64'), categories.astype('float32')]:
        case(lambda: L.CategoryEncoding(num_tokens=7, output_mode=mode), x)
case(lambda: L.CategoryEncoding(num_tokens=7, output_mode='count', dtype='mixed_float16'), categories)
reals = np.array([[-1.5, 1.0, 3.4, .5], [0.0, 3.0, 1.3, np.nan]], dtype='float32')
for mode in ['int', 'one_hot', 'multi_hot', 'count']:
    for x in [reals, reals[0], reals.reshape(8, 1), reals.reshape(2, 2, 2), (categories - 2), categories.astype('int64')]:
        case(lambda: L.Discretization(bin_boundaries=[0., 1., 2.], output_mode=mode), x)
rng = np.random.default_rng(5)
for n, bins, eps in [(10, 4, .01), (1000, 4, .01), (1000, 7, .1), (333, 10, .013), (50, 3, .3), (3, 5, .01), (100, 2, .01)]:
    case(lambda: L.Discretization(num_bins=bins, epsilon=eps), reals, adapt=rng.normal(size=n).astype('float32'))
x = rng.normal(size=(3, 4, 2)).astype('float32')
for axis, invert in itertools.product([-1, None, 1, (1, 2), (2, 1), (-1, -2)], [False, True]):
    case(lambda: L.Normalization(axis=axis, invert=invert), x, adapt=rng.normal(2, 3, size=(7, 4, 2)).astype('float32'))
case(lambda: L.Normalization(axis=(1, 2), mean=[1., 2.], variance=[4., .25]), x)
case(lambda: L.Normalization(axis=(1, 2), mean=rng.normal(size=(4, 2)).tolist(), variance=(rng.normal(size=(4, 2)) ** 2).tolist()), x)
case(lambda: L.Normalization(axis=(1, 2), mean=[[1.], [2.], [3.], [4.]], variance=[[1.], [2.], [3.], [4.]]), x)
case(lambda: L.Normalization(axis=1, mean=[1., 2., 3., 4.], variance=[0., 1., 2., 3.]), x)
case(lambda: L.Normalization(axis=None, mean=1.5, variance=2., invert=True), x)
case(lambda: L.Normalization(axis=-1, mean=1.5, variance=2.), categories)
case(lambda: L.Normalization(axis=-1, mean=1.5, variance=2., dtype='mixed_float16'), x)



# Configs without what is at its default, in as few digits as float32 needs.
DEFAULTS = {"sparse": False, "ragged": False, "invert": False, "pad_to_max_tokens": False, "encoding": "utf-8",
            "vocabulary_dtype": "int64", "oov_method": "floormod", "epsilon": 0.01}


def compact(entry):
    layer = entry["layer"]
    for key in ("module", "registered_name"):
        layer.pop(key, None)
    config = layer["config"]
    dtype = config.pop("dtype")
    dtype = dtype["config"]["name"] if isinstance(dtype, dict) else dtype
    if dtype != "float32" and not (dtype == "int64" and layer["class_name"] in ("Hashing", "HashedCrossing")):
        config["dtype"] = dtype
    for key in list(config):
        absent = config[key] is None and key not in ("standardize", "split", "oov_token")
        if absent or key in ("name", "trainable") or (key in DEFAULTS and config[key] == DEFAULTS[key]):
            del config[key]
    for data in entry["inputs"] + [entry["output"]] + ([entry["adapt"]] if "adapt" in entry else []):
        if data["dtype"].startswith("float"):
            data["values"] = [v if v != v else int(v) if v == int(v) else float("%.9g" % v) for v in data["values"]]
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).replace("NaN", '"nan"')


with open(sys.argv[1], "w") as file:
    file.write("[\n" + ",\n".join(map(compact, cases)) + "\n]\n")
print(len(cases), "cases")
