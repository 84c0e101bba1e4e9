// How our own convolutions see tensors and share their work.
#pragma once

#include <optional>

#include "backend/core/parallel.h"
#include "backend/graph/ops/epilogue.h"
#include "backend/onednn/convolution/loops.h"
#include "backend/onednn/engine.h"

namespace nacre::onednn {

// Where a part of `count` things begins; part `parts` is their end.
constexpr std::int64_t share(std::int64_t count, std::int64_t part, std::int64_t parts) { return count * part / parts; }

// Activations of two spatial axes in memory: plain, or blocked by channels.
struct Field {
  std::int64_t samples, channels, height, width;
  std::int64_t sample, block, row, column;  // distances
  std::int64_t block_width;                 // in channels

  // The first channel of a group.
  std::int64_t offset(std::int64_t of_sample, std::int64_t channel) const {
    return of_sample * sample + channel / block_width * block + channel % block_width;
  }
  // Whether the channels are whole groups, each of them side by side.
  bool in_groups_of(std::int64_t group) const { return channels % block_width == 0 && block_width % group == 0; }
  Picture picture() const { return {height, width, row, column}; }
};
// Of a descriptor in oneDNN's order of axes; none when the memory is otherwise, or of other elements.
std::optional<Field> field_of(const Desc& desc, dnnl::memory::data_type element = dnnl::memory::data_type::f32);

// Columns of a product come in panels of two groups; the last may be of one.
struct Panels {
  std::int64_t columns, group;
  std::int64_t count() const { return divide_up(columns, 2 * group); }
  std::int64_t first(std::int64_t panel) const { return panel * 2 * group; }
  int groups(std::int64_t panel) const { return first(panel) + 2 * group <= columns ? 2 : 1; }
};

// The activation of an epilogue; none when it is another function than a pair of bounds.
std::optional<Bounds> bounds_of(const Epilogue& epilogue);

}  // namespace nacre::onednn
