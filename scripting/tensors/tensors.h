// What the files about tensors share.
#pragma once

#include "scripting/tensors/compute.h"

namespace nacre::scripting {

// Numbers, booleans or texts in nested tables, or one of them. Without a dtype it is that of the first of string,
// float32, int32 and bool that occurs.
Tensor tensor_of_table(const Call& call, int index, std::optional<DType> dtype);
// A number of Lua, or true or false, in that dtype. Throws a usage Error when it is no such number, or does not fit.
Tensor scalar_of(const Call& call, int index, DType dtype);

// --- for Class::at and Class::set_at ------------------------------------------------------------------------------

// t[key]: of arrays, traced values, weights and symbols.
Out item_of_tensor(Call& call);
// t[key] = value: of arrays and traced values; the object has a new value from then on.
void set_item_of_tensor(Call& call);

// --- members of arrays, traced values and weights -----------------------------------------------------------------

Out shape_of_tensor(Call& call);
Out dtype_of_tensor(Call& call);
Out ndim_of_tensor(Call& call);
Out size_of_tensor(Call& call);
Out device_of_tensor(Call& call);
Out table_of_tensor(Call& call);
Out item_of_one(Call& call);
void refuse_numbers(Call& call);  // of what is traced; throws
Out clone_tensor(Call& call);
Results rows_of_tensor(Call& call);  // what a generic `for` takes
Out length_of_tensor(Call& call);    // #t

inline constexpr Entry item_entry{
    .usage = "tensor[key]",
    .doc =
        "Elements by their places, which count from 1, from the end from -1: tensor[2] of the first axis, "
        "tensor[{2, {1, 3}, {}}] by axis: a number, {first, last} or {first, last, step}, or {} for all; \"...\" for "
        "all that are not named, nacre.newaxis for a new axis. An integer tensor picks several, those side by side "
        "pairwise; a boolean one those where it is true. The result is a tensor, and gradients pass. Places out of "
        "range are "
        "refused; those that a compiled function knows only when it runs give NaN, 0 of whole numbers, and are not "
        "written.",
    .example = R"(
      local t = nacre.tensor{{1, 2, 3}, {4, 5, 6}}
      assert(t[1] == nacre.tensor{1, 2, 3} and t[{-1, 2}]:item() == 5)
      assert(t[{{}, {1, 3, 2}}] == nacre.tensor{{1, 3}, {4, 6}})
      assert(t[{"...", {-1, 1, -1}}] == nacre.tensor{{3, 2, 1}, {6, 5, 4}})
      assert(t[nacre.tensor{2, 2}] == nacre.tensor{{4, 5, 6}, {4, 5, 6}})
      assert(t[t:greater(4)] == nacre.tensor{5, 6})
      assert(t[{{}, nacre.newaxis}].shape == {2, 1, 3})
      assert(t[t:argmax(0) + 1][1] == t[2])                    -- what operations give counts from 0
    )"};
inline constexpr Entry set_item_entry{
    .usage = "tensor[key] = value",
    .doc =
        "Gives the object another value, in which the elements at those places are a number, a table or a tensor "
        "that broadcasts to them; of equal places the last one stays. No other tensor changes, and the elements are "
        "written where they lie when nobody "
        "else holds them. Gradients pass to the value and to what is left.",
    .example = R"(
      local t = nacre.zeros{2, 3}
      local same, other = t, t:clone()
      t[1] = 5
      t[{{}, 2}] = {7, 8}
      t[t:equal(0)] = -1
      assert(t == nacre.tensor{{5, 7, 5}, {-1, 8, -1}} and same == t and other == nacre.zeros{2, 3})
      local function f(x) local y = nacre.zeros{3} y[2] = x * x return y:sum() end
      assert(nacre.grad(f)(nacre.tensor(3.0)):item() == 6)
    )"};

// --- text ---------------------------------------------------------------------------------------------------------

// One line, for messages: with the elements where they are few.
std::string line_of(const Tensor& tensor);
// What tostring gives: aligned columns, at most 80 wide, with "…" in the place of what is too much.
std::string picture_of(const Tensor& tensor);

}  // namespace nacre::scripting
