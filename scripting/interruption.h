// What ends long work early.
#pragma once

#include <atomic>

#include "scripting/state.h"

namespace nacre::scripting {

// While it lives, its flag becomes true when the work shall end: by the state's own flag, or in somebody else's Lua
// state by a Ctrl-C that the program has a handler for, which is called too: that of lua5.4 ends a script at its next
// instruction.
class Interruption {
 public:
  explicit Interruption(const State& state);
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  const std::atomic<bool>* flag() const { return flag_; }
  void check() const;  // throws Error when the work ended early

 private:
  const std::atomic<bool>* flag_;
  bool installed_ = false;
};

}  // namespace nacre::scripting
