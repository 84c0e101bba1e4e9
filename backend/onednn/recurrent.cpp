// Recurrent layers. What does not depend on the state is one large product over all steps: x · kernel + bias before the
// walk, the gradients of x and of both kernels after the walk back. Prediction makes it within the walk where it can,
// of as few steps as fill its tiles, so that it needs neither memory for all steps nor other caches. A step is the
// small product of the state and the recurrent kernel, which lies in panels, and the loop of the cell. All steps are
// walked by one team of threads: each has rows of the batch of its own, or, where there are too few, a share of the
// units and waits for the others. The workspace holds the values of the gates (batch, time, gates·units), then what
// else the cell's gradient needs (batch, time, units): the memory of lstm, the state's product for the candidate of
// gru_reset_after.
#include "backend/graph/ops/recurrent.h"

#include <algorithm>

#include "backend/core/parallel.h"
#include "backend/discarded.h"
#include "backend/onednn/elementwise/loops.h"
#include "backend/onednn/kernels.h"
#include "backend/onednn/recurrent/panels.h"

namespace nacre::onednn {
namespace {

constexpr std::size_t floats(std::int64_t count) { return static_cast<std::size_t>(count) * sizeof(float); }

// A recurrent node's sizes; results and operands have the same element type.
struct Layer {
  CellKind cell;
  bool reverse;
  DType dtype;
  std::int64_t batch, time, features, units, width;  // width: of all gates

  explicit Layer(const Node& node) {
    const auto& p = node.attrs<RecurrentAttrs>();
    const Shape& x = node.in(0).shape();
    cell = p.cell;
    reverse = p.reverse;
    dtype = node.in(0).dtype();
    batch = x[0];
    time = x[1];
    features = x[2];
    units = node.in(4).shape()[1];
    width = nacre::gates(cell) * units;
  }

  int states() const { return cell == CellKind::lstm ? 2 : 1; }
  bool is_gru() const { return cell == CellKind::gru || cell == CellKind::gru_reset_after; }
  std::int64_t rows() const { return batch * time; }
  std::int64_t step(std::int64_t number) const { return reverse ? time - 1 - number : number; }
  std::size_t bytes(std::int64_t count) const { return static_cast<std::size_t>(count) * size_of(dtype); }
  std::int64_t kept() const { return cell == CellKind::lstm || cell == CellKind::gru_reset_after ? rows() * units : 0; }
  Layout workspace() const {
    const auto bytes = static_cast<std::int64_t>(floats(rows() * width + kept()));
    return Layout::opaque(std::make_shared<const BlockedLayout>(Desc({bytes}, dnnl::memory::data_type::u8, Dims{1})));
  }

  // Elements as floats, and back.
  void load(const void* from, std::int64_t at, float* to, std::int64_t count) const {
    loops().load[static_cast<int>(dtype)](static_cast<const std::byte*>(from) + bytes(at), to, count);
  }
  void store(const float* from, void* to, std::int64_t at, std::int64_t count) const {
    loops().store[static_cast<int>(dtype)](from, static_cast<std::byte*>(to) + bytes(at), count);
  }

  Desc matrix(std::int64_t height, std::int64_t length, Dims strides) const {
    return Desc({height, length}, *data_type(dtype), strides);
  }
  Desc matrix(std::int64_t height, std::int64_t length) const { return matrix(height, length, {length, 1}); }
  Desc transposed(std::int64_t height, std::int64_t length) const { return matrix(length, height, {1, length}); }
};

// Parts of the scratch memory.
class Scratch {
 public:
  std::size_t take(std::size_t bytes) {
    const std::size_t offset = bytes_;
    bytes_ += aligned(bytes);
    return offset;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_ = 0;
};

// What one thread of a team does: all units of some rows, or some units of all rows, `line` of them at a time.
struct Share {
  Share(const Layer& layer, bool by_rows, std::int64_t line, int part, int parts) {
    const auto unit = [&](std::int64_t number) {
      return number == parts ? layer.units : layer.units / line * number / parts * line;
    };
    first_row = by_rows ? layer.batch * part / parts : 0;
    last_row = by_rows ? layer.batch * (part + 1) / parts : layer.batch;
    first_unit = by_rows ? 0 : unit(part);
    last_unit = by_rows ? layer.units : unit(part + 1);
  }
  std::int64_t rows() const { return last_row - first_row; }
  std::int64_t units() const { return last_unit - first_unit; }
  // y = from + a · panels for these rows and units; all begin at row 0 and unit 0.
  void multiply(const Panels& panels, const void* packed, const void* a, std::int64_t lda, const float* from,
                std::int64_t ldfrom, float* y, std::int64_t ldy) const {
    const auto* row = static_cast<const std::byte*>(a) + static_cast<std::size_t>(first_row * lda) * panels.element();
    panels.multiply(packed, first_unit, last_unit, rows(), row, lda, from + first_row * ldfrom, ldfrom,
                    y + first_row * ldy, ldy);
  }

  std::int64_t first_row, last_row, first_unit, last_unit;
};

// What walking forward and back have in common.
class Walk : public Kernel {
 public:
  Walk(const Node& node, bool transposed)
      : layer_(node), panels_(layer_.cell, layer_.dtype, layer_.units, layer_.units, transposed) {
    // Shares meet between lines of the cache and between panels.
    constexpr std::int64_t line = 16;
    line_ = std::max(line, panels_.units());
    // Of a thread and a step: multiplications, rows; weights, which must take longer to read than threads to meet.
    constexpr std::int64_t least_work = 1 << 15, least_rows = 4, least_weights = 1 << 15;
    const std::int64_t weights = layer_.units * layer_.width, work = layer_.batch * weights;
    const std::int64_t most = std::clamp<std::int64_t>(work / least_work, 1, threads());
    const std::int64_t by_rows = std::min(most, layer_.batch / least_rows);
    const std::int64_t by_units = std::min({most, weights / least_weights, layer_.units / line_});
    by_rows_ = by_rows >= by_units;
    parts_ = static_cast<int>(std::max({by_rows, by_units, std::int64_t{1}}));
  }
  std::size_t scratch_bytes() const { return scratch_bytes_; }

 protected:
  using Primitive = std::unique_ptr<PrimitiveKernel>;

  // The product of two matrices; operands and result are bound by the caller, scratch memory is the kernel's.
  Primitive product(const Desc& a, const Desc& b, const Desc& bias, const Desc& y) {
    const dnnl::matmul::primitive_desc made(engine(), a, b, bias, y, attributes());
    auto primitive = std::make_unique<PrimitiveKernel>(dnnl::matmul(made), made.scratchpad_desc(), scratch_.bytes());
    scratch_bytes_ = std::max(scratch_bytes_, primitive->scratch_bytes());
    return primitive;
  }

  template <class T = float>
  static T* at(const KernelArguments& arguments, std::size_t offset) {
    return reinterpret_cast<T*>(static_cast<std::byte*>(arguments.scratch) + offset);
  }

  Share share(int part, int parts) const { return Share(layer_, by_rows_, line_, part, parts); }

  Layer layer_;
  KernelPanels panels_;
  Scratch scratch_;
  std::size_t scratch_bytes_ = 0;
  std::int64_t line_;
  int parts_;
  bool by_rows_;
};

// Recurrent kernels and, where the walk multiplies x itself, kernels come in panels when `packed`, and are packed by
// each run else.
class Forward final : public Walk {
 public:
  Forward(const Node& node, bool training, bool packed)
      : Walk(node, false),
        kernel_panels_(layer_.cell, layer_.dtype, layer_.features, layer_.units, false),
        training_(training),
        projects_(!training && (layer_.dtype == DType::float32 || projects_narrow())),
        packed_(packed),
        has_sequence_(node.uses(0) > 0) {
    const std::int64_t states = layer_.batch * layer_.units;
    if (!packed_) recurrent_kernel_ = scratch_.take(panels_.bytes());
    if (!packed_ && projects_) kernel_ = scratch_.take(kernel_panels_.bytes());
    h_ = scratch_.take(floats(2 * states));  // before a step and after it, in turns
    c_ = scratch_.take(floats(states));      // reset · h of gru, the state's product of gru_reset_after
    if (panels_.narrow()) narrow_h_ = scratch_.take(layer_.bytes(2 * states));  // the same as products read them
    if (panels_.narrow()) narrow_c_ = scratch_.take(layer_.bytes(states));
    bias_ = scratch_.take(floats(2 * layer_.width));
    steps_ = projects_ ? steps_at_once() : layer_.time;
    if (!training) values_ = scratch_.take(floats(layer_.batch * steps_ * layer_.width));
    scratch_bytes_ = scratch_.bytes();
    if (!projects_) prepare_projection();
  }

  int workspace() const { return 1 + layer_.states(); }
  Layout kernel_layout() const { return packed_ && projects_ ? kernel_panels_.layout() : Layout::plain(); }
  Layout recurrent_kernel_layout() const { return packed_ ? panels_.layout() : Layout::plain(); }

  void run(const KernelArguments& arguments) override {
    if (layer_.cell == CellKind::gru_reset_after || projects_)
      layer_.load(arguments.inputs[3], 0, at(arguments, bias_),
                  layer_.cell == CellKind::gru_reset_after ? 2 * layer_.width : layer_.width);
    if (layer_.cell == CellKind::gru_reset_after) {
      // Both biases of z and r are added at once.
      float* bias = at(arguments, bias_);
      for (std::int64_t i = 0; i < 2 * layer_.units; ++i) bias[i] += bias[layer_.width + i];
    }
    if (project_) project_->run(arguments);
    auto* values = training_ ? static_cast<float*>(arguments.outputs[static_cast<std::size_t>(workspace())])
                             : at(arguments, values_);
    parallel_team(parts_, [&](int part, int parts, auto&& barrier) {
      const Share share = this->share(part, parts);
      if (!packed_) panels_.pack(arguments.inputs[2], at(arguments, recurrent_kernel_), part, parts);
      if (!packed_ && projects_) kernel_panels_.pack(arguments.inputs[1], at(arguments, kernel_), part, parts);
      for (std::int64_t row = share.first_row; row < share.last_row; ++row) {
        const std::int64_t place = row * layer_.units + share.first_unit;
        layer_.load(arguments.inputs[4], place, state(arguments, 0) + place, share.units());
        if (panels_.narrow())
          layer_.store(state(arguments, 0) + place, narrow_state(arguments, 0), place, share.units());
        if (layer_.cell == CellKind::lstm)
          layer_.load(arguments.inputs[5], place, at(arguments, c_) + place, share.units());
      }
      barrier();
      const auto meet = [&] {
        if (!by_rows_) barrier();
      };
      for (std::int64_t number = 0; number < layer_.time; ++number) {
        if (projects_ && number % steps_ == 0) project(arguments, share, number, values);
        step(arguments, share, number, values, meet);
      }
      for (std::int64_t row = share.first_row; row < share.last_row; ++row) {
        const std::int64_t place = row * layer_.units + share.first_unit;
        layer_.store(state(arguments, layer_.time) + place, arguments.outputs[1], place, share.units());
        if (layer_.cell == CellKind::lstm)
          layer_.store(at(arguments, c_) + place, arguments.outputs[2], place, share.units());
      }
    });
  }

 private:
  // The library's product of bfloat16 is faster only where it is large and made of tiles.
  bool projects_narrow() const { return kernel_panels_.narrow() && !(by_rows_ && multiplies_tiles()); }

  // x · kernel + bias of all steps, by the library.
  void prepare_projection() {
    const bool two_biases = layer_.cell == CellKind::gru_reset_after;
    const Desc plain = Desc({layer_.rows(), layer_.width}, dnnl::memory::data_type::f32, Dims{layer_.width, 1});
    const Desc bias = two_biases ? Desc({1, layer_.width}, dnnl::memory::data_type::f32, Dims{layer_.width, 1})
                                 : layer_.matrix(1, layer_.width);
    const Desc x = layer_.matrix(layer_.rows(), layer_.features), kernel = layer_.matrix(layer_.features, layer_.width);
    project_ = product(x, kernel, bias, plain);
    project_->input(DNNL_ARG_SRC, 0, x);
    project_->input(DNNL_ARG_WEIGHTS, 1, kernel);
    if (two_biases) project_->scratch(DNNL_ARG_BIAS, bias_, bias);
    else project_->input(DNNL_ARG_BIAS, 3, bias);
    if (training_) project_->output(DNNL_ARG_DST, workspace(), plain);
    else project_->scratch(DNNL_ARG_DST, values_, plain);
  }

  // The walk's own projection is of some steps before they are taken, so that it stays in the cache of the thread that
  // takes them; of as many as it needs rows for its product.
  std::int64_t steps_at_once() const {
    const std::int64_t tile = recurrent_loops().rows, rows = by_rows_ ? layer_.batch / parts_ : layer_.batch;
    if (rows >= 2 * tile) return 1;
    constexpr std::int64_t tiles = 4;
    return std::min(layer_.time, divide_up(tiles, rows) * tile);
  }
  // The first of the steps [number, number + steps_) in time.
  std::int64_t first_of(std::int64_t number) const {
    const std::int64_t last = std::min(number + steps_, layer_.time) - 1;
    return layer_.reverse ? layer_.step(last) : number;
  }
  void project(const KernelArguments& arguments, const Share& share, std::int64_t number, float* values) const {
    const std::int64_t width = layer_.width, steps = std::min(steps_, layer_.time - number), t = first_of(number);
    const auto* x = static_cast<const std::byte*>(arguments.inputs[0]);
    const void* packed = packed_ ? arguments.inputs[1] : at(arguments, kernel_);
    const float* bias = at(arguments, bias_);
    // All rows of a step, or all steps of a row.
    const bool one_step = steps_ == 1;
    const std::int64_t lda = one_step ? layer_.time * layer_.features : layer_.features;
    for (std::int64_t row = share.first_row; row < (one_step ? share.first_row + 1 : share.last_row); ++row) {
      const std::byte* from = x + layer_.bytes((row * layer_.time + t) * layer_.features);
      float* to = values + row * steps_ * width;
      const std::int64_t rows = one_step ? share.rows() : steps;
      const auto multiply = [&](const Panels& panels, const void* columns, std::int64_t column) {
        panels.multiply(columns, share.first_unit, share.last_unit, rows, from, lda, bias + column, 0, to + column,
                        width);
      };
      multiply(kernel_panels_.gates(), packed, 0);
      if (layer_.is_gru()) multiply(kernel_panels_.candidate(), kernel_panels_.candidate(packed), 2 * layer_.units);
    }
  }

  float* state(const KernelArguments& arguments, std::int64_t number) const {
    return at(arguments, h_) + number % 2 * layer_.batch * layer_.units;
  }

  std::byte* narrow_state(const KernelArguments& arguments, std::int64_t number) const {
    return at<std::byte>(arguments, narrow_h_) + layer_.bytes(number % 2 * layer_.batch * layer_.units);
  }

  // A thread reads the states of all units and writes those of its own, so that it waits for the others once.
  template <class Meet>
  void step(const KernelArguments& arguments, const Share& share, std::int64_t number, float* values,
            const Meet& meet) const {
    const RecurrentLoops& cells = recurrent_loops();
    const std::int64_t units = layer_.units, width = layer_.width, first = share.first_unit, count = share.units();
    const std::int64_t t = layer_.step(number);
    const void* packed = packed_ ? arguments.inputs[2] : at(arguments, recurrent_kernel_);
    const void* candidate = panels_.candidate(packed);
    const bool narrow = panels_.narrow();
    const float* before = state(arguments, number);
    const void* factors = before;
    if (narrow) factors = narrow_state(arguments, number);
    float *h = state(arguments, number + 1), *c = at(arguments, c_);
    float* gates = values + (t - first_of(number / steps_ * steps_)) * width;
    const std::int64_t next = steps_ * width;  // the same step of the next row
    const auto each_row = [&](auto&& body) {
      for (std::int64_t row = share.first_row; row < share.last_row; ++row) {
        const std::int64_t place = row * units + first;
        body(gates + row * next + first, before + place, h + place, c + place);
      }
    };
    if (!by_rows_) {
      // What others have written, and the place of what they are to read next, while there is other work to do.
      constexpr std::size_t line = 64;
      const std::size_t element = panels_.gates().element(), row_bytes = static_cast<std::size_t>(units) * element;
      const auto* read = static_cast<const std::byte*>(factors);
      auto* written = narrow ? narrow_state(arguments, number + 1) : reinterpret_cast<std::byte*>(h);
      for (std::size_t i = 0; i < static_cast<std::size_t>(layer_.batch) * row_bytes; i += line)
        __builtin_prefetch(read + i, 0);
      for (std::int64_t row = 0; row < layer_.batch; ++row)
        for (std::size_t i = 0; i < static_cast<std::size_t>(count) * element; i += line)
          __builtin_prefetch(written + static_cast<std::size_t>(row * units + first) * element + i, 1);
    }
    share.multiply(panels_.gates(), packed, factors, units, gates, next, gates, next);
    switch (layer_.cell) {
      case CellKind::simple:
        each_row([&](float* g, const float*, float* state, float*) { cells.simple(g, state, count); });
        break;
      case CellKind::lstm:
        each_row([&](float* g, const float*, float* state, float* memory) {
          if (training_) cells.lstm(g, units, memory, state, count);
          else cells.lstm_forgetful(g, units, memory, state, count);
        });
        break;
      case CellKind::gru:
        each_row(
            [&](float* g, const float* old, float*, float* reset) { cells.gru_reset(g, units, old, reset, count); });
        if (narrow)
          for (std::int64_t row = share.first_row; row < share.last_row; ++row)
            layer_.store(c + row * units + first, at(arguments, narrow_c_), row * units + first, count);
        meet();
        share.multiply(panels_.candidate(), candidate, narrow ? at(arguments, narrow_c_) : c, units, gates + 2 * units,
                       next, gates + 2 * units, next);
        each_row([&](float* g, const float* old, float* state, float*) { cells.gru(g, units, old, state, count); });
        break;
      case CellKind::gru_reset_after: {
        const float* bias = at(arguments, bias_) + width + 2 * units;
        share.multiply(panels_.candidate(), candidate, factors, units, bias, 0, c, units);
        each_row([&](float* g, const float* old, float* state, float* inner) {
          cells.gru_after(g, units, inner, old, state, count);
        });
        break;
      }
    }
    float* kept = training_ && layer_.kept() > 0 ? values + layer_.rows() * width : nullptr;
    for (std::int64_t row = share.first_row; row < share.last_row; ++row) {
      float* state = h + row * units + first;
      const std::int64_t place = (row * layer_.time + t) * units + first;
      if (layer_.dtype == DType::bfloat16)
        loops().instruction[static_cast<int>(Opcode::round_to_bfloat16)][0](state, nullptr, nullptr, state, count);
      if (narrow) layer_.store(state, narrow_state(arguments, number + 1), row * units + first, count);
      if (has_sequence_) layer_.store(state, arguments.outputs[0], place, count);
      if (kept) std::copy_n(c + row * units + first, count, kept + place);
    }
    meet();
  }

  KernelPanels kernel_panels_;
  bool training_, projects_, packed_, has_sequence_;
  std::size_t recurrent_kernel_ = 0, kernel_ = 0, h_, c_, narrow_h_ = 0, narrow_c_ = 0, bias_, values_ = 0;
  std::int64_t steps_;
  Primitive project_;
};

class Backward final : public Walk {
 public:
  explicit Backward(const Node& node) : Walk(node, true) {
    const std::int64_t states = layer_.batch * layer_.units, units = layer_.units, width = layer_.width,
                       rows = layer_.rows(), features = layer_.features;
    const bool is_gru = layer_.cell == CellKind::gru, after = layer_.cell == CellKind::gru_reset_after;
    kernel_ = scratch_.take(panels_.bytes());
    dh_ = scratch_.take(floats(states));
    dc_ = scratch_.take(floats(states));      // of reset, for gru
    before_ = scratch_.take(floats(states));  // the initial memory of lstm, else the state before
    line_state_ = scratch_.take(floats(states));
    bias_ = scratch_.take(floats(bias_width() * parts_));
    states_ = scratch_.take(layer_.bytes(rows * units));
    dgates_ = scratch_.take(layer_.bytes(rows * width));
    if (is_gru) resets_ = scratch_.take(layer_.bytes(rows * units));
    if (is_gru) dcandidate_kernel_ = scratch_.take(layer_.bytes(units * units));
    dstate_ = after ? scratch_.take(layer_.bytes(rows * width)) : dgates_;
    exact_ = layer_.dtype == DType::float32;
    // Of a step and the one before, in turns: products read them, unless they read bfloat16.
    step_gates_ = exact_ ? 0 : scratch_.take(floats(2 * layer_.batch * width));
    step_state_ = !exact_ && after ? scratch_.take(floats(2 * layer_.batch * width)) : step_gates_;
    scratch_bytes_ = scratch_.bytes();

    const Desc gradients = layer_.matrix(rows, width);
    if (node.uses(0) > 0) {
      const Desc kernel = layer_.transposed(features, width), dx = layer_.matrix(rows, features);
      dx_ = product(gradients, kernel, Desc(), dx);
      dx_->scratch(DNNL_ARG_SRC, dgates_, gradients);
      dx_->input(DNNL_ARG_WEIGHTS, 1, kernel);
      dx_->output(DNNL_ARG_DST, 0, dx);
    }
    const Desc x = layer_.transposed(rows, features), dkernel = layer_.matrix(features, width);
    dkernel_ = product(x, gradients, Desc(), dkernel);
    dkernel_->input(DNNL_ARG_SRC, 0, x);
    dkernel_->scratch(DNNL_ARG_WEIGHTS, dgates_, gradients);
    dkernel_->output(DNNL_ARG_DST, 1, dkernel);

    const std::int64_t first = is_gru ? 2 * units : width;
    const Desc before = layer_.transposed(rows, units), after_state = layer_.matrix(rows, first, {width, 1}),
               drecurrent = layer_.matrix(units, first, {width, 1});
    drecurrent_ = product(before, after_state, Desc(), drecurrent);
    drecurrent_->scratch(DNNL_ARG_SRC, states_, before);
    drecurrent_->scratch(DNNL_ARG_WEIGHTS, dstate_, after_state);
    drecurrent_->output(DNNL_ARG_DST, 2, drecurrent);
    if (is_gru) {
      const Desc candidate = layer_.matrix(rows, units, {width, 1}), square = layer_.matrix(units, units);
      dcandidate_ = product(before, candidate, Desc(), square);
      dcandidate_->scratch(DNNL_ARG_SRC, resets_, before);
      dcandidate_->scratch(DNNL_ARG_WEIGHTS, dgates_ + layer_.bytes(first), candidate);
      dcandidate_->scratch(DNNL_ARG_DST, dcandidate_kernel_, square);
    }
  }

  // Operands: x, kernel, recurrent kernel, bias, h [, c]; sequence, h [, c], workspace; dsequence, dh [, dc].
  int sequence() const { return 4 + layer_.states(); }
  int workspace() const { return sequence() + 1 + layer_.states(); }

  void run(const KernelArguments& arguments) override {
    parallel_team(parts_, [&](int part, int parts, auto&& barrier) {
      const Share share = this->share(part, parts);
      panels_.pack(arguments.inputs[2], at(arguments, kernel_), part, parts);
      float* bias = at(arguments, bias_) + part * bias_width();
      std::fill_n(bias, bias_width(), 0.0f);
      const auto cotangents = static_cast<std::size_t>(workspace()) + 1;
      for (std::int64_t row = share.first_row; row < share.last_row; ++row) {
        const std::int64_t place = row * layer_.units + share.first_unit;
        layer_.load(arguments.inputs[cotangents + 1], place, at(arguments, dh_) + place, share.units());
        if (layer_.cell != CellKind::lstm) continue;
        layer_.load(arguments.inputs[5], place, at(arguments, before_) + place, share.units());
        layer_.load(arguments.inputs[cotangents + 2], place, at(arguments, dc_) + place, share.units());
      }
      barrier();
      const auto meet = [&] {
        if (!by_rows_) barrier();
      };
      for (std::int64_t number = layer_.time; number-- > 0;) step(arguments, share, number, bias, meet);
      for (std::int64_t row = share.first_row; row < share.last_row; ++row) {
        const std::int64_t place = row * layer_.units + share.first_unit;
        layer_.store(at(arguments, dh_) + place, arguments.outputs[4], place, share.units());
        if (layer_.cell == CellKind::lstm)
          layer_.store(at(arguments, dc_) + place, arguments.outputs[5], place, share.units());
      }
      barrier();
      if (part == 0) store_bias(arguments, parts);
    });
    if (dx_) dx_->run(arguments);
    dkernel_->run(arguments);
    drecurrent_->run(arguments);
    if (!dcandidate_) return;
    dcandidate_->run(arguments);
    for (std::int64_t row = 0; row < layer_.units; ++row)
      std::copy_n(at<std::byte>(arguments, dcandidate_kernel_) + layer_.bytes(row * layer_.units),
                  layer_.bytes(layer_.units),
                  static_cast<std::byte*>(arguments.outputs[2]) + layer_.bytes(row * layer_.width + 2 * layer_.units));
  }

 private:
  // The gates' and, where the state's product has a bias of its own, that of the candidate.
  std::int64_t bias_width() const {
    return layer_.cell == CellKind::gru_reset_after ? layer_.width + layer_.units : layer_.width;
  }

  void store_bias(const KernelArguments& arguments, int parts) const {
    float* bias = at(arguments, bias_);
    for (int part = 1; part < parts; ++part)
      for (std::int64_t i = 0; i < bias_width(); ++i) bias[i] += bias[part * bias_width() + i];
    layer_.store(bias, arguments.outputs[3], 0, layer_.width);
    if (layer_.cell != CellKind::gru_reset_after) return;
    layer_.store(bias, arguments.outputs[3], layer_.width, 2 * layer_.units);
    layer_.store(bias + layer_.width, arguments.outputs[3], layer_.width + 2 * layer_.units, layer_.units);
  }

  template <class Meet>
  void step(const KernelArguments& arguments, const Share& share, std::int64_t number, float* bias,
            const Meet& meet) const {
    const RecurrentLoops& cells = recurrent_loops();
    const std::int64_t units = layer_.units, width = layer_.width, first = share.first_unit, count = share.units();
    const std::int64_t t = layer_.step(number), earlier = number > 0 ? layer_.step(number - 1) : 0;
    const auto* values = static_cast<const float*>(arguments.inputs[static_cast<std::size_t>(workspace())]);
    const float* kept = values + layer_.rows() * width;
    const void* sequence = arguments.inputs[static_cast<std::size_t>(this->sequence())];
    const void* dsequence = arguments.inputs[static_cast<std::size_t>(workspace()) + 1];
    float *dh = at(arguments, dh_), *dc = at(arguments, dc_), *before = at(arguments, before_);
    bias += first;
    // Gradients of the step, as floats: those of bfloat16 elsewhere, before they are rounded.
    const std::int64_t next = exact_ ? layer_.time * width : width;
    const std::int64_t turn = number % 2 * layer_.batch * width;
    float* dgates = exact_ ? at(arguments, dgates_) + t * width : at(arguments, step_gates_) + turn;
    float* dstate = exact_ ? at(arguments, dstate_) + t * width : at(arguments, step_state_) + turn;
    const void* packed = at(arguments, kernel_);
    const bool narrow = panels_.narrow();
    const std::int64_t factors = narrow ? layer_.time * width : next;  // from row to row of what products read

    for (std::int64_t row = share.first_row; row < share.last_row; ++row) {
      const std::int64_t place = row * units + first, now = (row * layer_.time + t) * units + first;
      const std::int64_t then = (row * layer_.time + earlier) * units + first;
      const float* gates = values + (row * layer_.time + t) * width + first;
      float *line = at(arguments, line_state_) + place, *dg = dgates + row * next + first,
            *ds = dstate + row * next + first;
      layer_.load(dsequence, now, line, count);
      loops().instruction[static_cast<int>(Opcode::add)][0](dh + place, line, nullptr, dh + place, count);
      const auto* state = static_cast<const std::byte*>(number > 0 ? sequence : arguments.inputs[4]) +
                          layer_.bytes(number > 0 ? then : place);
      std::copy_n(state, layer_.bytes(count), at<std::byte>(arguments, states_) + layer_.bytes(now));
      if (layer_.is_gru()) layer_.load(state, 0, before + place, count);
      switch (layer_.cell) {
        case CellKind::simple: cells.simple_backward(gates, dh + place, dg, bias, count); break;
        case CellKind::lstm:
          cells.lstm_backward(gates, units, kept + now, number > 0 ? kept + then : before + place, dh + place,
                              dc + place, dg, units, bias, count);
          break;
        case CellKind::gru:
          cells.gru_backward(gates, units, before + place, dh + place, dg, units, bias, count);
          std::fill_n(dc + place, count, 0.0f);
          break;
        case CellKind::gru_reset_after:
          cells.gru_after_backward(gates, units, kept + now, before + place, dh + place, dg, units, ds + 2 * units,
                                   bias, width, count);
          std::copy_n(dg, count, ds);
          std::copy_n(dg + units, count, ds + units);
          break;
      }
      if (!layer_.is_gru()) std::fill_n(dh + place, count, 0.0f);
    }
    // Gates [begin, end) of gradients as they are kept, where those of the step are not.
    const auto keep = [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = share.first_row; !exact_ && row < share.last_row; ++row)
        for (std::int64_t gate = begin * units; gate < end * units; gate += units) {
          const std::int64_t place = (row * layer_.time + t) * width + gate + first;
          layer_.store(dgates + row * width + gate + first, at<void>(arguments, dgates_), place, count);
          if (dstate_ != dgates_)
            layer_.store(dstate + row * width + gate + first, at<void>(arguments, dstate_), place, count);
        }
    };
    const auto kept_from = [&](std::size_t offset, std::int64_t column) {
      return at<std::byte>(arguments, offset) + layer_.bytes(t * width + column);
    };
    if (layer_.cell == CellKind::gru) {
      keep(0, 1);
      keep(2, 3);
      meet();
      const void* candidate = dgates + 2 * units;
      if (narrow) candidate = kept_from(dgates_, 2 * units);
      share.multiply(panels_.candidate(), panels_.candidate(packed), candidate, factors, dc, units, dc, units);
      for (std::int64_t row = share.first_row; row < share.last_row; ++row) {
        const std::int64_t place = row * units + first;
        float* reset = at(arguments, line_state_) + place;
        cells.gru_reset_backward(values + (row * layer_.time + t) * width + first, units, before + place, dc + place,
                                 reset, dh + place, dgates + row * next + first, units, bias, count);
        layer_.store(reset, at<void>(arguments, resets_), (row * layer_.time + t) * units + first, count);
      }
      keep(1, 2);
    } else {
      keep(0, width / units);
    }
    meet();
    const void* gradients = dstate;
    if (narrow) gradients = kept_from(dstate_, 0);
    share.multiply(panels_.gates(), packed, gradients, factors, dh, units, dh, units);
  }

  std::size_t kernel_, dh_, dc_, before_, line_state_, bias_, states_, dgates_, resets_ = 0, dcandidate_kernel_ = 0,
                                                                                dstate_, step_gates_, step_state_;
  bool exact_;  // the elements are floats
  Primitive dx_, dkernel_, drecurrent_, dcandidate_;
};

}  // namespace

KernelPlan recurrent(const KernelRequest& request) {
  constexpr std::size_t kernel_operand = 1, recurrent_kernel = 2;
  const Layer layer(request.node);
  const int workspace = 1 + layer.states();
  const bool training = request.node.uses(workspace) > 0;
  auto kernel = std::make_unique<Forward>(
      request.node, training,
      !training && request.is_fixed(kernel_operand) && request.is_fixed(recurrent_kernel));
  KernelPlan plan;
  plan.inputs.assign(request.node.inputs().size(), Layout::plain());
  plan.inputs[kernel_operand] = kernel->kernel_layout();
  plan.inputs[recurrent_kernel] = kernel->recurrent_kernel_layout();
  plan.at_rest.assign(plan.inputs.size(), Layout::plain());
  plan.outputs.assign(request.node.types().size(), Layout::plain());
  if (training) plan.outputs.back() = layer.workspace();
  plan.scratch_bytes = kernel->scratch_bytes();
  plan.kernel = std::move(kernel);
  return plan;
}

KernelPlan recurrent_backward(const KernelRequest& request) {
  auto kernel = std::make_unique<Backward>(request.node);
  KernelPlan plan;
  plan.inputs.assign(request.node.inputs().size(), Layout::plain());
  plan.inputs[static_cast<std::size_t>(kernel->workspace())] = Layer(request.node).workspace();
  plan.outputs.assign(request.node.types().size(), Layout::plain());
  plan.scratch_bytes = kernel->scratch_bytes();
  plan.kernel = std::move(kernel);
  return plan;
}

bool recurrent_fits(const Node& node, const Backend&) {
  const DType dtype = node.in(0).dtype();
  const Shape& x = node.in(0).shape();
  const bool computed =
      dtype == DType::float32 || (dtype == DType::bfloat16 && (static_cast<int>(dnnl::get_effective_cpu_isa()) &
                                                               static_cast<int>(dnnl::cpu_isa::avx512_core)) ==
                                                                  static_cast<int>(dnnl::cpu_isa::avx512_core));
  return computed && std::find(x.begin(), x.end(), 0) == x.end();
}

}  // namespace nacre::onednn
