// Ctrl-C: the first asks for a clean end, the second ends at once.
#pragma once

#include <atomic>

namespace nacre::cli {

// While it lives, SIGINT and SIGTERM set the flag.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  const std::atomic<bool>* flag() const;
};

}  // namespace nacre::cli
