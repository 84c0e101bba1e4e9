// Tensors: nacre.tensor, and what every tensor has. How their elements are found by t[…] is in indexing.cpp.
#include "scripting/tensors/tensors.h"

#include <unistd.h>

#include <cmath>
#include <limits>

#include "scripting/bindings.h"
#include "scripting/tensors/operations.h"

namespace nacre::scripting {

namespace {

constexpr int most_axes = 32;

// --- from tables --------------------------------------------------------------------------------------------------

// Reads nested tables of numbers, booleans or texts.
class TableReader {
 public:
  TableReader(const Call& call, std::optional<DType> dtype) : call_(call), lua_(call.lua()), dtype_(dtype) {}

  // A number of Lua, a boolean or a text alone.
  Tensor read_scalar(int index) {
    Tensor tensor(Type{*dtype_, {}});
    if (*dtype_ == DType::string) tensor.writable<std::string>()[0] = element<std::string>(index);
    else visit(*dtype_, [&]<class T>(T*) { tensor.writable<T>()[0] = element<T>(index); });
    return tensor;
  }

  Tensor read(int index) {
    find_sizes(index);
    if (!dtype_) {
      kinds_ = {};
      scan(index, 0);
      dtype_ = kinds_.texts      ? DType::string
               : kinds_.reals    ? DType::float32
               : kinds_.integers ? DType::int32
               : kinds_.booleans ? DType::boolean
                                 : DType::float32;
    }
    const Type type{*dtype_, Shape(sizes_)};
    check_size(type);
    Tensor tensor(type);
    at_ = 0;
    if (*dtype_ == DType::string) fill(index, 0, tensor.writable<std::string>());
    else visit(*dtype_, [&]<class T>(T*) { fill(index, 0, tensor.writable<T>()); });
    return tensor;
  }

 private:
  void find_sizes(int index) {
    if (!lua_checkstack(lua_, most_axes + 8)) throw Error("Lua needs too much memory");
    const int top = lua_gettop(lua_);
    lua_pushvalue(lua_, index);
    while (lua_type(lua_, -1) == LUA_TTABLE) {
      if (static_cast<int>(sizes_.size()) == most_axes)
        throw Error("a tensor has at most {} axes", most_axes).hint("does a table hold itself?").usage();
      sizes_.push_back(static_cast<std::int64_t>(lua_rawlen(lua_, -1)));
      if (sizes_.back() == 0) break;
      lua_rawgeti(lua_, -1, 1);
    }
    lua_settop(lua_, top);
    std::int64_t elements = 1;  // tables may hold one another many times
    for (std::int64_t size : sizes_)
      if (__builtin_mul_overflow(elements, size, &elements))
        throw Error("a tensor of shape {} is too large", Shape(sizes_)).usage();
    check_size({dtype_.value_or(DType::boolean), Shape(sizes_)});
  }

  // Calls element(index of the value) for each, in order; checks that the tables fit together.
  template <class Element>
  void each(int index, std::size_t axis, const Element& element) {
    if (axis == sizes_.size()) {
      if (lua_type(lua_, index) == LUA_TTABLE)
        throw Error("got a table among the elements of a tensor of shape {}", Shape(sizes_)).usage();
      return element(index);
    }
    if (lua_type(lua_, index) != LUA_TTABLE) throw Error("got {} among tables", call_.described(index)).usage();
    const auto size = static_cast<std::int64_t>(lua_rawlen(lua_, index));
    if (size != sizes_[axis])
      throw Error("got tables of {} and {} values side by side, wanted the same lengths", sizes_[axis], size).usage();
    for (std::int64_t i = 1; i <= size; ++i) {
      lua_rawgeti(lua_, index, i);
      each(lua_gettop(lua_), axis + 1, element);
      lua_pop(lua_, 1);
    }
  }

  struct Kinds {
    bool booleans = false, integers = false, reals = false, texts = false;
  };
  void scan(int index, std::size_t axis) {
    each(index, axis, [&](int at) {
      switch (lua_type(lua_, at)) {
        case LUA_TBOOLEAN: kinds_.booleans = true; break;
        case LUA_TNUMBER: (lua_isinteger(lua_, at) ? kinds_.integers : kinds_.reals) = true; break;
        case LUA_TSTRING: kinds_.texts = true; break;
        default: throw call_.unwanted(at, "numbers, booleans or texts");
      }
    });
    if (kinds_.texts && (kinds_.booleans || kinds_.integers || kinds_.reals))
      throw Error("got texts and numbers for one tensor").usage();
  }

  template <class T>
  void fill(int index, std::size_t axis, std::span<T> values) {
    each(index, axis, [&](int at) { values[static_cast<std::size_t>(at_++)] = element<T>(at); });
  }

  template <class T>
  T element(int at) const {
    if constexpr (std::is_same_v<T, std::string>) {
      return call_.text(at, "a text");
    } else {
      if (lua_type(lua_, at) == LUA_TBOOLEAN) return convert<T>(lua_toboolean(lua_, at) != 0);
      if (lua_type(lua_, at) != LUA_TNUMBER) throw call_.unwanted(at, "a number");
      if (lua_isinteger(lua_, at)) return fitting<T>(static_cast<std::int64_t>(lua_tointeger(lua_, at)));
      return fitting<T>(static_cast<double>(lua_tonumber(lua_, at)));
    }
  }

  template <class T, class Number>
  T fitting(Number number) const {
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      bool fits = number >= static_cast<Number>(std::numeric_limits<T>::min()) &&
                  number <= static_cast<Number>(std::numeric_limits<T>::max());
      if constexpr (std::is_same_v<Number, double>) fits = fits && number == std::floor(number) && number < 0x1p63;
      if (!fits)
        throw Error("the number {} does not fit in {}", number, *dtype_)
            .hint(fmt::format("another dtype holds it: nacre.tensor(table, \"{}\"), tensor:cast(\"float32\")",
                              std::is_same_v<Number, double> ? "float32" : "int64"))
            .usage();
    }
    return convert<T>(number);
  }

  const Call& call_;
  lua_State* lua_;
  std::optional<DType> dtype_;
  std::vector<std::int64_t> sizes_;
  Kinds kinds_;
  std::int64_t at_ = 0;
};

Out make_tensor(Call& call) {
  const std::optional<DType> dtype = read_dtype(call, 2);
  if (const auto object = call.object(1); object && is_tensor(*object))
    return dtype ? Out(cast(call, *object, *dtype)) : clone_tensor(call);
  if (!call.given(1)) throw call.unwanted(1, "a table, a number or a text");
  return out(TableReader(call, dtype).read(1));
}

// --- members ------------------------------------------------------------------------------------------------------

// Any tensor that is at hand.
Object tensor_self(const Call& call) {
  auto object = call.object(1);
  if (object && is_tensor(*object)) return *std::move(object);
  throw call.unwanted(1, "a tensor").hint("methods are called with a colon: object:method()");
}

// Which elements count, as a layer said; nil: all.
Out mask(Call& call) {
  const auto array = call.self<eager::Array>();
  return array->mask ? Out(array_object(*array->mask)) : Out();
}
// tensor.mask = other: what layers will be told; nil: nothing.
void set_mask(Call& call) {
  const auto array = call.self<eager::Array>();
  if (!call.given(3)) return array->mask.reset();
  const auto mask = call.find<eager::Array>(3);
  if (!mask || mask->value.dtype() != DType::boolean)
    throw call.unwanted(3, "a tensor of booleans").hint("tensor:cast(\"bool\"), nacre.ops.greater(tensor, 0)");
  array->mask = std::make_shared<const eager::Array>(eager::Array{mask->value});
}

Out picture(Call& call) { return picture_of(call.self<eager::Array>()->value); }

constexpr OtherWord other_words[] = {{"astype", "tensor:cast(dtype)"},
                                     {"to", "tensor:cast(dtype)"},
                                     {"type", "tensor.dtype"},
                                     {"float", "tensor:cast(dtype)"},
                                     {"double", "tensor:cast(dtype)"},
                                     {"half", "tensor:cast(dtype)"},
                                     {"int", "tensor:cast(dtype)"},
                                     {"long", "tensor:cast(dtype)"},
                                     {"bool", "tensor:cast(dtype)"},
                                     {"dim", "tensor.ndim"},
                                     {"rank", "tensor.ndim"},
                                     {"numel", "tensor.size"},
                                     {"numpy", "tensor:totable()"},
                                     {"tolist", "tensor:totable()"},
                                     {"detach", "tensor:stop_gradient()"},
                                     {"mm", "tensor:matmul(other)"},
                                     {"permute", "tensor:transpose(axes)"},
                                     {"unsqueeze", "tensor:expand_dims(axis)"},
                                     {"cat", "nacre.ops.concatenate"},
                                     {"narrow", "tensor[key]"},
                                     {"view", "tensor:reshape(shape)"},
                                     {"backward", "nacre.grad(f)"},
                                     {"requires_grad", "nacre.grad(f)"},
                                     {"grad", "nacre.grad(f)"},
                                     {"copy", "tensor:clone()"},
                                     {"T", "tensor:transpose()"},
                                     {"save", "nacre.save_npy(path, tensor)"}};

// --- comparisons --------------------------------------------------------------------------------------------------

// Whether two tensors have the same shape and equal numbers, of whatever dtype, as 1 == 1.0 in Lua.
bool equal(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return false;
  const bool text = a.dtype() == DType::string;
  if (text != (b.dtype() == DType::string)) return false;
  if (text) return std::ranges::equal(a.data<std::string>(), b.data<std::string>());
  if (a.dtype() == b.dtype() && !is_floating(a.dtype())) return a.identical(b);
  for (std::int64_t i = 0; i < a.size(); ++i)
    if (!(a.at(i) == b.at(i))) return false;
  return true;
}

Out equals(Call& call) {
  const auto a = call.find<eager::Array>(1), b = call.find<eager::Array>(2);
  return a && b && equal(a->value, b->value);
}

// Tensors of one element compare as numbers do.
double number_at(Call& call, int index) {
  if (lua_type(call.lua(), index) == LUA_TNUMBER) return static_cast<double>(lua_tonumber(call.lua(), index));
  const auto object = call.object(index);
  if (!object || !is_tensor(*object)) throw call.unwanted(index, "a number or a tensor");
  if (object->kind == &class_of<Traced>() || type_of_tensor(*object).shape.elements() != 1) refuse_comparison(call);
  return array_of(call, *object).value.at(0);
}
Out less(Call& call) { return number_at(call, 1) < number_at(call, 2); }
Out less_equal(Call& call) { return number_at(call, 1) <= number_at(call, 2); }

constexpr Member members[] = {
    {.name = "shape",
     .get = shape_of_tensor,
     .entry = {.usage = "tensor.shape",
               .doc = "The sizes of its axes, as a list; -1 where a size is open.",
               .example = R"(
                 local shape = nacre.zeros{2, 3}.shape
                 assert(#shape == 2 and shape[1] == 2 and shape == {2, 3})
               )"}},
    {.name = "dtype",
     .get = dtype_of_tensor,
     .entry = {.usage = "tensor.dtype",
               .doc = "What its elements are: \"float32\", \"int32\", \"bool\", \"string\", …",
               .example = R"(
                 assert(nacre.zeros{2}.dtype == "float32")
                 assert(nacre.tensor{true, false}.dtype == "bool")
               )"}},
    {.name = "ndim",
     .get = ndim_of_tensor,
     .entry = {.usage = "tensor.ndim", .doc = "How many axes it has.", .example = R"(
       assert(nacre.zeros{2, 3}.ndim == 2)
     )"}},
    {.name = "size",
     .get = size_of_tensor,
     .entry = {.usage = "tensor.size", .doc = "How many elements it has.", .example = R"(
       assert(nacre.zeros{2, 3}.size == 6)
     )"}},
    {.name = "device",
     .get = device_of_tensor,
     .entry = {.usage = "tensor.device", .doc = "Where operations on it are computed: \"cpu\".", .example = R"(
                 assert(nacre.ones{2}.device == "cpu")
               )"}},
    {.name = "mask",
     .get = mask,
     .set = set_mask,
     .entry =
         {.usage = "tensor.mask",
          .doc =
              "Which steps count, a tensor of booleans that layers such as Embedding and Masking attach to what they "
              "give and that later layers heed; nil: all. It may be set.",
          .example = R"(
            local words = nacre.tensor{{3, 4, 0, 0}}
            local vectors = nacre.layers.Embedding{input_dim = 5, output_dim = 2, mask_zero = true}(words)
            assert(vectors.mask:totable()[1][2] and not vectors.mask:totable()[1][3])
            vectors.mask = nil
            assert(vectors.mask == nil)
          )"}},
    {.name = "item",
     .method = bound<item_of_one>,
     .entry = {.usage = "tensor:item()",
               .doc = "The number, boolean or text of a tensor of one element.",
               .example = R"(
                 assert(nacre.tensor{{2.5}}:item() == 2.5)
                 assert(nacre.tensor{1, 2, 3}:sum():item() == 6)
               )"}},
    {.name = "totable",
     .method = bound<table_of_tensor>,
     .entry = {.usage = "tensor:totable()",
               .doc = "Its elements as nested tables; of a tensor without axes its element.",
               .example = R"(
                 local rows = nacre.tensor{{1, 2}, {3, 4}}:totable()
                 assert(rows[2][1] == 3)
               )"}},
    {.name = "clone",
     .method = bound<clone_tensor>,
     .entry = {.usage = "tensor:clone()",
               .doc = "Another tensor with the same elements: assignments to one do not change the other.",
               .example = R"(
                 local a = nacre.zeros{2}
                 local b = a:clone()
                 b[1] = 5
                 assert(a[1]:item() == 0 and b[1]:item() == 5)
               )"}},
    {.name = "rows",
     .method = bound<rows_of_tensor>,
     .entry = {.usage = "tensor:rows()",
               .doc = "Goes over the first axis: for i, row in t:rows() do … end. pairs(t) and ipairs(t) do the same.",
               .example = R"(
                 local sum = 0
                 for i, row in nacre.tensor{{1, 2}, {3, 4}}:rows() do sum = sum + i * row[1]:item() end
                 assert(sum == 7)
               )"}},
};

constexpr Function own_metamethods[] = {
    {"__len", bound<length_of_tensor>, {.usage = "#tensor", .doc = "The size of its first axis.", .example = R"(
       assert(#nacre.zeros{2, 3} == 2)
     )"}},
    {"__pairs",
     bound<rows_of_tensor>,
     {.usage = "pairs(tensor)", .doc = "Goes over the first axis, as tensor:rows() does.", .example = R"(
       for i, row in pairs(nacre.eye(3)) do assert(row[i]:item() == 1) end
     )"}},
    {"__tostring",
     bound<picture>,
     {.usage = "tostring(tensor)",
      .doc = "Its type and elements in columns; of large tensors the edges, with … between.",
      .example = R"(
        assert(tostring(nacre.tensor{1, 2}) == "tensor int32(2,) {1, 2}")
        assert(#tostring(nacre.zeros{1000, 1000}) < 1000)
      )"}},
    {"__eq",
     bound<equals>,
     {.usage = "a == b",
      .doc = "Whether two tensors have the same shape and equal elements, of whatever dtype: tensors are values. A "
             "tensor and a number are never ==; nacre.ops.equal compares element by element.",
      .example = R"(
        assert(nacre.tensor{1, 2} == nacre.tensor{1.0, 2.0} and nacre.tensor{1, 2} ~= nacre.tensor{1, 3})
        assert(nacre.tensor(3) ~= 3 and nacre.tensor(3):item() == 3)
        assert(nacre.ops.equal(nacre.tensor{1, 2}, 2):totable()[2])
      )"}},
    {"__lt",
     bound<less>,
     {.usage = "a < b",
      .doc = "Whether a number is below another, of tensors of one element too; so a > b. Other tensors are refused, "
             "for Lua makes one true or false of it: nacre.ops.less, greater, equal, … compare element by element.",
      .example = R"(
        local loss = nacre.tensor(0.25)
        assert(loss < 0.5 and loss > nacre.tensor{0.1})
        assert(not pcall(function() return nacre.tensor{1, 5} < 3 end))
        assert(nacre.ops.less(nacre.tensor{1, 5}, 3) == nacre.tensor{true, false})
      )"}},
    {"__le", bound<less_equal>, {.usage = "a <= b", .doc = "Likewise: not above another; so a >= b.", .example = R"(
       assert(nacre.tensor(0.25) <= 0.25 and nacre.tensor(0.25) >= 0.25)
       assert(nacre.ops.all(nacre.ops.less_equal(nacre.tensor{1, 3}, 3)):item())
     )"}},
};
std::span<const Function> metamethods() {
  static const std::vector<Function> all = [] {
    std::vector<Function> functions(std::begin(own_metamethods), std::end(own_metamethods));
    for (const Function& function : operators())  // arithmetic
      if (std::ranges::find(functions, std::string_view(function.name), &Function::name) == functions.end())
        functions.push_back(function);
    return functions;
  }();
  return all;
}

}  // namespace

// Before anything is allocated: what a script asks for may be beyond any machine, or beyond what a sandbox allows.
void check_size(const Type& type) {
  const std::size_t most = Call::under_way() ? Call::current().state().limits().held : 0;
  if (most > 0 && static_cast<std::uint64_t>(type.shape.elements()) > most / size_of(type.dtype))
    throw Error("tensors take more than {} MiB: a tensor would be {}", most >> 20, type).usage();
  const auto machine =
      static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGE_SIZE));
  if (static_cast<std::uint64_t>(type.shape.elements()) > machine / size_of(type.dtype))
    throw Error("a tensor {} is larger than this machine's memory ({} MiB)", type, machine >> 20).usage();
}

std::optional<DType> read_dtype(const Call& call, int index) {
  if (!call.given(index)) return std::nullopt;
  try {
    return dtype_named(call.text(index, "the name of a dtype"));
  } catch (Error& error) {
    error.usage();
    throw;
  }
}

Object read_tensor(const Call& call, int index, std::string_view wanted) {
  if (auto object = call.object(index); object && is_tensor(*object)) return *std::move(object);
  if (lua_type(call.lua(), index) != LUA_TNUMBER) throw call.unwanted(index, wanted);
  return array_object({TableReader(call, {}).read(index)});
}

template <>
const Class& class_of<eager::Array>() {
  static const Class kind{
      .name = "tensor",
      .members = members,
      .metamethods = metamethods(),
      .text = [](const Object& object) { return line_of(std::static_pointer_cast<eager::Array>(object.value)->value); },
      .other = operation_method,
      .keeps_methods = true,
      .other_names = operation_names,
      .other_words = other_words,
      .at = item_of_tensor,
      .set_at = set_item_of_tensor};
  return kind;
}

Tensor tensor_of_table(const Call& call, int index, std::optional<DType> dtype) {
  return TableReader(call, dtype).read(index);
}

Tensor scalar_of(const Call& call, int index, DType dtype) { return TableReader(call, dtype).read_scalar(index); }

Out shape_of_tensor(Call& call) { return type_of_tensor(tensor_self(call)).shape; }
Out dtype_of_tensor(Call& call) { return name_of(type_of_tensor(tensor_self(call)).dtype); }
Out ndim_of_tensor(Call& call) { return std::int64_t{type_of_tensor(tensor_self(call)).shape.rank()}; }

Out size_of_tensor(Call& call) {
  const Shape shape = type_of_tensor(tensor_self(call)).shape;
  return shape.known() ? shape.elements() : unknown;
}

Out device_of_tensor(Call& call) {
  tensor_self(call);
  eager::Eager* const eager = ComputingState::of(call).eager();
  return eager ? eager->backend().name() : "cpu";
}

namespace {

Tensor numbers_of(Call& call) {
  const Object object = tensor_self(call);
  auto& state = ComputingState::of(call);
  // A weight has other numbers whenever the function runs.
  if (object.kind != &class_of<eager::Array>() && state.trace()) refuse_numbers(call);
  return array_of(call, object).value;
}

}  // namespace

Out table_of_tensor(Call& call) { return Out::Elements{numbers_of(call)}; }

Out item_of_one(Call& call) {
  const Tensor tensor = numbers_of(call);
  if (tensor.size() != 1)
    throw Error("got a tensor of {} elements, wanted one", tensor.size()).hint("tensor:totable() gives all").usage();
  return Out::Elements{tensor.reshaped({})};
}

Out clone_tensor(Call& call) {
  const Object object = tensor_self(call);
  if (object.kind == &class_of<Traced>()) return make_object(*std::static_pointer_cast<Traced>(object.value));
  return array_object(array_of(call, object));
}

Out out(Tensor tensor) { return array_object({std::move(tensor)}); }

std::vector<Tensor> read_tensors(const Call& call, int index, std::string_view wanted) {
  if (const auto array = call.find<eager::Array>(index)) return {array->value};
  if (!call.is_table(index)) throw call.unwanted(index, wanted);
  std::vector<Tensor> tensors;
  call.each_item(index, [&](int item) {
    const auto array = call.find<eager::Array>(item);
    if (!array) throw call.unwanted(item, "a tensor").hint("nacre.tensor(table) makes one");
    tensors.push_back(array->value);
  });
  return tensors;
}

Shape read_shape(const Call& call, int index) {
  Shape shape;
  if (!call.given(index)) throw call.unwanted(index, "a shape: {2, 3}");
  marked(call.place(), [&] { FieldKind<Shape>::read(call.tree(index), shape); });
  return shape;
}

std::span<const Function> tensor_functions() {
  static constexpr Function functions[] = {
      {"tensor",
       bound<make_tensor>,
       {.usage = "nacre.tensor(table[, dtype])",
        .doc = "A tensor of the numbers, booleans or texts in nested tables, or of one of them. Numbers are float32 "
               "when one of them has a point, else int32, unless a dtype is named. Of a tensor it is the tensor, cast.",
        .example = R"(
          local matrix = nacre.tensor{{1.0, 2.0}, {3.0, 4.0}}
          assert(matrix.shape[1] == 2 and matrix.dtype == "float32")
          assert(nacre.tensor{1, 2}.dtype == "int32")
          assert(nacre.tensor({1, 2}, "float64").dtype == "float64")
          assert(nacre.tensor{"a", "b"}:totable()[2] == "b")
          assert(nacre.tensor(matrix, "int32").dtype == "int32")
        )"}},
  };
  return functions;
}

void open_tensors(lua_State* lua) {
  State::open_class(lua, class_of<eager::Array>());
  State::set_functions(lua, tensor_functions());
}

}  // namespace nacre::scripting
