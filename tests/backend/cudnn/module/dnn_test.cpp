// What cuDNN makes of descriptions of convolutions and attention: its checks, the engines that it has for a device that
// is not there, their plans as they are kept, and what they are given to compute with.
#include "backend/cudnn/module/dnn.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include "backend/core/error.h"
#include "tests/backend/cudnn/fake_cudnn/fake_cudnn.h"
#include "tests/backend/cudnn/module/fake_driver.h"
#include "tests/support/paths.h"

namespace nacre::gpu {

namespace {

using Result = ConvolutionDescription::Result;

using test::FakeCudnn, test::h200;

class CudnnConvolution : public testing::Test {
 protected:
  void SetUp() override {
    static const Cudnn cudnn = load_cudnn(NACRE_FAKE_CUDNN);
    if (!cudnn.reason.empty()) GTEST_SKIP() << "skipped: " << cudnn.reason;
    try {
      if (!Dnn::plan_for(plane(), h200).empty()) return;
    } catch (const Error&) {
    }
    GTEST_SKIP() << "skipped: cuDNN " << cudnn.version << " does not tell its engines for a GPU that is not there";
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
  for (const auto& [name, d] : descriptions()) EXPECT_NO_THROW(graph_of(d, 90)) << name;
  for (const int operands : {0, 1, 2, 3})
    for (const bool relu : {false, true}) {
      ConvolutionDescription d = plane();
      d.bias = (operands & 1) != 0, d.residual = (operands & 2) != 0, d.relu = relu;
      EXPECT_NO_THROW(graph_of(d, 90)) << operands << relu;
    }
}

TEST_F(CudnnConvolution, TellsWhatItDoesNotTake) {
  ConvolutionDescription d = plane();
  d.channels = d.filters = 1 << 16;  // of more elements than it counts
  try {
    graph_of(d, 90);
    FAIL();
  } catch (const Error& error) {
    EXPECT_TRUE(error.line().starts_with("cuDNN failed to take a convolution: ")) << error.line();
  }
}

TEST_F(CudnnConvolution, HasAnEngineForEachOnAnH200) {
  for (const auto& [name, d] : descriptions()) EXPECT_FALSE(Dnn::plan_for(d, h200).empty()) << name;
}

// What follows a convolution, by engines that are compiled already.
TEST_F(CudnnConvolution, FusesEpilogues) {
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16})
    for (const bool residual : {false, true}) {
      ConvolutionDescription d = plane();
      d.dtype = dtype, d.bias = d.relu = true, d.residual = residual;
      EXPECT_FALSE(Dnn::plan_for(d, h200).empty()) << fmt::format("{} {}", dtype, residual);
    }
}

TEST_F(CudnnConvolution, RoundsFactorsOnlyWhenThatIsAskedFor) {
  for (const Result result : {Result::y, Result::x_gradient, Result::kernel_gradient}) {
    ConvolutionDescription d = plane();
    d.result = result, d.channels = d.filters = 64;
    const std::string exact = Dnn::plan_for(d, h200);
    d.tensor_float32 = true;
    EXPECT_NE(Dnn::plan_for(d, h200), exact);
  }
}

TEST_F(CudnnConvolution, AddsInAnyOrderOnlyWhenThatIsAskedFor) {
  bool differs = false;
  for (const auto& [name, d] : descriptions()) {
    ConvolutionDescription fast = d;
    fast.deterministic = false;
    const std::string plan = Dnn::plan_for(fast, h200);
    EXPECT_FALSE(plan.empty()) << name;
    differs = differs || plan != Dnn::plan_for(d, h200);
    if (differs) break;
  }
  EXPECT_TRUE(differs);
}

TEST_F(CudnnConvolution, ReadsPlansThatItWrote) {
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

// The library with a handle for that device.
class CudnnWork : public CudnnConvolution {
 protected:
  void SetUp() override {
    CudnnConvolution::SetUp();
    if (IsSkipped()) return;
    const auto get =
        reinterpret_cast<test::GetFakeCudnn>(dlsym(dlopen(NACRE_FAKE_CUDNN, RTLD_NOW), test::fake_cudnn_name));
    fake_ = &get();
    *fake_ = {};
    context_ = std::make_shared<Context>(test::new_fake_driver(), 0);
  }
  void TearDown() override { EXPECT_TRUE(!fake_ || fake_->handles == 0); }
  std::unique_ptr<Work> work(Dnn& dnn, const DnnDescription& d) {
    const Current current(*context_);
    return dnn.work(d, cache_);
  }

  test::TemporaryFolder folder_;
  KernelCache cache_{folder_.path()};
  FakeCudnn* fake_ = nullptr;
  std::shared_ptr<const Context> context_;
};

TEST_F(CudnnWork, IsGivenOperandsAndResultsByTheirNumbers) {
  std::vector<ConvolutionDescription> all(4, plane());
  all[0].bias = all[0].residual = all[0].relu = true;
  all[1].bias = true;
  all[2].result = Result::x_gradient;
  all[3].result = Result::kernel_gradient;
  auto dnn = std::make_unique<Dnn>(context_, 90, "H200");
  std::vector<std::unique_ptr<Work>> works;
  for (const ConvolutionDescription& d : all) works.push_back(work(*dnn, d));
  dnn.reset();  // which the works outlive
  for (std::size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(i);
    ASSERT_TRUE(works[i]);
    const std::size_t operands = std::size_t{2} + all[i].bias + all[i].residual;
    alignas(64) static std::byte memory[6][64];
    std::vector<std::byte> scratch(works[i]->scratch_bytes());
    const void* const inputs[] = {memory[0], memory[1], memory[2], memory[3], memory[4]};  // it may be given more
    void* const outputs[] = {memory[5]};
    works[i]->run(inputs, outputs, scratch.data());
    EXPECT_EQ(fake_->stream, context_->stream());
    ASSERT_EQ(fake_->executions.size(), i + 1);
    const FakeCudnn::Execution& given = fake_->executions.back();
    ASSERT_EQ(given.ids.size(), operands + 1);
    for (std::size_t k = 0; k < given.ids.size(); ++k) {
      const auto number = static_cast<std::size_t>(given.ids[k]);
      EXPECT_EQ(given.places[k], number <= operands ? inputs[number - 1] : outputs[0]) << number;
    }
    EXPECT_EQ(given.workspace == nullptr, scratch.empty());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(given.workspace) % 256, 0u);
    EXPECT_TRUE(scratch.empty() || (given.workspace >= scratch.data() && given.workspace < scratch.data() + 256));
  }
}

TEST_F(CudnnWork, PlansAreKept) {
  ConvolutionDescription d = plane();
  const auto made = [&](const char* made_for) {
    const int built = fake_->plans_built, read = fake_->plans_read;
    Dnn dnn(context_, 90, made_for);  // as in another process
    EXPECT_TRUE(work(dnn, d));
    EXPECT_TRUE(work(dnn, d));  // which is asked for once
    return std::pair(fake_->plans_built - built, fake_->plans_read - read);
  };
  EXPECT_EQ(made("H200"), std::pair(1, 0));
  EXPECT_EQ(made("H200"), std::pair(0, 1));
  EXPECT_EQ(made("H100"), std::pair(1, 0));
  d.deterministic = false;
  EXPECT_EQ(made("H200"), std::pair(1, 0));
  EXPECT_EQ(made("H200"), std::pair(0, 1));
  d.deterministic = true;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
    test::write_plainly(entry.path(), "damaged");
  EXPECT_EQ(made("H200"), std::pair(1, 0));
  EXPECT_EQ(made("H200"), std::pair(0, 1));
}

TEST_F(CudnnWork, ThereIsNoneForWhatTheLibraryDoesNotTake) {
  ConvolutionDescription d = plane();
  d.channels = d.filters = 1 << 16;
  Dnn dnn(context_, 90, "H200");
  EXPECT_FALSE(work(dnn, d));
  EXPECT_FALSE(work(dnn, d));
  EXPECT_EQ(fake_->handles, 1);
}

// cuDNN compiles the kernels of attention when it plans them, and has the driver load them.
class CudnnAttention : public CudnnWork {
 protected:
  void SetUp() override {
    static const void* const driver = [] {
      void* const found = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
      return found ? found : dlopen(NACRE_FAKE_LIBCUDA, RTLD_NOW | RTLD_GLOBAL);
    }();
    CudnnWork::SetUp();
    if (IsSkipped()) return;
    if (!driver || Dnn::plan_for(plain(), h200).empty())
      GTEST_SKIP() << "skipped: cuDNN plans no attention for a GPU that is not there";
  }
  static AttentionDescription plain() {
    return {.batch = 4,
            .queries = 128,
            .keys = 128,
            .heads = 4,
            .groups = 4,
            .features = 64,
            .value_features = 64,
            .scale = 0.125};
  }
  // As few as cover every kind: each takes a second to compile.
  static std::vector<std::pair<std::string, AttentionDescription>> descriptions() {
    std::vector<std::pair<std::string, AttentionDescription>> all;
    const auto add = [&](std::string_view name, auto change) {
      for (const bool gradients : {false, true}) {
        AttentionDescription d = plain();
        d.gradients = gradients;
        change(d);
        all.emplace_back(fmt::format("{}, gradients {}", name, gradients), d);
      }
    };
    add("causal", [](AttentionDescription& d) { d.causal = true; });
    add("float16", [](AttentionDescription& d) { d.dtype = DType::float16; });
    add("keys of two heads", [](AttentionDescription& d) { d.groups = 2; });
    add("broken tiles", [](AttentionDescription& d) { d.queries = 100, d.keys = 77, d.causal = true; });
    add("wide heads", [](AttentionDescription& d) { d.features = d.value_features = 256; });
    add("narrow heads", [](AttentionDescription& d) { d.features = 8, d.value_features = 16; });
    add("dropout", [](AttentionDescription& d) { d.dropout = 0.1; });
    add("dropout in broken tiles",
        [](AttentionDescription& d) { d.queries = 100, d.keys = 77, d.causal = true, d.dropout = 0.1; });
    add("bias", [](AttentionDescription& d) { d.bias_batch = d.batch, d.bias_heads = 1; });
    add("bias and dropout", [](AttentionDescription& d) {
      d.queries = 100, d.keys = 77, d.bias_batch = 1, d.bias_heads = d.heads, d.causal = true, d.dropout = 0.1;
    });
    add("one query", [](AttentionDescription& d) { d.queries = 1; });
    return all;
  }
};

TEST_F(CudnnAttention, HasAnEngineForEachOnAnH200) {
  for (const auto& [name, d] : descriptions()) {
    EXPECT_NO_THROW(graph_of(d, 90)) << name;
    const std::string plan = Dnn::plan_for(d, h200);
    EXPECT_FALSE(plan.empty()) << name;
    EXPECT_TRUE(Dnn::is_plan(plan, d, h200)) << name;
  }
}

TEST_F(CudnnAttention, TellsWhatItDoesNotTake) {
  AttentionDescription d = plain();
  d.features = 12;
  try {
    graph_of(d, 90);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.line(), "cuDNN failed to take attention: hidden_dim should be multiple of 8");
  }
  Dnn dnn(context_, 90, "H200");
  EXPECT_FALSE(work(dnn, d));
  d = plain();
  d.gradients = true, d.queries = d.keys = 1;
  EXPECT_FALSE(work(dnn, d));
}

// In order, gradients of queries take a matrix of scores as they are; in any order, one of queries.
TEST_F(CudnnAttention, AddsInAnyOrderOnlyWhenThatIsAskedFor) {
  Dnn dnn(context_, 90, "H200");
  AttentionDescription d = plain();
  d.gradients = true, d.queries = d.keys = 2048;
  const std::unique_ptr<Work> ordered = work(dnn, d);
  ASSERT_TRUE(ordered);
  EXPECT_GE(ordered->scratch_bytes(), std::size_t{4} * 4 * 2048 * 2048 * 2);
  d.deterministic = false;
  const std::unique_ptr<Work> fast = work(dnn, d);
  ASSERT_TRUE(fast);
  EXPECT_LT(fast->scratch_bytes(), std::size_t{16} << 20);
}

TEST_F(CudnnAttention, IsGivenOperandsAndResultsByTheirNumbers) {
  for (const auto& [gradients, masks] : {std::pair{false, 0}, {true, 0}, {false, 2}, {true, 2}}) {
    AttentionDescription d = plain();
    d.gradients = gradients;
    if (masks > 0) d.dropout = 0.1, d.bias_batch = d.bias_heads = 1;
    const std::size_t operands = (gradients ? 6u : 3u) + static_cast<std::size_t>(masks), results = gradients ? 3 : 2;
    Dnn dnn(context_, 90, "H200");
    const std::unique_ptr<Work> tested = work(dnn, d);
    ASSERT_TRUE(tested);
    alignas(256) static std::byte memory[11][256];
    std::vector<std::byte> scratch(tested->scratch_bytes());
    std::vector<const void*> inputs;
    std::vector<void*> outputs;
    for (std::size_t i = 0; i < operands; ++i) inputs.push_back(memory[i]);
    for (std::size_t i = 0; i < results; ++i) outputs.push_back(memory[operands + i]);
    tested->run(inputs, outputs, scratch.data());
    const FakeCudnn::Execution& given = fake_->executions.back();
    std::size_t found = 0;
    for (std::size_t k = 0; k < given.ids.size(); ++k) {
      const auto number = static_cast<std::size_t>(given.ids[k]);
      EXPECT_NE(given.places[k], nullptr) << number;
      if (number > operands + results) continue;  // scalars, and parts of the workspace
      ++found;
      EXPECT_EQ(given.places[k], number <= operands ? inputs[number - 1] : outputs[number - 1 - operands]) << number;
    }
    EXPECT_EQ(found, operands + results);
    EXPECT_TRUE(scratch.empty() ||
                (given.workspace >= scratch.data() && given.workspace < scratch.data() + scratch.size()));
  }
}

TEST_F(CudnnAttention, PlansAreKept) {
  AttentionDescription d = plain();
  d.gradients = true;
  const auto made = [&](const AttentionDescription& wanted) {
    const int built = fake_->plans_built, read = fake_->plans_read;
    Dnn dnn(context_, 90, "H200");
    EXPECT_TRUE(work(dnn, wanted));
    return std::pair(fake_->plans_built - built, fake_->plans_read - read);
  };
  EXPECT_EQ(made(d), std::pair(1, 0));
  EXPECT_EQ(made(d), std::pair(0, 1));
  std::vector<AttentionDescription> others(8, d);
  others[0].gradients = false, others[1].causal = true, others[2].scale = 0.25, others[3].groups = 2;
  others[4].deterministic = false, others[5].dtype = DType::float16, others[6].dropout = 0.5;
  others[7].bias_batch = others[7].bias_heads = 1;
  for (const AttentionDescription& other : others) EXPECT_EQ(made(other), std::pair(1, 0));
  EXPECT_EQ(made(d), std::pair(0, 1));
}

TEST_F(CudnnWork, SaysWhyTheLibraryDoesNotStart) {
  fake_->start = CUDNN_STATUS_NOT_INITIALIZED;
  Dnn dnn(context_, 90, "H200");
  try {
    work(dnn, plane());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.line(), "cuDNN does not start: CUDNN_STATUS_NOT_INITIALIZED");
  }
  fake_->start = CUDNN_STATUS_SUCCESS;
  EXPECT_TRUE(work(dnn, plane()));
}

}  // namespace

}  // namespace nacre::gpu
