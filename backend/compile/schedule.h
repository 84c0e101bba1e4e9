// The first half of compilation: which kernels run in which order, and the layout of every value between them.
#pragma once

#include "backend/compile/residence.h"

namespace nacre::compile {

// Where the bytes of a value come from. Values that share their bytes (views, in-place results) have one storage.
struct Storage {
  enum class Kind : std::uint8_t {
    temporary,   // written by a step, forgotten after its last use
    persistent,  // written by the prologue, read by every run
    constant,    // elements of a constant of the graph
    input,       // graph input `index`: the caller's memory
    output,      // graph output `index`: the caller's memory
    slot,        // variable `index`: memory of its residence
  };
  Kind kind = Kind::temporary;
  int index = 0;
  std::size_t bytes = 0;
  const void* constant = nullptr;
};

// A value of the graph, or a copy of it, in one layout.
struct Place {
  Type type;
  Layout layout = Layout::plain();
  int storage = 0;
  bool fixed = false;  // depends on constants and on variables that the graph does not update: the prologue's
};

struct Step {
  std::string name;   // of the op, or "reorder", "copy"
  std::string label;  // of the layer
  std::unique_ptr<Kernel> kernel;
  std::vector<int> inputs, outputs;  // places
  std::vector<KernelPlan::InPlace> in_place;
  std::size_t scratch_bytes = 0;
  std::int64_t flops = 0;  // see graph/flops.h
  bool borrowed = false;
};

struct Slot {
  VariableRef variable;
  Layout layout = Layout::any();
  int storage = 0;
  bool read = false;  // a kernel or an output needs the value before the run
  bool updated = false;
};

// Steps in order; the prologue's come first.
struct Schedule {
  std::vector<Storage> storages;
  std::vector<Place> places;
  std::vector<Slot> slots;
  std::vector<Step> steps;
  int prologue = 0;                          // number of steps that run once per version of the variables
  std::vector<int> outputs;                  // place of each graph output
  std::vector<std::pair<int, int>> updates;  // slot and the place of its new value, in the slot's layout
  int activation_reorders = 0, weight_reorders = 0;
};

// All shapes must be known. Throws Error when an op has no kernel.
Schedule schedule(const Graph& graph, const Backend& backend, Numerics numerics = {},
                  Borders borders = Borders::plain);

}  // namespace nacre::compile
