#include "api/train/progbar_logger.h"

#include <unistd.h>

#include <algorithm>

#include "backend/core/clock.h"
#include "backend/core/unicode.h"

namespace nacre::callbacks {

namespace {

constexpr std::int64_t bar_width = 20;
constexpr double refresh = 0.05;  // seconds

std::string duration(double seconds) {
  if (seconds >= 1) return fmt::format("{:.0f}s", seconds);
  return seconds >= 1e-3 ? fmt::format("{:.0f}ms", seconds * 1e3) : fmt::format("{:.0f}us", seconds * 1e6);
}

}  // namespace

ProgbarLogger::ProgbarLogger(Config config, std::FILE* stream)
    : Configured(std::move(config)), stream_(stream), terminal_(::isatty(::fileno(stream)) == 1) {}

void ProgbarLogger::on_epoch_begin(TrainingControl& control, std::int64_t epoch) {
  if (control.epochs() > 1) fmt::print(stream_, "Epoch {}/{}\n", epoch + 1, control.epochs());
  started_ = now();
  shown_ = 0;
}

void ProgbarLogger::on_train_batch_end(TrainingControl& control, std::int64_t batch, const Logs& logs) {
  if (!terminal_ || now() - shown_ < refresh) return;
  show(batch + 1, control.batches(), logs, false);
}

void ProgbarLogger::on_epoch_end(TrainingControl& control, std::int64_t, Logs& logs) {
  show(control.batches(), control.batches(), logs, true);
}

void ProgbarLogger::show(std::int64_t done, std::int64_t batches, const Logs& logs, bool last) {
  shown_ = now();
  const double elapsed = shown_ - started_, step = elapsed / static_cast<double>(std::max<std::int64_t>(done, 1));
  const std::int64_t filled = bar_width * done / std::max<std::int64_t>(batches, 1);
  std::string line = fmt::format("{}/{} ", done, batches);
  for (std::int64_t i = 0; i < bar_width; ++i) line += i < filled ? "━" : " ";
  line += last ? fmt::format(" {} {}/step", duration(elapsed), duration(step))
               : fmt::format(" {}", duration(step * static_cast<double>(batches - done)));
  for (const auto& [name, value] : logs) line += fmt::format(" - {}: {:.4g}", name, value);
  fmt::print(stream_, "{}{}{}", terminal_ ? "\r" : "", escaped(line), last ? "\n" : "\x1b[K");
  std::fflush(stream_);
}

}  // namespace nacre::callbacks
