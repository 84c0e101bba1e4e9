// Tensors: nacre.tensor, nacre.zeros, nacre.ones, files of NumPy.
#include <unistd.h>

#include <cmath>
#include <limits>

#include "formats/npy.h"
#include "scripting/bindings.h"
#include "scripting/operations.h"

namespace nacre::scripting {

namespace {

constexpr int most_axes = 32;
constexpr std::int64_t most_shown = 64;  // elements in tostring()

// --- from tables --------------------------------------------------------------------------------------------------

// Reads nested tables of numbers, booleans or texts.
class TableReader {
 public:
  TableReader(const Call& call, std::optional<DType> dtype) : call_(call), lua_(call.lua()), dtype_(dtype) {}

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
        throw Error("the number {} is no {}", number, *dtype_)
            .hint("a second argument of nacre.tensor names another dtype: nacre.tensor(table, \"int64\")")
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
  if (const auto array = call.find<eager::Array>(1)) return out(dtype ? array->value.cast(*dtype) : array->value);
  if (!call.given(1)) throw call.unwanted(1, "a table, a number or a text");
  return out(TableReader(call, dtype).read(1));
}

template <bool ones>
Out make_filled(Call& call) {
  const Type type{read_dtype(call, 2).value_or(DType::float32), read_shape(call, 1)};
  for (std::int64_t size : type.shape)
    if (size < 0) throw Error("got the shape {}, wanted sizes of at least 0", type.shape).usage();
  check_size(type);
  Tensor tensor(type);
  if constexpr (ones) visit(type.dtype, [&]<class T>(T*) { std::ranges::fill(tensor.writable<T>(), convert<T>(1)); });
  return out(std::move(tensor));
}

// --- members ------------------------------------------------------------------------------------------------------

const Tensor& self(const Call& call) { return call.self<eager::Array>()->value; }

Out shape(Call& call) { return self(call).shape(); }
Out dtype(Call& call) { return name_of(self(call).dtype()); }
// Which elements count, as a layer said; nil: all.
Out mask(Call& call) {
  const auto array = call.self<eager::Array>();
  return array->mask ? Out(array_object(*array->mask)) : Out();
}
// tensor.mask = other: what layers will be told; nil: nothing.
void set_mask(Call& call) {
  const auto array = call.self<eager::Array>();
  array->mask = call.given(3) ? call.get<eager::Array>(3, "a tensor of booleans") : nullptr;
}
Out to_table(Call& call) { return Out::Elements{self(call)}; }

Out item(Call& call) {
  const Tensor tensor = self(call);
  if (tensor.size() != 1)
    throw Error("got a tensor of {} elements, wanted one", tensor.size()).hint("tensor:totable() gives all").usage();
  return Out::Elements{tensor.reshaped({})};
}

Out length(Call& call) {
  const Tensor tensor = self(call);
  if (tensor.shape().rank() == 0) throw Error("a tensor without axes has no length").usage();
  return tensor.shape()[0];
}

std::string element_text(const Tensor& tensor, std::int64_t index) {
  if (tensor.dtype() == DType::string) return Tree(tensor.data<std::string>()[static_cast<std::size_t>(index)]).text();
  if (tensor.dtype() == DType::boolean) return tensor.at(index) != 0 ? "true" : "false";
  if (tensor.dtype() == DType::int64)
    return std::to_string(tensor.data<std::int64_t>()[static_cast<std::size_t>(index)]);
  if (tensor.dtype() == DType::float64) return fmt::format("{}", tensor.at(index));
  return fmt::format("{}", static_cast<float>(tensor.at(index)));
}

std::string elements_text(const Tensor& tensor, int axis, std::int64_t& index) {
  if (axis == tensor.shape().rank()) return element_text(tensor, index++);
  std::string text = "{";
  for (std::int64_t i = 0; i < tensor.shape()[axis]; ++i)
    text += (i ? ", " : "") + elements_text(tensor, axis + 1, index);
  return text + "}";
}

std::string text_of(const Object& object) {
  const Tensor& tensor = std::static_pointer_cast<eager::Array>(object.value)->value;
  std::string text = fmt::format("tensor {}", tensor.type());
  std::int64_t index = 0;
  if (tensor.size() <= most_shown) text += " " + elements_text(tensor, 0, index);
  return text;
}

constexpr Member members[] = {
    {.name = "shape",
     .get = shape,
     .entry = {.usage = "tensor.shape",
               .doc = "The sizes of its axes, as a list; -1 where a size is open.",
               .example = R"(
                 local shape = nacre.zeros{2, 3}.shape
                 assert(#shape == 2 and shape[1] == 2 and shape[2] == 3)
               )"}},
    {.name = "dtype",
     .get = dtype,
     .entry = {.usage = "tensor.dtype",
               .doc = "What its elements are: \"float32\", \"int32\", \"bool\", \"string\", …",
               .example = R"(
                 assert(nacre.zeros{2}.dtype == "float32")
                 assert(nacre.tensor{true, false}.dtype == "bool")
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
     .method = bound<item>,
     .entry = {.usage = "tensor:item()",
               .doc = "The number, boolean or text of a tensor of one element.",
               .example = R"(
                 assert(nacre.tensor{{2.5}}:item() == 2.5)
                 assert(nacre.tensor{1, 2, 3}:sum():item() == 6)
               )"}},
    {.name = "totable",
     .method = bound<to_table>,
     .entry = {.usage = "tensor:totable()",
               .doc = "Its elements as nested tables; of a tensor without axes its element.",
               .example = R"(
                 local rows = nacre.tensor{{1, 2}, {3, 4}}:totable()
                 assert(rows[2][1] == 3)
               )"}},
};
// Arithmetic too.
std::span<const Function> metamethods() {
  static const std::vector<Function> all = [] {
    std::vector<Function> functions{
        {"__len", bound<length>, {.usage = "#tensor", .doc = "The size of its first axis.", .example = R"(
          assert(#nacre.zeros{2, 3} == 2)
        )"}}};
    functions.insert(functions.end(), operators().begin(), operators().end());
    return functions;
  }();
  return all;
}

// --- files --------------------------------------------------------------------------------------------------------

Out load_npy(Call& call) { return out(read_npy(call.text(1, "the path of a file"))); }

void save_npy(Call& call) {
  write_npy(call.text(1, "the path of a file"), call.get<eager::Array>(2, "a tensor")->value);
}

}  // namespace

// Before anything is allocated: what a script asks for may be beyond any machine.
void check_size(const Type& type) {
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
  static const Class kind{.name = "tensor",
                          .members = members,
                          .metamethods = metamethods(),
                          .text = text_of,
                          .other = operation_method,
                          .keeps_methods = true,
                          .other_names = operation_names};
  return kind;
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
      {"zeros",
       bound<make_filled<false>>,
       {.usage = "nacre.zeros(shape[, dtype])",
        .doc = "Zeros in a shape, float32 unless another dtype is named.",
        .example = R"(
          assert(nacre.zeros{2, 3}:sum():item() == 0)
          assert(nacre.zeros({2}, "int32").dtype == "int32")
        )"}},
      {"ones",
       bound<make_filled<true>>,
       {.usage = "nacre.ones(shape[, dtype])",
        .doc = "Ones in a shape, float32 unless another dtype is named.",
        .example = R"(
          assert(nacre.ones{2, 3}:sum():item() == 6)
        )"}},
      {"load_npy",
       bound<load_npy>,
       {.usage = "nacre.load_npy(path)", .doc = "The tensor in a file of NumPy's.", .example = R"(
         nacre.save_npy("x.npy", nacre.tensor{1, 2})
         assert(nacre.load_npy("x.npy"):sum():item() == 3)
       )"}},
      {"save_npy",
       bound<save_npy>,
       {.usage = "nacre.save_npy(path, tensor)", .doc = "Writes a tensor as a file of NumPy's.", .example = R"(
         nacre.save_npy("x.npy", nacre.zeros{2, 3})
         assert(nacre.load_npy("x.npy").shape[2] == 3)
       )"}},
  };
  return functions;
}

void open_tensors(lua_State* lua) {
  State::open_class(lua, class_of<eager::Array>());
  State::set_functions(lua, tensor_functions());
}

}  // namespace nacre::scripting
