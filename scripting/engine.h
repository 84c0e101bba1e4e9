// Runs scripts of Lua that build, train and use models: `nacre lua SCRIPT`.
//
//   local model = nacre.Sequential{
//     nacre.Input{28, 28, 1}, nacre.layers.Flatten(), nacre.layers.Dense{units = 10, activation = "softmax"}}
//   model:compile{optimizer = "adam", loss = "sparse_categorical_crossentropy", metrics = {"accuracy"}}
//   model:fit{data = {digits = {count = 1000}}, epochs = 2}
//   local features = nacre.Model{inputs = model.inputs, outputs = model:layer("flatten").output}
//
// Every class of the registries is there by its name, with the keys of YAML: nacre.layers.Dense{…},
// nacre.optimizers.Adam{…}. The script is the user's own program: it sees all of Lua's libraries.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "api/distribute/processes.h"
#include "formats/tree.h"

namespace nacre {

namespace scripting {
class EngineState;
}

struct EngineOptions {
  // For scripts of somebody else's: no files and no processes, bounded memory and steps. `memory` is left out of account.
  bool sandbox = false;
  std::size_t memory = 0;  // bytes that Lua itself may use; tensors do not count. 0: half of the machine's
  const std::atomic<bool>* stop = nullptr;  // while it is true, scripts end with the error "interrupted"
  Processes processes{};                    // that run the same script and fit models together; not in a sandbox
};

// One state of Lua, in which scripts are run one after the other. Used by one thread.
class Engine {
 public:
  explicit Engine(const EngineOptions& options = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Runs a script; its arguments are `...` and the table `arg`, whose 0 is the name. The result is the first value that
  // it returns: null, a number, a text, a table of such. Throws Error with the script's line: a usage Error for what it
  // gave to nacre, or when it is no Lua.
  Tree run(const std::string& source, const std::string& name = "script",
           const std::vector<std::string>& arguments = {});
  // A file, or with "-" standard input; `command` are the words before it (arg[-1] is the last of them).
  void run_file(const std::filesystem::path& path, const std::vector<std::string>& arguments = {},
                const std::vector<std::string>& command = {});

  std::size_t held_bytes() const;  // by tensors and models that Lua holds, or has not collected yet
  scripting::EngineState& state();

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace nacre
