#include "layers/einsum.h"

#include <algorithm>
#include <map>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "layers/emit.h"

namespace nacre::emit {

namespace {

using Letters = std::string;  // one per axis

// A value whose axes have names.
struct Operand {
  Value value;
  Letters axes;
};

struct Equation {
  std::vector<Letters> operands;
  Letters result;
};

constexpr char ellipsis = '.';  // in parsed letters, for "..."

// Letters where `keep(letter)`, in order.
template <class Keep>
Letters where(const Letters& letters, Keep&& keep) {
  Letters kept;
  std::copy_if(letters.begin(), letters.end(), std::back_inserter(kept), keep);
  return kept;
}
bool has(const Letters& letters, char letter) { return letters.find(letter) != Letters::npos; }
Letters common(const Letters& letters, const Letters& others) {
  return where(letters, [&](char letter) { return has(others, letter); });
}
Letters without(const Letters& letters, const Letters& others) {
  return where(letters, [&](char letter) { return !has(others, letter); });
}

Letters parse_axes(std::string_view text, std::string_view equation) {
  Letters axes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ') continue;
    if (text.substr(i, 3) == "...") {
      need(!has(axes, ellipsis), "the equation '{}' has '...' twice in one place", equation);
      axes += ellipsis;
      i += 2;
    } else {
      need((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'), "cannot read '{}' in the equation '{}'", c, equation);
      axes += c;
    }
  }
  return axes;
}

Equation parse(std::string_view text) {
  Equation equation;
  const std::size_t arrow = text.find("->");
  std::string_view left = text.substr(0, arrow);
  for (std::size_t begin = 0; begin <= left.size();) {
    const std::size_t comma = std::min(left.find(',', begin), left.size());
    equation.operands.push_back(parse_axes(left.substr(begin, comma - begin), text));
    begin = comma + 1;
  }
  if (arrow != std::string_view::npos) {
    equation.result = parse_axes(text.substr(arrow + 2), text);
    return equation;
  }
  std::map<char, int> counts;
  for (const Letters& axes : equation.operands)
    for (char letter : axes) ++counts[letter];
  for (const auto& [letter, count] : counts)  // ellipsis sorts before all letters
    if (count == 1 || letter == ellipsis) equation.result += letter;
  return equation;
}

// Gives the axes behind "..." names of their own, the last one the same in all operands.
void expand_ellipses(Equation& equation, const Values& values, std::string_view text) {
  std::size_t most = 0;
  const auto expanded = [](Letters axes, std::size_t count) {
    Letters names;
    for (std::size_t i = count; i > 0; --i) names += static_cast<char>(i);  // no letters, so nobody else has them
    if (const std::size_t place = axes.find(ellipsis); place != Letters::npos) axes.replace(place, 1, names);
    return axes;
  };
  for (std::size_t i = 0; i < values.size(); ++i) {
    Letters& axes = equation.operands[i];
    const auto rank = static_cast<std::size_t>(values[i].shape().rank());
    const std::size_t named = axes.size() - (has(axes, ellipsis) ? 1 : 0);
    need(has(axes, ellipsis) ? named <= rank : named == rank, "got {} as operand {} of the equation '{}'",
         values[i].shape(), i + 1, text);
    axes = expanded(axes, rank - named);
    most = std::max(most, rank - named);
  }
  equation.result = expanded(equation.result, most);
}

void check_sizes(const Equation& equation, const Values& values, std::string_view text) {
  std::map<char, std::int64_t> sizes;
  for (std::size_t i = 0; i < values.size(); ++i)
    for (std::size_t axis = 0; axis < equation.operands[i].size(); ++axis) {
      const char letter = equation.operands[i][axis];
      const std::int64_t size = values[i].shape()[static_cast<int>(axis)];
      std::int64_t& known = sizes.try_emplace(letter, size).first->second;
      const bool broadcasts = letter < ellipsis && (size == 1 || known == 1);
      need(broadcasts || same(size, known), "the axis '{}' of the equation '{}' has the sizes {} and {}", letter, text,
           known, size);
      if (known == unknown || broadcasts) known = std::max(known, size);
    }
  for (char letter : equation.result)
    need(sizes.contains(letter) && std::count(equation.result.begin(), equation.result.end(), letter) == 1,
         "the result of the equation '{}' has an axis '{}' that no operand has, or twice", text, letter);
}

// x where its indices along both axes are equal, else 0.
Value on_diagonal(Value x, int first, int second) {
  const std::int64_t size = x.shape()[first];
  if (size == unknown) return x;
  const auto index = [&](int axis) {
    Shape shape(std::vector<std::int64_t>(static_cast<std::size_t>(x.shape().rank()), 1));
    shape.set(axis, size);
    return ops::iota(x.graph(), {DType::int32, shape}, axis);
  };
  return ops::select(ops::equal(index(first), index(second)), x, ops::scalar_like(x, 0));
}

// The operand with each letter once, and only those that are wanted.
Operand reduced(Operand x, const Letters& wanted) {
  for (std::size_t second = 0; second < x.axes.size(); ++second) {
    const std::size_t first = x.axes.find(x.axes[second]);
    if (first == second) continue;
    x.value = ops::sum(on_diagonal(x.value, static_cast<int>(first), static_cast<int>(second)),
                       {static_cast<std::int64_t>(second)});
    x.axes.erase(second--, 1);
  }
  std::vector<std::int64_t> axes;
  for (std::size_t axis = 0; axis < x.axes.size(); ++axis)
    if (!has(wanted, x.axes[axis])) axes.push_back(static_cast<std::int64_t>(axis));
  if (!axes.empty()) x.value = ops::sum(x.value, std::move(axes));
  return {x.value, common(x.axes, wanted)};
}

Value arranged(const Operand& x, const Letters& order) {
  if (x.axes == order) return x.value;
  std::vector<std::int64_t> axes;
  for (char letter : order) axes.push_back(static_cast<std::int64_t>(x.axes.find(letter)));
  return ops::transpose(x.value, std::move(axes));
}

Value shaped(Value x, const Shape& shape) { return x.shape() == shape ? x : reshape(x, shape); }

Shape sizes(const Operand& x, const Letters& letters) {
  Shape shape;
  for (char letter : letters) shape.append(x.value.shape()[static_cast<int>(x.axes.find(letter))]);
  return shape;
}
// These axes as one.
Shape flat(const Shape& shape) { return {shape.known() ? shape.elements() : unknown}; }
Shape ones(const Letters& letters) { return Shape(std::vector<std::int64_t>(letters.size(), 1)); }

// The product of both, summed over the letters that are not wanted.
Operand product(Operand a, Operand b, const Letters& wanted) {
  a = reduced(std::move(a), wanted + b.axes), b = reduced(std::move(b), wanted + a.axes);
  const Letters both = common(a.axes, b.axes), batch = common(both, wanted), summed = without(both, wanted);
  const Letters left = without(a.axes, both), right = without(b.axes, both), result = batch + left + right;
  const Shape rows = sizes(a, left), columns = sizes(b, right), a_batch = sizes(a, batch), b_batch = sizes(b, batch);
  if (summed.empty())
    return {shaped(arranged(a, batch + left), a_batch + rows + ones(right)) *
                shaped(arranged(b, batch + right), b_batch + ones(left) + columns),
            result};
  // Rows that all meet the same matrix stay as they are; where each matrix meets another, its rows become one axis.
  const bool stacked = batch.empty() && !left.empty();
  const bool a_turned = !stacked && a.axes != batch + left + summed && a.axes == batch + summed + left;
  const bool b_turned = b.axes != batch + summed + right && b.axes == batch + right + summed;
  const Shape a_rows = stacked ? rows : flat(rows);
  const Shape a_inner = flat(sizes(a, summed)), b_inner = flat(sizes(b, summed));
  const Value x = shaped(arranged(a, a_turned ? batch + summed + left : batch + left + summed),
                         a_batch + (a_turned ? a_inner + a_rows : a_rows + a_inner));
  const Value y = shaped(arranged(b, b_turned ? batch + right + summed : batch + summed + right),
                         b_batch + (b_turned ? flat(columns) + b_inner : b_inner + flat(columns)));
  return {shaped(ops::matmul(x, y, a_turned, b_turned), nacre::broadcast(a_batch, b_batch) + rows + columns), result};
}

}  // namespace

Value einsum(std::string_view text, const Values& values) {
  Equation equation = parse(text);
  need(equation.operands.size() == values.size(), "got {} operands for the equation '{}'", values.size(), text);
  expand_ellipses(equation, values, text);
  check_sizes(equation, values, text);

  Operand y{values[0], equation.operands[0]};
  for (std::size_t i = 1; i < values.size(); ++i) {
    Letters wanted = equation.result;
    for (std::size_t later = i + 1; later < values.size(); ++later) wanted += equation.operands[later];
    y = product(std::move(y), {values[i], equation.operands[i]}, wanted);
  }
  y = reduced(std::move(y), equation.result);
  return arranged(y, equation.result);
}

}  // namespace nacre::emit
