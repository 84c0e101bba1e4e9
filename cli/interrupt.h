// Ctrl-C: the first asks for a clean end; see Interrupt::Within for the next.
#pragma once

#include <atomic>

namespace nacre::cli {

// While it lives, SIGINT sets the flag.
class Interrupt {
 public:
  enum class Within {
    program,  // SIGTERM does too; the second ends the program at once
    prompt,   // the second says that the third ends it
  };
  explicit Interrupt(Within within = Within::program);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  const std::atomic<bool>* flag() const;
  void reset();  // what was interrupted has ended: the next is the first again

 private:
  Within within_;
};

}  // namespace nacre::cli
