#include "backend/host_part.h"

#include <gtest/gtest.h>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/reduce.h"
#include "tests/support/hosted.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

// The lengths of texts; or, of numbers, texts of so many letters.
class Lengths final : public HostFunction {
 public:
  std::string_view name() const override { return "lengths"; }
  Types infer(const Types& in) const override {
    return {{in[0].dtype == DType::string ? DType::int64 : DType::string, in[0].shape}};
  }
  std::vector<Tensor> run(std::span<const Tensor> in) const override {
    Tensor result(infer({in[0].type()})[0]);
    for (std::int64_t i = 0; i < in[0].size(); ++i) {
      const auto at = static_cast<std::size_t>(i);
      if (result.dtype() == DType::string) result.writable<std::string>()[at].assign(static_cast<std::size_t>(in[0].at(i)), 'x');
      else result.writable<std::int64_t>()[at] = static_cast<std::int64_t>(in[0].data<std::string>()[at].size());
    }
    return {std::move(result)};
  }
};

// All letters of a batch, as many as its longest text has in each row: a size that depends on data.
class Letters final : public HostFunction {
 public:
  std::string_view name() const override { return "letters"; }
  Types infer(const Types& in) const override { return {{DType::float32, {in[0].shape[0], unknown}}}; }
  std::vector<Tensor> run(std::span<const Tensor> in) const override {
    std::size_t longest = 0;
    for (const std::string& text : in[0].data<std::string>()) longest = std::max(longest, text.size());
    Tensor result(DType::float32, {in[0].size(), static_cast<std::int64_t>(longest)});
    for (std::size_t i = 0; const std::string& text : in[0].data<std::string>()) {
      for (std::size_t k = 0; k < text.size(); ++k) result.writable<float>()[i * longest + k] = static_cast<float>(text[k] - 'a');
      ++i;
    }
    return {std::move(result)};
  }
};

Values host(std::shared_ptr<const HostFunction> function, Value operand, const std::vector<Types>& types, std::size_t call) {
  return ops::host(std::move(function), {operand}, call < types.size() ? types[call] : Types());
}

std::vector<Tensor> run(const std::function<void(Graph&, const std::vector<Types>&)>& emit, const std::vector<Tensor>& inputs,
                        const Backend& backend) {
  return test::run_hosted(
      [&](const std::vector<Types>& types) {
        auto graph = std::make_unique<Graph>();
        emit(*graph, types);
        return graph;
      },
      inputs, backend);
}

TEST(HostPart, SizesOfTheDeviceGraphFollowTheData) {
  for (const Backend* backend : backends())
    for (const auto& [texts, sums] : {std::pair{std::vector<std::string>{"ab", "b"}, std::vector<double>{1, 1}},
                                      std::pair{std::vector<std::string>{"", "abcd"}, std::vector<double>{0, 6}}}) {
      const auto outputs = run(
          [](Graph& graph, const std::vector<Types>& types) {
            const Value text = graph.input("text", {DType::string, {2}});
            graph.output("sum", ops::sum(host(std::make_shared<Letters>(), text, types, 0).front(), {1}));
          },
          {Tensor::of<std::string>({2}, texts)}, *backend);
      EXPECT_EQ(outputs[0].to_doubles(), sums);
    }
}

TEST(HostPart, RunsBeforeAndAfterTheDevice) {
  const auto offset = std::make_shared<Variable>("offset", Type{DType::int64, {}}, false);
  offset->assign(Tensor::scalar(std::int64_t{2}));
  for (const Backend* backend : backends()) {
    const auto outputs = run(
        [&](Graph& graph, const std::vector<Types>& types) {
          const Value text = graph.input("text", {DType::string, {2}}), number = graph.input("number", {DType::int64, {2}});
          const Value length = host(std::make_shared<Lengths>(), text, types, 0).front();
          const Value sum = length + number + graph.variable(offset);
          graph.output("sum", sum);
          graph.output("longer", host(std::make_shared<Lengths>(), sum, types, 1).front());
          graph.output("length", length);
          graph.output("text", text);
          graph.output("number", number);
        },
        {Tensor::of<std::string>({2}, {"abc", ""}), Tensor::of<std::int64_t>({2}, {1, 0})}, *backend);
    EXPECT_EQ(outputs[0].to_doubles(), (std::vector<double>{6, 2}));
    EXPECT_TRUE(outputs[1].identical(Tensor::of<std::string>({2}, {"xxxxxx", "xx"})));
    EXPECT_EQ(outputs[2].to_doubles(), (std::vector<double>{3, 0}));
    EXPECT_TRUE(outputs[3].identical(Tensor::of<std::string>({2}, {"abc", ""})));
    EXPECT_EQ(outputs[4].to_doubles(), (std::vector<double>{1, 0}));
  }
}

TEST(HostPart, OrdinaryOpsMayStandBetweenItsFunctions) {
  const auto outputs = run(
      [](Graph& graph, const std::vector<Types>& types) {
        const Value text = graph.input("text", {DType::string, {unknown}});
        const Value length = host(std::make_shared<Lengths>(), text, types, 0).front();
        const Value again = host(std::make_shared<Lengths>(), length * ops::fill_like(length, 2), types, 1).front();
        graph.output("y", host(std::make_shared<Lengths>(), again, types, 2).front());
      },
      {Tensor::of<std::string>({3}, {"abc", "", "a"})}, reference_backend());
  EXPECT_EQ(outputs[0].to_doubles(), (std::vector<double>{6, 0, 2}));
}

// Where sizes are unknown yet, layers put inputs in place of zeros (the first state of an LSTM), which nobody feeds.
TEST(HostPart, InputsThatItDoesNotReadMayBeMissing) {
  Graph graph;
  const Value number = graph.input("number", {DType::int64, {2}}), text = graph.input("text", {DType::string, {2}});
  const Value zeros = graph.input("placeholder2", {DType::int64, {unknown}});
  graph.output("sum", host(std::make_shared<Lengths>(), text, {}, 0).front() + number + zeros);
  const HostPart part(graph);
  const auto results = part.run(std::vector{Tensor::of<std::int64_t>({2}, {1, 0}), Tensor::of<std::string>({2}, {"abc", ""})});
  EXPECT_EQ(results.at(0).to_doubles(), (std::vector<double>{3, 0}));
}

TEST(HostPart, NothingIsTrainedThroughFunctionsAfterTheDevice) {
  const auto weight = std::make_shared<Variable>("weight", Type{DType::int64, {}}, true);
  Graph graph;
  const Value text = ops::host(std::make_shared<Lengths>(), {graph.variable(weight)}).front();
  graph.update(weight, ops::host(std::make_shared<Lengths>(), {text}).front());
  EXPECT_EQ(test::message_of([&] { HostedExecutable(graph, reference_backend(), nullptr); }),
            "'weight' would be trained through a function that runs on the host");
}

TEST(HostPart, OtherOpsRefuseTexts) {
  Graph graph;
  const Value text = graph.input("text", {DType::string, {2}}), number = graph.input("number", {DType::float32, {2}});
  EXPECT_EQ(test::message_of([&] { ops::exp(text); }), "exp: got texts (2,), wanted numbers");
  EXPECT_EQ(test::message_of([&] { ops::cast(number, DType::string); }), "cast: got numbers float32(2,), wanted texts");
}

}  // namespace
}  // namespace nacre
