#include "backend/graph/passes/simplify.h"

#include "tests/backend/passes/check.h"

namespace nacre {
namespace {

using test::check;
using test::check_unchanged;
using test::floats;

// One value on x becomes another.
void becomes(const std::function<Value(Value)>& before, const std::function<Value(Value)>& after,
             Type type = floats({2, 3})) {
  check(
      simplify, [&](Graph& g) { g.output("y", before(g.input("x", type))); },
      [&](Graph& g) { g.output("y", after(g.input("x", type))); });
}
void stays(const std::function<Value(Value)>& f, Type type = floats({2, 3})) { becomes(f, f, std::move(type)); }

Value same(Value x) { return x; }

TEST(Simplify, NeutralElements) {
  becomes([](Value x) { return x * 1.0; }, same);
  becomes([](Value x) { return ops::scalar_like(x, 1) * x; }, same);
  becomes([](Value x) { return x + 0.0; }, same);
  becomes([](Value x) { return x - 0.0; }, same);
  becomes([](Value x) { return x / 1.0; }, same);
  becomes([](Value x) { return x * ops::fill_like(x, 1.0); }, same);
  becomes([](Value x) { return -(-x); }, same);
  stays([](Value x) { return x * 0.0; });  // not for NaN
  stays([](Value x) { return 0.0 - x; });
  stays([](Value x) { return x + ops::scalar_like(x, 2); });
}

TEST(Simplify, NeutralElementThatBroadcastsTheOtherOperand) {
  const auto build = [](Graph& g) {
    g.output("y", g.input("x", floats({3})) + g.constant(Tensor(DType::float32, {1, 1})));
  };
  check_unchanged(simplify, build);
}

TEST(Simplify, Powers) {
  becomes([](Value x) { return ops::power(x, ops::scalar_like(x, 2)); }, [](Value x) { return ops::square(x); });
  becomes([](Value x) { return ops::power(x, ops::scalar_like(x, 0.5)); }, [](Value x) { return ops::sqrt(x); });
  becomes([](Value x) { return ops::power(x, ops::scalar_like(x, 1)); }, same);
  stays([](Value x) { return ops::power(x, ops::scalar_like(x, 3)); });
}

TEST(Simplify, GradientsByHandLeaveNothing) {
  becomes(
      [](Value x) {
        const auto backward = std::make_shared<Graph>();
        const Value dy = backward->input("dy", x.type());
        backward->output("dx", dy * backward->input("kept", x.type()));
        return ops::custom_gradient({ops::exp(x)}, {x}, {ops::sin(x)}, backward)[0] * 2.0;
      },
      [](Value x) { return ops::exp(x) * 2.0; });
}

TEST(Simplify, Casts) {
  becomes([](Value x) { return ops::cast(ops::cast(x, DType::float64), DType::float32); }, same);
  becomes([](Value x) { return ops::cast(ops::cast(x, DType::float32), DType::bfloat16); },
          [](Value x) { return ops::cast(x, DType::bfloat16); }, {DType::uint8, {4}});
  stays([](Value x) { return ops::cast(ops::cast(x, DType::bfloat16), DType::float32); });  // rounds
  stays([](Value x) { return ops::cast(ops::cast(x, DType::int32), DType::float32); });     // truncates
}

TEST(Simplify, RowsAreCastAfterTheyAreRead) {
  const auto rows = [](Value x, std::int64_t count) {
    return ops::gather(x, x.graph().constant(Tensor(DType::int32, {count})));
  };
  const auto halves = [](Value x) { return ops::cast(x, DType::bfloat16); };
  becomes([&](Value x) { return rows(halves(x), 2); }, [&](Value x) { return halves(rows(x, 2)); }, floats({9, 3}));
  stays([&](Value x) { return rows(halves(x), 9); }, floats({9, 3}));                             // not fewer
  stays([&](Value x) { return rows(ops::cast(x, DType::float32), 2); }, {DType::int32, {9, 3}});  // 0 is not NaN
}

TEST(Simplify, Moves) {
  becomes(
      [](Value x) {
        return ops::reshape(ops::reshape(x, {6}), {3, 2});
      },
      [](Value x) {
        return ops::reshape(x, {3, 2});
      });
  becomes([](Value x) { return ops::reshape(ops::reshape(x, {6}), {2, 3}); }, same);
  becomes([](Value x) { return ops::transpose(ops::transpose(x, {1, 0}), {1, 0}); }, same);
  becomes(
      [](Value x) {
        return ops::transpose(ops::transpose(x, {1, 2, 0}), {1, 2, 0});
      },
      [](Value x) {
        return ops::transpose(x, {2, 0, 1});
      },
      floats({2, 3, 4}));
  becomes([](Value x) { return ops::slice(x, {0, 0}, {2, 3}); }, same);
  becomes([](Value x) { return ops::concat({x}, 0); }, same);
  stays([](Value x) { return ops::transpose(x, {1, 0}); });
}

TEST(Simplify, BroadcastsThatTheOpMakesItself) {
  becomes([](Value x) { return x + ops::fill_like(x, 2.0); }, [](Value x) { return x + 2.0; });
  becomes([](Value x) { return ops::select(ops::greater(x, ops::fill_like(x, 0)), x, ops::fill_like(x, 3)); },
          [](Value x) { return ops::select(ops::greater(x, ops::scalar_like(x, 0)), x, ops::scalar_like(x, 3)); });
  becomes(
      [](Value x) {
        return ops::exp(ops::broadcast_to(x, {4, 2, 3}));
      },
      [](Value x) {
        return ops::exp(ops::broadcast_to(x, {4, 2, 3}));
      });
}

TEST(Simplify, StopGradientHasDoneItsWork) {
  becomes([](Value x) { return ops::tanh(ops::stop_gradient(x)); }, [](Value x) { return ops::tanh(x); });
}

}  // namespace
}  // namespace nacre
