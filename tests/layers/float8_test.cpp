// Numbers of eight bits against those of ml_dtypes (tests/golden/make_float8.py), on every backend.
#include "backend/graph/ops/float8.h"

#include <gtest/gtest.h>

#include "backend/executable.h"
#include "backend/graph/passes/pipeline.h"
#include "formats/hdf5.h"
#include "tests/support/emulated_gpu.h"
#include "tests/support/paths.h"
#include "tests/support/tensors.h"

namespace nacre::test {
namespace {

Tensor golden(std::string_view name) {
  const auto path = std::filesystem::path(NACRE_SOURCE_DIR) / "tests/golden/quantized/float8_training.io.h5";
  return hdf5::File::open(path).root().tensor(name);
}

std::vector<const Backend*> tested() {
  std::vector<const Backend*> all(backends().begin(), backends().end());
  if (const Backend* gpu = emulated_gpu_backend()) all.push_back(gpu);
  return all;
}

Tensor rounded(const Backend& backend, const Tensor& x, float scale, Float8Format format) {
  Graph graph;
  const Value factor = graph.constant(Tensor::scalar(scale));
  graph.output("y", ops::float8(graph.input("x", x.type()), factor, format));
  return Executable(*decompose_missing(graph, backend), backend).run(std::vector{x})[0];
}

Tensor halved(Tensor x) {
  for (float& value : x.writable<float>()) value /= 2;
  return x;
}

TEST(Float8, RoundsToTheNearestNumberOfTheFormat) {
  for (const Float8Format format : {Float8Format::e4m3fn, Float8Format::e5m2}) {
    const std::string name = fmt::format("float8_{}", text_of(format));
    const Tensor x = golden(name + "/x"), wanted = golden(name + "/rounded");
    for (const Backend* backend : tested()) {
      SCOPED_TRACE(fmt::format("{} on {}", name, backend->name()));
      EXPECT_TRUE(close(rounded(*backend, x, 1, format), wanted, 0));
      // By a power of two nothing but the place of the point changes.
      EXPECT_TRUE(close(rounded(*backend, halved(x), 0.5, format), halved(wanted), 0));
    }
  }
}

}  // namespace
}  // namespace nacre::test
