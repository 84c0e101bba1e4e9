// What `nacre doctor` and `--device gpu` say and do without a module, with one that cannot be loaded, and with one whose
// device is emulated.
#include <gtest/gtest.h>

#include <cmath>

#include "formats/json.h"
#include "tests/cli/run_nacre.h"
#include "tests/support/paths.h"

namespace nacre::test {
namespace {

class Gpu : public testing::Test {
 protected:
  void SetUp() override {
    write_plainly(folder_ / "small.yaml",
                  "name: small\nseed: 1\nmodel:\n  sequential:\n    - Input: {shape: [28, 28, 1]}\n    - Flatten\n"
                  "    - Dense: {units: 16, activation: relu}\n    - Dense: {units: 10, activation: softmax}\n"
                  "data: {train: {digits: {count: 128}}}\n"
                  "train: {optimizer: adam, loss: sparse_categorical_crossentropy, batch_size: 32, epochs: 2}\n");
  }
  void TearDown() override { ::unsetenv("NACRE_MODULES"); }

  void use_modules(const std::filesystem::path& folder) { ::setenv("NACRE_MODULES", folder.c_str(), 1); }
  Outcome nacre(const std::vector<std::string>& words) { return run_nacre(words, folder_.path()); }
  std::string gpu_of_doctor() {
    const Outcome outcome = nacre({"doctor", "--json"});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return parse_json(outcome.out, "doctor")["gpu"].as_string();
  }
  double loss_of(const std::string& device) {
    const Outcome outcome = nacre({"train", "small.yaml", "--device", device, "--output", device});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    const Outcome measured = nacre({"evaluate", device + "/model.h5", "--data", "small.yaml", "--json"});
    EXPECT_EQ(measured.status, 0) << measured.err;
    return parse_json(measured.out, "evaluate")["loss"].as_number();
  }

  TemporaryFolder folder_;
};

TEST_F(Gpu, TheReasonIsTheSameEverywhere) {
  const std::string reason = gpu_of_doctor();
  if (reason == "ready") GTEST_SKIP() << "this machine has a GPU";
  EXPECT_NE(nacre({"doctor"}).out.find("  gpu        not used: " + reason + "\n"), std::string::npos);
  const Outcome outcome = nacre({"train", "small.yaml", "--device", "gpu"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.err, reason + "\n");
}

TEST_F(Gpu, AModuleThatCannotBeLoaded) {
  write_plainly(folder_ / "libnacre_cudnn.so", "not a library");
  use_modules(folder_.path());
  EXPECT_TRUE(gpu_of_doctor().starts_with("the GPU's module cannot be loaded: ")) << gpu_of_doctor();
  EXPECT_EQ(nacre({"train", "small.yaml", "--output", "run"}).status, 0);  // which nobody needs on a CPU
}

TEST_F(Gpu, TrainsAsTheCpuDoes) {
  use_modules(NACRE_EMULATED_GPU);
  if (const std::string found = gpu_of_doctor(); found != "ready") GTEST_SKIP() << found;
  EXPECT_NE(nacre({"doctor"}).out.find("  gpu        emulated GPU with the host's compiler\n"), std::string::npos);
  EXPECT_NEAR(loss_of("gpu"), loss_of("cpu"), 1e-4);
}

}  // namespace
}  // namespace nacre::test
