#include "api/data/images.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <unordered_map>

#include "api/data/class_folders.h"
#include "api/data/workers.h"
#include "formats/csv.h"
#include "formats/text.h"

namespace nacre {

namespace {

namespace fs = std::filesystem;

// Files, and what is to be predicted of each.
struct Samples {
  std::vector<fs::path> files;
  std::vector<std::string> names;       // of the files, in lists and messages
  std::vector<std::int32_t> groups;     // whose members are spread evenly: classes, where there are any
  std::optional<Tensor> targets;
  std::vector<std::string> labels;
  std::string passed_over{};  // what is said of other files
};

Tensor rows_of(const Tensor& from, const std::vector<std::size_t>& rows) {
  Tensor result = Tensor::uninitialised({from.dtype(), Shape{static_cast<std::int64_t>(rows.size())} + from.shape().from(1)});
  const std::int64_t width = from.size() / std::max<std::int64_t>(from.shape()[0], 1);
  std::int64_t at = 0;
  for (const std::size_t row : rows) copy_elements(from, static_cast<std::int64_t>(row) * width, width, result, std::exchange(at, at + width));
  return result;
}

void keep(Samples& samples, const std::vector<std::size_t>& rows) {
  Samples kept{{}, {}, {}, {}, std::move(samples.labels), std::move(samples.passed_over)};
  for (const std::size_t row : rows) {
    kept.files.push_back(std::move(samples.files[row]));
    kept.names.push_back(std::move(samples.names[row]));
    kept.groups.push_back(samples.groups[row]);
  }
  if (samples.targets) kept.targets = rows_of(*samples.targets, rows);
  samples = std::move(kept);
}

template <class Predicate>
void keep_if(Samples& samples, Predicate&& predicate) {
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < samples.files.size(); ++i)
    if (predicate(i)) rows.push_back(i);
  if (rows.size() < samples.files.size()) keep(samples, rows);
}

Samples in_folders(const fs::path& folder, const ImagesConfig& config) {
  ClassFiles found = files_of_classes(folder, config.classes, is_image_name, "pictures",
                                      ".jpg, .png, .webp, .bmp or .gif", {".txt", "texts"});
  Samples samples{std::move(found.files),      {}, std::move(found.labels), {}, std::move(found.classes),
                  std::move(found.passed_over)};
  for (const fs::path& file : samples.files) samples.names.push_back(file.lexically_relative(folder).generic_string());
  samples.targets = Tensor::of<std::int32_t>({static_cast<std::int64_t>(samples.groups.size())}, samples.groups);
  return samples;
}

Samples in_table(const fs::path& table_file, const fs::path& folder, const ImagesConfig& config) {
  CsvOptions options;
  options.text = {config.path};
  const Csv table = read_csv(table_file, options);
  const auto column = [&](const std::string& name) -> const CsvColumn& {
    try {
      return table.column(name);
    } catch (Error& error) {
      error.at({table_file.string(), 0, 0});
      throw;
    }
  };
  Samples samples;
  samples.names = column(config.path).texts;
  for (const std::string& name : samples.names) samples.files.push_back(folder / name);
  samples.groups.assign(samples.files.size(), 0);
  for (const std::string& name : config.target.names) column(name);
  if (!config.target.names.empty()) samples.targets = table_targets(table, config.target.names, table_file, samples.labels);
  if (!samples.labels.empty()) {
    const auto numbers = samples.targets->data<std::int32_t>();
    samples.groups.assign(numbers.begin(), numbers.end());
  }
  if (config.classes.empty()) return samples;
  if (samples.labels.empty()) throw Error("'classes' are given, but the targets are no texts of one column").usage();
  std::vector<std::int32_t> renumbered(samples.labels.size(), -1);
  for (std::size_t i = 0; i < config.classes.size(); ++i) {
    const auto found = std::ranges::find(samples.labels, config.classes[i]);
    if (found == samples.labels.end())
      throw Error("there is no row of class '{}'", config.classes[i]).at({table_file.string(), 0, 0})
          .hint(suggestion(config.classes[i], {samples.labels.begin(), samples.labels.end()})).usage();
    renumbered[static_cast<std::size_t>(found - samples.labels.begin())] = static_cast<std::int32_t>(i);
  }
  for (std::int32_t& group : samples.groups) group = renumbered[static_cast<std::size_t>(group)];
  keep_if(samples, [&](std::size_t i) { return samples.groups[i] >= 0; });
  samples.targets = Tensor::of<std::int32_t>({static_cast<std::int64_t>(samples.groups.size())}, samples.groups);
  samples.labels = config.classes;
  return samples;
}

void keep_listed(Samples& samples, const fs::path& list) {
  std::set<std::string> wanted;
  for (const std::string& line : read_lines(list))
    if (!line.empty()) wanted.insert(fs::path(line).lexically_normal().generic_string());
  std::set<std::string> found;
  keep_if(samples, [&](std::size_t i) {
    const std::string name = fs::path(samples.names[i]).lexically_normal().generic_string();
    return wanted.contains(name) && found.insert(name).second;
  });
  for (const std::string& name : wanted)
    if (!found.contains(name)) throw Error("it lists '{}', which is none of the pictures", name).at({list.string(), 0, 0}).usage();
}

// What a file is known by while it stays as it is; "" when it cannot be looked at.
std::string state_of(const fs::path& file) {
  std::error_code failure;
  const auto size = fs::file_size(file, failure);
  if (failure) return {};
  const auto time = fs::last_write_time(file, failure);
  if (failure) return {};
  return fmt::format("{}|{}|{}", fs::absolute(file).lexically_normal().string(), size, time.time_since_epoch().count());
}

// Which files hold whole pictures. What was once found out is remembered: training and validation data often share files.
std::vector<char> readable(const std::vector<fs::path>& files) {
  static std::mutex mutex;
  static std::unordered_map<std::string, bool> known;
  std::vector<char> result(files.size());
  in_workers(decoding_workers(), static_cast<std::int64_t>(files.size()), [&](std::int64_t i) {
    const fs::path& file = files[static_cast<std::size_t>(i)];
    const std::string state = state_of(file);
    if (!state.empty()) {
      const std::lock_guard lock(mutex);
      if (const auto found = known.find(state); found != known.end()) {
        result[static_cast<std::size_t>(i)] = found->second;
        return;
      }
    }
    bool whole = true;
    try {
      read_image(file);
    } catch (const Error&) {
      whole = false;
    }
    result[static_cast<std::size_t>(i)] = whole;
    const std::lock_guard lock(mutex);
    known[state] = whole;
  });
  return result;
}

class Images final : public Dataset {
 public:
  Images(const fs::path& folder, const ImagesConfig& config)
      : config_(config),
        fitting_{config.fit.value_or(Fit::stretch), config.antialias.value_or(false)},
        channels_(static_cast<int>(config.channels.value_or(3))) {
    if (!config.manifest && !config.folder) throw Error("'folder' or 'manifest' is missing").about("images").usage();
    const fs::path table = config.manifest ? folder / *config.manifest : fs::path();
    const fs::path place = config.folder ? folder / *config.folder : table.parent_path();
    const fs::path shown = (config.manifest ? table : place).lexically_normal();
    samples_ = config.manifest ? in_table(table, place, config) : in_folders(place, config);
    if (config.list) keep_listed(samples_, folder / *config.list);
    std::string skipped;
    if (config.on_error == OnError::skip) skipped = leave_out_damaged();
    if (samples_.files.empty()) throw Error("no picture is left").at({shown.string(), 0, 0}).usage();
    const fs::path first = *std::ranges::min_element(samples_.files);
    const std::string few = classes_with_few_pictures();
    keep(samples_, mixed_order(samples_.groups, static_cast<std::uint64_t>(config.seed)));
    const auto [begin, end] = config.range(samples_.files.size());
    keep_if(samples_, [begin = begin, end = end](std::size_t i) { return i >= begin && i < end; });
    find_size(first);

    inputs_ = {{.name = "",
                .type = {DType::uint8, {height_, width_, channels_}},
                .preprocessing = Preprocessing{
                    .size = Extent<2>({height_, width_}), .fit = fitting_.fit, .antialias = fitting_.antialias}}};
    if (samples_.targets) targets_ = {{"", {samples_.targets->dtype(), samples_.targets->shape().from(1)}, samples_.labels}};
    description_ = fmt::format("{}: {} pictures of {}×{}×{}", (shown.has_filename() ? shown : shown.parent_path()).filename().string(),
                               samples_.files.size(), height_, width_, channels_);
    if (!samples_.labels.empty()) description_ += fmt::format(" in {} classes", samples_.labels.size());
    description_ += few + skipped + samples_.passed_over;
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(samples_.files.size()); }
  const std::vector<Column>& inputs() const override { return inputs_; }
  const std::vector<Column>& targets() const override { return targets_; }
  std::string description() const override { return description_; }
  int workers() const override { return decoding_workers(); }
  std::string sample_name(std::int64_t index) const override { return samples_.names[static_cast<std::size_t>(index)]; }

  void read(std::span<const std::int64_t> indices, Batch& batch) const override {
    read_targets(indices, batch);
    const Type wanted{DType::uint8, {batch.size, height_, width_, channels_}};
    batch.inputs.resize(1);
    if (batch.inputs[0].type() != wanted) batch.inputs[0] = Tensor::uninitialised(wanted);
    auto* pixels = static_cast<std::byte*>(batch.inputs[0].raw_writable());
    for (const std::int64_t index : indices) {
      const Tensor image = picture(samples_.files[static_cast<std::size_t>(index)]);
      std::memcpy(pixels, image.raw(), image.bytes());
      pixels += image.bytes();
    }
  }

  void read_targets(std::span<const std::int64_t> indices, Batch& batch) const override {
    batch.size = static_cast<std::int64_t>(indices.size());
    batch.weights.clear();
    batch.targets.clear();
    if (!samples_.targets) return;
    const std::vector<std::size_t> rows(indices.begin(), indices.end());
    batch.targets.push_back(rows_of(*samples_.targets, rows));
  }

  std::string fingerprint() const override {
    std::string text = fmt::format("pictures 1 {}×{}×{} {} {}\n", height_, width_, channels_, text_of(fitting_.fit),
                                   fitting_.antialias);
    for (const fs::path& file : samples_.files) text += state_of(file) + "\n";
    return text;
  }

 private:
  // What is said about them.
  std::string leave_out_damaged() {
    const std::vector<char> whole = readable(samples_.files);
    constexpr std::size_t most_named = 3;
    std::size_t count = 0;
    std::string names;
    for (std::size_t i = 0; i < whole.size(); ++i) {
      if (whole[i]) continue;
      if (count++ < most_named) names += (names.empty() ? "" : ", ") + samples_.names[i];
    }
    if (count == 0) return {};
    keep_if(samples_, [&](std::size_t i) { return whole[i]; });
    return fmt::format("; {} damaged left out: {}{}", count, names, count > most_named ? ", …" : "");
  }

  // Those without any and, where others have several, with but one, which cannot both train and validate.
  std::string classes_with_few_pictures() const {
    constexpr std::size_t most_named = 3;
    std::vector<std::size_t> counts(samples_.labels.size());
    if (counts.empty()) return {};
    for (const std::int32_t label : samples_.groups) ++counts[static_cast<std::size_t>(label)];
    std::string text;
    for (const auto& [few, said] : {std::pair<std::size_t, std::string_view>(0, "none"), {1, "one"}}) {
      if (few > 0 && samples_.groups.size() < 4 * counts.size()) break;
      std::string names;
      std::size_t number = 0;
      for (std::size_t label = 0; label < counts.size(); ++label)
        if (counts[label] == few && number++ < most_named)
          names += (names.empty() ? "" : ", ") + fmt::format("'{}'", samples_.labels[label]);
      if (number > 0)
        text += fmt::format("{}{} of {}{}", text.empty() ? "" : "; ", said, names, number > most_named ? ", …" : "");
    }
    return text.empty() ? text : " (" + text + ")";
  }

  template <class Read>
  static auto of_file(Read&& read) {
    try {
      return read();
    } catch (const Error& error) {
      throw Error(error.message())
          .at(error.mark())
          .hint(
              "copy the file again or remove it; on_error: skip (on a command line on_error=skip) leaves such pictures "
              "out");
    }
  }

  Tensor picture(const fs::path& file) const {
    return of_file([&] { return read_fitted(file, channels_, {height_, width_}, fitting_); });
  }

  void find_size(const fs::path& first) {
    if (config_.size) {
      height_ = (*config_.size)[0];
      width_ = (*config_.size)[1];
      if (height_ < 1 || width_ < 1 || height_ > 16384 || width_ > 16384) throw Error("pictures of size {}×{}", height_, width_).usage();
    } else {
      const Tensor image = of_file([&] { return read_image(first, channels_); });
      height_ = image.shape()[0];
      width_ = image.shape()[1];
    }
  }

  ImagesConfig config_;
  Fitting fitting_;
  int channels_;
  std::int64_t height_ = 0, width_ = 0;
  Samples samples_;
  std::vector<Column> inputs_, targets_;
  std::string description_;
};

}  // namespace

DatasetRef open_images(const fs::path& folder, const ImagesConfig& config) {
  if (config.channels == 2) throw Error("pictures with 2 channels, wanted 1, 3 or 4").usage();
  return std::make_shared<Images>(folder, config);
}

}  // namespace nacre
