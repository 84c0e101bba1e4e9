#pragma once

#include "api/freeze.h"
#include "api/train/callback.h"

namespace nacre {

namespace callbacks {

// {epoch: what is frozen from its start on}, epochs counted from 0 as in every callback.
struct FreezeSchedule {
  std::vector<std::pair<std::int64_t, Freeze>> entries{};  // epochs grow
  FreezeSchedule() = default;
  FreezeSchedule(std::initializer_list<std::pair<std::int64_t, Freeze>> list);
};

struct FreezeSchedulerConfig {
  static constexpr std::string_view class_name = "FreezeScheduler";
  static constexpr std::string_view doc = "Freezes and thaws layers at the start of epochs: first the head learns, then more and more below it.";
  FreezeSchedule schedule{};
  double factor = 1;
  std::int64_t verbose = 0;
  static void describe(auto&& field) {
    field("schedule", &FreezeSchedulerConfig::schedule,
          "{epoch: what is frozen from then on}, epochs from 0: {0: until head, 2: until block_13, 4: false}, in the words of the "
          "model's `freeze`",
          required());
    field("factor", &FreezeSchedulerConfig::factor, "of the learning rate, at each change after the first epoch", above(0));
    field("verbose", &FreezeSchedulerConfig::verbose, "1: say so", between(0, 1));
  }
};

// The optimizer's state of weights that learn on is kept; those that begin to learn begin with none, as if it were their
// first step. A resumed run goes on with what was frozen.
class FreezeScheduler final : public Configured<Callback, FreezeSchedulerConfig> {
 public:
  using Configured::Configured;
  void on_train_begin(TrainingControl& control) override;
  void on_epoch_begin(TrainingControl& control, std::int64_t epoch) override;
};

}  // namespace callbacks

template <> struct FieldKind<callbacks::FreezeSchedule> {
  static void read(const Tree& tree, callbacks::FreezeSchedule& value);
  static Tree write(const callbacks::FreezeSchedule& value, Style style);
  static Tree schema();
};

}  // namespace nacre
