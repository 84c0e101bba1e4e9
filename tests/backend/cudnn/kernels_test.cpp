// What generated kernels do in the corners that random cases seldom meet.
#include <array>
#include <bit>
#include <limits>
#include <numeric>

#include "backend/cudnn/backend.h"
#include "backend/cudnn/kernels.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/bitwise.h"
#include "backend/graph/ops/fused.h"
#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/ops.h"
#include "tests/backend/cudnn/on_gpu.h"
#include "tests/support/op_cases.h"

namespace nacre::test {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();

class GpuKernels : public OnGpu {};

// Lines of one tile, of just more, and of many.
TEST_F(GpuKernels, Argsort) {
  RandomStream random(RandomKey::of(1, "argsort"));
  const std::pair<Shape, int> cases[] = {{{0}, 0},       {{1}, 0},         {{256}, 0},       {{257}, 0},
                                         {{3, 1000}, 1}, {{700, 2, 3}, 0}, {{2, 600, 3}, 1}, {{2, 3, 1}, 1}};
  for (const auto& [shape, axis] : cases)
    for (const DType dtype : {DType::float32, DType::bfloat16, DType::int64, DType::boolean}) {
      Tensor x = draw_tensor(random, {DType::float64, shape}, {-20, 20});
      for (double& value : x.writable<double>()) {
        value = std::floor(value);  // with equal ones
        if (is_floating(dtype)) value = value == 7 ? nan : value == -7 ? -infinity : value == 0 ? -0.0 : value;
      }
      expect_parity({x.cast(dtype)}, [axis = axis](const Values& in) { return Values{ops::argsort(in[0], axis)}; });
    }
}

// Rows that many updates have, that none has, and indices out of range; more of them than are sorted in one tile.
Tensor some_indices(RandomStream& random, DType dtype, Shape shape, std::int64_t rows) {
  Tensor indices = draw_tensor(random, {DType::float64, std::move(shape)}, {-1, static_cast<double>(rows) + 1});
  std::size_t i = 0;
  for (double& value : indices.writable<double>()) value = i++ % 3 == 1 ? static_cast<double>(rows / 2) : std::floor(value);
  return indices.cast(dtype);
}

TEST_F(GpuKernels, SumsOfRows) {
  RandomStream random(RandomKey::of(1, "rows"));
  for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16, DType::float16, DType::int32})
    for (const Shape& shape : {Shape{0}, Shape{1}, Shape{255}, Shape{20, 31}})
      for (const auto& [rows, width] : {std::pair<std::int64_t, std::int64_t>{40, 3}, {1000, 1}, {1, 5}, {7, 0}}) {
        if (dtype != DType::float32 && (shape.rank() == 1 || rows != 40)) continue;
        const Tensor indices = some_indices(random, rows == 40 ? DType::int64 : DType::int32, shape, rows);
        Tensor updates = draw_tensor(random, {DType::float64, shape + Shape{width}}, {-9, 9});
        for (double& value : updates.writable<double>()) value = std::floor(value);  // of which all sums are exact
        expect_parity({indices, updates.cast(dtype)}, [rows = rows](const Values& in) {
          return Values{in[0].graph().add(op::scatter_add, RowsAttrs{rows}, {in[0], in[1]}).out()};
        });
      }
}

// An update by momentum, which moves every row, from rows that were looked up in one batch or two; `dense`: the gradients
// are asked for too, so that they are in memory.
std::unique_ptr<Graph> table_update(std::int64_t rows, std::int64_t width, std::int64_t count, int lookups, bool dense) {
  auto graph = std::make_unique<Graph>();
  const auto variable = [&](const std::string& name) {
    const auto made = std::make_shared<Variable>(name, Type{DType::float32, {rows, width}}, true);
    RandomStream random(RandomKey::of(3, name));
    made->assign(draw_tensor(random, made->type()));
    return made;
  };
  const auto table = variable("table"), momentum = variable("momentum");
  Value sum;
  for (int i = 0; i < lookups; ++i) {
    const Value indices = graph->input(fmt::format("indices{}", i), {DType::int32, {count}}),
                updates = graph->input(fmt::format("updates{}", i), {DType::float32, {count, width}}),
                gradient = graph->add(op::scatter_add, RowsAttrs{rows}, {indices, updates}).out();
    if (dense) graph->output(fmt::format("gradient{}", i), gradient);
    sum = sum ? sum + gradient : gradient;
  }
  const Value moved = graph->variable(momentum) * 0.9 - sum * 0.1;
  graph->update(momentum, moved);
  graph->update(table, graph->variable(table) + moved);
  return graph;
}

TEST_F(GpuKernels, TablesAreUpdatedAsByTheDenseGradient) {
  RandomStream random(RandomKey::of(2, "tables"));
  for (const auto& [rows, width, count, lookups] :
       {std::array<std::int64_t, 4>{300, 40, 60, 1}, {300, 40, 700, 2}, {20, 3, 20, 2}, {9, 1, 0, 1}}) {
    const auto graph = [&, rows = rows, width = width, count = count, lookups = lookups](bool dense) {
      return table_update(rows, width, count, static_cast<int>(lookups), dense);
    };
    const auto results = [](const Graph& made) {
      std::vector<Tensor> values;
      for (const auto& update : made.updates()) values.push_back(update.variable->value());
      return values;
    };
    const auto sparse = graph(false), dense = graph(true), plain = graph(false);
    Executable one(*sparse, *emulated_gpu_backend()), two(*dense, *emulated_gpu_backend()), specification(*plain, reference_backend());
    EXPECT_EQ(one.text().find("scatter_add"), std::string::npos) << one.text();
    EXPECT_EQ(one.statistics().borrowed, 0) << one.text();
    for (int step = 0; step < 3; ++step) {  // the last is a replay
      std::vector<Tensor> inputs;
      for (const Type& type : one.input_types())
        inputs.push_back(is_floating(type.dtype) ? draw_tensor(random, type) : some_indices(random, type.dtype, type.shape, rows));
      one.run(inputs), two.run(inputs), specification.run(inputs);
    }
    const auto made = results(*sparse), expected = results(*dense), specified = results(*plain);
    for (std::size_t i = 0; i < made.size(); ++i) {
      EXPECT_TRUE(made[i].identical(expected[i])) << rows;
      EXPECT_TRUE(close(made[i], specified[i], 1e-5)) << rows;
    }
  }
}

TEST_F(GpuKernels, TheGradientOfATableIsNotInMemory) {
  const std::size_t bytes = std::size_t{5000} * 16 * sizeof(float);
  Executable sparse(*table_update(5000, 16, 8, 1, false), *emulated_gpu_backend());
  EXPECT_LT(sparse.statistics().arena_bytes, bytes / 4) << "the lists";
  EXPECT_GE(Executable(*table_update(5000, 16, 8, 1, true), *emulated_gpu_backend()).statistics().arena_bytes, bytes);
}

// A table that is small enough for it is updated beside other variables, by a kernel of its own.
TEST_F(GpuKernels, SumsOfRowsAmongOtherUpdates) {
  const auto update = [](const Backend& backend) {
    Graph graph;
    std::vector<std::shared_ptr<Variable>> variables;
    for (int i = 0; i < 5; ++i) {
      variables.push_back(std::make_shared<Variable>(fmt::format("v{}", i), Type{DType::float32, {6, 2 + i}}, true));
      variables.back()->assign(Tensor(DType::float32, {6, 2 + i}));
      const Value indices = graph.input(fmt::format("i{}", i), {DType::int32, {300}}),
                  updates = graph.input(fmt::format("u{}", i), {DType::float32, {300, 2 + i}});
      const Value gradient = i % 2 == 1 ? graph.add(op::scatter_add, RowsAttrs{6}, {indices, updates}).out()
                                        : ops::slice(updates, {0, 0}, {6, 2 + i});
      graph.update(variables.back(), graph.variable(variables.back()) - gradient * 0.5);
    }
    Executable executable(graph, backend);
    RandomStream random(RandomKey::of(4, "among"));
    std::vector<Tensor> inputs;
    for (const Type& type : executable.input_types())
      inputs.push_back(is_floating(type.dtype) ? draw_tensor(random, type) : some_indices(random, type.dtype, type.shape, 6));
    executable.run(inputs), executable.run(inputs);
    EXPECT_EQ(executable.text().find("fused_groups") != std::string::npos, &backend == emulated_gpu_backend()) << executable.text();
    std::vector<Tensor> values;
    for (const auto& variable : variables) values.push_back(variable->value());
    return values;
  };
  const auto made = update(*emulated_gpu_backend()), expected = update(reference_backend());
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(close(made[i], expected[i], 1e-5)) << i;
}

TEST_F(GpuKernels, Resample) {
  RandomStream random(RandomKey::of(1, "resample"));
  for (const DType dtype : {DType::float32, DType::float16, DType::float64})
    for (const Sampling sampling : {Sampling::nearest, Sampling::bilinear})
      for (const FillMode mode : {FillMode::reflect, FillMode::constant, FillMode::wrap, FillMode::nearest, FillMode::mirror})
        for (const Shape& pictures : {Shape{2, 3, 4, 2}, Shape{1, 1, 5, 1}}) {
          if (dtype != DType::float32 && (mode != FillMode::reflect || sampling != Sampling::bilinear)) continue;
          Tensor places = draw_tensor(random, {DType::float32, {pictures[0], 3, 5, 2}}, {-9, 12});
          const std::span<float> at = places.writable<float>();
          at[0] = std::numeric_limits<float>::quiet_NaN(), at[3] = 1e9F;
          at[4] = 1, at[5] = 0, at[6] = -0.5F, at[7] = 0.49999997F, at[8] = 0.5F, at[9] = 2.5F;
          const ResampleAttrs attrs{sampling, mode, 0.5};
          expect_parity({draw_tensor(random, {dtype, pictures}), places, draw_tensor(random, {dtype, {pictures[0], 3, 5, pictures[3]}})},
                        [&](const Values& in) {
                          const Value back = in[0].graph().add(op::resample_backward, {attrs, pictures}, {in[1], in[2]}).out();
                          return Values{ops::resample(in[0], in[1], attrs), back};
                        },
                        dtype == DType::float16 ? 2e-3 : 2e-6);
        }
}

TEST_F(GpuKernels, ReductionsOfWholeNumbers) {
  RandomStream random(RandomKey::of(1, "reductions"));
  for (const DType dtype : {DType::int32, DType::int64, DType::uint8, DType::boolean})
    for (const Shape& shape : {Shape{3, 4}, Shape{2, 300}}) {
      const bool truth = dtype == DType::boolean;
      expect_parity({draw_tensor(random, {dtype, shape}, {truth || dtype == DType::uint8 ? 0.0 : -9.0, truth ? 2.0 : 9.0})},
                    [&](const Values& x) {
                      Values all{ops::max(x[0], {1}), ops::min(x[0], {0}), ops::argmax(x[0], 1), ops::argmax(x[0], 0)};
                      if (!truth) all.push_back(ops::sum(x[0], {1}));
                      return all;
                    });
    }
}

// Few lines, and lines that lie beside each other, are reduced in parts.
TEST_F(GpuKernels, ReductionsInParts) {
  RandomStream random(RandomKey::of(1, "parts"));
  for (const DType dtype : {DType::float32, DType::bfloat16, DType::int32})
    for (const auto& [shape, axes] : {std::pair<Shape, std::vector<std::int64_t>>{{20000}, {0}},
                                      {{2, 9001}, {1}}, {{3001, 40}, {0}}, {{50, 41, 40}, {0, 1}}, {{3, 1000, 33}, {1}}, {{700, 4}, {0}}}) {
      Tensor x = draw_tensor(random, {DType::float32, shape}, {-20, 20});
      for (float& value : x.writable<float>()) value = std::floor(value);
      if (dtype == DType::float32) x.writable<float>()[5] = 30;
      expect_parity({x.cast(dtype)}, [&, axes = axes](const Values& in) {
        Values all{ops::sum(in[0], axes), ops::max(in[0], axes), ops::min(in[0], axes)};
        if (axes.size() == 1) all.push_back(ops::argmax(in[0], static_cast<int>(axes[0])));
        return all;
      }, dtype == DType::bfloat16 ? 1e-2 : 0);
    }
}

TEST_F(GpuKernels, ReductionsOfNothing) {
  expect_parity({Tensor(DType::float32, {3, 0})}, [](const Values& x) {
    return Values{ops::sum(x[0], {1}), ops::mean(x[0], {1}), ops::max(x[0], {1}), ops::min(x[0], {1}), ops::product(x[0], {1}),
                  ops::sum(x[0], {0})};
  });
}

TEST_F(GpuKernels, ReductionsOfNaN) {
  const Tensor x = Tensor::of<float>({2, 3}, {1, std::numeric_limits<float>::quiet_NaN(), 2, -1, std::numeric_limits<float>::infinity(), 0});
  expect_parity({x}, [](const Values& in) {
    return Values{ops::sum(in[0], {1}), ops::mean(in[0], {1}), ops::max(in[0], {1}), ops::min(in[0], {1}), ops::product(in[0], {1})};
  });
}

TEST_F(GpuKernels, PowersOfWholeNumbers) {
  for (const DType dtype : {DType::int32, DType::int64, DType::uint8})
    expect_parity({Tensor::of<std::int32_t>({6}, {9, 7, 4, 1, 100, 3}).cast(dtype),
                   Tensor::of<std::int32_t>({6}, {2, 2, 3, 5, 1, 4}).cast(dtype)},
                  [](const Values& x) { return Values{ops::power(x[0], x[1])}; });
}

// Columns in one part, in many, and far from 0.
TEST_F(GpuKernels, Normalisations) {
  RandomStream random(RandomKey::of(1, "normalisations"));
  for (const DType dtype : {DType::float32, DType::bfloat16, DType::float64})
    for (const auto& [rows, channels] : {std::pair<std::int64_t, std::int64_t>{7, 3}, {5000, 3}, {900, 70}}) {
      const DType wide = dtype == DType::float64 ? dtype : DType::float32;
      const Type x{dtype, {rows, channels}}, channel{wide, {channels}};
      expect_parity({draw_tensor(random, x, {18, 22}), draw_tensor(random, channel, {0.5, 1.5}), draw_tensor(random, channel),
                     draw_tensor(random, x, {-1, 1})},
                    [](const Values& in) {
                      const auto batch = ops::batch_norm(in[0], in[1], in[2], 1e-3);
                      const auto layer = ops::layer_norm(in[0], in[1], in[2], 1e-3);
                      Graph& graph = in[0].graph();
                      const Node& back =
                          graph.add(op::batch_norm_backward, BatchNormAttrs{}, {in[0], in[1], batch.mean, batch.variance, in[3]});
                      const Node& layer_back =
                          graph.add(op::layer_norm_backward, EpsilonAttrs{}, {in[0], in[1], layer.mean, layer.variance, in[3]});
                      Values all{batch.y, batch.mean, batch.variance, layer.y};
                      for (const Node* node : {&back, &layer_back})
                        for (int i = 0; i < 3; ++i) all.push_back(node->out(i));
                      return all;
                    },
                    dtype == DType::float64 ? 1e-9 : dtype == DType::float32 ? 5e-4 : 2e-2);
    }
}

// --- short floating types -----------------------------------------------------------------------------------------

Tensor bits_of_every(DType dtype) {
  Tensor all = Tensor::uninitialised({dtype, {1 << 16}});
  auto* const bits = static_cast<std::uint16_t*>(all.raw_writable());
  for (int i = 0; i < 1 << 16; ++i) bits[i] = static_cast<std::uint16_t>(i);
  return all;
}

// Every number of the type, the middles between neighbours, and what lies beside the middles.
Tensor around_every(DType dtype) {
  const Tensor every = bits_of_every(dtype).cast(DType::float32);
  std::vector<float> around;
  for (std::int64_t i = 0; i + 1 < every.size(); ++i) {
    const auto a = static_cast<float>(every.at(i)), b = static_cast<float>(every.at(i + 1)), middle = a + (b - a) / 2;
    if (!std::isfinite(middle)) continue;
    around.insert(around.end(), {a, middle, std::nextafter(middle, a), std::nextafter(middle, b)});
  }
  for (const float more : {65519.0F, 65520.0F, 65536.0F, 3.3895313e38F, 3.4028235e38F, 1e-45F, -1e-45F, 2.9802322e-8F,
                           std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
    around.insert(around.end(), {more, -more});
  return Tensor::of<float>({static_cast<std::int64_t>(around.size())}, around);
}

class GpuShortTypes : public OnGpu, public testing::WithParamInterface<DType> {};

TEST_P(GpuShortTypes, AreRead) {
  expect_parity({bits_of_every(GetParam())}, [](const Values& x) { return Values{ops::cast(x[0], DType::float32)}; });
}

// To the nearest, from the middle to the even one; subnormal numbers stay.
TEST_P(GpuShortTypes, AreRounded) {
  expect_parity({around_every(GetParam())}, [&](const Values& x) { return Values{ops::cast(x[0], GetParam())}; });
}

// A quotient of the numbers in float is near enough that rounding it again makes no difference.
TEST_P(GpuShortTypes, AreComputedWith) {
  Tensor other = Tensor::uninitialised({GetParam(), {1 << 16}});
  RandomStream random(RandomKey::of(1, "bits"));
  for (int i = 0; i < 1 << 16; ++i) static_cast<std::uint16_t*>(other.raw_writable())[i] = static_cast<std::uint16_t>(random.below(1 << 16));
  expect_parity({bits_of_every(GetParam()), other}, [](const Values& x) {
    return Values{x[0] + x[1],           x[0] * x[1],          x[0] / x[1],          ops::sqrt(x[0]),
                  ops::is_finite(x[0]),  ops::relu(x[0]),      ops::maximum(x[0], x[1]), ops::minimum(x[0], x[1]),
                  ops::less(x[0], x[1]), ops::abs(x[0]),       ops::sign(x[0])};
  });
}

INSTANTIATE_TEST_SUITE_P(Types, GpuShortTypes, testing::Values(DType::float16, DType::bfloat16),
                         [](const auto& tested) { return std::string(name_of(tested.param)); });

// --- updates ------------------------------------------------------------------------------------------------------

// More variables than a kernel can be given the addresses of.
TEST_F(GpuKernels, UpdatesOfVeryManyVariables) {
  constexpr int count = 200;
  struct Step {
    Graph graph;
    std::vector<VariableRef> variables;
    Step() {
      const Value x = graph.input("x", {DType::float32, {3}});
      RandomStream random(RandomKey::of(1, "variables"));
      for (int i = 0; i < count; ++i) {
        for (const char* kind : {"weight", "velocity"}) {
          variables.push_back(std::make_shared<Variable>(fmt::format("{}{}", kind, i), x.type(), true));
          variables.back()->assign(draw_tensor(random, x.type()));
        }
        const VariableRef &weight = variables[variables.size() - 2], &velocity = variables.back();
        const Value next = graph.variable(velocity) * 0.9 - x * (0.1 * i);
        graph.update(velocity, next);
        graph.update(weight, graph.variable(weight) + next);
      }
    }
  };
  const Step on_gpu, on_reference;
  Executable step(on_gpu.graph, *emulated_gpu_backend()), specification(on_reference.graph, reference_backend());
  const std::string text = step.text();
  EXPECT_EQ(text.find("fused_groups("), text.rfind("fused_groups(")) << text;
  EXPECT_GT(3 * count * sizeof(void*), 4096u);  // that the device takes
  for (int i = 0; i < 2; ++i) {
    const Tensor x = Tensor::of<float>({3}, {1, static_cast<float>(i), -2});
    step.run({{x}}), specification.run({{x}});
  }
  for (std::size_t i = 0; i < on_gpu.variables.size(); ++i)
    EXPECT_TRUE(close(on_gpu.variables[i]->value(), on_reference.variables[i]->value(), 1e-5)) << i;
}

// Windows that begin before the operand and end behind it.
TEST_F(GpuKernels, PoolingOverPadding) {
  RandomStream random(RandomKey::of(1, "pooling"));
  const Tensor x = draw_tensor(random, {DType::float32, {2, 7, 5, 3}});
  for (const PoolAttrs& p : {PoolAttrs{{3, 3}, {2, 1}, Padding::same}, PoolAttrs{{2, 3}, {1, 2}, Padding::same, {1, 2}, {1, 1}}})
    for (const auto pool : {ops::max_pool, ops::average_pool})
      expect_parity(
          {x},
          [&](const Values& in) {
            const Value y = pool(in[0], p);
            return Values{y, gradients(ops::sum(y * y), in)[0]};
          },
          1e-5);
}

// --- packs --------------------------------------------------------------------------------------------------------

// Many elements are loaded and stored several at once: of every size, with a rest or without, beside operands that are
// broadcast.
TEST_F(GpuKernels, PacksOfNeighbours) {
  RandomStream random(RandomKey::of(1, "packs"));
  for (const DType dtype :
       {DType::float16, DType::bfloat16, DType::float32, DType::float64, DType::int64, DType::boolean})
    for (const Shape& shape : {Shape{16, 1024}, Shape{5001}, Shape{13, 7, 91}}) {
      const auto draw = [&](const Shape& of) {
        Tensor x = draw_tensor(random, {DType::float64, of}, {-9, 9});
        for (double& value : x.writable<double>()) value = std::floor(value);
        return x.cast(dtype);
      };
      const std::vector<Tensor> operands{draw(shape), draw({shape[-1]}), draw({}), draw(shape)};
      expect_parity(operands, [](const Values& in) {
        const Value larger = ops::maximum(ops::maximum(in[0], in[1]), in[3]);
        return Values{larger, ops::less(in[0], in[3]), ops::cast(ops::minimum(in[2], larger), DType::float32)};
      });
    }
}

// As of gradients that are exchanged as one piece, in which they lie without gaps.
TEST_F(GpuKernels, CopiesBeginAnywhere) {
  const auto device = emulated_gpu();
  constexpr std::int64_t sizes[] = {3, 8192, 5001};
  constexpr std::size_t all = 3 + 8192 + 5001;
  const auto kernel = gpu::copies(*device, {{DType::float32, {3}}, {DType::float32, {8192}}, {DType::float32, {5001}}});
  const std::span from(static_cast<float*>(device->allocate(all * sizeof(float))), all),
      to(static_cast<float*>(device->allocate(all * sizeof(float))), all);
  std::iota(from.begin(), from.end(), 1.0f);
  std::vector<const void*> inputs;
  std::vector<void*> outputs;
  std::size_t at = 0;
  for (const std::int64_t size : sizes) {
    inputs.push_back(&from[at]), outputs.push_back(&to[at]);
    at += static_cast<std::size_t>(size);
  }
  kernel->run({.inputs = inputs, .outputs = outputs, .scratch = nullptr});
  EXPECT_TRUE(std::ranges::equal(from, to));
  device->release(from.data()), device->release(to.data());
}

// Results that lie where operands lay, of many variables in one launch.
TEST_F(GpuKernels, PacksOfUpdates) {
  const auto step_of = [](Graph& graph, std::vector<VariableRef>& variables) {
    RandomStream random(RandomKey::of(1, "variables"));
    for (const std::int64_t size : {8192, 3, 5001, 4098, 64}) {
      const Value x = graph.input(fmt::format("x{}", size), {DType::bfloat16, {size}});
      for (const char* kind : {"weight", "velocity"}) {
        const Type type{DType::float32, {size}};
        variables.push_back(std::make_shared<Variable>(fmt::format("{}{}", kind, size), type, true));
        variables.back()->assign(draw_tensor(random, type));
      }
      const VariableRef &weight = variables[variables.size() - 2], &velocity = variables.back();
      const Value next = graph.variable(velocity) * 0.9 - ops::cast(x, DType::float32);
      graph.update(velocity, next);
      graph.update(weight, graph.variable(weight) + next);
    }
  };
  const auto device = emulated_gpu();
  const auto backend = gpu::backend_on(device);
  Graph on_gpu, on_reference;
  std::vector<VariableRef> got, want;
  step_of(on_gpu, got), step_of(on_reference, want);
  Executable step(on_gpu, *backend), specification(on_reference, reference_backend());
  RandomStream random(RandomKey::of(1, "gradients"));
  for (int i = 0; i < 2; ++i) {
    std::vector<Tensor> operands;
    for (const auto& [name, value] : on_gpu.inputs()) operands.push_back(draw_tensor(random, value.type()));
    step.run(operands), specification.run(operands);
  }
  EXPECT_NE(step.text().find("fused_groups("), std::string::npos) << step.text();
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(close(got[i]->value(), want[i]->value(), 1e-5)) << i;
}

}  // namespace
}  // namespace nacre::test
