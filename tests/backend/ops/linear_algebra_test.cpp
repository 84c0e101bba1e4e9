// Linear algebra by what defines it, and what is refused.
#include "backend/graph/ops/linear_algebra.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "backend/executable.h"
#include "backend/graph/ops/bitwise.h"
#include "backend/graph/ops/shape.h"

namespace nacre {
namespace {

template <class T>
std::vector<Tensor> computed(const Backend& backend, Shape shape, std::vector<T> values, Values (*emit)(Value)) {
  const Tensor x = Tensor::of<T>(std::move(shape), std::span<const T>(values));
  Graph graph;
  const Values results = emit(graph.input("x", x.type()));
  for (std::size_t i = 0; i < results.size(); ++i) graph.output(fmt::format("{}", i), results[i]);
  const Tensor inputs[] = {x};
  return Executable(graph, backend).run(inputs);
}

std::string refusal(std::vector<float> values, Values (*emit)(Value)) {
  for (const Backend* backend : backends()) {
    try {
      computed<float>(*backend, {2, 2}, values, emit);
      return "no refusal";
    } catch (const Error& error) {
      if (backend == backends().back()) return error.what();
    }
  }
  return {};
}

TEST(LinearAlgebra, LuTakesRowsOfX) {
  for (const Backend* backend : backends()) {
    const auto found = computed<float>(*backend, {2, 2}, {1, 2, 4, 6}, [](Value x) {
      const auto [lu, from] = ops::lu(x);
      return Values{lu, from};
    });
    const double lu[] = {4, 6, 0.25, 0.5}, from[] = {1, 0};
    for (int i = 0; i < 4; ++i) EXPECT_NEAR(found[0].at(i), lu[i], 1e-6);
    for (int i = 0; i < 2; ++i) EXPECT_EQ(found[1].at(i), from[i]);
  }
}

TEST(LinearAlgebra, DeterminantOfSingularMatricesIsZero) {
  const auto found = computed<float>(reference_backend(), {2, 2}, {1, 2, 2, 4}, [](Value x) {
    const auto [sign, log] = ops::log_determinant(x);
    return Values{ops::determinant(x), sign, log};
  });
  EXPECT_EQ(found[0].item(), 0);
  EXPECT_EQ(found[1].item(), 0);
  EXPECT_EQ(found[2].item(), -std::numeric_limits<double>::infinity());
}

TEST(LinearAlgebra, PseudoInverseOfLowRank) {
  const auto found = computed<float>(reference_backend(), {2, 2}, {1, 2, 2, 4}, [](Value x) { return Values{ops::pseudo_inverse(x, 1e-6)}; });
  const double wanted[] = {0.04, 0.08, 0.08, 0.16};
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(found[0].at(i), wanted[i], 1e-6);
}

TEST(LinearAlgebra, NoMatricesGiveNone) {
  for (const Backend* backend : backends()) {
    const auto found = computed<float>(*backend, {0, 3, 3}, {}, [](Value x) { return Values{ops::inverse(x), ops::svd(x)[1], ops::determinant(x)}; });
    EXPECT_EQ(found[0].shape(), (Shape{0, 3, 3}));
    EXPECT_EQ(found[1].shape(), (Shape{0, 3}));
    EXPECT_EQ(found[2].shape(), Shape{0});
  }
}

TEST(LinearAlgebra, WhatHasNoResultIsRefused) {
  Graph graph;
  EXPECT_THROW(ops::eigh(graph.input("x", {DType::float32, {2, 0, 0}})), Error);
  EXPECT_NE(refusal({1, 2, 2, 4}, [](Value x) { return Values{ops::inverse(x)}; }).find("without an inverse"), std::string::npos);
  EXPECT_NE(refusal({1, 2, 2, 1}, [](Value x) { return Values{ops::cholesky(x)}; }).find("not positive definite"), std::string::npos);
  EXPECT_NE(refusal({0, 2, 2, 1}, [](Value x) { return Values{ops::triangular_solve(x, x, true)}; }).find("zeros on its diagonal"),
            std::string::npos);
  EXPECT_NE(refusal({NAN, 2, 2, 1}, [](Value x) { return Values{ops::eigh(x)[0]}; }).find("no numbers"), std::string::npos);
  EXPECT_NE(refusal({NAN, 2, 2, 1}, [](Value x) { return Values{ops::svd(x)[1]}; }).find("no numbers"), std::string::npos);
}

TEST(NextAfter, IsNextInEachDtype) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> from{1, -1, 0, 0, infinity, 2, std::numeric_limits<float>::max(), NAN},
      to{2, 2, 1, -1, 0, 2, infinity, 0};
  std::vector<float> both = from;
  both.insert(both.end(), to.begin(), to.end());
  for (const Backend* backend : backends()) {
    const auto found = computed<float>(*backend, {2, 8}, both, [](Value x) {
      const auto half = [&](Value y) { return ops::next_after(ops::slice_axis(y, 0, 0, 1), ops::slice_axis(y, 0, 1, 2)); };
      return Values{half(x), ops::cast(half(ops::cast(x, DType::float16)), DType::float32),
                    ops::cast(half(ops::cast(x, DType::bfloat16)), DType::float32)};
    });
    for (std::size_t i = 0; i < from.size(); ++i) {
      const float next = std::nextafter(from[i], to[i]);
      if (std::isnan(next)) EXPECT_TRUE(std::isnan(found[0].at(static_cast<std::int64_t>(i))));
      else EXPECT_EQ(found[0].at(static_cast<std::int64_t>(i)), next) << i;
    }
    EXPECT_EQ(found[1].at(0), 1 + 0x1p-10);
    EXPECT_EQ(found[1].at(1), -1 + 0x1p-11);
    EXPECT_EQ(found[1].at(2), 0x1p-24);
    EXPECT_EQ(found[2].at(0), 1 + 0x1p-7);
  }
}

TEST(Bitcast, ReadsBytesAsOtherNumbers) {
  for (const Backend* backend : backends()) {
    const auto found = computed<float>(*backend, {2}, {1, -2}, [](Value x) {
      return Values{ops::bitcast(x, DType::int32), ops::bitcast(x, DType::uint8), ops::bitcast(x, DType::int64)};
    });
    EXPECT_EQ(found[0].at(0), 0x3f800000);
    EXPECT_EQ(found[1].shape(), Shape{8});
    EXPECT_EQ(found[1].at(7), 0xc0);
    EXPECT_EQ(found[2].shape(), Shape{1});
  }
  Graph graph;
  EXPECT_THROW(ops::bitcast(graph.input("x", {DType::float32, {3}}), DType::int64), Error);
}

}  // namespace
}  // namespace nacre
