"""Makes augmentation.h5: what Keras's layers on pictures give, for augmentation_golden_test.cpp.

Each case is a group /Class/k with the attribute `config` (Keras's JSON), `training`, `step`, and the arrays inputs/i and
output/i. Several outputs are alternatives, of which every picture's result is one (layers that toss a coin). Random
numbers are those of nacre's generator, put into Keras's transformations, so that ranges and formulas are compared too.

    python make_augmentation.py augmentation.h5
"""
import json
import os
import sys

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
import h5py
import keras
import numpy as np
from keras import layers as L

rng = np.random.default_rng(5)
SEED, STEP = 5, 3
BATCH, HEIGHT, WIDTH = 2, 5, 6
M32, M64 = 2**32 - 1, 2**64 - 1


def uniform(path, call, count):
    """The first `count` numbers of the stream (SEED, path, call, STEP): backend/core/random.h."""
    stream = 0xCBF29CE484222325
    for c in path.encode():
        stream = ((stream ^ c) * 0x100000001B3) & M64
    stream = (stream + 0x9E3779B97F4A7C15 * call) & M64
    mixed = (SEED * 0xD1342543DE82EF95 + 0x632BE59BD9B4E019) & M64
    numbers = []
    for block in range((count + 3) // 4):
        counter, key = [block, STEP, stream & M32, stream >> 32], [mixed & M32, mixed >> 32]
        for _ in range(10):
            a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
            counter = [(b >> 32) ^ counter[1] ^ key[0], b & M32, (a >> 32) ^ counter[3] ^ key[1], a & M32]
            key = [(key[0] + 0x9E3779B9) & M32, (key[1] + 0xBB67AE85) & M32]
        numbers += [(word >> 8) * 2.0**-24 for word in counter]
    return np.array(numbers[:count], "float32")


def draws(layer):
    """Calls in order: draw(low, high[, count])."""
    call = iter(range(100))
    def draw(low, high, count=BATCH):
        if low == high:
            return np.full(count, low, "float32")
        return np.float32(low) + np.float32(high - low) * uniform(layer.name, next(call), count)
    return draw


def pictures(height=HEIGHT, width=WIDTH, channels=3, low=0, high=255, whole=False, batch=BATCH):
    x = rng.uniform(low, high, (batch, height, width, channels))
    return (np.round(x) if whole else x).astype("float32")


def first(x):
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


cases = []


def add(layer, x, training=True, outputs=None, transformation=None):
    if outputs is None:
        if transformation is None:
            outputs = [layer(x.copy(), training=training)]
        else:
            outputs = [layer.transform_images(keras.ops.convert_to_tensor(x), transformation, training=True)]
    cases.append((layer, [x], [np.asarray(o) for o in outputs], training))


def fill_modes():
    for mode in ("reflect", "constant", "wrap", "nearest"):
        for interpolation in ("bilinear", "nearest"):
            yield dict(fill_mode=mode, interpolation=interpolation, fill_value=3.0)


# --- sizes --------------------------------------------------------------------------------------------------------
for interpolation in ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area"):
    for antialias in (False, True):
        for height, width in ((9, 4), (3, 11), (2, 3)):
            add(L.Resizing(height, width, interpolation=interpolation, antialias=antialias), pictures(), False)
    add(L.Resizing(4, 9, interpolation=interpolation, crop_to_aspect_ratio=True), pictures(), False)
    add(L.Resizing(9, 4, interpolation=interpolation, pad_to_aspect_ratio=True, fill_value=2.5), pictures(), False)
    add(L.Resizing(5, 4, interpolation=interpolation), pictures(channels=1).astype("uint8"), False)
add(L.Resizing(5, 9), pictures()[0], False)
add(L.Resizing(5, 9, data_format="channels_first"), first(pictures()), False)
add(L.Resizing(13, 3, interpolation="nearest"), rng.integers(-2**30, 2**30, (2, 5, 4, 2)).astype("int32"), False)
for height, width in ((4, 4), (3, 5), (HEIGHT, WIDTH), (8, 4), (9, 12), (2, 9)):
    add(L.CenterCrop(height, width), pictures(), False)
    add(L.CenterCrop(height, width, data_format="channels_first"), first(pictures()), False)
add(L.CenterCrop(4, 4), pictures()[0], False)
add(L.CenterCrop(4, 4), pictures().astype("uint8"), False)
layer = L.RandomCrop(4, 3, seed=SEED)
draw = draws(layer)
h, w = int(draw(0, HEIGHT - 3, 1)[0]), int(draw(0, WIDTH - 2, 1)[0])
x = pictures()
add(layer, x, outputs=[x[:, h:h + 4, w:w + 3]])

# --- geometry -----------------------------------------------------------------------------------------------------
for mode, axes in (("horizontal", 2), ("vertical", 1), ("horizontal_and_vertical", (1, 2))):
    x = pictures()
    add(L.RandomFlip(mode), x, outputs=[x, np.flip(x, axes)])
for options in fill_modes():
    add(L.RandomRotation((0.1, 0.1), **options), pictures())
    add(L.RandomRotation((-0.37, -0.37), **options), pictures(7, 5, 1))
    add(L.RandomZoom((0.3, 0.3), **options), pictures())
    add(L.RandomZoom((-0.4, -0.4), (0.7, 0.7), **options), pictures())
    add(L.RandomTranslation((0.23, 0.23), (-0.4, -0.4), **options), pictures())
    add(L.RandomTranslation((-0.9, -0.9), (1.0, 1.0), **options), pictures())
    layer, x = L.RandomShear((0.3, 0.3), (0.12, 0.12), **options), pictures()
    shear = lambda s: layer.transform_images(x, {"shear_factor": np.full((BATCH, 2), s) * np.array([[0.3, 0.12]], "float32")})
    add(layer, x, outputs=[shear(np.float32(1)), shear(np.float32(-1))])
add(L.RandomRotation((0.2, 0.2)), pictures()[0])
add(L.RandomRotation((0.2, 0.2), data_format="channels_first"), first(pictures()))
add(L.RandomRotation((0.2, 0.2)), pictures().astype("uint8"))
layer = L.RandomRotation((-0.2, 0.3), seed=SEED)
angle = draws(layer)(-0.2, 0.3) * 360
zero, one = np.zeros(BATCH, "float32"), np.ones(BATCH, "float32")
add(layer, pictures(), transformation={"rotation_matrix": layer._compute_affine_matrix(0.5, 0.5, keras.ops.convert_to_tensor(angle), zero, zero, one, zero, zero, HEIGHT, WIDTH)})
layer = L.RandomZoom((-0.2, 0.3), (0.1, 0.2), seed=SEED)
draw = draws(layer)
add(layer, pictures(), transformation={"height_zoom": 1 + draw(-0.2, 0.3)[:, None], "width_zoom": 1 + draw(0.1, 0.2)[:, None], "input_shape": (BATCH, HEIGHT, WIDTH, 3)})
layer = L.RandomTranslation(0.3, (0.1, 0.2), seed=SEED)
draw = draws(layer)
down, right = draw(-0.3, 0.3) * HEIGHT, draw(0.1, 0.2) * WIDTH
add(layer, pictures(), transformation={"translations": keras.ops.convert_to_tensor(np.stack([right, down], 1)), "input_shape": (BATCH, HEIGHT, WIDTH, 3)})
for scale, interpolation in ((1.0, "bilinear"), (0.4, "bilinear"), (0.7, "nearest")):
    layer = L.RandomPerspective(factor=(0.3, 0.9), scale=scale, interpolation=interpolation, fill_value=4.0, seed=SEED)
    draw = draws(layer)
    share = draw(0.3, 0.9)
    applies = draw(0, 1) < share
    factors = np.zeros((BATCH, 4, 2), "float32")
    for corner, axis in ((1, 0), (2, 1), (3, 0), (3, 1)):
        factors[:, corner, axis] = draw(-0.5 * scale, 0.5 * scale)
    start = np.repeat(np.array([[[0, 0], [WIDTH - 1, 0], [0, HEIGHT - 1], [WIDTH - 1, HEIGHT - 1]]], "float32"), BATCH, 0)
    add(layer, pictures(), transformation={"apply_perspective": keras.ops.convert_to_tensor(applies), "start_points": keras.ops.convert_to_tensor(start), "end_points": keras.ops.convert_to_tensor(start + start * factors), "input_shape": (BATCH, HEIGHT, WIDTH, 3)})

# --- colours ------------------------------------------------------------------------------------------------------
for low, high in ((0, 255), (0, 1), (-1, 1)):
    values = dict(value_range=(low, high))
    some = lambda **options: pictures(low=low, high=high, **options)
    for factor in (-0.6, 0.3):
        add(L.RandomBrightness((factor, factor), **values), some())
    add(L.RandomContrast((0.0, 0.0), **values), some())
    for factor in (0.2, 0.9):
        layer, x = L.RandomHue((factor, factor), **values), some()
        add(layer, x, outputs=[layer.transform_images(x, {"factor": np.full(BATCH, s * factor * 0.5, "float32")}) for s in (1, -1)])
    for factor in (-0.3, 0.0, 0.3, 0.5, 0.8):
        add(L.RandomSaturation((factor, factor), **values), pictures(low=max(low, 0), high=high))
        add(L.RandomColorDegeneration((factor, factor), **values), some())
    for factor in (0.0, 0.2, 0.5, 1.0):
        add(L.RandomSharpness((factor, factor), **values), some())
    for bits in (1, 3, 8):
        add(L.RandomPosterization((bits, bits), **values), some())
    add(L.RandomInvert((1.0, 1.0), **values), some())
    add(L.Solarization(**values), some())
    add(L.AutoContrast(**values), some(), False)
    flat = some(); flat[0, ..., 1] = 0.25
    add(L.AutoContrast(**values), flat)
    for bins in (256, 16):
        x = some(height=9, width=11, whole=high > 1)
        x[..., 2] = high
        add(L.Equalization(bins=bins, **values), x)
        add(L.Equalization(bins=bins, **values), some(height=12, width=16))
    for grid, limit, size in (((2, 3), 4.0, (8, 9)), ((8, 8), 1.5, (13, 17)), ((3, 2), 0.0, (7, 5)), ((1, 1), 0.5, (6, 6))):
        x = pictures(*size, low=low, high=high)
        add(L.ContrastLimitedAdaptiveHistogramEqualization(clip_limit=limit, tile_grid_size=grid, **values), x, False)
grey_corner = pictures(); grey_corner[0] = 0; grey_corner[1, ..., :] = grey_corner[1, ..., :1]
for layer in (L.RandomSaturation((0.7, 0.7)), L.RandomColorDegeneration((0.4, 0.4)), L.RandomGrayscale(1.0)):
    add(layer, grey_corner)
layer = L.RandomHue((0.3, 0.3))
add(layer, grey_corner, outputs=[layer.transform_images(grey_corner, {"factor": np.full(BATCH, s * 0.15, "float32")}) for s in (1, -1)])
for make in (lambda f: L.RandomSaturation((0.7, 0.7), data_format=f), lambda f: L.RandomColorDegeneration((0.4, 0.4), data_format=f), lambda f: L.RandomGrayscale(1.0, data_format=f), lambda f: L.RandomContrast((0.2, 0.5), seed=SEED, data_format=f), lambda f: L.RandomSharpness((0.2, 0.2), data_format=f), lambda f: L.Equalization(data_format=f), lambda f: L.ContrastLimitedAdaptiveHistogramEqualization(tile_grid_size=(2, 2), data_format=f)):
    layer, x = make("channels_first"), first(pictures(8, 8, whole=True))
    if isinstance(layer, L.RandomContrast):
        add(layer, x, transformation={"contrast_factor": keras.ops.convert_to_tensor(draws(layer)(0.8, 1.5).reshape(-1, 1, 1, 1))})
    else:
        add(layer, x)
layer = L.RandomContrast(0.4, seed=SEED)
add(layer, pictures(), transformation={"contrast_factor": keras.ops.convert_to_tensor(draws(layer)(1.0, 1.4).reshape(-1, 1, 1, 1))})
layer = L.RandomBrightness(0.4, seed=SEED)
add(layer, pictures(), transformation={"rgb_delta": 255 * draws(layer)(-0.4, 0.4).reshape(-1, 1, 1, 1)})
layer = L.RandomGrayscale(0.5, seed=SEED)
add(layer, pictures(), transformation=(draws(layer)(0, 1) < 0.5).reshape(-1, 1, 1, 1))
layer = L.RandomInvert(0.9, seed=SEED)
draw = draws(layer)
share = draw(0, 0.9)
add(layer, pictures(), transformation={"apply_inversion": draw(0, 1) < share})
layer = L.RandomPosterization((2, 7), seed=SEED)
add(layer, pictures(), transformation={"shift_factor": keras.ops.convert_to_tensor((8 - np.floor(draws(layer)(2, 7))).astype("uint8"))})
for low, high in ((0, 255), (-1, 1)):
    layer = L.Solarization(addition_factor=(0.1, 0.6), threshold_factor=0.8, value_range=(low, high), seed=SEED)
    draw = draws(layer)
    column = lambda a: keras.ops.convert_to_tensor(a.reshape(-1, 1, 1, 1))
    add(layer, pictures(low=low, high=high), transformation={"additions": column(draw(0.1, 0.6 * 255)), "thresholds": column(draw(0, 0.8 * 255))})
add(L.AutoContrast(), pictures(whole=True).astype("uint8"))
add(L.ContrastLimitedAdaptiveHistogramEqualization(tile_grid_size=(2, 2)), pictures(8, 9, whole=True).astype("uint8"))

# --- filters, boxes -----------------------------------------------------------------------------------------------
for kernel_size, sigma in ((3, 0.7), ((5, 5), 0.9), ((3, 5), 0.4), ((5, 1), 1.0), (3, 0.0)):
    add(L.RandomGaussianBlur(factor=(1.0, 1.0), kernel_size=kernel_size, sigma=(sigma, sigma)), pictures())
layer = L.RandomGaussianBlur(factor=(0.2, 0.9), kernel_size=3, sigma=(0.2, 0.9), seed=SEED)
draw = draws(layer)
share = draw(0.2, 0.9)
applies = draw(0, 1) < share
sigmas = np.concatenate([draw(0.2, 0.9, 1), draw(0.2, 0.9, 1)]) + np.float32(1e-6)
add(layer, pictures(), transformation={"should_apply_blur": keras.ops.convert_to_tensor(applies), "blur_factor": keras.ops.convert_to_tensor(sigmas)})
for fill_value in (7.0, (1.0, 300.0, 3.0)):
    layer = L.RandomErasing(factor=(0.5, 1.0), scale=(0.1, 0.6), fill_value=fill_value, seed=SEED)
    draw = draws(layer)
    wide, high = np.sqrt(draw(0.1, 0.6)), np.sqrt(draw(0.1, 0.6))
    x0 = draw(0, 1) * (WIDTH - wide * WIDTH)
    y0 = draw(0, 1) * (HEIGHT - high * HEIGHT)
    mask = layer._generate_batch_mask((BATCH, HEIGHT, WIDTH, 3), [keras.ops.convert_to_tensor(a) for a in (x0, x0 + wide * WIDTH, y0, y0 + high * HEIGHT)])
    share = draw(0.5, 1.0)
    applies = draw(0, 1) < share
    x = pictures()
    add(layer, x, transformation={"apply_erasing": keras.ops.convert_to_tensor(applies), "batch_masks": mask, "fill_value": layer._get_fill_value(x, x.shape, None)})

# --- compositions -------------------------------------------------------------------------------------------------
add(L.RandomColorJitter(brightness_factor=(0.2, 0.2), contrast_factor=(0.0, 0.0), saturation_factor=(0.6, 0.6)), pictures())
add(L.Pipeline([L.CenterCrop(4, 4), L.AutoContrast(), L.RandomRotation((0.1, 0.1))]), pictures())
for layer in (L.RandomFlip(), L.RandomRotation(0.2), L.RandomZoom(0.2), L.RandomTranslation(0.2, 0.2), L.RandomShear(0.2), L.RandomPerspective(), L.RandomElasticTransform(), L.RandomBrightness(0.3), L.RandomContrast(0.3), L.RandomHue(0.2), L.RandomSaturation(0.5), L.RandomColorDegeneration(0.5), L.RandomInvert(), L.RandomSharpness(0.5), L.RandomGaussianBlur(), L.RandomErasing(), L.Equalization(), L.Solarization(0.5, 0.5), L.RandomPosterization(4), L.CutMix(), L.MixUp(), L.RandAugment(), L.AugMix(), L.RandomGrayscale(0.5), L.RandomColorJitter(brightness_factor=0.2), L.MaxNumBoundingBoxes(3)):
    add(layer, pictures(4, 4), False)

with h5py.File(sys.argv[1], "w", libver="latest") as file:
    for layer, inputs, outputs, training in cases:
        kind = file.require_group(type(layer).__name__)
        group = kind.create_group(str(len(kind)))
        group.attrs["config"] = json.dumps(keras.saving.serialize_keras_object(layer))
        group.attrs["training"] = int(training)
        group.attrs["step"] = STEP
        for name, arrays in (("inputs", inputs), ("output", outputs)):
            for i, array in enumerate(arrays):
                group.create_dataset(f"{name}/{i}", data=array)
print(len(cases), "cases of", len({type(c[0]) for c in cases}), "classes")
