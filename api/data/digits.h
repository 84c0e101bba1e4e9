// The embedded data set: the ten digits, drawn from strokes.
#pragma once

#include "api/data/dataset.h"
#include "backend/core/random.h"

namespace nacre {

// Draws one digit, 0 … 9, into a grey picture of `side`×`side` pixels, row by row, 0 black … 255 white: random slant,
// rotation, scale, stroke width, shift, tremor of the strokes, contrast, blots and noise.
void draw_digit(int digit, RandomStream& random, std::span<std::uint8_t> pixels, int side = 28);

// `count` pictures uint8 (28, 28, 1) and labels int32. Picture i is a function of (seed, i) alone.
DatasetRef digits(std::int64_t count, std::uint64_t seed);

}  // namespace nacre
