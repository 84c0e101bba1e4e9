#include "scripting/interruption.h"

#include <csignal>

namespace nacre::scripting {

namespace {

constinit std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");
constinit struct sigaction handler_of_host {};

extern "C" void note_interrupt_of_host(int signal, siginfo_t* information, void* context) {
  interrupted = true;
  if (handler_of_host.sa_flags & SA_SIGINFO) handler_of_host.sa_sigaction(signal, information, context);
  else handler_of_host.sa_handler(signal);
}

bool is_ours(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) && action.sa_sigaction == note_interrupt_of_host;
}

bool is_handled(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) || (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
}

}  // namespace

Interruption::Interruption(const State& state) : flag_(state.limits().stop) {
  if (!state.serves()) return;
  struct sigaction present {};
  if (::sigaction(SIGINT, nullptr, &present) != 0 || !is_handled(present)) return;
  flag_ = &interrupted;
  if (is_ours(present)) return;  // this is work within other work
  interrupted = false;
  handler_of_host = present;
  struct sigaction ours = present;
  ours.sa_flags |= SA_SIGINFO;
  ours.sa_sigaction = note_interrupt_of_host;
  installed_ = ::sigaction(SIGINT, &ours, nullptr) == 0;
}

Interruption::~Interruption() {
  if (!installed_) return;
  struct sigaction present {};
  ::sigaction(SIGINT, nullptr, &present);
  if (is_ours(present)) ::sigaction(SIGINT, &handler_of_host, nullptr);  // else the program has set another
}

void Interruption::check() const {
  if (flag_ && *flag_) throw Error("interrupted");
}

}  // namespace nacre::scripting
