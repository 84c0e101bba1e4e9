// Einstein's summation, by its meaning: every element of the result as a sum over all indices.
#include "layers/einsum.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "backend/core/random.h"
#include "backend/executable.h"
#include "backend/graph/passes/pipeline.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

Tensor random_tensor(const Shape& shape, std::uint32_t number) {
  Tensor tensor = Tensor::uninitialised({DType::float32, shape});
  RandomStream random(RandomKey::of(3, "einsum", number));
  for (float& value : tensor.writable<float>()) value = static_cast<float>(random.uniform(-1, 1));
  return tensor;
}

// The definition, for equations of letters with "->".
std::vector<double> by_definition(const std::vector<std::string>& axes, const std::string& result,
                                  const std::vector<Tensor>& operands) {
  std::map<char, std::int64_t> sizes, index;
  for (std::size_t i = 0; i < axes.size(); ++i)
    for (std::size_t axis = 0; axis < axes[i].size(); ++axis)
      sizes[axes[i][axis]] = operands[i].shape()[static_cast<int>(axis)];
  const auto place = [&](const std::string& letters) {
    std::int64_t offset = 0;
    for (char letter : letters) offset = offset * sizes.at(letter) + index[letter];
    return static_cast<std::size_t>(offset);
  };
  std::int64_t count = 1, all = 1;
  for (char letter : result) count *= sizes.at(letter);
  for (const auto& [letter, size] : sizes) all *= size;
  std::vector<double> sums(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < all; ++i) {
    std::int64_t rest = i;
    for (const auto& [letter, size] : sizes) index[letter] = rest % size, rest /= size;
    double product = 1;
    for (std::size_t k = 0; k < axes.size(); ++k) product *= operands[k].data<float>()[place(axes[k])];
    sums[place(result)] += product;
  }
  return sums;
}

Tensor run_einsum(std::string_view equation, const std::vector<Tensor>& operands, Shape* inferred = nullptr) {
  Graph graph, unknown_sizes;
  Values values, symbols;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    values.push_back(graph.input(fmt::format("x{}", i), operands[i].type()));
    Shape shape = operands[i].shape();
    for (int axis = 0; axis < shape.rank(); ++axis) shape.set(axis, unknown);
    symbols.push_back(unknown_sizes.input(fmt::format("x{}", i), {DType::float32, shape}));
  }
  if (inferred) *inferred = emit::einsum(equation, symbols).shape();
  graph.output("y", emit::einsum(equation, values));
  return Executable(*decompose_missing(graph, reference_backend()), reference_backend()).run(operands).front();
}

struct Case {
  std::vector<std::string> axes;
  std::string result;
};
class Einsum : public testing::TestWithParam<Case> {};

TEST_P(Einsum, IsTheSumOverAllIndices) {
  const auto& [axes, result] = GetParam();
  const std::map<char, std::int64_t> sizes{{'a', 2}, {'b', 3}, {'c', 4}, {'d', 5}, {'e', 2}, {'f', 3}};
  std::vector<Tensor> operands;
  for (const std::string& letters : axes) {
    Shape shape;
    for (char letter : letters) shape.append(sizes.at(letter));
    operands.push_back(random_tensor(shape, static_cast<std::uint32_t>(operands.size())));
  }
  Shape inferred;
  std::string equation = axes[0];
  for (std::size_t i = 1; i < axes.size(); ++i) equation += "," + axes[i];
  const Tensor got = run_einsum(equation + "->" + result, operands, &inferred);
  EXPECT_TRUE(same(inferred, got.shape())) << inferred.text();
  const std::vector<double> want = by_definition(axes, result, operands);
  ASSERT_EQ(static_cast<std::size_t>(got.shape().elements()), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got.data<float>()[i], want[i], 1e-4) << i;
}

INSTANTIATE_TEST_SUITE_P(
    Equations, Einsum,
    testing::Values(Case{{"ab", "bc"}, "ac"}, Case{{"ab", "cb"}, "ca"}, Case{{"ba", "bc"}, "ac"},
                    Case{{"abc", "cde"}, "abde"}, Case{{"abcd", "cde"}, "abe"}, Case{{"abcd", "dce"}, "eba"},
                    Case{{"abc", "adc"}, "abd"}, Case{{"acb", "adc"}, "abd"}, Case{{"abcd", "aecd"}, "acbe"},
                    Case{{"abc", "bcd"}, "abd"}, Case{{"ab", "ab"}, "ab"}, Case{{"ab", "ab"}, "b"},
                    Case{{"ab", "ab"}, ""}, Case{{"a", "b"}, "ab"}, Case{{"a", "b"}, "ba"}, Case{{"a", "b"}, ""},
                    Case{{"abc", "b"}, "abc"}, Case{{"abc", "d"}, "dac"}, Case{{"abcd"}, "db"}, Case{{"aa"}, "a"},
                    Case{{"abb", "bc"}, "ac"}, Case{{"aab", "aac"}, "abc"}, Case{{"ab", "bc", "cd"}, "ad"},
                    Case{{"ab", "ac", "ad"}, "bcd"}, Case{{"abc", "cd", "bd", "e"}, "ae"}));

TEST(EinsumEquation, EllipsisStandsForAnyAxesAndBroadcasts) {
  const Tensor x = random_tensor({2, 3, 4}, 0), w = random_tensor({4, 5}, 1), one = random_tensor({1, 3, 4}, 2);
  const auto same_as = [](const Tensor& got, const Tensor& want) {
    ASSERT_EQ(got.shape(), want.shape());
    for (std::size_t i = 0; i < got.data<float>().size(); ++i) EXPECT_EQ(got.data<float>()[i], want.data<float>()[i]);
  };
  same_as(run_einsum("...x,xy->...y", {x, w}), run_einsum("abx,xy->aby", {x, w}));
  same_as(run_einsum("a...,xy->...a", {x, random_tensor({1, 1}, 3)}), run_einsum("abc,xy->bca", {x, random_tensor({1, 1}, 3)}));
  EXPECT_EQ(run_einsum("...b,...b->...b", {x, one}).shape(), (Shape{2, 3, 4}));
  EXPECT_EQ(run_einsum("...ij,...jk->...ik", {x, w}).shape(), (Shape{2, 3, 5}));
}

TEST(EinsumEquation, WithoutArrowKeepsTheLettersThatOccurOnce) {
  const Tensor x = random_tensor({2, 3}, 0), y = random_tensor({3, 4}, 1);
  EXPECT_EQ(run_einsum("ba,ac", {x, y}).shape(), (Shape{2, 4}));
  EXPECT_EQ(run_einsum("ba", {x}).shape(), (Shape{3, 2}));
  EXPECT_EQ(run_einsum("...a,ab", {x, y}).shape(), (Shape{2, 4}));
}

TEST(EinsumEquation, ProductsAreOneMatrixProduct) {
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {2, 3, 4}}), kernel = graph.input("w", {DType::float32, {4, 5, 6}});
  emit::einsum("abc,cde->abde", {x, kernel});
  std::multiset<std::string_view> ops;
  for (const Node* node : graph.nodes()) ops.insert(node->op().name);
  EXPECT_EQ(ops, (std::multiset<std::string_view>{"input", "input", "matmul", "reshape", "reshape"}));
}

TEST(EinsumEquation, MistakesAreSaid) {
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {2, 3}}), y = graph.input("y", {DType::float32, {4, 5}});
  const auto message = [&](std::string_view equation, Values values) {
    return test::message_of([&] { emit::einsum(equation, values); });
  };
  EXPECT_EQ(message("ab,bc->ac", {x, y}), "the axis 'b' of the equation 'ab,bc->ac' has the sizes 3 and 4");
  EXPECT_EQ(message("ab,cd->ae", {x, y}),
            "the result of the equation 'ab,cd->ae' has an axis 'e' that no operand has, or twice");
  EXPECT_EQ(message("abc,bc->a", {x, y}), "got (2, 3) as operand 1 of the equation 'abc,bc->a'");
  EXPECT_EQ(message("a1,bc->a", {x, y}), "cannot read '1' in the equation 'a1,bc->a'");
  EXPECT_EQ(message("ab->a", {x, y}), "got 2 operands for the equation 'ab->a'");
}

}  // namespace
}  // namespace nacre
