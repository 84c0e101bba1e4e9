// Pictures a second that a loader delivers from a folder, in turns with one to four workers, plain, augmented and cached.
//   bench_pictures FOLDER [SIZE] [BATCH] [ROUNDS]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "api/data/augment.h"
#include "api/data/cache.h"
#include "api/data/images.h"
#include "api/data/loader.h"
#include "formats/yaml.h"

namespace {

using namespace nacre;

// One walk over at most so many batches.
double pictures_per_second(const DatasetRef& data, int workers, std::int64_t batch_size) {
  Loader loader(data, {.batch_size = batch_size, .shuffle = true, .workers = workers});
  loader.start(0);
  const auto begin = std::chrono::steady_clock::now();
  std::int64_t pictures = 0;
  double seconds = 0;
  while (const Batch* batch = loader.next()) {
    pictures += batch->size;
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (seconds > 4) break;
  }
  return static_cast<double>(pictures) / seconds;
}

}  // namespace

int main(int count, char** words) {
  if (count < 2) {
    fmt::print("bench_pictures FOLDER [SIZE] [BATCH] [ROUNDS]\n");
    return 2;
  }
  const auto number = [&](int place, std::int64_t otherwise) { return count > place ? std::atoll(words[place]) : otherwise; };
  ImagesConfig config;
  config.folder = words[1];
  if (count > 2) config.size = Extent<2>(number(2, 32));
  const std::int64_t batch = number(3, 128), rounds = number(4, 3);
  const DatasetRef plain = open_images("", config);
  config.antialias = true;
  const DatasetRef smooth = open_images("", config);
  std::vector<Ref<Layer>> layers;
  for (const Tree& layer : parse_yaml("[{RandomFlip: {mode: horizontal}}, {RandomTranslation: {height_factor: 0.1, width_factor: 0.1}}]", "bench").items())
    layers.push_back(read_object<Layer>(layer));
  const std::vector<std::pair<std::string, DatasetRef>> ways = {
      {"decoded", plain}, {"decoded, antialias", smooth}, {"augmented", augmented(plain, layers, 1)},
      {"from memory", cached(plain)}, {"from disk", cached(plain, std::filesystem::temp_directory_path() / "bench_pictures")}};
  fmt::print("{}\n", plain->description());
  std::map<std::pair<std::size_t, int>, std::vector<double>> rates;
  for (std::int64_t round = 0; round < rounds; ++round)
    for (std::size_t way = 0; way < ways.size(); ++way)
      for (const int workers : {1, 2, 4}) rates[{way, workers}].push_back(pictures_per_second(ways[way].second, workers, batch));
  for (auto& [key, values] : rates) {
    std::ranges::sort(values);
    fmt::print("{:20} {} worker{} {:9.0f} pictures/s\n", ways[key.first].first, key.second, key.second == 1 ? " " : "s", values[values.size() / 2]);
  }
}
