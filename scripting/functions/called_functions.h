// What functions that a script hands over are given, and what they give: shared by nacre.cond, nacre.while_loop,
// nacre.scan, nacre.custom_gradient and their like.
#pragma once

#include "scripting/bindings.h"
#include "scripting/functions/traced_function.h"

namespace nacre::scripting {

// A function, or what can be called like one.
Out function_at(const Call& call, int index, std::string_view wanted);
// The arguments of this call from index `first` on.
std::vector<Out> arguments_from(const Call& call, int first);
// The function's results at once; with `numbers`, numbers and booleans among them become tensors. The Lua stack is left
// as it was.
std::vector<Structure> call_now(const Call& call, const Out& function, const std::vector<Out>& arguments,
                                bool numbers = true);

Out out_of(const Structure& structure);
std::vector<Out> outs_of(const std::vector<Structure>& structures);
// Tensors of one type, of which there is at least one, put together: `places` are the axes before their own.
Object stacked(const Call& call, const std::vector<Object>& tensors, const Shape& places);
// The opposite: the parts of an array for each place along its first axes.
eager::Arrays parts_of(eager::Eager& eager, const eager::Array& array, int axes);
// "2 values"
std::string numbered(std::size_t count, std::string_view what);

// --- what goes from step to step ----------------------------------------------------------------------------------

// Tensors as they are handed on: without masks, which the next step would not know; in a trace, traced.
Structure carried(const Call& call, const Structure& structure);
// Throws unless `after`, which `who` made of `before`, has the same tables and types.
void check_carried(const std::vector<Structure>& before, const std::vector<Structure>& after, std::string_view who);

// --- in a trace ---------------------------------------------------------------------------------------------------

// Inputs of the function in the places of tensors.
std::vector<Structure> opened(TracedFunction& function, const std::vector<Structure>& structures);
// The tensors in the graph that is traced.
Values values_of(const Call& call, const std::vector<Structure>& structures);
// The structures with values of that graph in the places of their tensors; `next` goes on behind them.
std::vector<Structure> with_values(const Call& call, const std::vector<Structure>& structures,
                                   Values::const_iterator& next);
// A loop's results: its state, then the variables that it changes.
Results finish_loop(const Call& call, const HeldFunctions& held, const std::vector<Structure>& state,
                    const Values& found);

Values joined(Values a, const Values& b);
// Parts of these sizes, one after the other.
std::vector<Values> parted(const Values& values, std::initializer_list<std::size_t> sizes);

}  // namespace nacre::scripting
