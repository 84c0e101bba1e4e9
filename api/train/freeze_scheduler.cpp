#include "api/train/freeze_scheduler.h"

#include <algorithm>
#include <charconv>

namespace nacre {

namespace callbacks {

FreezeSchedule::FreezeSchedule(std::initializer_list<std::pair<std::int64_t, Freeze>> list) : entries(list) {
  std::ranges::sort(entries, {}, &std::pair<std::int64_t, Freeze>::first);
}

void FreezeScheduler::on_train_begin(TrainingControl& control) {
  for (const auto& [epoch, frozen] : config_.schedule.entries) {
    try {
      check_freeze(control.model(), frozen);
    } catch (Error& error) {
      error.about(fmt::format("FreezeScheduler, epoch {}", epoch));
      throw;
    }
    if (epoch >= control.epochs())
      control.say(fmt::format("FreezeScheduler: epoch {} does not come, training ends before", epoch));
  }
  if (config_.factor == 1) return;
  try {
    control.set_learning_rate(control.learning_rate());  // whether it can be set: not to be found out epochs later
  } catch (Error& error) {
    error.about("'factor' of FreezeScheduler");
    throw;
  }
}

void FreezeScheduler::on_epoch_begin(TrainingControl& control, std::int64_t epoch) {
  const auto& entries = config_.schedule.entries;
  const auto later = std::ranges::upper_bound(entries, epoch, {}, &std::pair<std::int64_t, Freeze>::first);
  if (later == entries.begin()) return;
  const auto& [begin, frozen] = *std::prev(later);
  control.freeze(frozen);
  if (begin != epoch) return;
  if (epoch > 0 && config_.factor != 1) control.set_learning_rate(control.learning_rate() * config_.factor);
  if (config_.verbose > 0)
    control.say(fmt::format("Epoch {}: frozen from now on: {}", epoch + 1, FieldKind<Freeze>::write(frozen, Style::yaml).text()));
}

}  // namespace callbacks

void FieldKind<callbacks::FreezeSchedule>::read(const Tree& tree, callbacks::FreezeSchedule& value) {
  value = {};
  if (tree.is_null()) return;
  for (const Tree::Entry& entry : tree.entries()) {
    std::int64_t epoch = 0;
    const char* const end = entry.key.data() + entry.key.size();
    const auto [stop, failure] = std::from_chars(entry.key.data(), end, epoch);
    if (failure != std::errc() || stop != end || epoch < 0)
      throw Error("wanted {{epoch: what is frozen}}, got the epoch '{}'", entry.key).at(entry.mark).hint("epochs are numbers from 0").usage();
    Freeze frozen;
    FieldKind<Freeze>::read(entry.value, frozen);
    value.entries.emplace_back(epoch, std::move(frozen));
  }
  std::ranges::sort(value.entries, {}, &std::pair<std::int64_t, Freeze>::first);
}

Tree FieldKind<callbacks::FreezeSchedule>::write(const callbacks::FreezeSchedule& value, Style style) {
  Tree tree;
  for (const auto& [epoch, frozen] : value.entries) tree.set(std::to_string(epoch), FieldKind<Freeze>::write(frozen, style));
  return tree;
}

Tree FieldKind<callbacks::FreezeSchedule>::schema() {
  Tree schema = schema_type("object");
  schema.set("additionalProperties", FieldKind<Freeze>::schema());
  return schema;
}

}  // namespace nacre
