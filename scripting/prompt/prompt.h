// The prompt's language side: whether what was typed is complete, what comes of it, and what may follow. It knows no
// terminal.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "scripting/engine.h"
#include "scripting/prompt/completion.h"

namespace nacre {

// Chunks of Lua in one engine, one after the other. Used by the engine's thread, and ended before it.
class Prompt {
 public:
  // Adds to the global names: help, exit, quit, and _, the last value.
  explicit Prompt(Engine& engine);

  // Whether the chunk ends too early, so that more lines may make it whole.
  bool wants_more(std::string_view chunk) const;

  // Runs a chunk, which is an expression or statements. What shall be shown: its values in lines of at most `width`
  // columns, or "". Throws Error with the place, "prompt" and the line.
  std::string run(std::string_view chunk, int width = 80);

  // The exit code, once a chunk has called exit() or quit().
  std::optional<int> exit_code() const;

  // Of a chunk up to the cursor.
  scripting::Completion complete(std::string_view text) const;

 private:
  scripting::EngineState& state_;
};

}  // namespace nacre
