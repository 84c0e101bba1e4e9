"""Writes operations.h5: functional models of one operation each, as Keras serialises them, with inputs, outputs and
gradients that Keras 3 on TensorFlow computed.

    python tests/golden/make_operations.py tests/golden/operations.h5

A group /Class/k has an attribute `config` (the model), the datasets inputs/i and output/i (with an attribute `dtype`), and,
for real outputs, cotangent/i and grad_inputs/i: the gradients of the sum of cotangent times output, for the real inputs.
"""
import json
import sys

import h5py
import keras
import numpy as np
import tensorflow as tf
from keras import ops

random = np.random.default_rng(7)


def draw(kind, shape):
    if kind == "any":
        return random.normal(0, 1.5, shape).astype("float32")
    if kind == "positive":
        return random.uniform(0.2, 3, shape).astype("float32")
    if kind == "unit":
        return random.uniform(-0.9, 0.9, shape).astype("float32")
    if kind == "share":
        return random.uniform(0.05, 0.95, shape).astype("float32")
    if kind == "above":
        return random.uniform(1.1, 4, shape).astype("float32")
    if kind == "large":
        return random.uniform(-9, 9, shape).astype("float32")
    if kind == "holes":  # with NaN and infinities
        x = random.normal(0, 1.5, shape).astype("float32")
        x.flat[1] = np.nan
        return x
    if kind == "infinite":
        x = random.normal(0, 1.5, shape).astype("float32")
        x.flat[0], x.flat[2], x.flat[3] = np.inf, -np.inf, np.nan
        return x
    if kind == "int":
        return random.integers(-4, 5, shape).astype("int32")
    if kind == "index":
        return random.integers(0, 3, shape).astype("int32")
    if kind == "long":
        return random.integers(-4, 5, shape).astype("int64")
    if kind == "byte":
        return random.integers(0, 256, shape).astype("uint8")
    if kind == "shift":
        return random.integers(0, 60, shape).astype("int64")
    if kind == "count":
        return random.integers(0, 5000, shape).astype("int32")
    if kind == "label":
        return random.integers(1, 5, shape).astype("int32")
    if kind == "length":
        return random.integers(1, 4, shape).astype("int32")
    if kind == "steps":
        return random.integers(6, 10, shape).astype("int32")
    if kind == "inside":
        return random.uniform(0, 4.9, shape).astype("float32")
    if kind == "bool":
        return random.integers(0, 2, shape).astype("bool")
    if kind == "half":
        return random.normal(0, 1.5, shape).astype("float16")
    raise ValueError(kind)


cases = []


def case(function, *inputs, static=False):
    """`inputs`: (kind, *shape with the batch). static: the model knows the batch too."""
    cases.append((function, inputs, static))


A = ("any", 2, 3, 4)
unary = {
    "any": "negative absolute abs sign square exp exp2 expm1 sin cos tan sinh cosh tanh arctan arcsinh sinc deg2rad rad2deg "
    "floor ceil trunc cbrt reciprocal i0 real imag conjugate conj angle erf erfc isfinite isnan isinf "
    "isposinf isneginf isreal signbit logical_not relu relu6 sigmoid sparse_sigmoid softplus softsign sparse_plus silu "
    "log_sigmoid hard_sigmoid hard_silu selu tanh_shrink hard_tanh leaky_relu elu celu gelu glu soft_shrink hard_shrink "
    "squareplus softmax log_softmax sparsemax ravel copy stop_gradient round",
    "positive": "sqrt rsqrt log log1p log2 log10",
    "unit": "arcsin arccos arctanh erfinv",
    "above": "arccosh",
}
for kind, names in unary.items():
    for name in names.split():
        case(getattr(ops, name), (kind, 2, 3, 4))
for name in "Fabs Abs Conj".split():
    case(lambda x, name=name: getattr(keras.src.ops.numpy, name)().symbolic_call(x), A)
for name in "negative absolute sign square exp floor ceil trunc sqrt sin tanh relu isfinite isnan round log1p".split():
    case(getattr(ops, name), ("int", 2, 5))
for name in "isnan isinf isfinite isposinf isneginf nan_to_num".split():
    case(getattr(ops, name), ("infinite", 2, 5))
case(lambda x: ops.nan_to_num(x, nan=1.0, posinf=2.0, neginf=-3.0), ("infinite", 2, 5))
case(ops.arctan, ("large", 3, 7))
case(ops.i0, ("large", 3, 7))
case(ops.trunc, ("large", 3, 7))
case(ops.exp, ("half", 2, 3))

for name in (
    "add subtract multiply divide true_divide divide_no_nan floor_divide mod fmod maximum minimum fmax fmin arctan2 hypot "
    "logaddexp logaddexp2 heaviside equal not_equal less less_equal greater greater_equal logical_and logical_or "
    "logical_xor"
).split():
    case(getattr(ops, name), A, ("any", 2, 1, 4))
for name in "add subtract multiply divide floor_divide mod maximum minimum equal less greater_equal logical_and".split():
    case(getattr(ops, name), ("int", 2, 4), ("index", 2, 4)) if name not in ("floor_divide", "mod") else case(
        lambda x, name=name: getattr(ops, name)(x, 3), ("int", 2, 4)
    )
for name in "add multiply divide".split():
    case(getattr(ops, name), ("int", 2, 4), ("any", 2, 4))
    case(getattr(ops, name), ("half", 2, 4), ("any", 2, 4))
case(lambda x: x * 2 + 1, A)
case(lambda x: 3 - x, A)
case(lambda x: 2 / x, A)
case(lambda x: x / 2, ("int", 2, 4))
case(lambda x: x + 0.5, ("int", 2, 4))
case(lambda x: x * 2, ("half", 2, 4))
case(lambda x: x + True, A)
case(lambda x: -x, A)
case(lambda x: abs(x), A)
case(lambda x: x // 2, A)
case(lambda x: x % 2, A)
case(lambda x: -x // 3, ("int", 2, 4))
case(lambda x: x > 0, A)
case(lambda x: 0.5 >= x, A)
case(lambda x, y: (x > 0) & ~(y > 0), A, A)
case(lambda x, y: (x > 0) | (y > 0), A, A)
case(lambda x, y: (x > 0) ^ (y > 0), A, A)
case(lambda x, y: x @ y, A, ("any", 2, 4, 5))
case(lambda x: x + np.arange(4, dtype="float32"), A)
case(lambda x: x * ops.convert_to_tensor([1.0, 2.0, 3.0, 4.0]), A)
case(ops.power, ("positive", 2, 3), ("any", 2, 3))
case(lambda x: x**2, A)
case(lambda x: x**3, ("int", 2, 3))
case(lambda x: 2**x, A)
case(ops.ldexp, A, ("index", 2, 3, 4))
case(lambda x: ops.clip(x, -1, 0.5), A)
case(lambda x: ops.clip(x, -1, 2), ("int", 2, 4))
case(lambda x: ops.cast(x, "int32"), ("large", 2, 4))
case(lambda x: ops.cast(x, "bool"), ("int", 2, 4))
case(lambda x: ops.cast(x, "float16"), A)
case(lambda x: ops.saturate_cast(x * 100, "uint8"), A)
case(lambda x: keras.src.ops.core.ConvertToTensor(dtype="float32").symbolic_call(x), ("int", 2, 4))
case(lambda x: keras.src.ops.numpy.Array().symbolic_call(x), A)
case(ops.zeros_like, A)
case(lambda x: ops.ones_like(x, dtype="int32"), A)
case(lambda x: keras.src.ops.numpy.EmptyLike().symbolic_call(x) * 0, A)
case(lambda x: ops.full_like(x, 2.5), A)
case(lambda x: ops.full((3, 2), ops.sum(x)), A)
case(lambda x: ops.isclose(x, 0.5, rtol=0.5, atol=0.2), A)
case(lambda x: ops.allclose(x, x + 1e-9), A)
case(lambda x, y: ops.isin(x, y), ("int", 2, 3), ("index", 2))
case(lambda x, y: ops.isin(x, y, invert=True), ("int", 2, 3), ("index", 2))
case(lambda x, y: ops.where(x > 0, x, y), A, A)
case(lambda x: ops.where(x > 0, x, -1e9), A)
case(lambda x: ops.where(x, 1, 0), ("bool", 2, 3))
case(lambda x, y: ops.select([x > 1, x < 0], [x, y], 0.5), A, A)
case(lambda x, y: ops.select([x > 1, x < 0], [x, y]), A, A)

for name in "sum mean var std max min amax amin ptp any all prod logsumexp count_nonzero".split():
    function = getattr(ops, name)
    case(function, A)
    case(lambda x, f=function: f(x, axis=-1), A)
    case(lambda x, f=function: f(x, axis=(0, 2)), A)
    if name != "count_nonzero":
        case(lambda x, f=function: f(x, axis=1, keepdims=True), A)
for name in "sum mean var max min any all prod".split():
    case(lambda x, f=getattr(ops, name): f(x, axis=1), ("int", 2, 5))
for name in "sum any all max".split():
    case(lambda x, f=getattr(ops, name): f(x, axis=1), ("bool", 2, 5))
for name in "nansum nanmean nanvar nanstd nanmax nanmin nanprod nanmedian".split():
    case(lambda x, f=getattr(ops, name): f(x, axis=1), ("holes", 2, 5))
    case(lambda x, f=getattr(ops, name): f(x, axis=(0, 1), keepdims=True), ("holes", 2, 5))
case(lambda x: ops.max(x, axis=1, initial=0.5), A)
case(lambda x: ops.min(x, axis=1, initial=0.0), A)
case(lambda x: ops.average(x, axis=1), A)
case(lambda x: ops.average(x, axis=1, weights=np.array([1.0, 2.0, 3.0], "float32")), A)
case(lambda x, y: ops.average(x, axis=1, weights=y), A, ("positive", 2, 3, 4))
for name in "argmax argmin".split():
    case(getattr(ops, name), ("any", 2, 5))
    case(lambda x, f=getattr(ops, name): f(x, axis=1), A)
    case(lambda x, f=getattr(ops, name): f(x, axis=-1, keepdims=True), A)
for name in "nanargmax nanargmin".split():
    case(lambda x, f=getattr(ops, name): f(x, axis=1), ("holes", 2, 5))
for name in "cumsum cumprod".split():
    case(lambda x, f=getattr(ops, name): f(x, axis=1), A)
    case(lambda x, f=getattr(ops, name): f(x, axis=-1), A)
    case(lambda x, f=getattr(ops, name): f(x), ("any", 2, 3))
case(lambda x: ops.cumsum(x, axis=0, dtype="float32"), ("int", 3, 2))
case(lambda x: ops.nancumsum(x, axis=1), ("holes", 2, 5))
case(lambda x: ops.nancumprod(x, axis=1), ("holes", 2, 5))
for order in (None, "fro", 1, 2, np.inf, -np.inf, 0, 3):
    if order != "fro":
        case(lambda x, o=order: ops.norm(x, ord=o, axis=-1), ("positive", 2, 3, 4))
for order in ("fro", 1, -1, np.inf, -np.inf):
    case(lambda x, o=order: ops.norm(x, ord=o, axis=(1, 2), keepdims=True), A)
case(lambda x: ops.moments(x, axes=[0, 1]), A)
case(lambda x: ops.moments(x, axes=[2], keepdims=True), A)

case(lambda x: ops.sort(x, axis=1), A)
case(lambda x: ops.sort(x), ("int", 2, 6))
case(lambda x: ops.argsort(x, axis=-1), A)
case(lambda x: ops.top_k(x, 2), A)
case(lambda x: ops.top_k(x, 3), ("int", 2, 6))
case(lambda x, t: ops.in_top_k(t, x, 2), ("any", 4, 5), ("index", 4))
for method in "linear lower higher midpoint nearest".split():
    case(lambda x, m=method: ops.quantile(x, 0.3, axis=1, method=m), ("any", 2, 6))
case(lambda x: ops.quantile(x, [0.1, 0.5, 0.9], axis=1), A)
case(lambda x: ops.quantile(x, 0.25, axis=(1, 2), keepdims=True), A)
case(lambda x: ops.percentile(x, 40.0, axis=1), A)
case(lambda x: ops.median(x, axis=-1), A)
case(lambda x: ops.median(x, axis=1, keepdims=True), A)
case(lambda x: ops.median(x), A)
case(lambda x: ops.nanquantile(x, 0.3, axis=1), ("holes", 2, 6))
case(lambda x: ops.nanpercentile(x, 70.0, axis=1), ("holes", 2, 6))
case(lambda x: ops.digitize(x, np.array([-1.0, 0.0, 1.5])), A)
case(lambda x: ops.searchsorted(np.array([-1.0, 0.0, 1.5], "float32"), x, side="right"), ("any", 5))
case(lambda x: ops.bincount(x, minlength=4), ("index", 2, 6))
case(lambda x: ops.bincount(x, minlength=4), ("index", 6), static=True)
case(lambda x: keras.src.ops.numpy.Argpartition(1, -1).symbolic_call(x)[:, 1] * 0, ("any", 2, 5))

case(lambda x: ops.reshape(x, (-1, 12)), A)
case(lambda x: ops.reshape(x, (2, 2, 6)), A, static=True)
case(ops.transpose, A)
case(lambda x: ops.transpose(x, (0, 2, 1)), A)
case(lambda x: ops.transpose(x, (-1, 0, 1)), A)
case(lambda x: ops.moveaxis(x, 1, -1), A)
case(lambda x: ops.moveaxis(x, (0, 1), (2, 0)), A)
case(lambda x: ops.swapaxes(x, 1, 2), A)
case(lambda x: ops.squeeze(x, 1), ("any", 2, 1, 3))
case(lambda x: ops.squeeze(x, (1, 3)), ("any", 2, 1, 3, 1))
case(lambda x: ops.squeeze(x), ("any", 2, 1, 3))
case(lambda x: ops.expand_dims(x, 1), A)
case(lambda x: ops.expand_dims(x, -1), A)
case(lambda x: ops.expand_dims(x, (1, -1)), A)
case(lambda x: ops.broadcast_to(x, (2, 3, 4)), ("any", 2, 1, 4), static=True)
case(lambda x: ops.flip(x, 1), A)
case(ops.flip, A)
case(lambda x: ops.flip(x, (1, 2)), A)
case(lambda x: ops.fliplr(x), A)
case(lambda x: ops.flipud(x), A)
case(lambda x: ops.rot90(x, axes=(1, 2)), A)
case(lambda x: ops.rot90(x, k=3, axes=(1, 2)), A)
case(lambda x: ops.roll(x, 1, axis=1), A)
case(lambda x: ops.roll(x, (1, -2), axis=(1, 2)), A)
case(lambda x: ops.roll(x, 5), ("any", 2, 3))
case(lambda x: ops.tile(x, (1, 2, 3)), A)
case(lambda x: ops.tile(x, 2), A)
case(lambda x: ops.tile(x, (2, 1, 1, 2)), A)
case(lambda x: ops.repeat(x, 2, axis=1), A)
case(lambda x: ops.repeat(x, [1, 2, 3], axis=1), A)
case(lambda x: ops.repeat(x, 3), ("any", 2, 2))
case(lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1))), A)
case(lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1)), constant_values=3), A)
case(lambda x: ops.pad(x, ((0, 0), (1, 2), (2, 1)), mode="reflect"), A)
case(lambda x: ops.pad(x, ((0, 0), (1, 2), (2, 1)), mode="symmetric"), A)
case(ops.tril, A)
case(lambda x: ops.tril(x, -1), A)
case(lambda x: ops.triu(x, 1), A)
case(lambda x: ops.diag(x, 1), ("any", 4, 4), static=True)
case(lambda x: ops.diag(x, -1), ("any", 3), static=True)
case(lambda x: ops.diagflat(x, 1), ("any", 2, 2), static=True)
case(lambda x: ops.diagonal(x, offset=1, axis1=1, axis2=2), A)
case(lambda x: ops.diagonal(x, offset=-1, axis1=2, axis2=1), A)
case(lambda x: ops.trace(x, axis1=1, axis2=2), A)
case(lambda x: keras.src.ops.numpy.Size().symbolic_call(x), A)

for key in (
    (slice(None), slice(1, 3)),
    (slice(None), -1),
    (Ellipsis, slice(None, None, 2)),
    (slice(None), None, 0),
    (slice(None), slice(None, None, -1)),
    (slice(None), slice(-2, None), slice(3, 0, -2)),
    (Ellipsis, 0),
    (slice(None), Ellipsis, None),
    (0,),
    (slice(None), slice(-3, -1), -2),
    (slice(0, 1), Ellipsis, slice(1, 4)),
):
    case(lambda x, k=key: x[k], A)
case(lambda x: x[1], A)
case(lambda x: ops.take(x, [0, 2], axis=1), A)
case(lambda x: ops.take(x, np.array([[0, -1], [1, 1]]), axis=1), A)
case(lambda x, i: ops.take(x, i, axis=-1), A, ("index", 2, 2))
case(lambda x, i: ops.take(x, i), A, ("index", 2, 2))
case(lambda x, i: ops.take_along_axis(x, i, axis=1), A, ("index", 2, 2, 4))
case(lambda x, i: ops.take_along_axis(x, i, axis=-1), A, ("index", 2, 3, 2))
case(lambda x: ops.slice(x, (0, 1, 1), (2, 2, 3)), A, static=True)
case(lambda x, u: ops.slice_update(x, (0, 1, 1), u), ("int", 2, 3, 4), ("int", 1, 2, 2), static=True)
case(lambda i, v: ops.scatter(i, v, (4, 3)), ("index", 2, 1), ("any", 2, 3), static=True)
case(lambda x, u: ops.scatter_update(x, [[0, 1], [1, 2]], u), ("any", 2, 3), ("any", 2), static=True)
case(lambda x, u: ops.scatter_update(x, [[0, 1], [0, 1]], u, reduction="add"), ("any", 2, 3), ("any", 2), static=True)
case(lambda x: ops.one_hot(x, 4), ("index", 2, 3))
case(lambda x: ops.one_hot(x, 4, axis=1, dtype="int32"), ("int", 2, 3))
case(lambda x: ops.multi_hot(x, 4), ("index", 2, 3))
case(lambda x: ops.unravel_index(x, (2, 3)), ("index", 4))
for name in "segment_sum segment_max segment_min segment_prod".split():
    case(lambda x, i, f=getattr(ops, name): f(x, i, num_segments=3), ("any", 6, 2), ("index", 6), static=True) if hasattr(ops, name) else None

case(lambda x, y: ops.concatenate([x, y], axis=1), A, ("any", 2, 5, 4))
case(lambda x, y: ops.concatenate([x, y], axis=-1), A, ("int", 2, 3, 2))
case(lambda x, y: ops.stack([x, y], axis=1), A, A)
case(lambda x, y: ops.stack([x, y], axis=-1), A, A)
case(lambda x, y: ops.hstack([x, y]), A, A)
case(lambda x, y: ops.vstack([x, y]), A, A)
case(lambda x, y: ops.dstack([x, y]), ("any", 2, 3), ("any", 2, 3))
case(lambda x, y: ops.append(x, y, axis=1), A, A)
case(lambda x, y: ops.append(x, y), ("any", 2, 2), ("any", 3, 1))
case(lambda x: ops.split(x, 2, axis=-1), A)
case(lambda x: ops.split(x, [1, 3], axis=2), A)
case(lambda x: ops.array_split(x, 2, axis=1), A)
case(lambda x: ops.vsplit(x, 2), A, static=True)
case(lambda x: ops.hsplit(x, 3), A)
case(lambda x: ops.dsplit(x, [1]), A)
case(lambda x: ops.unstack(x, axis=1), A)
case(lambda x, y: ops.meshgrid(x, y), ("any", 2), ("any", 3), static=True)
case(lambda x, y: ops.meshgrid(x, y, indexing="ij"), ("any", 2), ("any", 3), static=True)
case(lambda x, y: ops.linspace(x, y, num=5), ("any", 2, 3), ("any", 2, 3))
case(lambda x, y: ops.linspace(x, y, num=4, endpoint=False, axis=-1), ("any", 2, 3), ("any", 2, 3))
case(lambda x, y: ops.logspace(x, y, num=3, base=2), ("unit", 2, 3), ("unit", 2, 3))
case(lambda x, y: ops.geomspace(x, y, num=3), ("positive", 2, 3), ("positive", 2, 3))
case(lambda x: ops.vander(x, N=3), ("any", 4), static=True)

case(ops.matmul, ("any", 2, 3, 4), ("any", 2, 4, 2))
case(ops.matmul, ("any", 2, 3, 4), ("any", 4), static=True)
case(ops.matmul, ("int", 2, 3), ("int", 3, 2), static=True)
case(lambda x: ops.dot(x, np.ones((4, 2), "float32")), A)
case(ops.dot, ("any", 3, 4), ("any", 4, 2), static=True)
case(ops.inner, ("any", 3, 4), ("any", 2, 4), static=True)
case(ops.vdot, ("any", 3, 4), ("any", 3, 4), static=True)
case(ops.outer, ("any", 3), ("any", 2, 2), static=True)
case(ops.kron, ("any", 2, 3), ("any", 3, 2), static=True)
case(lambda x, y: ops.tensordot(x, y, axes=[[1, 2], [1, 2]]), A, A)
case(lambda x, y: ops.tensordot(x, y, axes=1), A, ("any", 4, 2), static=True)
case(lambda x, y: ops.einsum("bij,bkj->bik", x, y), A, A)
case(lambda x: ops.einsum("bij->bji", x), A)
case(lambda x, y: ops.cross(x, y), ("any", 4, 3), ("any", 4, 3))
case(lambda x, y: ops.cross(x, y), ("any", 4, 2), ("any", 4, 3))
case(lambda x: ops.diff(x), A)
case(lambda x: ops.diff(x, n=2, axis=1), A)
case(lambda x: ops.trapezoid(x, dx=0.5, axis=1), A)
case(lambda x, y: ops.correlate(x, y), ("any", 6), ("any", 3), static=True)
case(lambda x, y: ops.correlate(x, y, mode="same"), ("any", 6), ("any", 3), static=True)
case(lambda x, y: ops.correlate(x, y, mode="full"), ("any", 6), ("any", 3), static=True)
case(ops.corrcoef, ("any", 3, 5), static=True)
case(lambda x: ops.rearrange(x, "b (p q) c -> b p (q c)", p=2), ("any", 2, 6, 3), static=True)
case(lambda x: ops.rearrange(x, "b h c -> (b c) h"), A, static=True)
if hasattr(ops, "cdist"):
    case(ops.cdist, ("any", 4, 3), ("any", 2, 3), static=True)

case(lambda x: ops.leaky_relu(x, 0.3), A)
case(lambda x: ops.elu(x, 0.5), A)
case(lambda x: ops.celu(x, 0.5), A)
case(lambda x: ops.gelu(x, approximate=False), A)
case(lambda x: ops.glu(x, axis=-1), A)
case(lambda x: ops.threshold(x, 0.3, -1.0), A)
case(lambda x: ops.softmax(x, axis=1), A)
case(lambda x: ops.softmax(x, axis=None), A)
case(lambda x: ops.log_softmax(x, axis=1), A)
case(lambda x: ops.sparsemax(x, axis=1), A)
case(lambda x: ops.normalize(x, axis=-1), A)
case(lambda x: ops.normalize(x, axis=1, order=3), ("positive", 2, 3, 4))
case(lambda x: ops.layer_normalization(x, axis=-1), A)
case(
    lambda x: ops.layer_normalization(x, np.arange(1, 5, dtype="float32"), np.ones(4, "float32"), axis=-1, epsilon=1e-3), A
)
case(lambda x: ops.rms_normalization(x, scale=np.arange(1, 5, dtype="float32"), axis=-1), A)
case(
    lambda x: ops.batch_normalization(
        x, np.arange(4, dtype="float32"), np.arange(1, 5, dtype="float32"), -1, np.ones(4, "float32"), np.ones(4, "float32") * 2
    ),
    A,
)
case(lambda x, m: ops.batch_normalization(x, m, m + 1, 1), A, ("positive", 3), static=True)
Q, K = ("any", 2, 3, 2, 4), ("any", 2, 5, 2, 4)
case(lambda q, k, v: ops.dot_product_attention(q, k, v), Q, K, K)
case(lambda q, k, v: ops.dot_product_attention(q, k, v, is_causal=True, scale=0.3), Q, Q, Q)
case(lambda q, k, v, m: ops.dot_product_attention(q, k, v, mask=m), Q, K, K, ("bool", 2, 1, 3, 5))
case(lambda q, k, v, b: ops.dot_product_attention(q, k, v, bias=b), Q, K, K, ("any", 2, 2, 3, 5))
I = ("any", 2, 6, 7, 4)
case(lambda x, k: ops.conv(x, k), I, ("any", 3, 2, 4, 2), static=True)
case(lambda x, k: ops.conv(x, k, strides=2, padding="same"), I, ("any", 3, 3, 4, 2), static=True)
case(lambda x: ops.conv(x, np.ones((2, 4, 3), "float32"), dilation_rate=2), ("any", 2, 6, 4))
case(lambda x, k: ops.depthwise_conv(x, k, padding="same"), I, ("any", 3, 3, 4, 2), static=True)
case(lambda x, d, p: ops.separable_conv(x, d, p), I, ("any", 3, 3, 4, 2), ("any", 1, 1, 8, 3), static=True)
case(lambda x, k: ops.conv_transpose(x, k, strides=2, padding="same"), I, ("any", 3, 3, 2, 4), static=True)
case(lambda x, k: ops.conv_transpose(x, k, strides=2, output_padding=1), I, ("any", 2, 3, 2, 4), static=True)
case(lambda x: ops.max_pool(x, 2), I)
case(lambda x: ops.max_pool(x, (3, 2), strides=1, padding="same"), I)
case(lambda x: ops.average_pool(x, 2, strides=2, padding="same"), I)
case(lambda x: ops.average_pool(x, 3, strides=2), ("any", 2, 7, 3))
case(lambda x: ops.adaptive_max_pool(x, (3, 3)), I)
case(lambda x: ops.adaptive_average_pool(x, (2, 3)), I)
case(lambda x: ops.depth_to_space(x, 2), I)
case(lambda x: ops.space_to_depth(x, 2), ("any", 2, 4, 6, 3))
S = ("share", 2, 3)
case(lambda x, t: ops.binary_crossentropy(t, x), S, S)
case(lambda x, t: ops.binary_crossentropy(t, x, from_logits=True), ("any", 2, 3), S)
case(lambda x, t: ops.categorical_crossentropy(t, x), S, S)
case(lambda x, t: ops.categorical_crossentropy(ops.softmax(t), x, from_logits=True), ("any", 2, 3), S)
case(lambda x, t: ops.sparse_categorical_crossentropy(t, x), ("share", 4, 3), ("index", 4))
case(lambda x, t: ops.sparse_categorical_crossentropy(t, x, from_logits=True), ("any", 4, 3), ("index", 4))
case(lambda x, y: ops.psnr(x, y, 2.0), S, S)

P = ("share", 2, 6, 7, 3)
case(lambda x: ops.image.resize(x, (4, 9)), P)
case(lambda x: ops.image.resize(x, (3, 4), interpolation="nearest"), P)
case(ops.image.rgb_to_grayscale, P)
case(ops.image.rgb_to_hsv, P)
case(lambda x: ops.image.hsv_to_rgb(ops.stop_gradient(x)), P)  # TensorFlow has no gradient
case(lambda x: ops.image.extract_patches(x, 3), P)
case(lambda x: ops.image.extract_patches(x, (2, 3), strides=2, padding="same"), P)
case(lambda x: ops.image.extract_patches(x, 2, strides=1, dilation_rate=2), P)
case(lambda x: ops.image.pad_images(x, top_padding=1, left_padding=2, target_height=9, target_width=10), P)
case(lambda x: ops.image.crop_images(x, top_cropping=1, right_cropping=2, target_height=4, target_width=3), P)
if hasattr(ops.nn, "unfold"):
    case(lambda x: ops.nn.unfold(x, (2, 3), padding=1, stride=2), ("any", 2, 3, 4, 5), static=True)

for name in "bitwise_and bitwise_or bitwise_xor".split():
    for kind in ("int", "long", "byte"):
        case(getattr(ops, name), (kind, 2, 5), (kind, 1, 5))
for name in "bitwise_left_shift left_shift bitwise_right_shift right_shift".split():
    case(getattr(ops, name), ("int", 2, 5), ("index", 2, 5))
    case(getattr(ops, name), ("long", 2, 5), ("shift", 2, 5))
for name in "bitwise_not bitwise_invert".split():
    for kind in ("int", "long", "byte"):
        case(getattr(ops, name), (kind, 2, 5))
for name in "gcd lcm".split():
    case(getattr(ops, name), ("count", 3, 5), ("count", 3, 5))
    case(getattr(ops, name), ("int", 3, 5), ("int", 3, 5))
F = ("any", 2, 3, 8)
case(lambda x, y: ops.fft((x, y)), F, F)
case(lambda x, y: ops.fft((x, y)), ("any", 2, 7), ("any", 2, 7))
case(lambda x, y: ops.fft2((x, y)), ("any", 2, 5, 4), ("any", 2, 5, 4))
case(lambda x, y: ops.ifft2((x, y)), ("any", 2, 5, 4), ("any", 2, 5, 4))
case(ops.rfft, F)
case(ops.rfft, ("any", 2, 7))
case(lambda x: ops.rfft(ops.stop_gradient(x), 5), F)  # TensorFlow has no gradient of what is cut off
case(lambda x: ops.rfft(x, 11), F)
case(lambda x, y: ops.irfft((x, y)), ("any", 2, 5), ("any", 2, 5))
case(lambda x, y: ops.irfft((ops.stop_gradient(x), ops.stop_gradient(y)), 7), ("any", 2, 5), ("any", 2, 5))
case(lambda x, y: ops.irfft((x, y), 12), ("any", 2, 5), ("any", 2, 5))
case(lambda x: ops.extract_sequences(x, 4, 3), ("any", 2, 3, 12))
case(lambda x: ops.stft(x, 6, 3, 8), ("any", 2, 20))
case(lambda x: ops.stft(x, 5, 2, 8, window="hamming", center=False), ("any", 2, 20))
case(lambda x: ops.stft(x, 8, 4, 8, window=None), ("any", 2, 3, 20))
S2 = ("any", 2, 6, 5)
case(lambda x, y: ops.istft((x, y), 6, 3, 8), S2, S2)
case(lambda x, y: ops.istft((x, y), 8, 3, 8, length=15), S2, S2)
case(lambda x, y: ops.istft((x, y), 8, 4, 8, window=None, center=False), S2, S2)
case(ops.histogram, ("any", 30))
case(lambda x: ops.histogram(x, bins=4, range=(-1.0, 2.0)), ("any", 30))
case(ops.image.gaussian_blur, P)
case(lambda x: ops.image.gaussian_blur(x, (5, 3), (0.7, 1.4)), P)
case(lambda x: ops.image.sobel_edges(x), P)
case(lambda x, y: ops.image.ssim(x, y, filter_size=5), P, P)
case(lambda x: ops.nn.fold(x, (5, 6), (2, 3), padding=1, stride=2), ("any", 2, 12, 9), static=True)
case(lambda x: ops.nn.fold(x, 4, 2, dilation=2), ("any", 2, 8, 4), static=True)


# Away from singular matrices, and with eigenvalues and singular values that are apart.
def dominant(x):
    return x * 0.1 + np.diag(np.arange(1, 2 * x.shape[-1], 2)).astype("float32")


def definite(x):
    return ops.matmul(x, ops.transpose(x, (0, 2, 1))) + np.eye(4, dtype="float32")


M = ("any", 2, 4, 4)
case(lambda x: ops.inv(dominant(x)), M)
case(lambda x: ops.inv(dominant(x)), ("any", 2, 3, 4, 4))
case(ops.det, M)
case(ops.det, ("any", 2, 3, 3, 3))
case(lambda x: ops.slogdet(x)[1], M)
case(ops.slogdet, M)
case(lambda x: ops.logdet(definite(x)), M)
case(lambda a, b: ops.solve(dominant(a), b), M, ("any", 2, 4, 3))
case(lambda a, b: ops.solve(dominant(a), b), M, ("any", 2, 4))
for lower in (False, True):
    case(lambda a, b, lower=lower: ops.solve_triangular(dominant(a), b, lower=lower), M, ("any", 2, 4, 3))
    case(lambda a, lower=lower: ops.linalg.cholesky_inverse(dominant(a), upper=not lower), M)
    case(lambda x, lower=lower: ops.cholesky(definite(x), upper=not lower), M)
case(lambda a, b: ops.solve_triangular(dominant(a), b, lower=True), M, ("any", 2, 4))
case(lambda x: ops.lu_factor(ops.stop_gradient(x)), ("any", 4, 4), static=True)
case(ops.qr, M)
case(lambda x: ops.qr(x)[0], ("any", 2, 5, 3))
case(lambda x: ops.triu(ops.qr(x)[1]), ("any", 2, 5, 3))
case(ops.qr, ("any", 2, 3, 5))
case(lambda x: ops.qr(x, mode="complete"), ("any", 2, 3, 3))
# Whole numbers, for what has no gradient.
for i in (0, 1):
    case(lambda x, i=i: ops.cast(ops.qr(x, mode="complete")[i] * 64, "int32"), ("any", 2, 5, 3))


def symmetric(x):
    return (x + ops.transpose(x, (0, 2, 1))) * 0.1 + np.diag([1, 3, 5, 7]).astype("float32")


case(lambda x: ops.eigh(symmetric(x))[0], M)
case(lambda x: ops.abs(ops.eigh(symmetric(x))[1]), M)
case(lambda x: ops.svd(x, compute_uv=False), M)
case(lambda x: ops.svd(x, compute_uv=False), ("any", 2, 5, 3))
case(lambda x: ops.svd(x)[1], M)
for shape in ((2, 4, 4), (2, 5, 3), (2, 3, 5)):
    case(lambda x: ops.abs(ops.svd(x, full_matrices=False)[0]), ("any", *shape))
    case(lambda x: ops.abs(ops.svd(x, full_matrices=False)[2]), ("any", *shape))
    case(lambda x: ops.pinv(x), ("any", *shape))
case(lambda x: ops.cast(ops.abs(ops.svd(x)[2]) * 64, "int32"), ("any", 2, 3, 5))
case(lambda x: ops.pinv(x, rcond=0.5), M)
case(lambda a, b: ops.lstsq(a, b), ("any", 5, 3), ("any", 5, 2), static=True)
case(lambda a, b: ops.lstsq(a, b), ("any", 3, 5), ("any", 3), static=True)
case(ops.matrix_rank, M)
case(lambda x: ops.matrix_rank(ops.matmul(x, ops.transpose(x, (0, 2, 1)))), ("any", 2, 4, 2))
case(lambda x: ops.matrix_rank(x, tol=2.0), M)
for order in ("nuc", 2, -2):
    case(lambda x, o=order: ops.norm(x, ord=o, axis=(2, 1)), A)
    case(lambda x, o=order: ops.norm(x, ord=o, axis=(1, 2), keepdims=True), A)

case(ops.nextafter, A, ("any", 2, 1, 4))
case(lambda x: ops.view(x, dtype="int32"), A)
case(lambda x: ops.view(x, dtype="uint8"), ("int", 2, 3))
case(lambda x: ops.view(x, dtype="int64"), ("int", 2, 6))
case(lambda x: ops.view(ops.stop_gradient(x), dtype="float16"), A)
case(lambda x: ops.ndim(x) * ops.ones((2,), dtype="int32"), ("any", 2, 3))


def still(function):  # TensorFlow's gradient of projections is no more than near
    return lambda x, *others: function(ops.stop_gradient(x), *others)


TRANSFORM = np.array([[0.9, 0.2, -0.7, -0.1, 1.1, 0.3, 0.002, -0.003], [1.2, -0.3, 0.4, 0.3, 0.8, -0.6, 0.0, 0.0]], "float32")
SHIFT = np.array([1, 0, 2, 0, 1, -1, 0, 0], "float32")
for mode in ("constant", "nearest", "wrap", "reflect"):
    for interpolation in ("nearest", "bilinear"):
        case(
            still(lambda x, m=mode, i=interpolation: ops.image.affine_transform(x, TRANSFORM, i, m, 0.5)), ("any", 2, 6, 5, 3)
        )
case(lambda x: ops.image.affine_transform(x, SHIFT), P)
case(lambda x: ops.image.affine_transform(x, SHIFT, data_format="channels_first"), ("any", 2, 3, 6, 5))
case(still(lambda x, t: ops.image.affine_transform(x, ops.stop_gradient(t) * 0.05 + TRANSFORM)), P, ("any", 2, 8))
case(still(lambda x: ops.image.affine_transform(x, TRANSFORM[0])), ("any", 6, 5, 3), static=True)
START = np.array([[[0, 0], [4, 0], [0, 5], [4, 5]], [[0, 1], [3, 0], [1, 5], [4, 4]]], "float32")
END = np.array([[[1, 0], [4, 1], [0, 5], [3, 4]], [[0, 0], [4, 0], [0, 5], [4, 5]]], "float32")
for interpolation in ("nearest", "bilinear"):
    case(still(lambda x, i=interpolation: ops.image.perspective_transform(x, START, END, i, 0.5)), P)
case(
    still(lambda x, s: ops.image.perspective_transform(x, ops.stop_gradient(s) * 0.1 + START, START)), P, ("any", 2, 4, 2)
)
case(lambda x, c: ops.image.map_coordinates(x, c, 1), ("any", 5, 6), ("large", 2, 7), static=True)
case(lambda x, c: ops.image.map_coordinates(x, c, 0, fill_value=2.5), ("any", 5, 6), ("large", 2, 3, 4), static=True)
for mode in ("nearest", "wrap"):
    for order in (0, 1):
        case(
            lambda x, c, m=mode, o=order: ops.image.map_coordinates(x, c, o, fill_mode=m),
            ("any", 3, 4, 5),
            ("large", 3, 8),
            static=True,
        )
# TensorFlow mirrors about the first element whatever the mode, so what is below 0 is left out.
for mode in ("reflect", "mirror"):
    case(
        lambda x, c, m=mode: ops.image.map_coordinates(x, c, 1, fill_mode=m), ("any", 6), ("inside", 1, 9), static=True
    )
case(lambda x, c: ops.image.map_coordinates(x, c, 1), ("int", 5, 6), ("positive", 2, 7), static=True)
for method in ("linear", "cubic", "lanczos3", "lanczos5"):
    for antialias in (True, False):
        case(
            lambda x, s, t, m=method, a=antialias: ops.image.scale_and_translate(
                x, (2, 4, 8, 3), s * 0.3 + np.array([0.3, 1.5], "float32"), t, (1, 2), m, a
            ),
            ("any", 2, 6, 5, 3),
            ("unit", 2),
            ("unit", 2),
            static=True,
        )
TWO = np.array([0.7, 1.6], "float32")
case(lambda x: ops.image.scale_and_translate(x, (None, 4, 8, 3), TWO, -TWO, (1, 2), "bicubic"), ("any", 2, 6, 5, 3))
C = ("any", 3, 9, 5)
case(ops.ctc_loss, ("label", 3, 3), C, ("length", 3), ("steps", 3))
case(lambda *x: ops.ctc_loss(*x, mask_index=4), ("index", 3, 3), C, ("length", 3), ("steps", 3))
case(ops.ctc_decode, C, ("steps", 3))
case(lambda *x: ops.ctc_decode(*x, merge_repeated=False, mask_index=-1), C, ("steps", 3))


def stored(group, name, array):
    array = np.asarray(array)
    dtype = str(array.dtype)
    if dtype in ("bool", "float16"):
        array = array.astype({"bool": "uint8", "float16": "float32"}[dtype])
    group.create_dataset(name, data=array).attrs["dtype"] = dtype


def write(file, function, inputs, static):
    keras.backend.clear_session()
    data = [draw(kind, shape) for kind, *shape in inputs]
    symbols = [
        keras.Input(batch_shape=array.shape if static else (None, *array.shape[1:]), dtype=str(array.dtype), name=f"in{i}")
        for i, array in enumerate(data)
    ]
    outputs = function(*symbols)
    model = keras.Model(symbols, list(outputs) if isinstance(outputs, (list, tuple)) else outputs)
    operations = [op for op in model.operations if not isinstance(op, keras.layers.InputLayer)]
    name = type(operations[-1]).__name__ if len(operations) < 3 else "Several"
    real = [i for i, array in enumerate(data) if array.dtype.kind == "f"]
    tensors = [tf.constant(array) for array in data]
    cotangents = {}
    with tf.GradientTape() as tape:
        for i in real:
            tape.watch(tensors[i])
        try:
            # Keras's class does not hand the method on to the function.
            results = function(*tensors) if name in ("Quantile", "Percentile") else model(tensors)
        except (AttributeError, TypeError):  # some classes hand on their arguments in a wrong order
            results = function(*tensors)
        results = list(results) if isinstance(results, (list, tuple)) else [results]
        total = 0.0
        for i, result in enumerate(results):
            if result.dtype.is_floating:
                cotangent = cotangents[i] = random.normal(0, 1, result.shape).astype("float32")
                total += tf.reduce_sum(tf.cast(result, "float32") * cotangent)
    gradients = tape.gradient(total, [tensors[i] for i in real]) if not isinstance(total, float) else [None] * len(real)
    group = file.require_group(name)
    group = group.create_group(str(len(group)))
    group.attrs["config"] = json.dumps(json.loads(model.to_json()))
    for i, cotangent in cotangents.items():
        stored(group, f"cotangent/{i}", cotangent)
    for i, array in enumerate(data):
        stored(group, f"inputs/{i}", array)
    for i, result in enumerate(results):
        stored(group, f"output/{i}", result)
    for i, gradient in enumerate(gradients):
        gradient = np.zeros(data[real[i]].shape, "float32") if gradient is None else tf.convert_to_tensor(gradient).numpy()
        stored(group, f"grad_inputs/{i}", gradient)
    return name


with h5py.File(sys.argv[1], "w", libver=("v108", "v110")) as file:
    for number, (function, inputs, static) in enumerate(cases):
        try:
            write(file, function, inputs, static)
        except Exception as error:  # a case that this version of Keras cannot do is no case
            print(f"case {number} {inputs}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
