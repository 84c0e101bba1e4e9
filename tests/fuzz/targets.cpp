#include "tests/fuzz/targets.h"

#include <charconv>

#include "api/experiment/experiment.h"
#include "api/save.h"
#include "formats/csv.h"
#include "formats/file.h"
#include "formats/idx.h"
#include "formats/image.h"
#include "formats/npy.h"
#include "layers/layers.h"
#include "tests/fuzz/lua_calls.h"
#include "tests/support/paths.h"

namespace nacre::test {

namespace {

namespace fs = std::filesystem;

// The bytes of the file that `write` makes.
template <class Write>
std::string made(std::string_view name, Write&& write) {
  const TemporaryFolder folder;
  write(folder / name);
  return read_file(folder / name);
}

Tensor counting(Shape shape, DType dtype) {
  Tensor tensor(DType::int32, std::move(shape));
  for (std::int32_t next = 0; std::int32_t& element : tensor.writable<std::int32_t>()) element = next++;
  return tensor.cast(dtype);
}

void read_a_model(const fs::path& file) { load_model(file); }

std::vector<std::string> models(std::string_view name) {
  Sequential stack({Input({6, 6, 1}), Conv2D({.filters = 2, .kernel_size = 3}), Flatten(), Dense({.units = 2, .activation = "softmax"})});
  stack.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}});
  const Symbol tokens = Input({4}, "tokens", DType::int32);
  const Symbol x = LSTM({.units = 2})(Embedding({.input_dim = 5, .output_dim = 2, .mask_zero = true})(tokens));
  const Model graph({tokens}, {Dense({.units = 1})(x)});
  return {made(name, [&](const fs::path& path) { save_model(stack, path); }),
          made(name, [&](const fs::path& path) { save_model(graph, path); })};
}

constexpr std::string_view small_experiment = R"(variables: {width: 4}
model:
  blocks:
    body(units=8):
      - Dense: {units: "${units}", activation: relu}
      - Dropout: {rate: 0.5}
  inputs: {x: {shape: [6]}}
  layers:
    - body: {units: "${width * 2}"}
    - Dense: {units: 2, activation: {LeakyReLU: {negative_slope: 0.1}}}
data:
  train: {csv: {file: train.csv, target: label}}
train: {optimizer: {SGD: {learning_rate: 1e-2, momentum: 0.9}}, loss: mse, epochs: 2}
)";

// Everything but opening the data.
void read_an_experiment(const fs::path& file) {
  const Experiment experiment = Experiment::load(file);
  experiment.build_model();
  experiment.render();
}

// 3×2 grey pixels.
constexpr std::string_view small_jpeg =
    "ffd8ffe000104a46494600010100000100010000ffdb00430050373c463c32504641465a55505f78c882786e6e78f5afb991c8ffffffffff"
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffc0000b080002000301011100ffc400140001000000"
    "00000000000000000000000002ffc40014100100000000000000000000000000000000ffda0008010100003f000fffd9";

std::string from_hex(std::string_view digits) {
  std::string bytes;
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    int value = 0;
    std::from_chars(digits.data() + i, digits.data() + i + 2, value, 16);
    bytes += static_cast<char>(value);
  }
  return bytes;
}

constexpr FuzzTarget targets[] = {
    {"h5", "x.h5", read_a_model, [] { return models("x.h5"); }},
    {"keras", "x.keras", read_a_model, [] { return models("x.keras"); }},
    {"yaml", "x.yaml", read_an_experiment, [] { return std::vector{std::string(small_experiment)}; }},
    {"idx", "x.idx", [](const fs::path& file) { read_idx(file); },
     [] {
       return std::vector{made("x", [](const fs::path& path) { write_idx(path, counting({2, 3}, DType::uint8)); }),
                          made("x", [](const fs::path& path) { write_idx(path, counting({4}, DType::float32)); })};
     }},
    {"npy", "x.npy", [](const fs::path& file) { read_npy(file); },
     [] { return std::vector{format_npy(counting({2, 3}, DType::float32)), format_npy(counting({3}, DType::boolean))}; }},
    {"npz", "x.npz", [](const fs::path& file) { read_npz(file); },
     [] {
       return std::vector{made("x", [](const fs::path& path) {
         write_npz(path, {{"x", counting({2, 3}, DType::float32)}, {"y", counting({2}, DType::int64)}});
       })};
     }},
    {"csv", "x.csv", [](const fs::path& file) { read_csv(file); },
     [] { return std::vector<std::string>{"a,b,label\n1,2.5,x\n,\"3\n\"\"4\",y\n", "1;2\n3;4\n"}; }},
    {"image", "x.png", [](const fs::path& file) { read_image(file); },
     [] {
       std::vector seeds{encode_png(counting({2, 3, 3}, DType::uint8)), from_hex(small_jpeg)};
       const fs::path folder = fs::path(NACRE_SOURCE_DIR) / "tests" / "golden" / "images";
       for (const auto& entry : fs::directory_iterator(folder))
         if (is_image_name(entry.path())) seeds.push_back(read_file(entry.path()));
       std::ranges::sort(seeds);  // not in the file system's order
       return seeds;
     }},
    {"lua", "x.lua", [](const fs::path& file) { run_in_sandbox(read_file(file)); }, lua_scripts},
    {"lua_calls", "x.bin", [](const fs::path& file) { run_in_sandbox(lua_calls(read_file(file))); },
     [] { return std::vector<std::string>{"nacre", "0123456789abcdefghijklmnopqrstuvwxyz"}; }},
};

}  // namespace

std::span<const FuzzTarget> fuzz_targets() { return targets; }

const FuzzTarget& fuzz_target(std::string_view name) {
  for (const FuzzTarget& target : targets)
    if (target.name == name) return target;
  throw Error("there is no fuzz target '{}'", name);
}

void read_bytes(const FuzzTarget& target, const fs::path& folder, std::string_view bytes) {
  const fs::path file = folder / target.file_name;
  write_plainly(file, bytes);
  try {
    target.read(file);
  } catch (const Error&) {
  }
}

}  // namespace nacre::test
