// Random tensors: nacre.random.NAME with Keras's names and arguments, nacre.rand, nacre.randn, nacre.set_seed. At once
// each call draws anew, and so does each run of a compiled function; after nacre.set_seed(n) the same numbers come
// again.
#include "backend/graph/ops/random.h"

#include <cmath>
#include <numbers>

#include "backend/graph/ops/bitwise.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "layers/augmentation_draws.h"
#include "layers/emit.h"
#include "layers/operations.h"
#include "scripting/namespace.h"
#include "scripting/tensors/arguments.h"
#include "scripting/tensors/given_arguments.h"
#include "scripting/tensors/operations.h"

namespace nacre::scripting {

namespace {

using Seed = std::optional<std::int64_t>;

// --- arguments ----------------------------------------------------------------------------------------------------

void describe_seed(auto&& field, auto seed) { field("seed", seed, "of this draw alone: the same numbers each time"); }

struct NormalArguments {
  static constexpr const char* name = "random.normal";
  Shape shape;
  double mean = 0, stddev = 1;
  std::optional<DType> dtype;
  Seed seed;
  static void describe(auto&& field) {
    field("shape", &NormalArguments::shape, "sizes", required());
    field("mean", &NormalArguments::mean, "of the numbers");
    field("stddev", &NormalArguments::stddev, "of the numbers");
    field("dtype", &NormalArguments::dtype, "null: float32");
    describe_seed(field, &NormalArguments::seed);
  }
};
struct TruncatedNormalArguments : NormalArguments {
  static constexpr const char* name = "random.truncated_normal";
};
struct UniformArguments {
  static constexpr const char* name = "random.uniform";
  Shape shape;
  double minval = 0, maxval = 1;
  std::optional<DType> dtype;
  Seed seed;
  static void describe(auto&& field) {
    field("shape", &UniformArguments::shape, "sizes", required());
    field("minval", &UniformArguments::minval, "the smallest number");
    field("maxval", &UniformArguments::maxval, "above the largest");
    field("dtype", &UniformArguments::dtype, "null: float32");
    describe_seed(field, &UniformArguments::seed);
  }
};
struct PlainNormalArguments {
  static constexpr const char* name = "randn";
  Shape shape;
  std::optional<DType> dtype;
  Seed seed;
  static void describe(auto&& field) {
    field("shape", &PlainNormalArguments::shape, "sizes", required());
    field("dtype", &PlainNormalArguments::dtype, "null: float32");
    describe_seed(field, &PlainNormalArguments::seed);
  }
};
struct PlainUniformArguments : PlainNormalArguments {
  static constexpr const char* name = "rand";
};
struct IntegerArguments {
  static constexpr const char* name = "random.randint";
  Shape shape;
  std::int64_t minval = 0, maxval = 0;
  DType dtype = DType::int32;
  Seed seed;
  static void describe(auto&& field) {
    field("shape", &IntegerArguments::shape, "sizes", required());
    field("minval", &IntegerArguments::minval, "the smallest number", required());
    field("maxval", &IntegerArguments::maxval, "above the largest", required());
    field("dtype", &IntegerArguments::dtype, "of the numbers");
    describe_seed(field, &IntegerArguments::seed);
  }
};
struct CategoricalArguments {
  static constexpr const char* name = "random.categorical";
  Tree logits;
  std::int64_t num_samples = 0;
  DType dtype = DType::int32;
  Seed seed;
  static void describe(auto&& field) {
    field("logits", &CategoricalArguments::logits, "logarithms of the chances, on the last axis", required());
    field("num_samples", &CategoricalArguments::num_samples, "how many numbers of each", required(), at_least(1));
    field("dtype", &CategoricalArguments::dtype, "of the numbers");
    describe_seed(field, &CategoricalArguments::seed);
  }
};
struct BernoulliArguments {
  static constexpr const char* name = "random.bernoulli";
  Tree probabilities;
  std::optional<DType> dtype;
  Seed seed;
  static void describe(auto&& field) {
    field("probabilities", &BernoulliArguments::probabilities, "of a 1, in each place", required());
    field("dtype", &BernoulliArguments::dtype, "null: that of the probabilities");
    describe_seed(field, &BernoulliArguments::seed);
  }
};
struct BinomialArguments {
  static constexpr const char* name = "random.binomial";
  Shape shape;
  std::int64_t counts = 0;
  Tree probabilities;
  std::optional<DType> dtype;
  Seed seed;
  static void describe(auto&& field) {
    field("shape", &BinomialArguments::shape, "sizes", required());
    field("counts", &BinomialArguments::counts, "how often it is tried", required(), at_least(1));
    field("probabilities", &BinomialArguments::probabilities, "that it succeeds", required());
    field("dtype", &BinomialArguments::dtype, "null: float32");
    describe_seed(field, &BinomialArguments::seed);
  }
};
struct GammaArguments {
  static constexpr const char* name = "random.gamma";
  Shape shape;
  Tree alpha;
  std::optional<DType> dtype;
  Seed seed;
  static void describe(auto&& field) {
    field("shape", &GammaArguments::shape, "sizes", required());
    field("alpha", &GammaArguments::alpha, "the shape parameter", required());
    field("dtype", &GammaArguments::dtype, "null: float32");
    describe_seed(field, &GammaArguments::seed);
  }
};
struct BetaArguments {
  static constexpr const char* name = "random.beta";
  Shape shape;
  Tree alpha, beta;
  std::optional<DType> dtype;
  Seed seed;
  static void describe(auto&& field) {
    field("shape", &BetaArguments::shape, "sizes", required());
    field("alpha", &BetaArguments::alpha, "the first shape parameter", required());
    field("beta", &BetaArguments::beta, "the second", required());
    field("dtype", &BetaArguments::dtype, "null: float32");
    describe_seed(field, &BetaArguments::seed);
  }
};
struct DropoutArguments {
  static constexpr const char* name = "random.dropout";
  Tree inputs;
  double rate = 0;
  std::optional<Shape> noise_shape;
  Seed seed;
  static void describe(auto&& field) {
    field("inputs", &DropoutArguments::inputs, "a tensor", required());
    field("rate", &DropoutArguments::rate, "the share that becomes 0", required(), between(0, 1));
    field("noise_shape", &DropoutArguments::noise_shape, "of the draws, repeated to the shape of the inputs");
    describe_seed(field, &DropoutArguments::seed);
  }
};
struct ShuffleArguments {
  static constexpr const char* name = "random.shuffle";
  Tree x;
  std::int64_t axis = 0;
  Seed seed;
  static void describe(auto&& field) {
    field("x", &ShuffleArguments::x, "a tensor", required());
    field("axis", &ShuffleArguments::axis, "whose elements change places");
    describe_seed(field, &ShuffleArguments::seed);
  }
};
struct PermutationArguments {
  static constexpr const char* name = "random.permutation";
  std::int64_t n = 0;
  DType dtype = DType::int32;
  Seed seed;
  static void describe(auto&& field) {
    field("n", &PermutationArguments::n, "how many", required(), at_least(0));
    field("dtype", &PermutationArguments::dtype, "of the numbers");
    describe_seed(field, &PermutationArguments::seed);
  }
};

// --- draws --------------------------------------------------------------------------------------------------------

// The random numbers of one call.
class Draw {
 public:
  Draw(Context& context, const Values& operands, Seed seed, std::string path)
      : context_(context), operands_(operands), path_(std::move(path)) {
    if (!seed) return;
    Graph& graph = context.graph();
    own_.emplace(graph, false, graph.constant(Tensor::scalar(*seed)), graph.constant(Tensor::scalar(std::int64_t{0})));
  }

  Graph& graph() const { return context_.graph(); }
  Value uniform(const Shape& shape) { return present().random_uniform(like(shape), path_); }
  Value normal(const Shape& shape) { return present().random_normal(like(shape), path_); }
  Value log_gamma(Value parameter, const Shape& shape) {
    return Draws(present(), parameter, path_, {}).log_gamma(parameter, shape);
  }
  // A number, or a tensor among the operands, as floating.
  Value real(const Tree& tree) const {
    const auto operand = referred_tensor(tree);
    if (!operand) return graph().scalar(tree.as_number());
    const Value value = operands_.at(*operand);
    return is_floating(value.dtype()) ? value : ops::cast(value, DType::float32);
  }
  Value tensor(const Tree& tree) const {
    if (const auto operand = referred_tensor(tree)) return operands_.at(*operand);
    throw Error("got {}, wanted a tensor", tree.text()).usage();
  }
  Context& context() const { return context_; }

 private:
  Context& present() { return own_ ? *own_ : context_; }
  Value like(const Shape& shape) const {
    check_shape({DType::float32, shape});
    return emit::zeros(graph(), {DType::float32, shape});
  }

  Context& context_;
  std::optional<Context> own_;
  const Values& operands_;
  std::string path_;
};

void want_floating(std::optional<DType> dtype) {
  if (dtype && !is_floating(*dtype))
    throw Error("got the dtype {}, wanted a floating one", *dtype)
        .hint("nacre.random.randint draws whole numbers")
        .usage();
}

Value in_dtype(Value x, std::optional<DType> dtype) {
  want_floating(dtype);
  return ops::cast(x, dtype.value_or(DType::float32));
}

Value draw(const PlainNormalArguments& a, Draw& random) { return in_dtype(random.normal(a.shape), a.dtype); }
Value draw(const PlainUniformArguments& a, Draw& random) { return in_dtype(random.uniform(a.shape), a.dtype); }

Value draw(const NormalArguments& a, Draw& random) {
  return in_dtype(random.normal(a.shape) * a.stddev + a.mean, a.dtype);
}

// No further from the mean than two deviations, by the inverse of the distribution.
Value draw(const TruncatedNormalArguments& a, Draw& random) {
  const double share = std::erf(std::numbers::sqrt2);
  const Value place = (random.uniform(a.shape) * 2.0 - 1.0) * share;
  const Value number = apply_operation(random.context(), "erfinv", {place}).front() * std::numbers::sqrt2;
  return in_dtype(ops::clip(number, -2, 2) * a.stddev + a.mean, a.dtype);
}

Value draw(const UniformArguments& a, Draw& random) {
  if (!(a.minval <= a.maxval)) throw Error("got minval {} and maxval {}", a.minval, a.maxval).usage();
  const Value number = random.uniform(a.shape) * (a.maxval - a.minval) + a.minval;
  // Rounded up it would be maxval itself.
  const auto below = static_cast<double>(std::nextafterf(static_cast<float>(a.maxval), -INFINITY));
  if (a.minval >= below) return in_dtype(number, a.dtype);
  return in_dtype(ops::minimum(number, ops::scalar_like(number, below)), a.dtype);
}

// n whole numbers in [0, range), int64, from one or two words of 24 bits.
Value whole_numbers(Draw& random, const Shape& shape, std::int64_t range) {
  constexpr std::int64_t word = 1 << 24;
  const auto words = [&] { return ops::cast(random.uniform(shape) * static_cast<double>(word), DType::int64); };
  if (range <= word) return ops::cast(ops::floor(random.uniform(shape) * static_cast<double>(range)), DType::int64);
  const auto constant = [&](std::int64_t number) { return random.graph().constant(Tensor::scalar(number)); };
  const Value high = words() * constant(word);
  return ops::modulo(high + words(), constant(range));
}

Value draw(const IntegerArguments& a, Draw& random) {
  constexpr std::int64_t most = std::int64_t{1} << 40;
  std::int64_t range = 0;
  if (__builtin_sub_overflow(a.maxval, a.minval, &range) || range < 1 || range > most)
    throw Error("got minval {} and maxval {}, wanted them 1 to 2^40 apart", a.minval, a.maxval).usage();
  if (is_floating(a.dtype) || a.dtype == DType::string)
    throw Error("got the dtype {}, wanted one of whole numbers", a.dtype).usage();
  const Tensor ends = Tensor::of<std::int64_t>({2}, {a.minval, a.maxval - 1});
  if (!ends.cast(a.dtype).cast(DType::int64).identical(ends))
    throw Error("got minval {} and maxval {}, which do not fit in {}", a.minval, a.maxval, a.dtype).usage();
  const Value lowest = random.graph().constant(Tensor::scalar(a.minval));
  return ops::cast(whole_numbers(random, a.shape, range) + lowest, a.dtype);
}

// The largest of logits with noise of Gumbel's distribution.
Value draw(const CategoricalArguments& a, Draw& random) {
  if (is_floating(a.dtype) || a.dtype == DType::string)
    throw Error("got the dtype {}, wanted one of whole numbers", a.dtype).usage();
  const Value logits = ops::cast(random.real(a.logits), DType::float32);
  if (logits.shape().rank() == 0 || logits.shape()[-1] < 1)
    throw Error("got logits {}, wanted one for each class on the last axis", logits.shape()).usage();
  const Shape outer = logits.shape().first(logits.shape().rank() - 1);
  const Value noise = -ops::log(-ops::log(random.uniform(outer + Shape{a.num_samples, logits.shape()[-1]})));
  return ops::cast(ops::argmax(ops::expand_dims(logits, -2) + noise, -1), a.dtype);
}

Value draw(const BernoulliArguments& a, Draw& random) {
  const Value chance = random.real(a.probabilities);
  return ops::cast(ops::less(random.uniform(chance.shape()), ops::cast(chance, DType::float32)),
                   a.dtype.value_or(chance.dtype()));
}

Value draw(const BinomialArguments& a, Draw& random) {
  const Value chance = ops::cast(random.real(a.probabilities), DType::float32);
  const Value success = ops::less(random.uniform(Shape{a.counts} + a.shape), chance);
  return in_dtype(ops::sum(ops::cast(success, DType::float32), {0}), a.dtype);
}

Value positive_parameter(const Draw& random, const Tree& tree, const Shape& shape) {
  if (tree.is_number() && !(tree.as_number() > 0)) throw Error("got {}, wanted a number above 0", tree.text()).usage();
  const Value value = ops::cast(random.real(tree), DType::float32);
  return value.shape().rank() == 0 ? value : ops::broadcast_to(value, shape);
}

Value draw(const GammaArguments& a, Draw& random) {
  check_shape({DType::float32, a.shape});
  return in_dtype(ops::exp(random.log_gamma(positive_parameter(random, a.alpha, a.shape), a.shape)), a.dtype);
}

Value draw(const BetaArguments& a, Draw& random) {
  check_shape({DType::float32, a.shape});
  const Value first = random.log_gamma(positive_parameter(random, a.alpha, a.shape), a.shape);
  return in_dtype(ops::sigmoid(first - random.log_gamma(positive_parameter(random, a.beta, a.shape), a.shape)),
                  a.dtype);
}

Value draw(const DropoutArguments& a, Draw& random) {
  const Value x = random.real(a.inputs);
  if (a.rate == 0) return x;
  Shape shape = x.shape();
  if (a.noise_shape) {
    if (a.noise_shape->rank() != shape.rank())
      throw Error("got the noise_shape {} for {}, wanted as many axes", *a.noise_shape, shape).usage();
    for (int axis = 0; axis < shape.rank(); ++axis)
      if ((*a.noise_shape)[axis] != unknown) shape.set(axis, (*a.noise_shape)[axis]);
  }
  return ops::dropped(x, ops::broadcast_to(random.uniform(shape), x.shape()), a.rate);
}

// 0 … n-1 in random order: sorted by numbers of 48 bits, so that hardly two are ever the same.
Value order(Draw& random, std::int64_t n) {
  const Value low = ops::argsort(random.uniform({n}));
  return ops::gather(low, ops::argsort(ops::gather(random.uniform({n}), low)));
}

Value draw(const ShuffleArguments& a, Draw& random) {
  const Value x = random.tensor(a.x);
  const int axis = x.shape().checked(static_cast<int>(a.axis));
  const Value rows = ops::gather(emit::move_axis(x, axis, 0), order(random, x.shape()[axis]));
  return emit::move_axis(rows, 0, axis);
}

Value draw(const PermutationArguments& a, Draw& random) { return ops::cast(order(random, a.n), a.dtype); }

// --- functions ----------------------------------------------------------------------------------------------------

template <class Arguments>
Out call_draw(Call& call) {
  const GivenArguments given(call, Arguments::name);
  std::size_t operands = 0;
  const auto arguments = read_arguments<Arguments>(call, Arguments::name, [&](const Object& object) {
    if (!is_tensor(object)) throw Error("got {}, wanted a tensor or a number", object.kind->text(object)).usage();
    return tensor_reference(operands++);
  });
  Computation work{.key = std::string(given.key()), .operands = given.objects(), .traced = true};
  work.random = !arguments.seed;
  work.emit = [&](Context& context, const Values& values, const Values&) -> Computation::Result {
    Draw random(context, values, arguments.seed, Arguments::name);
    return {{draw(arguments, random)}};
  };
  return about(Arguments::name, [&] { return compute(call, std::move(work)); }).front();
}

void refuse_name_of_random(Call& call) { refuse_name(call, "nacre.random"); }

// nacre.set_seed(n)
void set_seed(Call& call) { EngineState::of(call).set_seed(call.tree(1).as_integer()); }

}  // namespace

std::span<const Function> seed_functions() {
  static constexpr Function functions[] = {
      {"rand",
       bound<call_draw<PlainUniformArguments>>,
       {.usage = "nacre.rand(shape[, dtype[, seed]])", .doc = "Numbers spread evenly over [0, 1).", .example = R"(
          local t = nacre.rand{2, 3}
          assert(t:min():item() >= 0 and t:max():item() < 1)
        )"}},
      {"randn",
       bound<call_draw<PlainNormalArguments>>,
       {.usage = "nacre.randn(shape[, dtype[, seed]])",
        .doc = "Numbers of the normal distribution with mean 0 and deviation 1.",
        .example = R"(
          assert(math.abs(nacre.randn{10000}:mean():item()) < 0.1)
        )"}},
      {"set_seed",
       bound<set_seed>,
       {.usage = "nacre.set_seed(n)",
        .doc = "Lets everything random begin anew: the same n gives the same random tensors, initial weights "
               "and, where fit is given no seed, the same training.",
        .example = R"(
          nacre.set_seed(1)
          local a = nacre.randn{3}
          nacre.set_seed(1)
          assert(a == nacre.randn{3})
        )"}},
  };
  return functions;
}

std::span<const Function> random_functions() {
  static constexpr Function functions[] = {
      {"normal",
       bound<call_draw<NormalArguments>>,
       {.usage = "nacre.random.normal(shape[, mean[, stddev[, dtype[, seed]]]])",
        .doc = "Numbers of a normal distribution.",
        .example = R"(
          local t = nacre.random.normal({10000}, 5, 2)
          assert(math.abs(t:mean():item() - 5) < 0.2)
        )"}},
      {"truncated_normal",
       bound<call_draw<TruncatedNormalArguments>>,
       {.usage = "nacre.random.truncated_normal(shape[, mean[, stddev[, dtype[, seed]]]])",
        .doc = "Numbers of a normal distribution, none further from the mean than two deviations.",
        .example = R"(
          assert(nacre.random.truncated_normal{1000}:abs():max():item() <= 2)
        )"}},
      {"uniform",
       bound<call_draw<UniformArguments>>,
       {.usage = "nacre.random.uniform(shape[, minval[, maxval[, dtype[, seed]]]])",
        .doc = "Numbers spread evenly over [minval, maxval).",
        .example = R"(
          local t = nacre.random.uniform({100}, -1, 1)
          assert(t:min():item() >= -1 and t:max():item() < 1)
        )"}},
      {"randint",
       bound<call_draw<IntegerArguments>>,
       {.usage = "nacre.random.randint(shape, minval, maxval[, dtype[, seed]])",
        .doc = "Whole numbers from minval on, below maxval, each as likely.",
        .example = R"(
          local t = nacre.random.randint({100}, 1, 7)
          assert(t:min():item() >= 1 and t:max():item() <= 6)
        )"}},
      {"categorical",
       bound<call_draw<CategoricalArguments>>,
       {.usage = "nacre.random.categorical(logits, num_samples[, dtype[, seed]])",
        .doc = "Numbers of classes, counted from 0, each as likely as its logit on the last axis says: (batch, "
               "classes) gives (batch, num_samples).",
        .example = R"(
          local t = nacre.random.categorical(nacre.tensor{{0, 50, 0}}, 4)
          assert(t == nacre.tensor{{1, 1, 1, 1}})
        )"}},
      {"bernoulli",
       bound<call_draw<BernoulliArguments>>,
       {.usage = "nacre.random.bernoulli(probabilities[, dtype[, seed]])",
        .doc = "1 as often as the probability in its place says, else 0.",
        .example = R"(
          assert(nacre.random.bernoulli(nacre.tensor{0.0, 1.0}) == nacre.tensor{0, 1})
        )"}},
      {"binomial",
       bound<call_draw<BinomialArguments>>,
       {.usage = "nacre.random.binomial(shape, counts, probabilities[, dtype[, seed]])",
        .doc = "How many of `counts` trials succeed, each with that probability.",
        .example = R"(
          assert(nacre.random.binomial({2}, 10, 1) == nacre.tensor{10, 10})
        )"}},
      {"gamma",
       bound<call_draw<GammaArguments>>,
       {.usage = "nacre.random.gamma(shape, alpha[, dtype[, seed]])",
        .doc = "Numbers of the gamma distribution with scale 1.",
        .example = R"(
          assert(math.abs(nacre.random.gamma({10000}, 3):mean():item() - 3) < 0.2)
        )"}},
      {"beta",
       bound<call_draw<BetaArguments>>,
       {.usage = "nacre.random.beta(shape, alpha, beta[, dtype[, seed]])",
        .doc = "Numbers of the beta distribution.",
        .example = R"(
          assert(math.abs(nacre.random.beta({10000}, 2, 6):mean():item() - 0.25) < 0.02)
        )"}},
      {"dropout",
       bound<call_draw<DropoutArguments>>,
       {.usage = "nacre.random.dropout(inputs, rate[, noise_shape[, seed]])",
        .doc = "The inputs with a share of them 0, and the others larger by as much.",
        .example = R"(
          local t = nacre.random.dropout(nacre.ones{1000}, 0.5)
          assert(t:max():item() == 2 and t:min():item() == 0)
        )"}},
      {"shuffle",
       bound<call_draw<ShuffleArguments>>,
       {.usage = "nacre.random.shuffle(x[, axis[, seed]])",
        .doc = "The elements of an axis in random order.",
        .example = R"(
          assert(nacre.random.shuffle(nacre.arange(5)):sort() == nacre.arange(5))
        )"}},
      {"permutation",
       bound<call_draw<PermutationArguments>>,
       {.usage = "nacre.random.permutation(n[, dtype[, seed]])",
        .doc = "The numbers 0 … n-1 in random order: places for nacre.ops.take, or with 1 added for t[…].",
        .example = R"(
          local order = nacre.random.permutation(4)
          local x = nacre.tensor{5, 6, 7, 8}
          assert(x[order + 1] == x:take(order))
        )"}},
  };
  return functions;
}

void open_random(lua_State* lua) {
  State::set_functions(lua, seed_functions());
  push_indexed(lua, bound<refuse_name_of_random>);
  State::set_functions(lua, random_functions());
  lua_setfield(lua, -2, "random");
}

}  // namespace nacre::scripting
