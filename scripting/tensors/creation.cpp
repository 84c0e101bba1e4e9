// Tensors of numbers that are known beforehand: nacre.zeros, nacre.arange, … nacre.ops has those that keras.ops has
// under the same names.
#include <cmath>
#include <limits>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"
#include "scripting/tensors/arguments.h"
#include "scripting/tensors/operations.h"

namespace nacre::scripting {

namespace {

struct ShapeArguments {
  Shape shape;
  std::optional<DType> dtype;
  static void describe(auto&& field) {
    field("shape", &ShapeArguments::shape, "sizes", required());
    field("dtype", &ShapeArguments::dtype, "null: float32");
  }
};
struct FullArguments {
  Shape shape;
  Tree fill_value;
  std::optional<DType> dtype;
  static void describe(auto&& field) {
    field("shape", &FullArguments::shape, "sizes", required());
    field("fill_value", &FullArguments::fill_value, "of each element", required());
    field("dtype", &FullArguments::dtype, "null: that of the value");
  }
};
struct EyeArguments {
  std::int64_t rows = 0, k = 0;
  std::optional<std::int64_t> columns;
  std::optional<DType> dtype;
  static void describe(auto&& field) {
    field("N", &EyeArguments::rows, "rows", required(), at_least(0));
    field("M", &EyeArguments::columns, "columns; null: as many", at_least(0));
    field("k", &EyeArguments::k, "number of the diagonal, counted to the right");
    field("dtype", &EyeArguments::dtype, "null: float32");
  }
};
struct RangeArguments {
  Tree start, stop, step;
  std::optional<DType> dtype;
  static void describe(auto&& field) {
    field("start", &RangeArguments::start, "the first number; alone, where to stop", required());
    field("stop", &RangeArguments::stop, "before which it ends");
    field("step", &RangeArguments::step, "from one to the next");
    field("dtype", &RangeArguments::dtype, "null: int32, or float32 where a number is not whole");
  }
};

template <class T>
T fitting(double number, DType dtype) {
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    const bool fits = number >= static_cast<double>(std::numeric_limits<T>::min()) &&
                      number <= static_cast<double>(std::numeric_limits<T>::max()) && number < 0x1p63;
    if (!fits) throw Error("the number {} does not fit in {}", number, dtype).usage();
  }
  return convert<T>(number);
}

Tensor filled(const Type& type, const Tree& value) {
  check_shape(type);
  Tensor tensor(type);
  visit(type.dtype, [&]<class T>(T*) {
    T element{};
    if (value.is_bool()) element = convert<T>(value.as_bool());
    else if (std::is_same_v<T, std::int64_t> && value.is_integer()) element = convert<T>(value.as_integer());
    else element = fitting<T>(value.as_number(), type.dtype);
    std::ranges::fill(tensor.writable<T>(), element);
  });
  return tensor;
}

template <const char* const* name, int value>
Out make_filled(Call& call) {
  const auto given = read_arguments<ShapeArguments>(call, *name);
  return about(*name, [&] { return out(filled({given.dtype.value_or(DType::float32), given.shape}, value)); });
}
constexpr const char *zeros = "zeros", *ones = "ones";

Results make_full(Call& call) {
  std::vector<Object> operands;
  const auto given = read_arguments<FullArguments>(call, "full", [&](const Object& object) {
    if (!is_tensor(object) || !operands.empty())
      throw Error("got {}, wanted a number", object.kind->text(object)).usage();
    operands.push_back(object);
    return Tree(0);
  });
  if (!operands.empty()) {
    check_shape({given.dtype.value_or(DType::float32), given.shape});
    Computation work{
        .key = fmt::format("full {} {}", given.shape, static_cast<int>(given.dtype.value_or(DType::string))),
        .operands = operands};
    work.emit = [&](Context&, const Values& values, const Values&) -> Computation::Result {
      return {{ops::broadcast_to(ops::cast(values.at(0), given.dtype.value_or(values[0].dtype())), given.shape)}};
    };
    Results results;
    for (Object& object : compute(call, std::move(work))) results.emplace_back(std::move(object));
    return results;
  }
  const Tree& value = given.fill_value;
  const DType own = value.is_bool() ? DType::boolean : value.is_integer() ? DType::int32 : DType::float32;
  return about("full", [&]() -> Results { return {out(filled({given.dtype.value_or(own), given.shape}, value))}; });
}

Out make_eye(Call& call) {
  const auto given = read_arguments<EyeArguments>(call, "eye");
  const Type type{given.dtype.value_or(DType::float32), {given.rows, given.columns.value_or(given.rows)}};
  return about("eye", [&] {
    check_shape(type);
    Tensor tensor(type);
    visit(type.dtype, [&]<class T>(T*) {
      const auto elements = tensor.writable<T>();
      const std::int64_t columns = type.shape[1];
      const std::int64_t first = given.k < 0 ? (given.k < -type.shape[0] ? type.shape[0] : -given.k) : 0;
      for (std::int64_t row = first; row < type.shape[0] && given.k < columns - row; ++row)
        elements[static_cast<std::size_t>(row * columns + row + given.k)] = convert<T>(1);
    });
    return out(std::move(tensor));
  });
}

Out make_range(Call& call) {
  auto given = read_arguments<RangeArguments>(call, "arange");
  if (given.stop.is_null()) given.stop = std::exchange(given.start, Tree(0));
  if (given.step.is_null()) given.step = 1;
  return about("arange", [&] {
    const double start = given.start.as_number(), stop = given.stop.as_number(), step = given.step.as_number();
    if (step == 0 || std::isnan(step)) throw Error("got the step {}", step).usage();
    const bool whole = given.start.is_integer() && given.stop.is_integer() && given.step.is_integer();
    const double count = std::max(0.0, std::ceil((stop - start) / step));
    if (!(count < 0x1p60)) throw Error("got {} to {}, which has no end", start, stop).usage();
    const Type type{given.dtype.value_or(whole ? DType::int32 : DType::float32), {static_cast<std::int64_t>(count)}};
    check_shape(type);
    Tensor tensor(type);
    visit(type.dtype, [&]<class T>(T*) {
      const auto elements = tensor.writable<T>();
      for (std::size_t i = 0; i < elements.size(); ++i) {
        if (std::is_same_v<T, std::int64_t> && whole)
          elements[i] = convert<T>(static_cast<std::int64_t>(static_cast<std::uint64_t>(given.start.as_integer()) +
                                                             i * static_cast<std::uint64_t>(given.step.as_integer())));
        else elements[i] = fitting<T>(start + static_cast<double>(i) * step, type.dtype);
      }
    });
    return out(std::move(tensor));
  });
}

template <const char* const* name>
Results operation(Call& call) {
  return operate(call, *name);
}
constexpr const char *linspace = "linspace", *zeros_like = "zeros_like", *ones_like = "ones_like",
                     *full_like = "full_like", *one_hot = "one_hot";

}  // namespace

std::span<const Function> creation_functions() {
  static constexpr Function functions[] = {
      {"zeros",
       bound<make_filled<&zeros, 0>>,
       {.usage = "nacre.zeros(shape[, dtype])", .doc = "Zeros, or false, in a shape.", .example = R"(
          assert(nacre.zeros{2, 3}:sum():item() == 0)
          assert(nacre.zeros{2, dtype = "int32"} == nacre.tensor{0, 0})
        )"}},
      {"ones",
       bound<make_filled<&ones, 1>>,
       {.usage = "nacre.ones(shape[, dtype])", .doc = "Ones, or true, in a shape.", .example = R"(
          assert(nacre.ones{2, 3}:sum():item() == 6)
        )"}},
      {"full",
       bound<make_full>,
       {.usage = "nacre.full(shape, fill_value[, dtype])",
        .doc = "One value in each place of a shape: a number or a tensor.",
        .example = R"(
          assert(nacre.full({2}, 7) == nacre.tensor{7, 7})
        )"}},
      {"eye",
       bound<make_eye>,
       {.usage = "nacre.eye(N[, M[, k[, dtype]]])",
        .doc = "N rows and M columns of zeros, with ones on the k-th diagonal.",
        .example = R"(
          assert(nacre.eye(2) == nacre.tensor{{1, 0}, {0, 1}})
          assert(nacre.eye(2, 3, 1) == nacre.tensor{{0, 1, 0}, {0, 0, 1}})
        )"}},
      {"arange",
       bound<make_range>,
       {.usage = "nacre.arange([start, ]stop[, step[, dtype]])",
        .doc = "The numbers from start (0) on, before stop, by steps (of 1), as Keras counts them.",
        .example = R"(
          assert(nacre.arange(3) == nacre.tensor{0, 1, 2})
          assert(nacre.arange(1, 0, -0.5) == nacre.tensor{1, 0.5})
        )"}},
      {"linspace",
       bound<operation<&linspace>>,
       {.usage = "nacre.linspace(start, stop[, num[, endpoint[, retstep[, dtype[, axis]]]]])",
        .doc = "So many (50) evenly spaced numbers from start to stop.",
        .example = R"(
          assert(nacre.linspace(0, 1, 5) == nacre.tensor{0, 0.25, 0.5, 0.75, 1})
        )"}},
      {"zeros_like",
       bound<operation<&zeros_like>>,
       {.usage = "nacre.zeros_like(x[, dtype])", .doc = "Zeros in the shape and dtype of x.", .example = R"(
          assert(nacre.zeros_like(nacre.tensor{1, 2}) == nacre.tensor{0, 0})
        )"}},
      {"ones_like",
       bound<operation<&ones_like>>,
       {.usage = "nacre.ones_like(x[, dtype])", .doc = "Ones in the shape and dtype of x.", .example = R"(
          assert(nacre.ones_like(nacre.tensor{3, 2}) == nacre.tensor{1, 1})
        )"}},
      {"full_like",
       bound<operation<&full_like>>,
       {.usage = "nacre.full_like(x, fill_value[, dtype])",
        .doc = "One value in the shape and dtype of x.",
        .example = R"(
          assert(nacre.full_like(nacre.tensor{1, 2}, 7) == nacre.tensor{7, 7})
        )"}},
      {"one_hot",
       bound<operation<&one_hot>>,
       {.usage = "nacre.one_hot(x, num_classes[, axis[, dtype]])",
        .doc = "1 at the place that x says, counted from 0, along a new axis, else 0.",
        .example = R"(
          assert(nacre.one_hot(nacre.tensor{2, 0}, 3) == nacre.tensor{{0, 0, 1}, {1, 0, 0}})
        )"}},
  };
  return functions;
}

void open_creation(lua_State* lua) {
  State::set_functions(lua, creation_functions());
  lua_getfield(lua, -1, "ops");
  for (const char* name : {"zeros", "ones", "full", "eye", "arange"}) {
    lua_getfield(lua, -2, name);
    lua_setfield(lua, -2, name);
  }
  lua_pop(lua, 1);
}

}  // namespace nacre::scripting
