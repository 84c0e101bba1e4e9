#include "cli/terminal.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <new>

#include "backend/core/clock.h"
#include "backend/core/error.h"
#include "backend/core/unicode.h"

namespace nacre::cli {

namespace {

constexpr int widest_bar = 30, narrowest_bar = 6;
constexpr double refresh_seconds = 0.1;

void print(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written <= 0) return;  // nobody is there to read progress
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

// "[====>   ]", of so many columns between the brackets.
std::string bar_text(double done, int width) {
  const int filled = std::clamp(static_cast<int>(done * width), 0, width);
  std::string bar = "[" + std::string(static_cast<std::size_t>(filled), '=');
  if (filled < width) bar += ">" + std::string(static_cast<std::size_t>(width - filled - 1), ' ');
  return bar + "]";
}

std::string metric_text(double value) {
  if (value != 0 && (std::abs(value) < 1e-3 || std::abs(value) >= 1e5)) return fmt::format("{:.3e}", value);
  return fmt::format("{:.4f}", value);
}

}  // namespace

bool is_terminal(int descriptor) { return ::isatty(descriptor) == 1; }

int terminal_width(int descriptor) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

int terminal_height(int descriptor) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_row == 0) return 24;
  return size.ws_row;
}

bool shows_colours(int descriptor) {
  const char *forbidden = std::getenv("NO_COLOR"), *kind = std::getenv("TERM");
  return is_terminal(descriptor) && !(forbidden && *forbidden) && kind && std::string_view(kind) != "dumb";
}

std::string failure_text() {
  try {
    throw;
  } catch (const Error& error) {
    return error.what();
  } catch (const std::bad_alloc&) {
    return "out of memory\n  hint: a smaller batch_size needs less";
  } catch (const InternalError& error) {
    return error.what();
  } catch (const std::exception& error) {
    return escaped(error.what());
  }
}

void say(std::FILE* stream, std::string_view line) {
  std::fputs((escaped(line) + "\n").c_str(), stream);
  std::fflush(stream);
}

std::string clock_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "-:--";
  const auto total = static_cast<std::int64_t>(std::min(seconds, 1e9) + 0.5);
  if (total >= 3600) return fmt::format("{}:{:02}:{:02}", total / 3600, total / 60 % 60, total % 60);
  return fmt::format("{}:{:02}", total / 60, total % 60);
}

std::string short_number(double value) {
  if (value >= 1e6) return fmt::format("{:.3g}M", value / 1e6);
  if (value >= 1e3) return fmt::format("{:.3g}k", value / 1e3);
  return fmt::format("{:.3g}", value);
}

std::string progress_line(const Progress& progress, int width) {
  const double done = progress.batches > 0 ? static_cast<double>(progress.batch) / static_cast<double>(progress.batches) : 0;
  const std::int64_t counted = progress.batch - progress.first_batch;
  const double left = counted > 0 ? progress.seconds * static_cast<double>(progress.batches - progress.batch) / static_cast<double>(counted) : -1;
  const std::string head = progress.features ? "features "
                                             : fmt::format("Epoch {}/{} {}", progress.epoch + 1, progress.epochs,
                                                           progress.validation ? "validation " : "");
  std::vector<std::string> parts{fmt::format("{}/{}", progress.batch, progress.batches),
                                 fmt::format("{}/s", short_number(progress.samples_per_second)),
                                 fmt::format("ETA {}", clock_text(left))};
  for (const auto& [name, value] : progress.metrics)
    parts.push_back(fmt::format("{} {}", escaped(name), metric_text(value)));

  const int room = std::max(width - 1, 20);  // the last column stays free, or some terminals begin a new line
  std::string tail;
  for (const std::string& part : parts) {
    if (static_cast<int>(head.size() + tail.size() + part.size()) + narrowest_bar + 3 > room) break;
    tail += " " + part;
  }
  const int bar = std::clamp(room - static_cast<int>(head.size() + tail.size()) - 2, 0, widest_bar);
  if (bar < narrowest_bar) return (head + tail).substr(0, static_cast<std::size_t>(room));
  return head + bar_text(done, bar) + tail;
}

std::string epoch_line(const Progress& progress) {
  std::string line = fmt::format("Epoch {}/{} - {} - {} samples/s", progress.epoch + 1, progress.epochs,
                                 clock_text(progress.seconds), short_number(progress.samples_per_second));
  for (const auto& [name, value] : progress.metrics) line += fmt::format(" - {} {}", escaped(name), metric_text(value));
  return line;
}

ProgressDisplay::ProgressDisplay(int descriptor) : descriptor_(descriptor), terminal_(is_terminal(descriptor)) {}

ProgressDisplay::~ProgressDisplay() {
  if (dirty_) print(descriptor_, "\n");
}

void ProgressDisplay::clear() {
  if (dirty_) print(descriptor_, "\r\x1b[K");
  dirty_ = false;
}

void ProgressDisplay::show(const Progress& progress) {
  if (!terminal_ || now() - last_ < refresh_seconds) return;
  last_ = now();
  print(descriptor_, "\r" + progress_line(progress, terminal_width(descriptor_)) + "\x1b[K");
  dirty_ = true;
}

void ProgressDisplay::finish(const Progress& progress) {
  clear();
  print(descriptor_, epoch_line(progress) + "\n");
}

void ProgressDisplay::say(const std::string& line) {
  clear();
  print(descriptor_, escaped(line) + "\n");
}

std::string fetch_line(const std::string& name, std::uint64_t done, std::uint64_t all, int width) {
  const double megabyte = 1e6;
  std::string tail = fmt::format(" {:.1f} MB", static_cast<double>(done) / megabyte);
  if (all > 0) tail = fmt::format(" {:.1f} of {:.1f} MB", static_cast<double>(done) / megabyte, static_cast<double>(all) / megabyte);
  const int room = std::max(width - 1, 20);
  const std::string head = escaped(name).substr(0, static_cast<std::size_t>(std::max(room - static_cast<int>(tail.size()), 0)));
  const int bar = std::min(room - static_cast<int>(head.size() + tail.size()) - 3, widest_bar);
  if (all == 0 || bar < narrowest_bar) return head + tail;
  return head + " " + bar_text(static_cast<double>(done) / static_cast<double>(all), bar) + tail;
}

FetchDisplay::FetchDisplay(int descriptor) : descriptor_(descriptor), terminal_(is_terminal(descriptor)) {}

void FetchDisplay::show(const std::string& name, const DownloadState& state) {
  const std::string what = (state.waiting ? "waiting for another process that fetches " : "") + name;
  if (!terminal_) {
    const std::string line = (state.waiting ? "" : "fetching ") + escaped(what) + "\n";
    if (std::exchange(line_, line) != line) print(descriptor_, line);
    return;
  }
  if (!state.waiting && state.all > 0 && state.done >= state.all) return clear();
  if (now() - last_ < refresh_seconds) return;
  last_ = now();
  print(descriptor_, "\r" + fetch_line(what, state.done, state.all, terminal_width(descriptor_)) + "\x1b[K");
  dirty_ = true;
}

void FetchDisplay::clear() {
  if (dirty_) print(descriptor_, "\r\x1b[K");
  dirty_ = false;
}

}  // namespace nacre::cli
