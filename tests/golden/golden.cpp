#include "tests/golden/golden.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <iostream>
#include <map>

#include "backend/executable.h"
#include "formats/json.h"

namespace nacre::golden {

namespace {

std::filesystem::path folder() {
  const char* given = std::getenv("NACRE_GOLDENS");
  return given ? std::filesystem::path(given) : std::filesystem::path(NACRE_SOURCE_DIR) / "tests" / "golden";
}

std::vector<Case> cases_of(const hdf5::Group& root) {
  std::vector<Case> cases;
  for (const std::string& name : root.names()) {
    const hdf5::Group group = root.group(name);
    if (group.has_attribute("config")) cases.push_back({name, group});
    else
      for (const std::string& number : group.names()) cases.push_back({name, group.group(number)});
  }
  return cases;
}

struct Tally {
  int passed = 0, failed = 0, missing = 0;
};

void count(const Case& golden, const std::function<void(const Case&, const Backend&)>& check,
           std::span<const Backend* const> on, Tally& tally) {
  for (const Backend* backend : on) {
    try {
      check(golden, *backend);
    } catch (const NotImplemented&) {
      ++tally.missing;
      return;
    } catch (const std::exception& error) {
      ADD_FAILURE() << golden.data.path() << " on " << backend->name() << ": " << error.what();
      ++tally.failed;
      return;
    }
  }
  ++tally.passed;
}

}  // namespace

Tree Case::config() const {
  const std::string text = data.text_attribute("config");
  return text.starts_with('{') ? parse_json(text, data.path()) : Tree(text);
}

void expect_close(std::string_view what, const Tensor& got, const Tensor& want, Tolerance tolerance) {
  if (got.shape() != want.shape()) throw Error("{} has shape {}, wanted {}", what, got.shape(), want.shape());
  double worst = 1;
  std::string message;
  for (std::int64_t i = 0; i < got.size(); ++i) {
    const double a = got.at(i), b = want.at(i);
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    const double excess = std::abs(a - b) / (tolerance.absolute + tolerance.relative * std::abs(b));
    if (excess <= worst) continue;  // false for NaN
    worst = excess;
    message = fmt::format("{}: element {} of {} is {}, wanted {}", what, i, got.shape(), a, b);
    if (std::isnan(excess)) break;
  }
  if (!message.empty()) throw Error(message);
}

std::vector<Tensor> run(const Graph& graph, const Backend& backend, const std::vector<Tensor>& inputs) {
  return Executable(graph, backend).run(inputs);
}

void check_all(const std::string& file, const std::function<void(const Case&, const Backend&)>& check,
               std::span<const Backend* const> on) {
  const std::filesystem::path path = folder() / (file + ".h5");
  if (!std::filesystem::exists(path)) {
    if (std::getenv("NACRE_GOLDENS")) GTEST_SKIP() << path << " is absent";
    FAIL() << path << " is absent";
  }
  std::map<std::string, Tally> tallies;
  const hdf5::File opened = hdf5::File::open(path);
  for (const Case& golden : cases_of(opened.root())) count(golden, check, on, tallies[golden.class_name]);
  for (const auto& [name, tally] : tallies)
    std::cout << fmt::format("{}: {} passed, {} failed, {} not implemented\n", name, tally.passed, tally.failed,
                             tally.missing);
}

}  // namespace nacre::golden
