// Optimizers beyond the golden vectors: options around the rules, several variables, state and its names. Expected
// weights are those of Keras 3.15.
#include "api/train/optimizers.h"

#include <gtest/gtest.h>

#include <cmath>

#include "backend/executable.h"
#include "formats/json.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

struct Weights {
  VariableRef a = std::make_shared<Variable>("a", Type{DType::float32, {2, 2}}, true);
  VariableRef b = std::make_shared<Variable>("b", Type{DType::float32, {2}}, true);

  Weights() {
    a->assign(Tensor::of<float>({2, 2}, {0.5f, -1, 0.25f, 2}));
    b->assign(Tensor::of<float>({2}, {1, -0.5f}));
  }
};

// Four steps of one compiled graph; the gradients are functions of step and element.
void train(Optimizer& optimizer, const Weights& weights, const Backend& backend, int steps = 4) {
  optimizer.build({weights.a, weights.b});
  Graph graph;
  const Value a = graph.input("a", weights.a->type()), b = graph.input("b", weights.b->type());
  const Optimizer::Gradient gradients[] = {{weights.a, a}, {weights.b, b}};
  optimizer.apply(graph, gradients);
  Executable executable(graph, backend);
  for (int t = 0; t < steps; ++t) {
    std::vector<float> da, db;
    for (int i = 0; i < 4; ++i) da.push_back(static_cast<float>(std::sin(1 + i + 2 * t)));
    for (int i = 0; i < 2; ++i) db.push_back(static_cast<float>(std::cos(i + t) * 2));
    executable.run(std::vector{Tensor::of<float>({2, 2}, da), Tensor::of<float>({2}, db)});
  }
}

void expect_values(const Tensor& got, const std::vector<double>& want, std::string_view what) {
  for (std::size_t i = 0; i < want.size(); ++i)
    EXPECT_NEAR(got.at(static_cast<std::int64_t>(i)), want[i], 1e-5 + 1e-4 * std::abs(want[i]))
        << what << ", element " << i;
}

struct Expected {
  const char* config;
  std::vector<double> a, b;
};

TEST(Optimizers, ComputeWhatKerasComputes) {
  const Expected cases[] = {
      {R"({"SGD": {"learning_rate": 0.1, "clipnorm": 0.5}})",
       {0.4724754, -1.0282744, 0.2469711, 2.0250015},
       {0.977499, -0.4196151}},
      {R"({"SGD": {"learning_rate": 0.1, "global_clipnorm": 0.5}})",
       {0.4867287, -1.0092462, 0.2532798, 2.0127904},
       {0.9857314, -0.436381}},
      {R"({"SGD": {"learning_rate": 0.1, "clipvalue": 0.25}})", {0.460888, -1.0, 0.210888, 2.0500002}, {1.0, -0.45}},
      {R"({"SGD": {"learning_rate": 0.1, "weight_decay": 0.1, "momentum": 0.9, "nesterov": true}})",
       {0.2277614, -1.1816999, 0.2537597, 2.1570039},
       {0.3910528, 0.1494145}},
      {R"({"Adam": {"learning_rate": 0.1, "use_ema": true, "ema_momentum": 0.7, "ema_overwrite_frequency": 2}})",
       {0.3739876, -1.1039217, 0.1670853, 2.128829},
       {0.8502017, -0.5582027}},
      {R"({"SGD": {"learning_rate": 0.1, "gradient_accumulation_steps": 2}})",
       {0.4659673, -1.0431219, 0.237435, 2.0295441},
       {0.9865837, -0.3480519}},
      {R"({"Adam": {"learning_rate": 0.1, "clipnorm": 1.0, "gradient_accumulation_steps": 3, "amsgrad": true}})",
       {0.4000407, -0.9000081, 0.3499934, 2.0999792},
       {0.9000011, -0.4000012}},
      {R"({"Nadam": {"learning_rate": 0.1, "gradient_accumulation_steps": 2}})",
       {0.4168518, -1.207683, 0.279496, 2.0725458},
       {0.9572974, -0.5049447}},
      {R"({"SGD": {"learning_rate": 0.1, "loss_scale_factor": 4.0}})",
       {0.4829837, -1.0215609, 0.2437175, 2.0147719},
       {0.9932919, -0.424026}},
      {R"({"AdamW": {"learning_rate": {"ExponentialDecay": {"initial_learning_rate": 0.1, "decay_steps": 2, "decay_rate": 0.5}}}})",
       {0.3404398, -1.1060957, 0.1920008, 2.1638143},
       {0.8117228, -0.5578528}},
      {R"({"RMSprop": {"learning_rate": 0.1, "momentum": 0.5}})",
       {0.0255551, -1.3251339, -0.1843147, 2.5457263},
       {0.5260068, -0.1829562}},
      {R"({"RMSprop": {"learning_rate": 0.1, "centered": true}})",
       {0.198354, -1.264298, -0.0559236, 2.3380258},
       {0.8323722, -0.1857031}},
      {R"({"Adafactor": {"learning_rate": 0.1}})",
       {0.388116, -1.0766895, 0.2255021, 2.1258576},
       {0.9914614, -0.3616642}},
      {R"({"Ftrl": {"learning_rate": 0.1, "l1_regularization_strength": 0.1, "l2_regularization_strength": 0.2, "l2_shrinkage_regularization_strength": 0.1, "beta": 0.3}})",
       {0.155135, -0.5103414, -0.0026833, 0.850119},
       {0.658619, -0.1672825}},
      {R"({"Muon": {"learning_rate": 0.1}})", {0.4705399, -1.002106, 0.2229829, 2.0266054}, {0.765159, -0.4942583}},
      {R"({"Muon": {"learning_rate": 0.1, "exclude_layers": ["^a$"], "nesterov": false}})",
       {0.3074304, -1.1196042, 0.2031067, 2.197089},
       {0.765159, -0.4942583}},
      {R"({"ScheduleFreeAdamW": {"learning_rate": 0.1, "warmup_steps": 3}})",
       {0.4968826, -0.9997474, 0.2214232, 2.0103209},
       {0.9944881, -0.3950017}},
      {R"({"Lamb": {"learning_rate": 0.1}})", {0.2446119, -1.0985304, 0.2430913, 2.2769523}, {0.7541461, -0.425065}},
      {R"({"Lion": {"learning_rate": 0.1, "weight_decay": 0.1}})",
       {0.2842581, -0.9606159, 0.0421291, 2.1172318},
       {0.9645561, -0.280318}},
      {R"({"Adamax": {"learning_rate": 0.1}})", {0.3336978, -1.1176112, 0.189181, 2.1749084}, {0.7973481, -0.5285452}},
      {R"({"Adadelta": {"learning_rate": 1.0}})", {0.4985938, -1.0011191, 0.2478731, 2.0015447}, {0.99992, -0.4967486}},
      {R"({"Adagrad": {"learning_rate": 0.1}})",
       {0.4189169, -1.0722817, 0.2169634, 2.0875125},
       {0.9512251, -0.4074315}},
  };
  for (const Backend* backend : backends())
    for (const Expected& expected : cases) {
      SCOPED_TRACE(std::string(backend->name()) + " " + expected.config);
      const Weights weights;
      train(*read_object<Optimizer>(parse_json(expected.config)), weights, *backend);
      expect_values(weights.a->value(), expected.a, "a");
      expect_values(weights.b->value(), expected.b, "b");
    }
}

TEST(Optimizers, AveragesReplaceTheWeightsInTheEnd) {
  optimizers::SGD optimizer({.learning_rate = 0.1}, {.use_ema = true, .ema_momentum = 0.5});
  const Weights weights;
  train(optimizer, weights, reference_backend(), 2);
  const double first = 0.5 - 0.1 * std::sin(1), second = first - 0.1 * std::sin(3);
  EXPECT_NEAR(weights.a->value().at(0), second, 1e-6);
  optimizer.finalize();
  EXPECT_NEAR(weights.a->value().at(0), (first + second) / 2, 1e-6);
}

TEST(Optimizers, ExcludedWeightsDoNotDecay) {
  optimizers::SGD optimizer({.learning_rate = 0.0, .weight_decay = 0.5});
  optimizer.exclude_from_weight_decay({"^b$"});
  optimizers::SGD plain({.learning_rate = 0.0});
  const Weights weights, untouched;
  weights.b->rename("dense/b");  // its name is what is looked at
  optimizer.set_learning_rate(0.1);
  plain.set_learning_rate(0.1);
  train(optimizer, weights, reference_backend());
  train(plain, untouched, reference_backend());
  EXPECT_TRUE(weights.b->value().identical(untouched.b->value()));
  EXPECT_NE(weights.a->value().at(0), untouched.a->value().at(0));
}

TEST(Optimizers, WeightsWithoutGradientAreLeftAlone) {
  optimizers::Adam optimizer({}, {.global_clipnorm = 1.0});
  const Weights weights;
  optimizer.build({weights.a, weights.b});
  Graph graph;
  const Optimizer::Gradient gradients[] = {{weights.a, graph.input("a", weights.a->type())}, {weights.b, {}}};
  optimizer.apply(graph, gradients);
  Executable(graph, reference_backend()).run(std::vector{Tensor::of<float>({2, 2}, {1, 1, 1, 1})});
  EXPECT_EQ(weights.b->value().at(0), 1);
  EXPECT_LT(weights.a->value().at(0), 0.5);
  EXPECT_EQ(optimizer.iterations(), 1);
}

std::string state_of(const char* config) {
  const auto optimizer = read_object<Optimizer>(parse_json(config));
  const auto kernel = std::make_shared<Variable>("fc/kernel", Type{DType::float32, {3, 2}}, true);
  const auto bias = std::make_shared<Variable>("fc/bias", Type{DType::float32, {2}}, true);
  optimizer->build({kernel, bias});
  std::string text;
  for (const VariableRef& variable : optimizer->variables()) text += variable->path() + variable->type().text() + " ";
  return text;
}

// The order of h5 files: those of Keras, whose paths only have the model's name besides.
TEST(Optimizers, StateIsInKerasOrder) {
  EXPECT_EQ(state_of(R"({"SGD": {"momentum": 0.9, "use_ema": true, "gradient_accumulation_steps": 2}})"),
            "sgd/iterationint64() sgd/learning_ratefloat32() sgd/fc_kernel_averagefloat32(3, 2) "
            "sgd/fc_bias_averagefloat32(2,) "
            "sgd/fc_kernel_gradient_accumulatorfloat32(3, 2) sgd/fc_bias_gradient_accumulatorfloat32(2,) "
            "sgd/fc_kernel_momentumfloat32(3, 2) sgd/fc_bias_momentumfloat32(2,) ");
  EXPECT_EQ(
      state_of(R"({"Adam": {"amsgrad": true}})"),
      "adam/iterationint64() adam/learning_ratefloat32() adam/fc_kernel_momentumfloat32(3, 2) "
      "adam/fc_kernel_velocityfloat32(3, 2) "
      "adam/fc_bias_momentumfloat32(2,) adam/fc_bias_velocityfloat32(2,) adam/fc_kernel_velocity_hatfloat32(3, 2) "
      "adam/fc_bias_velocity_hatfloat32(2,) ");
  EXPECT_EQ(state_of(R"({"RMSprop": {"momentum": 0.9, "centered": true}})"),
            "rm_sprop/iterationint64() rm_sprop/learning_ratefloat32() rm_sprop/fc_kernel_velocityfloat32(3, 2) "
            "rm_sprop/fc_bias_velocityfloat32(2,) "
            "rm_sprop/fc_kernel_momentumfloat32(3, 2) rm_sprop/fc_bias_momentumfloat32(2,) "
            "rm_sprop/fc_kernel_average_gradientfloat32(3, 2) "
            "rm_sprop/fc_bias_average_gradientfloat32(2,) ");
  EXPECT_EQ(
      state_of(
          R"({"Adam": {"learning_rate": {"ExponentialDecay": {"initial_learning_rate": 0.1, "decay_steps": 20, "decay_rate": 0.7}}}})"),
      "adam/iterationint64() adam/fc_kernel_momentumfloat32(3, 2) adam/fc_kernel_velocityfloat32(3, 2) "
      "adam/fc_bias_momentumfloat32(2,) "
      "adam/fc_bias_velocityfloat32(2,) ");
  EXPECT_EQ(state_of(R"({"Muon": {}})"),
            "muon/iterationint64() muon/learning_ratefloat32() muon/fc_kernel_momentumfloat32(3, 2) "
            "muon/fc_bias_momentumfloat32(2,) muon/fc_bias_velocityfloat32(2,) ");
}

TEST(Optimizers, ConfigIsKerass) {
  optimizers::Adam adam;
  EXPECT_EQ(
      write_json(write_object<Optimizer>(adam, Style::keras)),
      R"({"module": "keras.optimizers", "class_name": "Adam", "config": {"name": "adam", "clipnorm": null, "global_clipnorm": null, )"
      R"("clipvalue": null, "use_ema": false, "ema_momentum": 0.99, "ema_overwrite_frequency": null, "loss_scale_factor": null, )"
      R"("gradient_accumulation_steps": null, "learning_rate": 0.0010000000474974513, "weight_decay": null, "beta_1": 0.9, )"
      R"("beta_2": 0.999, "epsilon": 1e-07, "amsgrad": false}, "registered_name": null})");
  EXPECT_EQ(write_object<Optimizer>(adam, Style::yaml).text(), "'Adam'");
  EXPECT_EQ(write_object<Optimizer>(optimizers::SGD({.learning_rate = 0.5}), Style::yaml).text(),
            "{SGD: {learning_rate: 0.5}}");
  adam.set_learning_rate(0.25);
  EXPECT_EQ(adam.config_tree(Style::keras)["learning_rate"], Tree(0.25));
}

TEST(Optimizers, SayWhatIsWrong) {
  using test::message_of;
  EXPECT_EQ(
      message_of([] { read_object<Optimizer>(parse_json(R"({"SGD": {"clipnorm": 1, "clipvalue": 1}})", "o.json")); }),
      "o.json:1:2: only one of 'clipnorm', 'global_clipnorm' and 'clipvalue' can be set");
  EXPECT_EQ(message_of([] { read_object<Optimizer>(parse_json(R"({"Adm": {}})", "o.json")); }),
            "o.json:1:2: unknown optimizer 'Adm'\n  hint: did you mean 'Adam'?");
  EXPECT_EQ(message_of([] { read_object<Optimizer>(parse_json(R"({"Adam": {"learning_rat": 1}})", "o.json")); }),
            "o.json:1:11: unknown key 'learning_rat'\n  hint: did you mean 'learning_rate'?");
  const auto scheduled = read_object<Optimizer>(parse_json(
      R"({"SGD": {"learning_rate": {"ExponentialDecay": {"initial_learning_rate": 1, "decay_steps": 1, "decay_rate": 0.5}}}})"));
  EXPECT_EQ(scheduled->learning_rate(), 1);
  EXPECT_EQ(message_of([&] { scheduled->set_learning_rate(1); }),
            "the learning rate of optimizer 'sgd' comes from a schedule and cannot be set\n  hint: give the optimizer "
            "a number as its learning_rate");
}

}  // namespace
}  // namespace nacre
