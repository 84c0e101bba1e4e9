// The elementary functions of every instruction set against double precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "backend/core/random.h"
#include "backend/onednn/elementwise/loops.h"

namespace nacre::onednn {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

struct Function {
  const char* name;
  Opcode code;
  double (*exact)(double);
};
const Function functions[] = {
    {"exp", Opcode::exp, [](double x) { return std::exp(x); }},
    {"expm1", Opcode::expm1, [](double x) { return std::expm1(x); }},
    {"log", Opcode::log, [](double x) { return std::log(x); }},
    {"log1p", Opcode::log1p, [](double x) { return std::log1p(x); }},
    {"sqrt", Opcode::sqrt, [](double x) { return std::sqrt(x); }},
    {"rsqrt", Opcode::rsqrt, [](double x) { return 1 / std::sqrt(x); }},
    {"sin", Opcode::sin, [](double x) { return std::sin(x); }},
    {"cos", Opcode::cos, [](double x) { return std::cos(x); }},
    {"tanh", Opcode::tanh, [](double x) { return std::tanh(x); }},
    {"sigmoid", Opcode::sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }},
    {"erf", Opcode::erf, [](double x) { return std::erf(x); }},
};

// Any bit pattern, and the ranges where the functions bend.
std::vector<float> arguments() {
  std::vector<float> x{0.0f,
                       -0.0f,
                       1,
                       -1,
                       infinity,
                       -infinity,
                       nan,
                       std::numeric_limits<float>::min(),
                       std::numeric_limits<float>::denorm_min(),
                       -std::numeric_limits<float>::denorm_min(),
                       std::numeric_limits<float>::max(),
                       std::numeric_limits<float>::lowest(),
                       88.72283f,
                       88.72284f,
                       88.5f,
                       -87.33f,
                       -87.4f,
                       -103.9f,
                       -104.1f,
                       1e-4f,
                       -1e-4f,
                       0.99999994f,
                       1.0000001f};
  RandomStream random(RandomKey::of(1, "math"));
  for (int i = 0; i < 100000; ++i) x.push_back(std::bit_cast<float>(random.word()));
  for (const double scale : {1e-3, 0.1, 1.0, 10.0, 100.0})
    for (int i = 0; i < 50000; ++i) x.push_back(static_cast<float>(random.uniform(-scale, scale)));
  return x;
}

class EveryInstructionSet : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    const int count = runnable_loops(list_);
    if (GetParam() >= count) GTEST_SKIP() << "this machine runs " << count << " of the instruction sets";
  }
  const Loops& loops() const { return *list_[GetParam()]; }

 private:
  const Loops* list_[3] = {};
};
INSTANTIATE_TEST_SUITE_P(Elementwise, EveryInstructionSet, testing::Values(0, 1, 2));

// A hypervisor may hide any of them.
TEST(InstructionSets, LoopsRunWhereAllThatTheyWereCompiledForIs) {
  const Loops* list[3];
  constexpr std::uint32_t haswell = avx2 | fma | f16c, skylake = haswell | avx512f | avx512dq | avx512bw | avx512vl;
  EXPECT_EQ(runnable_loops(0, list), 1);
  EXPECT_EQ(list[0], &loops_baseline);
#if defined(__x86_64__)
  ASSERT_EQ(runnable_loops(skylake, list), 3);
  EXPECT_EQ(list[0], &loops_avx512);
  ASSERT_EQ(runnable_loops(haswell, list), 2);
  EXPECT_EQ(list[0], &loops_avx2);
  for (const Feature missing : {avx2, fma, f16c}) EXPECT_EQ(runnable_loops(skylake & ~missing, list), 1) << missing;
  for (const Feature missing : {avx512f, avx512dq, avx512bw, avx512vl}) {
    EXPECT_EQ(runnable_loops(skylake & ~missing, list), 2) << missing;
    EXPECT_EQ(list[0], &loops_avx2);
  }
#endif
}

TEST_P(EveryInstructionSet, FunctionsAreAccurate) {
  const std::vector<float> x = arguments();
  std::vector<float> y(x.size());
  for (const Function& function : functions) {
    loops().instruction[static_cast<int>(function.code)][0](x.data(), x.data(), x.data(), y.data(),
                                                            static_cast<std::int64_t>(x.size()));
    double worst = 0;
    float worst_at = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double exact = function.exact(x[i]);
      const float rounded = static_cast<float>(exact);
      if (std::isnan(exact)) {
        EXPECT_TRUE(std::isnan(y[i])) << function.name << "(" << x[i] << ") = " << y[i];
      } else if (std::isinf(rounded) || rounded == 0) {
        EXPECT_EQ(y[i], rounded) << function.name << "(" << x[i] << ")";
        EXPECT_EQ(std::signbit(y[i]), std::signbit(rounded)) << function.name << "(" << x[i] << ")";
      } else {
        // Below the smallest normal number there are fewer bits.
        const double error =
            std::abs(y[i] - exact) / std::max(std::abs(exact), double{std::numeric_limits<float>::min()});
        if (!(error <= worst)) worst = error, worst_at = x[i];
      }
      if (HasFailure()) return;
    }
    EXPECT_LT(worst, 1e-6) << loops().name << " " << function.name << "(" << worst_at << ")";
  }
}

struct BinaryFunction {
  const char* name;
  Opcode code;
  double (*exact)(double, double);
};
const BinaryFunction binary_functions[] = {
    {"power", Opcode::power, [](double a, double b) { return std::pow(a, b); }},
    {"modulo", Opcode::modulo,
     [](double a, double b) {
       const auto rest = static_cast<float>(std::fmod(a, b));
       return static_cast<double>(rest != 0 && (rest < 0) != (b < 0) ? rest + static_cast<float>(b) : rest);
     }},
};

// Pairs of any bit patterns, of the ordinary ranges, and of all that is special with one another.
TEST_P(EveryInstructionSet, FunctionsOfTwoAreAccurate) {
  const float special[] = {0.0f,      -0.0f,       1.0f,      -1.0f,  0.5f, -0.5f,  2.0f,  -2.0f, 3.0f, -3.0f, 0.99999994f,
                           infinity,  -infinity,   nan,       1e-40f, -1e-40f, 1e38f, -1e38f, 2.5f, -2.5f, 16777215.0f,
                           16777216.0f, 8388609.0f, -8388609.0f, 1.0000001f, 128.0f, -149.0f, 1e-20f, 7.0f};
  std::vector<float> a, b;
  for (const float x : special)
    for (const float y : special) a.push_back(x), b.push_back(y);
  RandomStream random(RandomKey::of(2, "math"));
  for (int i = 0; i < 100000; ++i) {
    a.push_back(std::bit_cast<float>(random.word())), b.push_back(std::bit_cast<float>(random.word()));
  }
  for (const double scale : {1.0, 10.0, 100.0, 1e4})
    for (int i = 0; i < 50000; ++i) {
      a.push_back(static_cast<float>(random.uniform(0, scale))), b.push_back(static_cast<float>(random.uniform(-20, 20)));
      a.push_back(static_cast<float>(random.uniform(-scale, scale)));
      b.push_back(std::round(static_cast<float>(random.uniform(-9, 9))));
    }
  std::vector<float> y(a.size());
  for (const BinaryFunction& function : binary_functions)
    for (const int scalars : {0, 1, 2}) {  // one operand may be the same for all
      std::fill(y.begin(), y.end(), nan);
      loops().instruction[static_cast<int>(function.code)][scalars](a.data() + 700, b.data() + 700, a.data(), y.data(),
                                                                    static_cast<std::int64_t>(a.size()) - 700);
      const std::size_t first = scalars == 0 ? 0 : 700;
      if (scalars == 0)
        loops().instruction[static_cast<int>(function.code)][0](a.data(), b.data(), a.data(), y.data(),
                                                                static_cast<std::int64_t>(a.size()));
      double worst = 0;
      for (std::size_t i = first; i < a.size(); ++i) {
        const float x = scalars == 1 ? a[700] : a[i], z = scalars == 2 ? b[700] : b[i], actual = y[i - first];
        const double exact = function.exact(x, z);
        const float rounded = static_cast<float>(exact);
        SCOPED_TRACE(testing::Message() << function.name << "(" << x << ", " << z << ") = " << actual);
        if (std::isnan(exact)) {
          ASSERT_TRUE(std::isnan(actual));
        } else if (std::isinf(rounded) || rounded == 0) {
          ASSERT_EQ(actual, rounded);
          ASSERT_EQ(std::signbit(actual), std::signbit(rounded));
        } else {
          worst = std::max(worst, std::abs(actual - exact) /
                                      std::max(std::abs(exact), double{std::numeric_limits<float>::min()}));
          ASSERT_LT(worst, function.code == Opcode::modulo ? 1e-12 : 2.4e-7);  // none, 2 units in the last place
        }
      }
    }
}

TEST_P(EveryInstructionSet, UniformNumbersAreThoseOfTheStream) {
  const RandomKey random = RandomKey::of(7, "dropout", 2, 31);
  const auto counter = random.counter(0);
  const auto key = random.key();
  const RandomStreamKey stream{{counter[1], counter[2], counter[3]}, {key[0], key[1]}};
  for (const std::int64_t first : {0, 1, 6, 1020, 4096})
    for (const std::int64_t count : {1, 3, 255, 256, 1024}) {
      std::vector<float> y(static_cast<std::size_t>(count));
      loops().uniform(stream, first, y.data(), count);
      for (std::int64_t i = 0; i < count; ++i)
        ASSERT_EQ(y[static_cast<std::size_t>(i)], uniform_from(random.word(static_cast<std::uint64_t>(first + i))))
            << first << "+" << i;
    }
  for (const std::size_t count : {1, 3, 63, 64, 256}) {
    std::vector<std::uint32_t> blocks;
    for (std::uint32_t i = 0; i < count; ++i) blocks.push_back(i * 0x9E3779B9u);
    std::vector<float> y(4 * count);
    loops().uniform_blocks(stream, blocks.data(), y.data(), static_cast<std::int64_t>(count));
    for (std::size_t i = 0; i < y.size(); ++i)
      ASSERT_EQ(y[i], uniform_from(random.word(std::uint64_t{blocks[i / 4]} * 4 + i % 4))) << i;
  }
}

// Every float16 there is comes back as it was, from pieces of every length; what lies between two is rounded to even.
TEST_P(EveryInstructionSet, Float16IsExactAndRoundedToNearest) {
  const auto type = static_cast<std::size_t>(DType::float16);
  std::vector<std::uint16_t> words;
  for (std::uint32_t word = 0; word < 0x10000u; ++word)
    if ((word & 0x7c00u) != 0x7c00u || (word & 0x3ffu) == 0) words.push_back(static_cast<std::uint16_t>(word));
  for (std::size_t count : {words.size(), std::size_t{1}, std::size_t{7}, std::size_t{19}}) {
    std::vector<float> floats(count);
    std::vector<std::uint16_t> back(count);
    loops().load[type](words.data(), floats.data(), static_cast<std::int64_t>(count));
    loops().store[type](floats.data(), back.data(), static_cast<std::int64_t>(count));
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(back[i], words[i]);
      ASSERT_EQ(floats[i], static_cast<float>(std::bit_cast<_Float16>(words[i])));
    }
  }
  for (std::size_t count : {std::size_t{3}, std::size_t{48}}) {
    const std::vector<float> between(count, 2049.0f), over(count, 65520.0f);
    std::vector<std::uint16_t> stored(count);
    loops().store[type](between.data(), stored.data(), static_cast<std::int64_t>(count));
    EXPECT_EQ(stored, std::vector<std::uint16_t>(count, 0x6800));  // 2048
    loops().store[type](over.data(), stored.data(), static_cast<std::int64_t>(count));
    EXPECT_EQ(stored, std::vector<std::uint16_t>(count, 0x7c00));
  }
}

TEST_P(EveryInstructionSet, ElementTypesAreConverted) {
  const std::vector<float> values{0, 1, 2.5f, 100, 254.9f, -0.0f, 65504, 1e-8f};
  const auto count = static_cast<std::int64_t>(values.size());
  std::vector<float> back(values.size());
  const auto through = [&]<class T>(T*) {
    std::vector<T> stored(values.size());
    const auto type = static_cast<std::size_t>(dtype_of<T>());
    loops().store[type](values.data(), stored.data(), count);
    loops().load[type](stored.data(), back.data(), count);
    for (std::size_t i = 0; i < values.size(); ++i)
      EXPECT_EQ(back[i], convert<float>(convert<T>(values[i]))) << name_of(dtype_of<T>()) << " " << values[i];
  };
  through(static_cast<std::int32_t*>(nullptr));
  through(static_cast<std::int64_t*>(nullptr));
  through(static_cast<Float16*>(nullptr));
  through(static_cast<BFloat16*>(nullptr));
  through(static_cast<float*>(nullptr));
}

}  // namespace
}  // namespace nacre::onednn
