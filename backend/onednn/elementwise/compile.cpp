#include <algorithm>
#include <utility>

#include "backend/discarded.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/random.h"
#include "backend/onednn/elementwise/program.h"

namespace nacre::onednn {

namespace {

using Step = Program::Step;

struct Instruction {
  const Op* op;
  Opcode code;
};
// clang-format off
constexpr Instruction instructions[] = {
    {&op::negate, Opcode::negate},           {&op::abs, Opcode::abs},
    {&op::sign, Opcode::sign},               {&op::exp, Opcode::exp},
    {&op::expm1, Opcode::expm1},             {&op::log, Opcode::log},
    {&op::log1p, Opcode::log1p},             {&op::sqrt, Opcode::sqrt},
    {&op::rsqrt, Opcode::rsqrt},             {&op::square, Opcode::square},
    {&op::reciprocal, Opcode::reciprocal},   {&op::sin, Opcode::sin},
    {&op::cos, Opcode::cos},                 {&op::tanh, Opcode::tanh},
    {&op::sigmoid, Opcode::sigmoid},         {&op::relu, Opcode::relu},
    {&op::erf, Opcode::erf},                 {&op::floor, Opcode::floor},
    {&op::ceil, Opcode::ceil},               {&op::round, Opcode::round},
    {&op::logical_not, Opcode::logical_not}, {&op::is_finite, Opcode::is_finite},
    {&op::add, Opcode::add},                 {&op::subtract, Opcode::subtract},
    {&op::multiply, Opcode::multiply},       {&op::divide, Opcode::divide},
    {&op::power, Opcode::power},             {&op::maximum, Opcode::maximum},
    {&op::minimum, Opcode::minimum},         {&op::modulo, Opcode::modulo},
    {&op::equal, Opcode::equal},             {&op::not_equal, Opcode::not_equal},
    {&op::less, Opcode::less},               {&op::less_equal, Opcode::less_equal},
    {&op::greater, Opcode::greater},         {&op::greater_equal, Opcode::greater_equal},
    {&op::logical_and, Opcode::logical_and}, {&op::logical_or, Opcode::logical_or},
    {&op::select, Opcode::select},
};
// clang-format on

Opcode opcode_of(const Node& node) {
  for (const auto& [op, code] : instructions)
    if (node.is(*op)) return code;
  throw InternalError("'{}' cannot be part of an element-wise program", node.op().name);
}

// What a cast does to numbers that are floats already; nothing when every value of `from` is one of `to`.
Opcode cast_code(DType from, DType to) {
  if (from == to || to == DType::float32 || from == DType::boolean) return Opcode::copy;
  switch (to) {
    case DType::boolean: return Opcode::to_bool;
    case DType::float16: return Opcode::round_to_float16;
    case DType::bfloat16: return Opcode::round_to_bfloat16;
    default: return is_floating(from) ? Opcode::truncate : Opcode::copy;
  }
}

class Compiler {
 public:
  Compiler(const Graph& body, const Loops& loops, Access places) : body_(body), cell_of_(body.nodes().size(), none) {
    program_.loops = &loops;
    program_.places = std::move(places);
    program_.elements = body.outputs().front().value.shape().elements();
  }

  Program compile() {
    const Shape& shape = body_.outputs().front().value.shape();
    Values by_index;
    for (const Node* node : body_.nodes())
      if (node->is(op::scatter_add)) by_index.insert(by_index.end(), node->inputs().begin(), node->inputs().end());
    for (const auto& [name, value] : body_.inputs()) {
      const bool walked = std::find(by_index.begin(), by_index.end(), value) == by_index.end();
      program_.operands.push_back({value.dtype(), walked ? Access(value.shape(), shape) : Access::by_index()});
    }
    for (const auto& [name, value] : body_.outputs()) program_.results.push_back({value.dtype()});
    choose_tile();
    for (const Node* node : body_.nodes()) add(*node);
    for (std::size_t i = 0; i < program_.results.size(); ++i) deliver(i);
    give_registers();
    return std::move(program_);
  }

 private:
  static constexpr int none = -1;
  struct Cell {
    enum class Kind : std::uint8_t { tile, operand, result, number } kind;
    int index = none;
    bool once = false;                // a tile that is loaded before all others and kept
    std::size_t first = 0, last = 0;  // steps that write and read it
    int number = none;                // in the program
  };
  static std::size_t id(Value value) { return static_cast<std::size_t>(value.node().id()); }

  // A multiple of the period with which operands come again, so that they need to be read only once.
  void choose_tile() {
    for (const Program::Operand& operand : program_.operands)
      if (operand.access.period() <= Program::tile_elements / 2) period_ = std::max(period_, operand.access.period());
    program_.tile = std::min(Program::tile_elements / period_ * period_, std::max<std::int64_t>(program_.elements, 1));
  }

  int add_cell(Cell cell) {
    cells_.push_back(cell);
    return static_cast<int>(cells_.size()) - 1;
  }

  void emit(Step::Kind kind, Opcode code, const std::vector<int>& operands, int cell, int index = none) {
    Step step{.kind = kind, .code = code, .cell = cell, .index = index};
    if (!operands.empty()) step.cells.fill(operands.front());
    int scalars = 0;
    for (std::size_t i = 0; i < operands.size(); ++i) {
      step.cells[i] = operands[i];
      if (cells_[static_cast<std::size_t>(operands[i])].kind == Cell::Kind::number) scalars |= 1 << i;
    }
    if (kind == Step::Kind::compute) step.loop = program_.loops->instruction[static_cast<int>(code)][scalars];
    program_.steps.push_back(step);
  }

  // The cell of a value that was computed before; a product that waits for a sum to join is computed now.
  int cell_of(Value value) {
    int& cell = cell_of_[id(value)];
    if (cell == waiting) {
      const Node& node = value.node();
      const int a = cell_of(node.in(0)), b = cell_of(node.in(1));
      cell = result_cell(value);
      emit(Step::Kind::compute, Opcode::multiply, {a, b}, cell);
    }
    if (cell == none)
      cell = value.is(op::input)
                 ? add_operand(value)
                 : add_number(none, static_cast<float>(value.node().attrs<ConstantAttrs>().value.item()));
    return cell;
  }

  int add_number(int operand, float value) {
    program_.numbers.push_back({operand, value, none});
    return add_cell({.kind = Cell::Kind::number, .index = static_cast<int>(program_.numbers.size()) - 1});
  }

  int input_index(Value value) const {
    const auto& inputs = body_.inputs();
    const auto found =
        std::find_if(inputs.begin(), inputs.end(), [&](const Graph::NamedValue& in) { return in.value == value; });
    return static_cast<int>(found - inputs.begin());
  }

  Program::Stream::Whole whole_number(Value value) const {
    if (!value.is(op::constant)) return {input_index(value)};
    return {-1, value.node().attrs<ConstantAttrs>().value.data<std::int64_t>()[0]};
  }

  int add_operand(Value value) {
    const int index = input_index(value);
    const Program::Operand& operand = program_.operands[static_cast<std::size_t>(index)];
    if (operand.access.scalar()) return add_number(index, 0);
    if (operand.access.full() && operand.dtype == DType::float32)
      return add_cell({.kind = Cell::Kind::operand, .index = index});
    const std::int64_t period = operand.access.period();
    const int cell = add_cell({.kind = Cell::Kind::tile, .once = period > 0 && period_ % period == 0});
    emit(Step::Kind::load, Opcode::copy, {}, cell, index);
    return cell;
  }

  int add_row_sum(const Node& node) {
    const Shape& table = node.types()[0].shape;
    const RowLists lists(table[0], node.in(0).shape().elements());
    program_.sums.push_back({input_index(node.in(0)), input_index(node.in(1)), table.from(1).elements(), lists,
                             program_.scratch_bytes});
    program_.scratch_bytes += aligned(lists.scratch_bytes());
    const int cell = add_cell({.kind = Cell::Kind::tile});
    emit(Step::Kind::sum, Opcode::copy, {}, cell, static_cast<int>(program_.sums.size()) - 1);
    return cell;
  }

  // Where a new value goes: into the memory of the first result that it is, when its elements are floats there.
  int result_cell(Value value) {
    const auto& outputs = body_.outputs();
    for (std::size_t i = 0; i < outputs.size(); ++i)
      if (outputs[i].value == value && value.dtype() == DType::float32)
        return add_cell({.kind = Cell::Kind::result, .index = static_cast<int>(i)});
    return add_cell({.kind = Cell::Kind::tile});
  }

  void deliver(std::size_t index) {
    const int from = cell_of(body_.outputs()[index].value);
    const Cell& cell = cells_[static_cast<std::size_t>(from)];
    if (cell.kind == Cell::Kind::result && cell.index == static_cast<int>(index)) return;
    if (program_.results[index].dtype != DType::float32)
      emit(Step::Kind::store, Opcode::copy, {from}, none, static_cast<int>(index));
    else
      emit(Step::Kind::compute, Opcode::copy, {from},
           add_cell({.kind = Cell::Kind::result, .index = static_cast<int>(index)}));
  }

  // x · y of which only a sum or difference knows.
  static bool joins(Value value) {
    if (!value.is(op::multiply) || value.uses() != 1 || !is_floating(value.dtype())) return false;
    for (const Node* node : value.graph().nodes())
      if ((node->is(op::add) || node->is(op::subtract)) && (node->in(0) == value || node->in(1) == value)) return true;
    return false;
  }

  void add(const Node& node) {
    if (node.op().kind == OpKind::leaf) return;
    int& cell = cell_of_[static_cast<std::size_t>(node.id())];
    if (joins(node.out())) {
      cell = waiting;
    } else if (node.is(op::random_uniform)) {
      const auto& p = node.attrs<RandomAttrs>();
      program_.streams.push_back(
          {p.path, static_cast<std::uint32_t>(p.call), whole_number(node.in(0)), whole_number(node.in(1))});
      cell = result_cell(node.out());
      emit(Step::Kind::uniform, Opcode::copy, {}, cell, static_cast<int>(program_.streams.size()) - 1);
    } else if (node.is(op::scatter_add)) {
      cell = add_row_sum(node);
    } else if (node.is(op::stop_gradient)) {
      cell = cell_of(node.in(0));
    } else if (node.is(op::cast)) {
      const Opcode code = cast_code(node.in(0).dtype(), node.types()[0].dtype);
      const int from = cell_of(node.in(0));
      cell = code == Opcode::copy ? from : result_cell(node.out());
      if (cell != from) emit(Step::Kind::compute, code, {from}, cell);
    } else if ((node.is(op::add) || node.is(op::subtract)) && (is_waiting(node.in(0)) || is_waiting(node.in(1)))) {
      add_with_product(node, cell);
    } else {
      std::vector<int> operands;
      for (Value value : node.inputs()) operands.push_back(cell_of(value));
      cell = result_cell(node.out());
      emit(Step::Kind::compute, opcode_of(node), operands, cell);
    }
  }

  bool is_waiting(Value value) const { return cell_of_[id(value)] == waiting; }

  void add_with_product(const Node& node, int& cell) {
    const int joined = is_waiting(node.in(0)) ? 0 : 1;
    const Node& product = node.in(joined).node();
    const int other = cell_of(node.in(1 - joined));
    const int a = cell_of(product.in(0)), b = cell_of(product.in(1));
    cell = result_cell(node.out());
    const Opcode code = node.is(op::add) ? Opcode::multiply_add
                        : joined == 0    ? Opcode::multiply_subtract
                                         : Opcode::subtract_product;
    emit(Step::Kind::compute, code, {a, b, other}, cell);
  }

  // Linear scan: a tile takes the first register that is free from the step that writes it on.
  void give_registers() {
    std::vector<Step> all = std::exchange(program_.steps, {});
    const auto is_once = [&](const Step& step) {
      return step.cell >= 0 && cells_[static_cast<std::size_t>(step.cell)].once;
    };
    std::stable_partition(all.begin(), all.end(), is_once);
    for (std::size_t s = 0; s < all.size(); ++s) {
      for (int read : all[s].cells)
        if (read >= 0) cells_[static_cast<std::size_t>(read)].last = s;
      if (all[s].cell >= 0)
        cells_[static_cast<std::size_t>(all[s].cell)].first = cells_[static_cast<std::size_t>(all[s].cell)].last = s;
    }
    for (Cell& cell : cells_)
      if (cell.once) cell.last = all.size();
    std::vector<std::size_t> busy_until;  // of each register
    for (const Step& step : all) {
      if (step.cell < 0) continue;
      Cell& cell = cells_[static_cast<std::size_t>(step.cell)];
      if (cell.kind != Cell::Kind::tile) continue;
      // A step may write where it reads.
      const auto free =
          std::find_if(busy_until.begin(), busy_until.end(), [&](std::size_t until) { return until <= cell.first; });
      cell.number = static_cast<int>(free - busy_until.begin());
      if (free == busy_until.end()) busy_until.push_back(0);
      busy_until[static_cast<std::size_t>(cell.number)] = cell.last;
    }
    program_.registers = static_cast<int>(busy_until.size());
    const std::int64_t fits = Program::register_elements / std::max(program_.registers, 1);
    ensure(fits >= period_, "an element-wise group needs {} tiles", program_.registers);
    program_.tile = std::min(program_.tile, fits / period_ * period_);
    number_cells(std::move(all));
  }

  void number_cells(std::vector<Step> all) {
    int next = program_.registers;
    for (Cell& cell : cells_) {
      const auto index = static_cast<std::size_t>(cell.index);
      if (cell.kind == Cell::Kind::operand) program_.operands[index].cell = cell.number = next++;
      if (cell.kind == Cell::Kind::result) program_.results[index].cell = cell.number = next++;
      if (cell.kind == Cell::Kind::number) program_.numbers[index].cell = cell.number = next++;
    }
    ensure(next <= static_cast<int>(Program::most_cells) && program_.numbers.size() <= Program::most_numbers &&
               program_.streams.size() <= Program::most_streams,
           "an element-wise group is too large: {} cells", next);
    for (Step& step : all) {
      const bool once = step.cell >= 0 && cells_[static_cast<std::size_t>(step.cell)].once;
      for (int& cell : step.cells)
        if (cell >= 0) cell = cells_[static_cast<std::size_t>(cell)].number;
      if (step.cell >= 0) step.cell = cells_[static_cast<std::size_t>(step.cell)].number;
      (once ? program_.once : program_.steps).push_back(step);
    }
  }

  static constexpr int waiting = -2;
  const Graph& body_;
  Program program_;
  std::int64_t period_ = 1;
  std::vector<Cell> cells_;
  std::vector<int> cell_of_;  // by node id
};

}  // namespace

Program compile_program(const Graph& body, const Loops& loops, Access places) {
  return Compiler(body, loops, std::move(places)).compile();
}

}  // namespace nacre::onednn
