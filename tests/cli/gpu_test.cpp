// What `nacre doctor` and `--device gpu` say and do without a module, with one that cannot be loaded, and with one
// whose device is emulated.
#include <gtest/gtest.h>

#include <cmath>

#include "formats/file.h"
#include "formats/json.h"
#include "formats/npy.h"
#include "tests/cli/run_nacre.h"
#include "tests/support/paths.h"
#include "tests/support/sanitizers.h"

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

// What the module says, which knows of drivers and memory.
TEST_F(Gpu, AModuleThatFindsNoGpuSaysWhy) {
  use_modules(NACRE_EMULATED_GPU);
  for (const std::string reason : {"no NVIDIA driver: libcuda.so.1: cannot open shared object file",
                                   "the NVIDIA driver is too old: it is for CUDA 11.8, wanted 13.0 or later",
                                   "the GPU has no memory left: other programs have taken all of it"}) {
    ::setenv("NACRE_TEST_NO_GPU", reason.c_str(), 1);
    EXPECT_EQ(gpu_of_doctor(), reason);
    EXPECT_NE(nacre({"doctor"}).out.find("  gpu        not used: " + reason + "\n"), std::string::npos);
    const Outcome outcome = nacre({"train", "small.yaml", "--device", "gpu"});
    EXPECT_EQ(outcome.status, 2);
    EXPECT_EQ(outcome.err, reason + "\n");
    ::unsetenv("NACRE_TEST_NO_GPU");
  }
}

TEST_F(Gpu, NoModule) {
  use_modules(folder_.path());
  const std::string reason = gpu_of_doctor();
  if (reason != "no GPU backend in this build: use --device cpu")
    GTEST_SKIP() << "skipped: there is a module: " << reason;
  EXPECT_NE(nacre({"doctor"}).out.find("  gpu        not used: no GPU backend in this build"), std::string::npos);
}

TEST_F(Gpu, TrainsAsTheCpuDoes) {
  use_modules(NACRE_EMULATED_GPU);
  if (const std::string found = gpu_of_doctor(); found != "ready") GTEST_SKIP() << found;
  EXPECT_NE(nacre({"doctor"}).out.find("  gpu        emulated GPU with the host's compiler\n"), std::string::npos);
  EXPECT_NEAR(loss_of("gpu"), loss_of("cpu"), 1e-4);
}

// Results that come late and inputs that come beside other work change no bit of a training, a validation, a test or
// predictions, also where the last batch is smaller; and nobody waits for more than a step that is over.
TEST_F(Gpu, StepsThatOverlapChangeNothing) {
  use_modules(NACRE_EMULATED_GPU);
  if (const std::string found = gpu_of_doctor(); found != "ready") GTEST_SKIP() << found;
  Tensor pictures(DType::float32, {50, 28, 28, 1});
  for (std::int64_t i = 0; float& value : pictures.writable<float>()) value = static_cast<float>(i++ % 97) / 97;
  write_npy(folder_ / "x.npy", pictures);
  std::string results[2], order[2];
  for (const bool late : {false, true}) {
    const std::string run = late ? "late" : "at_once";
    if (!late) ::setenv("NACRE_TEST_GPU_AT_ONCE", "1", 1);
    const auto done = [&](std::vector<std::string> words) {
      ::setenv("NACRE_TEST_GPU_ORDER", (folder_ / "order").c_str(), 1);
      words.insert(words.end(), {"--device", "gpu"});
      const Outcome outcome = nacre(words);
      EXPECT_EQ(outcome.status, 0) << outcome.err;
      order[late] += read_file(folder_ / "order") + '\n';
      return outcome.out;
    };
    done({"train", "small.yaml", "train.batch_size=12", "train.validation_split=0.2", "--output", run});
    results[late] += done({"evaluate", run + "/model.h5", "--data", "small.yaml", "--batch-size", "12", "--json"});
    results[late] += done({"predict", run + "/model.h5", "x.npy", "--batch-size", "12", "--json"});
    ::unsetenv("NACRE_TEST_GPU_AT_ONCE");
    ::unsetenv("NACRE_TEST_GPU_ORDER");
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_NE(order[1].find("arcswwarcswwarcsww"), std::string::npos) << order[1];
}

// Each on an emulated GPU of its own, whose gradients go by way of the hosts.
TEST_F(Gpu, TwoProcessesTrainAsOneWithTheDoubledBatch) {
  if (sanitized) GTEST_SKIP() << "skipped: MPI's libraries are not built for sanitizers";
  if (!has_mpirun()) GTEST_SKIP() << "skipped: mpirun is not installed (openmpi-bin)";
  if (!std::filesystem::exists(NACRE_MPI_MODULE)) GTEST_SKIP() << "skipped: nacre was built without MPI";
  use_modules(NACRE_EMULATED_GPU);
  if (const std::string found = gpu_of_doctor(); found != "ready") GTEST_SKIP() << found;
  const double one = loss_of("gpu");
  const Outcome two = run_processes(
      2, {"train", "small.yaml", "train.batch_size=16", "--device", "gpu", "--output", "two"}, folder_.path());
  ASSERT_EQ(two.status, 0) << two.err;
  EXPECT_NE(two.out.find("small on emulated GPU"), std::string::npos) << two.out;
  EXPECT_NE(two.out.find(", 2 processes with "), std::string::npos) << two.out;
  const Outcome measured = nacre({"evaluate", "two/model.h5", "--data", "small.yaml", "--json"});
  EXPECT_NEAR(parse_json(measured.out, "evaluate")["loss"].as_number(), one, 1e-3) << measured.err;
}

}  // namespace
}  // namespace nacre::test
