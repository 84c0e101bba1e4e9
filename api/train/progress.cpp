#include "api/train/progress.h"

#include "backend/core/clock.h"
#include "backend/core/unicode.h"

namespace nacre {

void PlainProgress::on_begin(const Sweep& sweep) {
  if (sweep.kind != Sweep::Kind::validation) started_ = now();
}

void PlainProgress::on_end(const Sweep& sweep, const Logs& logs) {
  if (sweep.kind == Sweep::Kind::validation) return;  // its numbers are those of the epoch
  std::string line = sweep.kind == Sweep::Kind::train     ? fmt::format("epoch {}/{}", sweep.epoch + 1, sweep.epochs)
                     : sweep.kind == Sweep::Kind::predict ? "prediction"
                                                        : "test";
  for (const auto& [name, value] : logs) line += fmt::format("  {} {:.4g}", name, value);
  say(fmt::format("{}  {:.1f} s", line, now() - started_));
}

void PlainProgress::say(std::string_view line) { fmt::print(stream_, "{}\n", escaped(line)), std::fflush(stream_); }

void PlainProgress::warn(std::string_view line) { say(fmt::format("warning: {}", line)); }

}  // namespace nacre
