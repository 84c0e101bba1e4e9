// Lua that comes with a file: what it sees, and how far it may go. It reaches no files, no processes and no other code;
// its steps, its memory, its texts, what it hands to operations and what those compute are bounded.
#pragma once

#include <cstdio>
#include <set>
#include <string>

#include "scripting/bindings.h"

namespace nacre::scripting {

inline constexpr Limits sandbox_limits{.memory = 64 << 20,
                                       .steps = 10'000'000,
                                       .text = 16 << 10,
                                       .handed = 100'000,
                                       .handed_in_all = true,
                                       .work = 100'000'000'000,
                                       .held = std::size_t{1} << 30};

// Of a whole script of somebody else's.
inline constexpr Limits script_limits{.memory = std::size_t{256} << 20,
                                      .steps = 1'000'000'000,
                                      .text = std::size_t{1} << 20,
                                      .work = 10'000'000'000'000,
                                      .held = std::size_t{2} << 30};

// A state in which classes and functions of a file run, as they do in the script that defined them: see nacre.Layer.
// They see tensors, operations, layers and the other classes; each call from C++ may take as many steps as the first.
class Sandbox final : public EngineState {
 public:
  // `output`: where print() writes; by default where no program reads it as a result. Throws a usage Error when
  // a script of such a state asks for it that has made too many, or is itself within too many.
  explicit Sandbox(const Limits& limits = sandbox_limits, std::FILE* output = stderr);
  std::FILE* output() const { return output_; }
  bool sandboxed() const override { return true; }

  // Runs a chunk, which defines classes and gives one value. Throws Error with its lines.
  KeptRef run(const std::string& source, const std::string& name);

 private:
  friend const std::set<std::string>& names_in_sandbox();
  struct Apart {};  // whoever asks for it: it runs nothing
  explicit Sandbox(Apart);

  std::FILE* output_;
  int depth_ = 0;                        // how many it is within
  std::shared_ptr<const int> together_;  // one for all that are within the same: it counts them
};

// What there is in one by its name: "math", "math.floor", "nacre.ops", ….
const std::set<std::string>& names_in_sandbox();
// Whether Lua's own libraries have that name and the sandbox does not: "os", "math.random".
bool is_missing_in_sandbox(std::string_view name);

}  // namespace nacre::scripting
