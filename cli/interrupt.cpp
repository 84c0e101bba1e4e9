#include "cli/interrupt.h"

#include <unistd.h>

#include <csignal>
#include <string_view>

namespace nacre::cli {

namespace {

constinit std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");

extern "C" void note_interrupt(int signal) {
  interrupted = true;
  std::signal(signal, SIG_DFL);
}

extern "C" void note_interrupt_of_prompt(int signal) {
  if (!interrupted.exchange(true)) return;
  constexpr std::string_view text = "\nstill at work: Ctrl-C once more ends nacre\n";
  static_cast<void>(!::write(STDERR_FILENO, text.data(), text.size()));
  std::signal(signal, SIG_DFL);
}

}  // namespace

Interrupt::Interrupt(Within within) : within_(within) {
  reset();
  if (within_ == Within::program) std::signal(SIGTERM, note_interrupt);
}

Interrupt::~Interrupt() {
  std::signal(SIGINT, SIG_DFL);
  if (within_ == Within::program) std::signal(SIGTERM, SIG_DFL);
}

void Interrupt::reset() {
  interrupted = false;
  std::signal(SIGINT, within_ == Within::program ? note_interrupt : note_interrupt_of_prompt);
}

const std::atomic<bool>* Interrupt::flag() const { return &interrupted; }

}  // namespace nacre::cli
