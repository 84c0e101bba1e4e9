// Functions of Lua that are traced into ops: what the layer Lambda holds.
//
//   function(x) return x * 2 + nacre.ops.relu(x) end
//   function(inputs, arguments) local a, b = inputs[1], inputs[2]; return a:sum(1) / arguments.scale end
//
// Tensors know + - * / // % ^ and unary minus, their `shape` (-1 where a size is open) and `dtype`, and each operation
// of Keras as a function nacre.ops.NAME and as a method. Arguments stand in Keras's order; a table with names at the
// end gives others: nacre.ops.sum(x, {axis = 1, keepdims = true}). Axes count from 0. Comparisons are nacre.ops.greater
// and its like: Lua's own can give nothing but true or false.
//
// A function sees what classes of files do, in a sandbox of its own: nothing that reaches files, the system or other
// code; its steps, its memory, its texts and what it hands to operations are bounded.
#pragma once

#include "layers/lambda.h"

namespace nacre {

// Throws Error with the script's own message.
Values trace_lambda(Context& context, const std::string& source, const Values& inputs, const Tree& arguments);

// Makes Lambda layers, and layers and other objects whose class is one of Lua's (see nacre.Layer), run in this program.
// Call it before models are made and other threads begin.
void enable_lua();

}  // namespace nacre
