#include "backend/onednn/elementwise/program.h"

#include <algorithm>

#include "backend/core/parallel.h"
#include "backend/core/random.h"

namespace nacre::onednn {

namespace {

using Cells = std::array<float*, Program::most_cells>;

RandomStreamKey key_of(const Program::Stream& stream, const KernelArguments& arguments) {
  const auto number = [&](const Program::Stream::Whole& whole) {
    if (whole.operand < 0) return whole.value;
    return *static_cast<const std::int64_t*>(arguments.inputs[static_cast<std::size_t>(whole.operand)]);
  };
  const RandomKey random = RandomKey::of(static_cast<std::uint64_t>(number(stream.seed)), stream.path, stream.call,
                                         static_cast<std::uint32_t>(number(stream.step)));
  const auto counter = random.counter(0);
  const auto key = random.key();
  return {{counter[1], counter[2], counter[3]}, {key[0], key[1]}};
}

// The operand's elements that belong to [begin, begin + count), as floats.
void load(const Program::Operand& operand, const void* from, std::int64_t begin, std::int64_t count, float* to,
          const Loops& loops) {
  const Load convert_many = loops.load[static_cast<std::size_t>(operand.dtype)];
  visit(operand.dtype, [&]<class T>(T*) {
    operand.access.walk(begin, count,
                        [&](std::int64_t offset, std::int64_t stride, std::int64_t length, std::int64_t times) {
                          const T* first = static_cast<const T*>(from) + offset;
                          if (stride == 1) convert_many(first, to, length);
                          else if (stride == 0) std::fill_n(to, length, convert<float>(*first));
                          else
                            for (std::int64_t i = 0; i < length; ++i) to[i] = convert<float>(first[i * stride]);
                          // Copies of copies, so that short pieces become long ones at once.
                          const std::int64_t all = length * times;
                          for (std::int64_t done = length; done < all;) {
                            const std::int64_t some = std::min(done, all - done);
                            std::copy_n(to, some, to + done);
                            done += some;
                          }
                          to += all;
                        });
  });
}

// The stream's numbers for elements [begin, begin + count), which have these places in it.
void uniform(const RandomStreamKey& key, const Access& places, std::int64_t begin, std::int64_t count, float* to,
             const Loops& loops) {
  if (places.full()) return loops.uniform(key, begin, to, count);
  std::array<std::uint32_t, Program::tile_elements / 4> blocks;
  std::uint32_t* next = blocks.data();
  std::int64_t cut = 0;  // not 0 when numbers of a block are left out
  places.walk(begin, count, [&](std::int64_t place, std::int64_t, std::int64_t length, std::int64_t) {
    cut |= (place | length) & 3;
    const auto first = static_cast<std::uint32_t>(place >> 2), whole = static_cast<std::uint32_t>(length >> 2);
    for (std::uint32_t i = 0; i < whole; ++i) next[i] = first + i;
    next += whole;
  });
  if (cut == 0) return loops.uniform_blocks(key, blocks.data(), to, count / 4);
  places.walk(begin, count, [&](std::int64_t place, std::int64_t, std::int64_t length, std::int64_t) {
    loops.uniform(key, place, to, length);
    to += length;
  });
}

void link(const Program::RowSum& sum, DType index, const KernelArguments& arguments, std::int64_t first_row,
          std::int64_t last_row) {
  const void* indices = arguments.inputs[static_cast<std::size_t>(sum.indices)];
  void* scratch = static_cast<std::byte*>(arguments.scratch) + sum.scratch;
  if (index == DType::int64) sum.lists.link(static_cast<const std::int64_t*>(indices), first_row, last_row, scratch);
  else sum.lists.link(static_cast<const std::int32_t*>(indices), first_row, last_row, scratch);
}

// Elements [begin, begin + count) of the table that has each update added to its row. Sums of halves are made as floats
// and rounded once.
void sum_rows(const Program::RowSum& sum, DType dtype, const KernelArguments& arguments, std::int64_t begin,
              std::int64_t count, float* to, const Loops& loops) {
  const void* scratch = static_cast<const std::byte*>(arguments.scratch) + sum.scratch;
  const auto* updates = static_cast<const std::byte*>(arguments.inputs[static_cast<std::size_t>(sum.updates)]);
  const Load convert_many = loops.load[static_cast<std::size_t>(dtype)];
  const Loop add = loops.instruction[static_cast<int>(Opcode::add)][0];
  const auto element_size = static_cast<std::int64_t>(size_of(dtype));
  alignas(buffer_alignment) float converted[Program::tile_elements];
  std::fill_n(to, count, 0.0f);
  float* piece = to;
  std::int64_t at = begin % sum.width, left = count;
  for (std::int64_t row = begin / sum.width; left > 0; ++row) {
    const std::int64_t length = std::min(left, sum.width - at);
    sum.lists.each(row, scratch, [&](std::int64_t number) {
      const std::byte* update = updates + (number * sum.width + at) * element_size;
      const float* values = converted;
      if (dtype == DType::float32) values = reinterpret_cast<const float*>(update);
      else convert_many(update, converted, length);
      add(piece, values, piece, piece, length);
    });
    piece += length;
    left -= length;
    at = 0;
  }
  const Opcode round = dtype == DType::bfloat16 ? Opcode::round_to_bfloat16 : Opcode::round_to_float16;
  if (dtype != DType::float32) loops.instruction[static_cast<int>(round)][0](to, to, to, to, count);
}

// Asks for the operands of the next tile while the steps of this one compute, some lines at each step: the hardware's
// own prefetching begins anew in each page, which is about as long as a tile.
class Prefetch {
 public:
  Prefetch(const Program& program, const KernelArguments& arguments) {
    // A few steps only wait for memory: the requests would take the place of the loads themselves.
    constexpr std::size_t enough_steps = 5;
    if (program.steps.size() < enough_steps) return;
    steps_ = static_cast<std::int64_t>(program.steps.size());
    for (std::size_t i = 0; i < program.operands.size() && count_ < streams_.size(); ++i)
      if (const auto& [dtype, access, cell] = program.operands[i]; access.full())
        streams_[count_++] = {static_cast<const char*>(arguments.inputs[i]), static_cast<std::int64_t>(size_of(dtype))};
  }

  void begin_tile(std::int64_t first, std::int64_t elements) {
    std::int64_t bytes = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      Stream& stream = streams_[i];
      stream.next = stream.memory + first * stream.element_size;
      stream.end = stream.next + elements * stream.element_size;
      bytes += elements * stream.element_size;
    }
    at_ = 0;
    lines_per_step_ = count_ > 0 ? bytes / line / steps_ + 1 : 0;
  }

  void step() {
    for (std::int64_t left = lines_per_step_; left > 0 && at_ < count_;) {
      Stream& stream = streams_[at_];
      for (; left > 0 && stream.next < stream.end; --left, stream.next += line) __builtin_prefetch(stream.next, 0, 2);
      if (stream.next >= stream.end) ++at_;
    }
  }

 private:
  static constexpr std::int64_t line = 64;
  struct Stream {
    const char* memory = nullptr;
    std::int64_t element_size = 0;
    const char *next = nullptr, *end = nullptr;
  };

  std::array<Stream, 32> streams_;
  std::size_t count_ = 0, at_ = 0;
  std::int64_t steps_ = 1, lines_per_step_ = 0;
};

}  // namespace

bool Program::may_overwrite(int result, int operand) const {
  const Operand& from = operands[static_cast<std::size_t>(operand)];
  const Result& to = results[static_cast<std::size_t>(result)];
  if (!from.access.full() || size_of(from.dtype) != size_of(to.dtype)) return false;
  std::size_t first_write = steps.size(), last_read = 0;
  for (std::size_t s = steps.size(); s-- > 0;) {
    const Step& step = steps[s];
    const bool reads = (step.kind == Step::Kind::load && step.index == operand) ||
                       (from.cell >= 0 && std::count(step.cells.begin(), step.cells.end(), from.cell));
    const bool writes = step.kind == Step::Kind::store ? step.index == result : to.cell >= 0 && step.cell == to.cell;
    if (reads) last_read = std::max(last_read, s);
    if (writes) first_write = s;
  }
  return last_read <= first_write;
}

void Program::run_range(const KernelArguments& arguments, const float* number_values, const RandomStreamKey* keys,
                        std::int64_t first, std::int64_t last) const {
  alignas(buffer_alignment) float memory[register_elements];
  std::array<const float*, most_cells> read;
  std::array<float*, most_cells> write{};
  const auto place = [&](int cell, const float* address) { read[static_cast<std::size_t>(cell)] = address; };
  for (int i = 0; i < registers; ++i) {
    write[static_cast<std::size_t>(i)] = memory + i * tile;
    place(i, memory + i * tile);
  }
  for (std::size_t i = 0; i < numbers.size(); ++i) place(numbers[i].cell, number_values + i);

  const auto execute = [&](const Step& step, std::int64_t begin, std::int64_t count) {
    const auto index = static_cast<std::size_t>(step.index);
    switch (step.kind) {
      case Step::Kind::compute:
        step.loop(read[static_cast<std::size_t>(step.cells[0])], read[static_cast<std::size_t>(step.cells[1])],
                  read[static_cast<std::size_t>(step.cells[2])], write[static_cast<std::size_t>(step.cell)], count);
        break;
      case Step::Kind::load:
        load(operands[index], arguments.inputs[index], begin, count, write[static_cast<std::size_t>(step.cell)],
             *loops);
        break;
      case Step::Kind::uniform:
        uniform(keys[index], places, begin, count, write[static_cast<std::size_t>(step.cell)], *loops);
        break;
      case Step::Kind::sum: {
        const RowSum& sum = sums[index];
        sum_rows(sum, operands[static_cast<std::size_t>(sum.updates)].dtype, arguments, begin, count,
                 write[static_cast<std::size_t>(step.cell)], *loops);
        break;
      }
      case Step::Kind::store: {
        const DType dtype = results[index].dtype;
        auto* to =
            static_cast<std::byte*>(arguments.outputs[index]) + begin * static_cast<std::int64_t>(size_of(dtype));
        loops->store[static_cast<std::size_t>(dtype)](read[static_cast<std::size_t>(step.cells[0])], to, count);
        break;
      }
    }
  };
  for (const RowSum& sum : sums)
    link(sum, operands[static_cast<std::size_t>(sum.indices)].dtype, arguments, first / sum.width, last / sum.width);
  Prefetch prefetch(*this, arguments);
  for (const Step& step : once) execute(step, 0, tile);
  for (std::int64_t begin = first; begin < last; begin += tile) {
    const std::int64_t count = std::min(tile, last - begin);
    for (std::size_t i = 0; i < operands.size(); ++i)
      if (const int cell = operands[i].cell; cell >= 0)
        place(cell, static_cast<const float*>(arguments.inputs[i]) + begin);
    for (std::size_t i = 0; i < results.size(); ++i)
      if (const int cell = results[i].cell; cell >= 0) {
        write[static_cast<std::size_t>(cell)] = static_cast<float*>(arguments.outputs[i]) + begin;
        place(cell, write[static_cast<std::size_t>(cell)]);
      }
    if (begin + count < last) prefetch.begin_tile(begin + count, std::min(tile, last - begin - count));
    for (const Step& step : steps) {
      prefetch.step();
      execute(step, begin, count);
    }
  }
}

void Program::run(const KernelArguments& arguments, std::int64_t first, std::int64_t last) const {
  std::array<float, most_numbers> number_values;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    number_values[i] = numbers[i].value;
    if (const int operand = numbers[i].operand; operand >= 0)
      loops->load[static_cast<std::size_t>(operands[static_cast<std::size_t>(operand)].dtype)](
          arguments.inputs[static_cast<std::size_t>(operand)], &number_values[i], 1);
  }
  std::array<RandomStreamKey, most_streams> keys;
  for (std::size_t i = 0; i < streams.size(); ++i) keys[i] = key_of(streams[i], arguments);
  run_range(arguments, number_values.data(), keys.data(), first * unit(), std::min(last * unit(), elements));
}

void Program::run(const KernelArguments& arguments) const {
  parallel_for(units(), work_worth_a_thread / work_of_unit(),
               [&](std::int64_t first, std::int64_t last) { run(arguments, first, last); });
}

}  // namespace nacre::onednn
