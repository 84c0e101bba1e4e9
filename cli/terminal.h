// What goes to a terminal, and what goes elsewhere.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/http.h"

namespace nacre::cli {

bool is_terminal(int descriptor);
int terminal_width(int descriptor);   // in columns; 80 when it is not known
int terminal_height(int descriptor);  // in rows; 24 when it is not known
bool shows_colours(int descriptor);   // a terminal that has them, where NO_COLOR does not forbid them

// Writes a line, escaped: names from files do no harm.
void say(std::FILE* stream, std::string_view line);

// What a person reads of the exception that is being handled.
std::string failure_text();

// "0:42", "12:05", "1:02:03"
std::string clock_text(double seconds);
// "812", "12.3k", "4.56M"
std::string short_number(double value);

// How far an epoch has come.
struct Progress {
  std::int64_t epoch = 0, epochs = 0;    // epoch from 0
  bool validation = false;               // over validation data
  bool features = false;                 // of frozen layers, which are computed once: no epoch
  std::int64_t first_batch = 0;          // where it was taken up
  std::int64_t batch = 0, batches = 0;   // done so far
  double seconds = 0;                    // since it began
  double samples_per_second = 0;
  std::vector<std::pair<std::string, double>> metrics;
};

// One line of at most `width` columns: "Epoch 3/12 [=====>    ] 234/469 12.3k/s ETA 0:05 loss 0.2345 accuracy 0.9312".
// What does not fit is left out from the right; the bar gives way first.
std::string progress_line(const Progress& progress, int width);
// The line of a finished epoch: "Epoch 3/12 - 0:12 - 12.3k samples/s - loss 0.2345 - val_loss 0.2511".
std::string epoch_line(const Progress& progress);

// Shows progress on a terminal, by rewriting one line; elsewhere it prints only finished epochs. Used by one thread.
class ProgressDisplay {
 public:
  explicit ProgressDisplay(int descriptor);
  ~ProgressDisplay();  // leaves the cursor on a fresh line
  void show(const Progress& progress);     // at most ten times a second
  void finish(const Progress& progress);   // the epoch is done
  void say(const std::string& line);       // a line of its own, above the bar

 private:
  void clear();

  int descriptor_;
  bool terminal_, dirty_ = false;
  double last_ = 0;
};

// "weights.h5 [=====>    ] 1.2 of 2.1 MB", in at most `width` columns; `all` is 0 when it is not known.
std::string fetch_line(const std::string& name, std::uint64_t done, std::uint64_t all, int width);

// Shows how far a download has come: by rewriting one line of a terminal; elsewhere a line says what is fetched.
class FetchDisplay {
 public:
  explicit FetchDisplay(int descriptor);
  ~FetchDisplay() { clear(); }
  void show(const std::string& name, const DownloadState& state);  // at most ten times a second
  void clear();

 private:
  int descriptor_;
  bool terminal_, dirty_ = false;
  std::string line_;  // that was written where there is no terminal
  double last_ = 0;
};

}  // namespace nacre::cli
