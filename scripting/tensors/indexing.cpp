// t[key] and t[key] = value, for arrays, traced values, weights and symbols.
//
//   t[2], t[-1]                 an element of the first axis: counted from 1, from the end below 0
//   t[{2, {}, {1, 5, 2}}]       by axis: a number, {} for all, {first, last}, {first, last, step}
//   t[{"...", 1}]               "..." stands for as many {} as are missing
//   t[{{}, nacre.newaxis}]      a new axis of size 1
//   t[{{}, labels}]             an integer tensor, whose numbers count likewise; several side by side are taken
//   pairwise t[mask]                     a boolean tensor: the elements where it is true
//
// What stands in brackets counts from 1, as Lua does; axes, and the places that operations give and take (argmax,
// take), count from 0, as Keras does.
#include <algorithm>
#include <limits>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/shape.h"
#include "layers/emit.h"
#include "layers/operations.h"
#include "layers/operations/functions.h"
#include "scripting/bindings.h"
#include "scripting/tensors/selection.h"
#include "scripting/tensors/tensors.h"

namespace nacre::scripting {

namespace {

constexpr std::string_view counting = "indices count from 1, and from the end from -1";

// In messages: the type says enough.
std::string described(const Object& object) {
  return object.kind == &class_of<Weight>() || !is_tensor(object) ? object.kind->text(object)
                                                                  : type_of_tensor(object).text();
}

// --- keys ---------------------------------------------------------------------------------------------------------

// One entry of a key, as it is written.
struct Pick {
  enum class Kind : std::uint8_t { index, range, whole, rest, new_axis, tensor };
  Kind kind = Kind::whole;
  std::int64_t first = 0, last = 0, step = 1;  // an index is `first`
  Object tensor{};

  int axes() const {  // that it takes
    if (kind == Kind::rest || kind == Kind::new_axis) return 0;
    if (kind != Kind::tensor) return 1;
    const Type type = type_of_tensor(tensor);
    return type.dtype == DType::boolean ? type.shape.rank() : 1;
  }
  bool is_mask() const { return kind == Kind::tensor && type_of_tensor(tensor).dtype == DType::boolean; }
  std::string text() const {
    return step == 1 ? fmt::format("{{{}, {}}}", first, last) : fmt::format("{{{}, {}, {}}}", first, last, step);
  }
};
using Key = std::vector<Pick>;

std::int64_t read_index(const Call& call, int index) {
  int whole = 0;
  const lua_Integer number = lua_tointegerx(call.lua(), index, &whole);
  if (!whole || lua_type(call.lua(), index) != LUA_TNUMBER)
    throw Error("got {}, wanted a whole number as an index", lua_type(call.lua(), index) == LUA_TNUMBER
                                                                 ? fmt::format("{}", lua_tonumber(call.lua(), index))
                                                                 : call.described(index))
        .usage();
  return static_cast<std::int64_t>(number);
}

Pick read_range(const Call& call, int index) {
  std::vector<std::int64_t> numbers;
  call.each_named(
      index,
      [](const std::string& name, int) {
        throw Error("got the name '{}' in an index", name)
            .hint("ranges are {first, last} or {first, last, step}")
            .usage();
      },
      true);
  call.each_item(index, [&](int item) { numbers.push_back(read_index(call, item)); });
  if (numbers.empty()) return {};
  if (numbers.size() > 3)
    throw Error("got a range of {} numbers, wanted {{first, last}} or {{first, last, step}}", numbers.size()).usage();
  Pick pick{.kind = Pick::Kind::range, .first = numbers.front(), .last = numbers[numbers.size() > 1 ? 1 : 0]};
  if (numbers.size() == 3) pick.step = numbers[2];
  if (pick.step == 0) throw Error("got a range whose step is 0").usage();
  return pick;
}

Pick read_pick(const Call& call, int index) {
  lua_State* const lua = call.lua();
  if (lua_type(lua, index) == LUA_TNUMBER) return {.kind = Pick::Kind::index, .first = read_index(call, index)};
  if (lua_type(lua, index) == LUA_TLIGHTUSERDATA && !lua_touserdata(lua, index)) return {.kind = Pick::Kind::new_axis};
  if (lua_type(lua, index) == LUA_TSTRING && call.text(index, "") == "...") return {.kind = Pick::Kind::rest};
  if (call.is_table(index)) return read_range(call, index);
  auto object = call.object(index);
  if (!object || !is_tensor(*object))
    throw call.unwanted(index, "an index: a number, {first, last}, {}, \"...\", nacre.newaxis or a tensor");
  const Type type = type_of_tensor(*object);
  if (is_floating(type.dtype) || type.dtype == DType::string)
    throw Error("got {} as an index, wanted whole numbers or booleans", described(*object)).usage();
  if (type.dtype == DType::boolean && type.shape.rank() == 0)
    throw Error("got {} as an index, wanted a boolean for each element", described(*object)).usage();
  return {.kind = Pick::Kind::tensor, .tensor = *std::move(object)};
}

Key read_key(const Call& call, int index) {
  if (!call.is_table(index)) return {read_pick(call, index)};
  Key key;
  call.each_named(
      index,
      [](const std::string& name, int) {
        throw Error("got the name '{}' in an index", name).hint("indices stand by axis: t[{2, {1, 3}}]").usage();
      },
      true);
  call.each_item(index, [&](int item) { key.push_back(read_pick(call, item)); });
  return key;
}

// --- keys of a shape ----------------------------------------------------------------------------------------------

// A pick of certain axes, counted from 0. A place that cannot be counted from the front, for the axis's size is open,
// stays as it was written.
struct Place {
  Pick pick;
  int axis = 0;                             // the first that it takes
  std::int64_t first = 0, count = unknown;  // of an index (its count is 1) and a range
};

struct Placed {
  std::vector<Place> places;  // for all axes; `rest` is spelled out
  int tensors = 0;            // how many places are tensors

  const Place& first_tensor() const {
    return *std::ranges::find(places, Pick::Kind::tensor, [](const Place& place) { return place.pick.kind; });
  }
  bool has_mask() const { return tensors > 0 && first_tensor().pick.is_mask(); }
};

Error out_of_range(std::string_view what, const Object& object, const Shape& shape, int axis) {
  return Error("{} is out of range for axis {} of {}, whose size is {}", what, axis, described(object),
               shape[axis] == unknown ? "open" : std::to_string(shape[axis]))
      .hint(std::string(counting))
      .usage();
}

// Counts from 0; `size` may be unknown.
std::int64_t from_zero(std::int64_t index, std::int64_t size) {
  return index > 0 ? index - 1 : size == unknown ? index : index + size;
}

void place_range(Place& place, const Object& object, const Shape& shape) {
  const Pick& pick = place.pick;
  const std::int64_t size = shape[place.axis];
  const auto refuse = [&]() -> Error { return out_of_range("range " + pick.text(), object, shape, place.axis); };
  if (pick.first == 0) throw refuse();
  if (size == unknown) {
    if (pick.last == 0 && pick.step < 0) throw refuse();
    if (pick.last == 0) place.count = 0;
    return;
  }
  const std::int64_t first = from_zero(pick.first, size),
                     last = pick.last == 0 ? -1 : from_zero(pick.last, size);  // {1, 0} is empty
  if (first < 0 || first > size || last < -1 || last >= size) throw refuse();
  const bool empty = pick.step > 0 ? last < first : last > first;
  if (!empty && (first == size || last < 0)) throw refuse();
  place.first = empty ? 0 : first;
  place.count = empty ? 0 : (last - first) / pick.step + 1;
}

Placed placed(Key key, const Object& object, const Shape& shape) {
  const int rank = shape.rank();
  int wanted = 0;
  for (const Pick& pick : key) wanted += pick.axes();
  if (wanted > rank)
    throw Error("got {} {} for {}, which has {} {}", wanted, wanted == 1 ? "index" : "indices", described(object), rank,
                rank == 1 ? "axis" : "axes")
        .usage();
  const auto is_rest = [](const Pick& pick) { return pick.kind == Pick::Kind::rest; };
  auto rest = std::ranges::find_if(key, is_rest);
  if (rest == key.end()) rest = key.insert(rest, {.kind = Pick::Kind::rest});
  if (std::ranges::count_if(key, is_rest) > 1) throw Error("got \"...\" twice in one index").usage();
  rest = key.insert(key.erase(rest), static_cast<std::size_t>(rank - wanted), {});

  Placed result;
  int axis = 0;
  for (Pick& pick : key) {
    Place place{.pick = std::move(pick), .axis = axis};
    axis += place.pick.axes();
    switch (place.pick.kind) {
      case Pick::Kind::index: {
        const std::int64_t index = place.pick.first, size = shape[place.axis];
        place.first = from_zero(index, size);
        place.count = 1;
        if (index == 0 || (size != unknown && (place.first < 0 || place.first >= size)))
          throw out_of_range(fmt::format("index {}", index), object, shape, place.axis);
        break;
      }
      case Pick::Kind::range: place_range(place, object, shape); break;
      case Pick::Kind::whole: place.count = shape[place.axis]; break;
      case Pick::Kind::tensor: ++result.tensors; break;
      default: break;
    }
    result.places.push_back(std::move(place));
  }
  // Tensors stand side by side, and a mask stands alone.
  bool before = false, ended = false;
  for (const Place& place : result.places) {
    const bool tensor = place.pick.kind == Pick::Kind::tensor;
    if (tensor && (ended || (result.tensors > 1 && place.pick.is_mask())))
      throw Error("an index takes one boolean tensor, or integer tensors side by side")
          .hint("index in two steps: t[{{}, a}][b]")
          .usage();
    ended = ended || (before && !tensor);
    before = tensor;
  }
  return result;
}

// --- tensors as indices -------------------------------------------------------------------------------------------

// The places that integer tensors name, or at which a mask is true, counted among all elements of the axes that they
// take; and their shape.
struct Listed {
  std::vector<std::int64_t> places;
  Shape shape;
  std::int64_t among = 1;
};

Listed listed_by_mask(const Call& call, const Place& place, const Object& object, const Shape& shape) {
  const Tensor mask = array_of(call, place.pick.tensor).value;
  const Shape taken = shape.from(place.axis).first(mask.shape().rank());
  if (taken != mask.shape())
    throw Error("the boolean index is {}, but axis {} and after it {} is {}", mask.shape(), place.axis,
                described(object), taken)
        .usage();
  Listed listed;
  const auto values = mask.data<bool>();
  for (std::size_t i = 0; i < values.size(); ++i)
    if (values[i]) listed.places.push_back(static_cast<std::int64_t>(i));
  listed.shape = {std::ssize(listed.places)};
  listed.among = mask.size();
  return listed;
}

Listed listed_by_numbers(const Call& call, std::span<const Place> places, const Object& object, const Shape& shape) {
  Listed listed;
  std::vector<Tensor> tensors;
  for (const Place& place : places) {
    tensors.push_back(array_of(call, place.pick.tensor).value.cast(DType::int64));
    listed.shape = broadcast(listed.shape, tensors.back().shape());
  }
  check_size({DType::int64, listed.shape});
  listed.places.resize(static_cast<std::size_t>(listed.shape.elements()));
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    const std::int64_t size = shape[places[t].axis];
    listed.among *= size;
    const auto numbers = repeated(tensors[t], listed.shape);
    const auto values = numbers.data<std::int64_t>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::int64_t place = from_zero(values[i], size);
      if (values[i] == 0 || place < 0 || place >= size)
        throw out_of_range(fmt::format("index {} in {}", values[i], described(places[t].pick.tensor)), object, shape,
                           places[t].axis);
      listed.places[i] = listed.places[i] * size + place;
    }
  }
  return listed;
}

Listed listed(const Call& call, const Placed& key, const Object& object, const Shape& shape) {
  const Place& first = key.first_tensor();
  if (key.has_mask()) return listed_by_mask(call, first, object, shape);
  return listed_by_numbers(call, {&first, static_cast<std::size_t>(key.tensors)}, object, shape);
}

// --- at once ------------------------------------------------------------------------------------------------------

Selection selection_of(const Call& call, const Placed& key, const Object& object) {
  const Type type = type_of_tensor(object);
  const Shape& shape = type.shape;
  Selection selection;
  bool listed_before = false;
  for (const Place& place : key.places) {
    const Pick::Kind kind = place.pick.kind;
    if (kind == Pick::Kind::new_axis) {
      selection.result.append(1);
    } else if (kind != Pick::Kind::tensor) {
      selection.whole.append(shape[place.axis]);
      selection.axes.push_back({place.first, place.pick.step, place.count});
      if (kind != Pick::Kind::index) selection.result.append(place.count);
    } else if (!std::exchange(listed_before, true)) {
      Listed found = listed(call, key, object, shape);
      selection.whole.append(found.among);
      selection.result = selection.result + found.shape;
      const std::int64_t count = std::ssize(found.places);
      selection.axes.push_back({.count = count, .listed = true, .places = std::move(found.places)});
    }
  }
  check_size({type.dtype, selection.result});
  return selection;
}

// --- in traces and of symbols -------------------------------------------------------------------------------------

// The key as get_item takes it: tensors stand for whole axes.
Tree get_item_key(const Placed& key) {
  Tree tree = Tree::sequence();
  for (const Place& place : key.places) {
    const Pick& pick = place.pick;
    switch (pick.kind) {
      case Pick::Kind::new_axis: tree.push(Tree()); break;
      case Pick::Kind::index: tree.push(place.first); break;
      case Pick::Kind::range: {
        constexpr std::int64_t longest = std::int64_t{1} << 48;  // steps beyond all axes
        std::int64_t first = place.first, stop = 0, step = std::clamp(pick.step, -longest, longest);
        bool open = false;
        if (place.count == unknown) {  // the numbers as they are written
          first = from_zero(pick.first, unknown);
          stop = from_zero(pick.last, unknown) + (step > 0 ? 1 : -1);
          open = step > 0 ? pick.last == -1 : pick.last == 1;
        } else {
          if (place.count <= 1) step = 1;
          stop = first + place.count * step;
          open = stop < 0;
        }
        tree.push(fmt::format("{}:{}:{}", first, open ? "" : std::to_string(stop), step));
        break;
      }
      default:
        for (int i = 0; i < pick.axes(); ++i) tree.push(":");
    }
  }
  return tree;
}

Tree get_item_arguments(const Placed& key) { return Tree::Mapping{{"key", get_item_key(key), {}}}; }

// Of places among so many.
DType dtype_of_places(std::int64_t among) {
  return among <= std::numeric_limits<std::int32_t>::max() ? DType::int32 : DType::int64;
}

// Integers that count from 1 or from the end as such that count from 0, and whether they are in range: the others are
// 0.
struct FromZero {
  Value places, inside;
};
FromZero from_zero(Value indices, std::int64_t size, DType dtype) {
  if (indices.dtype() == DType::uint8) indices = ops::cast(indices, DType::int32);
  if (dtype_of_places(size) == DType::int64) indices = ops::cast(indices, DType::int64);
  const Value zero = ops::scalar_like(indices, 0);
  const auto number = static_cast<double>(size);
  const Value places = ops::select(ops::greater(indices, zero), indices - 1.0, indices + number);
  const Value inside = ops::logical_and(
      ops::not_equal(indices, zero),
      ops::logical_and(ops::greater_equal(places, zero), ops::less(places, ops::scalar_like(indices, number))));
  return {ops::cast(ops::select(inside, places, zero), dtype), inside};
}

bool is_known(const Object& tensor) { return tensor.kind != &class_of<Traced>(); }

bool all_known(const Placed& key) {
  return std::ranges::all_of(key.places, [](const Place& place) {
    return place.pick.kind != Pick::Kind::tensor || is_known(place.pick.tensor);
  });
}

// The places that the tensors of the key name, among all elements of the axes that they take; what is out of range is
// behind them.
Value traced_places(const Call& call, const Placed& key, const Object& object, const Shape& shape) {
  Graph& graph = ComputingState::of(call).trace()->graph();
  if (all_known(key)) {
    const Listed found = listed(call, key, object, shape);
    return graph.constant(Tensor::of<std::int64_t>(found.shape, found.places).cast(dtype_of_places(found.among)));
  }
  if (key.has_mask())
    throw Error("got a boolean index whose numbers are not known while the function is traced, nor how many are true")
        .hint("nacre.ops.where(mask, a, b) keeps the shape; x * mask:cast(x.dtype) makes the others 0")
        .usage();
  const std::span indices(&key.first_tensor(), static_cast<std::size_t>(key.tensors));
  std::int64_t among = 1;
  for (const Place& place : indices) among *= emit::known_size(shape, place.axis);
  Value places, inside;
  for (const Place& place : indices) {
    const std::int64_t size = shape[place.axis];
    const FromZero one = from_zero(traced_value(call, place.pick.tensor), size, dtype_of_places(among));
    places = places ? places * static_cast<double>(size) + one.places : one.places;
    inside = inside ? ops::logical_and(inside, one.inside) : one.inside;
  }
  return ops::select(inside, places, ops::scalar_like(places, static_cast<double>(among)));
}

// How many of the result's axes come before those of the key's tensors.
int axes_before_tensors(const Placed& key) {
  int axes = 0;
  for (const Place& place : key.places) {
    if (place.pick.kind == Pick::Kind::tensor) break;
    axes += place.pick.kind != Pick::Kind::index;
  }
  return axes;
}
int axes_of_tensors(const Placed& key) {
  int axes = 0;
  for (const Place& place : key.places)
    if (place.pick.kind == Pick::Kind::tensor) axes += place.pick.axes();
  return axes;
}

// x with so many axes from `axis` on merged into one.
Value merged(Value x, int axis, int count) {
  const Shape& shape = x.shape();
  return emit::reshape(x,
                       shape.first(axis) + Shape{shape.from(axis).first(count).elements()} + shape.from(axis + count));
}

Value read_traced(const Call& call, const Object& object, const Placed& key) {
  TraceScope& scope = *ComputingState::of(call).trace();
  const Value x = traced_value(call, object);
  const Value y = apply_operation(scope.context(), "get_item", {x}, get_item_arguments(key)).front();
  if (key.tensors == 0) return y;
  const Value places = traced_places(call, key, object, x.shape());
  const int axis = axes_before_tensors(key), count = axes_of_tensors(key);
  return operations::take(count == 1 ? y : merged(y, axis, count), places, axis);
}

Out item_at(const Call& call, const Object& object, const Placed& key) {
  auto& state = ComputingState::of(call);
  const bool traced =
      object.kind == &class_of<Traced>() || !all_known(key) || (state.trace() && object.kind == &class_of<Weight>());
  if (traced) {
    if (!state.trace()) throw ended_trace();
    return state.traced(read_traced(call, object, key));
  }
  const eager::Array array = array_of(call, object);
  return array_object(taken(*state.eager(), array, std::make_shared<const Selection>(selection_of(call, key, object))));
}

std::int64_t want_length(const Object& object) {
  const Shape shape = type_of_tensor(object).shape;
  if (shape.rank() == 0) throw Error("a tensor without axes has no length").usage();
  if (shape[0] == unknown) throw Error("the size of axis 0 of {} is open", described(object)).usage();
  return shape[0];
}

// Where a selection's places are, and the values for them, spread over the whole axis.
struct Spread {
  Value hit;     // bool, broadcast over the other axes
  Value values;  // of the whole axis's size
};
Spread spread(Value values, const Selection::Axis& picked, int axis, int rank, std::int64_t size) {
  std::vector<std::int32_t> from(static_cast<std::size_t>(size));
  std::unique_ptr<bool[]> hit(new bool[static_cast<std::size_t>(size)]());
  for (std::int64_t i = 0; i < picked.count; ++i) {
    from[static_cast<std::size_t>(picked.place(i))] = static_cast<std::int32_t>(i);
    hit[static_cast<std::size_t>(picked.place(i))] = true;
  }
  std::vector<std::int64_t> along(static_cast<std::size_t>(rank), 1);
  along[static_cast<std::size_t>(axis)] = size;
  Graph& graph = values.graph();
  const Value places = graph.constant(Tensor::of<std::int32_t>({size}, std::span<const std::int32_t>(from)));
  const Tensor hits = Tensor::of<bool>(Shape(along), std::span<const bool>(hit.get(), static_cast<std::size_t>(size)));
  return {graph.constant(hits), values.shape()[axis] == 1 ? values : operations::take(values, places, axis)};
}

// x with values where the selection is.
Value written_traced(Value x, const Selection& selection, Value values) {
  const int rank = selection.whole.rank();
  Value y = ops::reshape(x, selection.whole), hit;
  Shape sizes;
  for (const Selection::Axis& axis : selection.axes) {
    if (axis.count == 0) return x;
    sizes.append(axis.count);
  }
  values = values.shape().elements() == 1
               ? ops::reshape(values, Shape(std::vector<std::int64_t>(sizes.sizes().size(), 1)))
               : ops::reshape(ops::broadcast_to(values, selection.result), sizes);
  for (int axis = 0; axis < rank; ++axis) {
    const Selection::Axis& picked = selection.axes[static_cast<std::size_t>(axis)];
    if (!picked.listed && picked.step == 1 && picked.count == selection.whole[axis]) continue;
    const Spread along = spread(values, picked, axis, rank, selection.whole[axis]);
    values = along.values;
    hit = hit ? ops::logical_and(hit, along.hit) : along.hit;
  }
  y = hit ? ops::select(hit, values, y) : ops::broadcast_to(values, selection.whole);
  return ops::reshape(y, x.shape());
}

Error more_than_traced_indices() {
  return Error("an assignment by a tensor that is being traced takes whole other axes")
      .hint("assign in two steps: local part = t[{{1, 3}}]; part[index] = value; t[{{1, 3}}] = part")
      .usage();
}

// For each row the number of the last place that names it, or -1. Of equal places, side by side once they are sorted,
// the last one is kept, and the others lead nowhere.
Value last_writers(Value places, std::int64_t rows) {
  Graph& graph = places.graph();
  const std::int64_t count = places.shape().elements();
  const Value order = ops::argsort(places), sorted = ops::gather(places, order),
              nowhere = ops::broadcast_to(ops::scalar_like(places, static_cast<double>(rows)), {1}),
              next = ops::concat({ops::slice_axis(sorted, 0, 1, count), nowhere}, 0);
  const Value kept = ops::select(ops::equal(sorted, next), nowhere, sorted);
  return graph.add(op::scatter_add, RowsAttrs{rows}, {kept, order + 1.0}).out() - 1.0;
}

// By integers that are known when the graph runs.
Value written_by_places(Value x, int axis, int axes, Value places, Value values) {
  Value rows = merged(x, axis, axes);
  values = ops::broadcast_to(values, rows.shape().first(axis) + places.shape() + rows.shape().from(axis + 1));
  rows = emit::move_axis(rows, axis, 0);
  for (int i = 0; i < places.shape().rank(); ++i) values = emit::move_axis(values, axis + i, i);
  const Shape rest = rows.shape().from(1);
  const std::int64_t count = places.shape().elements();
  if (count == 0) return x;
  values = ops::reshape(values, Shape{count} + rest);
  const Value writers = last_writers(ops::reshape(places, {count}), rows.shape()[0]);
  Value hit = ops::greater_equal(writers, ops::scalar_like(writers, 0));
  for (int i = 0; i < rest.rank(); ++i) hit = ops::expand_dims(hit, -1);
  rows = ops::select(hit, ops::gather(values, writers), rows);
  return ops::reshape(emit::move_axis(rows, 0, axis), x.shape());
}

// --- assignment ---------------------------------------------------------------------------------------------------

int kind_of(DType dtype) { return is_floating(dtype) ? 2 : dtype == DType::boolean ? 0 : 1; }

// The value that is assigned, in the dtype of the tensor or one that is cast to it without a loss of kind.
Object read_value(const Call& call, int index, const Object& object) {
  const DType wanted = type_of_tensor(object).dtype;
  const int type = lua_type(call.lua(), index);
  if (type == LUA_TNUMBER || type == LUA_TBOOLEAN || type == LUA_TSTRING)
    return array_object({scalar_of(call, index, wanted)});
  if (call.is_table(index)) return array_object({tensor_of_table(call, index, wanted)});
  auto value = call.object(index);
  if (!value || !is_tensor(*value)) throw call.unwanted(index, "a number, a table or a tensor to assign");
  const DType given = type_of_tensor(*value).dtype;
  if (given == wanted) return *value;
  if (given == DType::string || wanted == DType::string || kind_of(given) > kind_of(wanted))
    throw Error("cannot assign {} to elements of {}", described(*value), described(object))
        .hint(given == DType::string || wanted == DType::string
                  ? "texts and numbers do not mix"
                  : fmt::format("value:cast(\"{}\") makes it fit", wanted))
        .usage();
  if (kind_of(given) == 1 && kind_of(wanted) == 1 && is_known(*value)) {
    const Tensor numbers = array_of(call, *value).value;
    const Tensor narrow = numbers.cast(wanted).cast(given);
    if (!narrow.identical(numbers))
      throw Error("cannot assign {} to elements of {}: there are numbers that do not fit", described(*value),
                  described(object))
          .usage();
  }
  return *value;
}

void want_broadcast(const Shape& value, const Shape& selected) {
  bool fits = value.rank() <= selected.rank();
  for (int i = 1; fits && i <= value.rank(); ++i) fits = value[-i] == 1 || same(value[-i], selected[-i]);
  if (!fits) throw Error("cannot assign {} to elements {}: the shapes do not fit", value, selected).usage();
}

// The elements may be written where they lie when nobody else holds them; so the object is looked up anew.
void assign_at_once(const Call& call, Selection selection, eager::Array values, DType dtype) {
  if (values.value.dtype() != dtype) values.value = values.value.cast(dtype);
  if (values.value.size() != 1 && values.value.shape() != selection.result)
    values.value = repeated(values.value, selection.result);
  if (auto* const array = call.sole<eager::Array>(1)) {
    write(array->value, selection, values.value);
    array->origin.reset();
    return;
  }
  Tensor copy = call.get<eager::Array>(1, "a tensor")->value;
  write(copy, selection, values.value);
  call.replace(1, array_object({std::move(copy)}));
}

// … where gradients pass.
void assign_recorded(const Call& call, const eager::Array& before, Selection selection, const Object& given) {
  eager::Eager& eager = *ComputingState::of(call).eager();
  eager::Array values = array_of(call, given);
  const Type wanted{before.value.dtype(), selection.result};
  if (values.value.type() != wanted) {
    Computation work{.key = fmt::format("spread {}", wanted), .operands = {given}};
    work.emit = [&](Context&, const Values& in, const Values&) -> Computation::Result {
      return {{ops::broadcast_to(ops::cast(in[0], wanted.dtype), wanted.shape)}};
    };
    values = array_of(call, compute(call, std::move(work)).front());
  }
  call.replace(1,
               array_object(written(eager, before, std::make_shared<const Selection>(std::move(selection)), values)));
}

Value assigned_in_trace(const Call& call, const Object& object, const Placed& key, const Object& given) {
  const Value x = traced_value(call, object), values = ops::cast(traced_value(call, given), x.dtype());
  if (!x.shape().known()) return x;  // as good as any of its type
  const bool whole = std::ranges::all_of(key.places, [](const Place& place) {
    return place.pick.kind == Pick::Kind::tensor || place.pick.kind == Pick::Kind::whole;
  });
  if (all_known(key)) {
    const Selection selection = selection_of(call, key, object);
    want_broadcast(values.shape(), selection.result);
    return written_traced(x, selection, values);
  }
  const Place& first = key.first_tensor();
  const int axis = first.axis, count = axes_of_tensors(key);
  const Shape before = x.shape().first(axis), rest = x.shape().from(axis + count);
  if (!whole) throw more_than_traced_indices();
  if (!key.has_mask()) {
    const Value places = traced_places(call, key, object, x.shape());
    want_broadcast(values.shape(), before + places.shape() + rest);
    return written_by_places(x, axis, count, places, values);
  }
  Value hit = traced_value(call, first.pick.tensor);
  if (x.shape().from(axis).first(count) != hit.shape())
    throw Error("the boolean index is {}, but axis {} and after it {} is {}", hit.shape(), axis, described(object),
                x.shape().from(axis).first(count))
        .usage();
  if (values.shape().rank() > rest.rank())
    throw Error("cannot assign {} by a boolean index that is being traced: how many are true is not known",
                values.shape())
        .hint("one value for all, or nacre.ops.where(mask, values, x) with values in the shape of x")
        .usage();
  want_broadcast(values.shape(), rest);
  for (int i = 0; i < rest.rank(); ++i) hit = ops::expand_dims(hit, -1);
  return ops::select(hit, values, x);
}

// Whether a function of C reads, as ipairs does: it goes on until there is nothing.
bool read_by_function_of_c(lua_State* lua) {
  lua_Debug debug;
  return lua_getstack(lua, 1, &debug) && lua_getinfo(lua, "S", &debug) && *debug.what == 'C';
}

bool is_end_of_loop(const Call& call, const Shape& shape) {
  return lua_isinteger(call.lua(), 2) && shape.rank() > 0 && shape[0] != unknown &&
         lua_tointeger(call.lua(), 2) == shape[0] + 1 && read_by_function_of_c(call.lua());
}

Out item_of_symbol(Call& call, const Object& object) {
  const Shape shape = std::static_pointer_cast<Symbol>(object.value)->shape();
  Key key = read_key(call, 2);
  for (const Pick& pick : key)
    if (pick.kind == Pick::Kind::tensor)
      throw Error("got {} as an index of {}", described(pick.tensor), described(object))
          .hint("nacre.ops.take and nacre.ops.take_along_axis pick elements by places")
          .usage();
  const Placed places = placed(std::move(key), object, shape);
  return std::move(object.kind->apply(call, "get_item", {object}, get_item_arguments(places)).front());
}

// The row of an array without gradients, straight away.
std::optional<Out> plain_row(Call& call, const Object& object) {
  if (object.kind != &class_of<eager::Array>() || !lua_isinteger(call.lua(), 2)) return std::nullopt;
  const auto& array = *std::static_pointer_cast<eager::Array>(object.value);
  const Shape& shape = array.value.shape();
  if (shape.rank() == 0 || (array.origin && ComputingState::of(call).eager()->recording())) return std::nullopt;
  const std::int64_t index = lua_tointeger(call.lua(), 2), row = from_zero(index, shape[0]);
  if (index == 0 || row < 0 || row >= shape[0]) return std::nullopt;
  Tensor y = Tensor::uninitialised({array.value.dtype(), shape.from(1)});
  copy_elements(array.value, row * y.size(), y.size(), y, 0);
  return array_object({std::move(y)});
}

// rows()(t, i): the next i and row.
Results next_row(Call& call) {
  const auto object = call.object(1);
  if (!object || !is_tensor(*object)) throw call.unwanted(1, "a tensor");
  const std::int64_t index = read_index(call, 2) + 1;
  const Shape shape = type_of_tensor(*object).shape;
  if (index < 1 || index > shape[0]) return {Out()};
  Key key{{.kind = Pick::Kind::index, .first = index}};
  return {Out(index), item_at(call, *object, placed(std::move(key), *object, shape))};
}

}  // namespace

Out item_of_tensor(Call& call) {
  const std::optional<Object> object = call.object(1);
  if (!object) throw call.unwanted(1, "a tensor");
  if (auto row = plain_row(call, *object)) return *std::move(row);
  if (!is_tensor(*object)) return item_of_symbol(call, *object);
  const Shape shape = type_of_tensor(*object).shape;
  if (is_end_of_loop(call, shape)) return {};
  return item_at(call, *object, placed(read_key(call, 2), *object, shape));
}

void set_item_of_tensor(Call& call) {
  std::optional<Object> object = call.object(1);
  if (!object || !is_tensor(*object)) throw call.unwanted(1, "a tensor");
  if (object->kind == &class_of<Weight>())
    throw Error("the elements of {} cannot be assigned to", described(*object))
        .hint("change a tensor, local t = weight.value, and assign it: weight:assign(t)")
        .usage();
  auto& state = ComputingState::of(call);
  if (state.trace() && call.order(1) <= state.trace()->objects_before())
    throw Error("got an assignment to {}, which was made outside of the function that is traced", described(*object))
        .hint("the compiled function would not repeat it: change a copy, t:clone(), and return that")
        .usage();
  const Type type = type_of_tensor(*object);
  Placed key = placed(read_key(call, 2), *object, type.shape);
  const Object value = read_value(call, 3, *object);
  const bool traced = object->kind == &class_of<Traced>() || !is_known(value) || !all_known(key) ||
                      (state.trace() && value.kind == &class_of<Weight>());
  if (traced) {
    if (!state.trace()) throw ended_trace();
    return call.replace(1, state.traced(assigned_in_trace(call, *object, key, value)));
  }
  Selection selection = selection_of(call, key, *object);
  want_broadcast(type_of_tensor(value).shape, selection.result);
  const eager::Array values = array_of(call, value);
  if (state.eager()->recording()) {
    const auto before = std::static_pointer_cast<eager::Array>(object->value);
    if (before->origin || values.origin) return assign_recorded(call, *before, std::move(selection), value);
  }
  object.reset();  // no longer held here
  assign_at_once(call, std::move(selection), values, type.dtype);
}

Results rows_of_tensor(Call& call) {
  const auto object = call.object(1);
  if (!object || !is_tensor(*object)) throw call.unwanted(1, "a tensor");
  want_length(*object);
  return {Out(Out::Function{bound<next_row>}), Out(Out::At{1}), Out(std::int64_t{0})};
}

Out length_of_tensor(Call& call) {
  const auto object = call.object(1);
  if (!object || !is_tensor(*object)) throw call.unwanted(1, "a tensor");
  return want_length(*object);
}

}  // namespace nacre::scripting
