// What cuDNN makes of descriptions of convolutions, which takes the library and no GPU: its checks, the engines that it
// has for a device that is not there, and their plans as they are kept.
#include "backend/cudnn/module/dnn.h"

#include <gtest/gtest.h>

#include "backend/core/error.h"

namespace nacre::gpu {

namespace {

using Result = ConvolutionDescription::Result;

// As cuDNN 9.19 writes what it asks of the driver.
const std::string h200 = R"({"deviceVer":900,"driverVer":13000,"cudaDeviceId":0,"deviceName":"NVIDIA H200",
"totalGlobalMem":150000000000,"maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],"regsPerBlock":65536,
"multiProcessorCount":132,"warpSize":32,"maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":232448,
"reservedSharedMemoryPerBlock":1024,"maxRegistersPerSM":65536,"maxCtasPerSM":32,"maxThreadsPerBlock":1024,
"maxThreadsPerSM":2048,"pciDeviceId":0,"isTccDriver":0,"supportCoopLaunch":1,"smClockRateKHz":1980000,
"memClockRateKHz":3201000,"l2CacheSize":62914560})";

class CudnnConvolution : public testing::Test {
 protected:
  void SetUp() override {
    static const Cudnn cudnn = load_cudnn();
    if (!cudnn.reason.empty()) GTEST_SKIP() << "skipped: " << cudnn.reason;
  }
  // Whether this version tells the engines of a device that is not there.
  static bool knows_absent_devices() {
    try {
      return !Dnn::plan_for(plane(), h200).empty();
    } catch (const Error&) {
      return false;
    }
  }
  static ConvolutionDescription plane() {
    return {.batch = 8,
            .channels = 16,
            .filters = 32,
            .axes = {{.x = 14, .window = 3, .y = 14, .before = 1, .after = 1},
                     {.x = 14, .window = 3, .y = 14, .before = 1, .after = 1}}};
  }
  // One to three axes, in groups or not, with strides, dilations and zeros of many kinds, of every type.
  static std::vector<std::pair<std::string, ConvolutionDescription>> descriptions() {
    std::vector<std::pair<std::string, ConvolutionDescription>> all;
    const std::pair<std::string_view, ConvolutionDescription::Axis> kinds[] = {
        {"plain", {.x = 12, .window = 3, .y = 10}},
        {"strides", {.x = 12, .window = 3, .y = 6, .stride = 2, .before = 1, .after = 1}},
        {"dilations", {.x = 12, .window = 3, .y = 12, .dilation = 2, .before = 2, .after = 2}},
        {"uneven", {.x = 12, .window = 3, .y = 6, .stride = 2, .after = 1}},
        {"more zeros than the window", {.x = 12, .window = 3, .y = 18, .before = 4, .after = 4}},
        {"pointwise", {.x = 12, .window = 1, .y = 12}}};
    for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16})
      for (const Result result : {Result::y, Result::x_gradient, Result::kernel_gradient})
        for (const std::size_t axes : {1, 2, 3})
          for (const std::int64_t groups : {1, 4, 16})
            for (const auto& [kind, axis] : kinds) {
              if (kind != "plain" && (axes == 3 || dtype == DType::float16)) continue;  // enough of them
              all.emplace_back(fmt::format("{} {}, {} axes, {} groups, result {}", dtype, kind, axes, groups,
                                           static_cast<int>(result)),
                               ConvolutionDescription{.result = result,
                                                      .batch = 4,
                                                      .channels = 16,
                                                      .filters = 16,
                                                      .groups = groups,
                                                      .axes = {axes, axis},
                                                      .dtype = dtype});
            }
    return all;
  }
};

TEST_F(CudnnConvolution, TakesEveryDescription) {
  for (const auto& [name, d] : descriptions()) EXPECT_NO_THROW(Dnn::validate(d)) << name;
  for (const int operands : {0, 1, 2, 3})
    for (const bool relu : {false, true}) {
      ConvolutionDescription d = plane();
      d.bias = (operands & 1) != 0, d.residual = (operands & 2) != 0, d.relu = relu;
      EXPECT_NO_THROW(Dnn::validate(d)) << operands << relu;
    }
}

TEST_F(CudnnConvolution, TellsWhatItDoesNotTake) {
  ConvolutionDescription d = plane();
  d.channels = d.filters = 1 << 16;  // of more elements than it counts
  try {
    Dnn::validate(d);
    FAIL();
  } catch (const Error& error) {
    EXPECT_TRUE(error.line().starts_with("cuDNN failed to take a convolution: ")) << error.line();
  }
}

TEST_F(CudnnConvolution, HasAnEngineForEachOnAnH200) {
  if (!knows_absent_devices()) GTEST_SKIP() << "skipped: this cuDNN tells no engines without a GPU";
  for (const auto& [name, d] : descriptions()) EXPECT_FALSE(Dnn::plan_for(d, h200).empty()) << name;
}

// What follows a convolution, by engines that are compiled already.
TEST_F(CudnnConvolution, FusesEpilogues) {
  if (!knows_absent_devices()) GTEST_SKIP() << "skipped: this cuDNN tells no engines without a GPU";
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16})
    for (const bool residual : {false, true}) {
      ConvolutionDescription d = plane();
      d.dtype = dtype, d.bias = d.relu = true, d.residual = residual;
      EXPECT_FALSE(Dnn::plan_for(d, h200).empty()) << fmt::format("{} {}", dtype, residual);
    }
}

TEST_F(CudnnConvolution, RoundsFactorsOnlyWhenThatIsAskedFor) {
  if (!knows_absent_devices()) GTEST_SKIP() << "skipped: this cuDNN tells no engines without a GPU";
  for (const Result result : {Result::y, Result::x_gradient, Result::kernel_gradient}) {
    ConvolutionDescription d = plane();
    d.result = result, d.channels = d.filters = 64;
    const std::string exact = Dnn::plan_for(d, h200);
    d.tensor_float32 = true;
    EXPECT_NE(Dnn::plan_for(d, h200), exact);
  }
}

TEST_F(CudnnConvolution, ReadsPlansThatItWrote) {
  if (!knows_absent_devices()) GTEST_SKIP() << "skipped: this cuDNN tells no engines without a GPU";
  const ConvolutionDescription d = plane();
  const std::string plan = Dnn::plan_for(d, h200);
  EXPECT_TRUE(Dnn::is_plan(plan, d, h200));
  ConvolutionDescription other = d;
  other.bias = true;  // with one operand more
  EXPECT_FALSE(Dnn::is_plan(plan, other, h200));
  for (const std::string& none :
       {std::string(), std::string("no plan"), std::string("{}"), std::string(1000, '{'), plan + plan})
    EXPECT_FALSE(Dnn::is_plan(none, d, h200)) << none.substr(0, 20);
  for (std::size_t length = 0; length < plan.size(); length += 97)
    EXPECT_FALSE(Dnn::is_plan(plan.substr(0, length), d, h200)) << length;
}

TEST_F(CudnnConvolution, SaysThatPropertiesAreNone) { EXPECT_THROW(Dnn::plan_for(plane(), "no properties"), Error); }

}  // namespace

}  // namespace nacre::gpu
