// The configurations of tests/bench/workloads are the models that the peers run.
#include "api/experiment/experiment.h"
#include "tests/api/models.h"

namespace nacre::test {
namespace {

struct Workload {
  const char* name;
  std::int64_t parameters, trainable;  // that Keras counts in the peers' definitions
  Shape output;
};

std::ostream& operator<<(std::ostream& out, const Workload& workload) { return out << workload.name; }

class Workloads : public testing::TestWithParam<Workload> {};

TEST_P(Workloads, HasTheParametersOfThePeers) {
  const Workload& workload = GetParam();
  const Experiment experiment = Experiment::load(std::filesystem::path(NACRE_SOURCE_DIR) / "tests/bench/workloads" /
                                                 (std::string(workload.name) + ".yaml"));
  EXPECT_EQ(experiment.config().name, workload.name);
  EXPECT_FALSE(experiment.config().train.compile.loss.empty());
  const Model model(experiment.build_model());
  std::int64_t parameters = 0, trainable = 0;
  for (const Weight& weight : model.weights()) parameters += weight.variable->shape().elements();
  for (const Weight& weight : model.graph().trainable_weights()) trainable += weight.variable->shape().elements();
  EXPECT_EQ(parameters, workload.parameters);
  EXPECT_EQ(trainable, workload.trainable);
  ASSERT_EQ(model.outputs().size(), 1u);
  EXPECT_EQ(model.outputs()[0].shape(), workload.output);
}

INSTANTIATE_TEST_SUITE_P(Bench, Workloads,
                         testing::Values(Workload{"mlp", 669706, 669706, {unknown, 10}},
                                         Workload{"lenet", 1199882, 1199882, {unknown, 10}},
                                         Workload{"resnet20", 274826, 273258, {unknown, 10}},
                                         Workload{"resnet50", 25636712, 25583592, {unknown, 1000}},
                                         Workload{"mobilenetv2", 3538984, 3504872, {unknown, 1000}},
                                         Workload{"vgg19", 143667240, 143667240, {unknown, 1000}},
                                         Workload{"alexnet", 61100840, 61100840, {unknown, 1000}},
                                         Workload{"lstm", 2691842, 2691842, {unknown, 2}},
                                         Workload{"transformer", 8312322, 8312322, {unknown, 2}},
                                         Workload{"ncf", 1978434, 1978434, {unknown, 2}}),
                         [](const auto& workload) { return std::string(workload.param.name); });

// Every file of the folder is one of those above.
TEST(WorkloadsFolder, HoldsNoOthers) {
  std::size_t count = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(std::filesystem::path(NACRE_SOURCE_DIR) / "tests/bench/workloads"))
    count += file.path().extension() == ".yaml";
  EXPECT_EQ(count, 10u);
}

}  // namespace
}  // namespace nacre::test
