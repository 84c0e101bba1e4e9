// A group of element-wise nodes as a list of instructions over tiles that stay in the nearest cache.
#pragma once

#include <array>

#include "backend/backend.h"
#include "backend/onednn/elementwise/access.h"
#include "backend/onednn/elementwise/loops.h"
#include "backend/onednn/row_lists.h"

namespace nacre::onednn {

struct Program {
  static constexpr std::int64_t tile_elements = 1024;       // at most: 4 KiB, so that some tiles fit the nearest cache
  static constexpr std::int64_t register_elements = 65536;  // of all tiles of a thread, on its stack
  static constexpr std::size_t most_cells = 512, most_numbers = 256, most_streams = 64;

  // A cell is where a step finds or leaves its floats: a tile in a register (cells 0 to registers - 1), an operand read
  // in place, a result written in place, or a single number.
  struct Step {
    enum class Kind : std::uint8_t {
      compute,  // cells[0..2] → cell
      load,     // operand → cell
      uniform,  // stream → cell
      sum,      // sum of rows → cell
      store,    // cells[0] → result
    };
    Kind kind = Kind::compute;
    Opcode code = Opcode::copy;
    Loop loop = nullptr;  // of the opcode
    std::array<int, 3> cells{-1, -1, -1};
    int cell = -1;
    int index = -1;  // of the operand, stream, sum or result
  };
  struct Operand {
    DType dtype;
    Access access;
    int cell = -1;  // when it is read in place
  };
  struct Result {
    DType dtype;
    int cell = -1;  // when it is written in place
  };
  struct Number {
    int operand;  // of the kernel; -1 for a constant
    float value;
    int cell;
  };
  struct Stream {
    struct Whole {
      int operand;              // whose only element it is; negative: a constant
      std::int64_t value = 0;
    };
    std::string path;
    std::uint32_t call;
    Whole seed, step;
  };
  // A scatter_add of rows of `width` elements: whole rows belong to one thread, which links their updates first.
  struct RowSum {
    int indices, updates;  // operands
    std::int64_t width;
    RowLists lists;
    std::size_t scratch;  // where its lists begin
  };

  // Reads every element of an operand before it writes the result's at its place.
  bool may_overwrite(int result, int operand) const;
  void run(const KernelArguments& arguments) const;
  // A part of the work, which may be shared out among threads: units [first, last) of units().
  void run(const KernelArguments& arguments, std::int64_t first, std::int64_t last) const;
  std::int64_t unit() const { return sums.empty() ? tile : sums.front().width; }  // its elements
  std::int64_t units() const { return (elements + unit() - 1) / unit(); }
  std::int64_t work_of_unit() const { return unit() * static_cast<std::int64_t>(steps.size()); }
  static constexpr std::int64_t work_worth_a_thread = 1 << 16;  // elements of single instructions

  const Loops* loops = nullptr;
  std::int64_t elements = 0, tile = 0;  // all, and those of one tile
  std::vector<Operand> operands;
  std::vector<Result> results;
  std::vector<Number> numbers;
  std::vector<Stream> streams;
  Access places = Access::in_order();  // of the elements in the streams
  std::vector<RowSum> sums;
  std::size_t scratch_bytes = 0;
  std::vector<Step> once, steps;  // those whose tiles never change, the others
  int registers = 0;

 private:
  void run_range(const KernelArguments& arguments, const float* number_values, const RandomStreamKey* keys,
                 std::int64_t first, std::int64_t last) const;
};

// `body` as in FusedAttrs; its shapes are those of the buffers, whose elements have these places in row-major order.
Program compile_program(const Graph& body, const Loops& loops, Access places = Access::in_order());

}  // namespace nacre::onednn
