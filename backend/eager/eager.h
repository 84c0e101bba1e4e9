// Eager mode: programs run on tensors one after the other, and, where gradients are asked for, are remembered on the
// way.
//
//   Eager eager(backend_for("cpu"));
//   Array x = eager.watch({Tensor::scalar(3.0F)});
//   Eager::Recording recording(eager);
//   Array y = eager.run(square, {x}).front();
//   eager.gradients({&y, 1}, {}, {&x, 1});  // of y with respect to x
//
// What was computed from what hangs on the arrays themselves and goes when nobody holds them any more.
// Source: reverse accumulation, Griewank and Walther, "Evaluating Derivatives" (2008), chapter 3.
#pragma once

#include <functional>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "backend/eager/program.h"

namespace nacre::eager {

class Record;

// A tensor, and, while somebody records, what it was computed by. A value; cheap to copy.
struct Array {
  Tensor value;
  std::shared_ptr<Record> origin{};     // null: no gradient goes further
  int output = 0;                       // of the origin
  std::shared_ptr<const Array> mask{};  // which of its elements count (bool); null: all
};
using Arrays = std::vector<Array>;

// Gradients for cotangents of a function's results; both may be absent.
using OwnGradient = std::function<std::vector<std::optional<Array>>(std::span<const std::optional<Array>> cotangents)>;

// Used by one thread.
class Eager {
  // What a variable is for the innermost recording that watches it. It leads to that of the one around, so that a
  // gradient in one is of what was computed there alone.
  struct Leaf {
    std::shared_ptr<Record> record{};
    int depth = 0;  // of the recording; 0: none
  };

 public:
  explicit Eager(const Backend& backend);

  const Backend& backend() const { return backend_; }
  const std::shared_ptr<Workspace>& workspace() const { return workspace_; }

  // The program of that key, made by make() → std::unique_ptr<Graph> when it is not there. The least recently used are
  // forgotten beyond a bound. `owner` is kept as long as the program: what an address in the key is of. Computes on
  // backend_of(graph).
  template <class Make>
  std::shared_ptr<Program> program(std::string_view key, Make&& make,
                                   const std::shared_ptr<const void>& owner = nullptr) {
    if (auto known = find(key)) return known;
    return remember(key, make(), owner);
  }
  std::size_t programs_made() const { return made_; }
  std::shared_ptr<Program> make(std::unique_ptr<Graph> graph) const;
  // What computes a graph: the reference backend where it has float64.
  const Backend& backend_of(const Graph& graph) const;

  // Runs the program, and remembers it where gradients may be asked for.
  Arrays run(const std::shared_ptr<Program>& program, Arrays inputs);

  // While one lives, runs are remembered, also those that read the given variables.
  class Recording {
   public:
    // `all`: those that read any trainable variable, for what is made on the way.
    explicit Recording(Eager& eager, const std::vector<VariableRef>& watched = {}, bool all = false);
    ~Recording();
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;
    // Of a variable: what gradients() takes.
    Array leaf(const VariableRef& variable);

   private:
    friend Eager;
    struct Watched {
      VariableRef variable;
      Leaf before;  // that of the recordings around
    };
    void watch(const VariableRef& variable);

    Eager& eager_;
    int depth_;  // how many there are with it
    std::vector<Watched> watched_;
    Recording* before_;  // the recording around that watches all
  };
  bool recording() const { return recordings_ > 0; }
  // … so that gradients have gradients in turn.
  bool recording_again() const { return recordings_ > 1; }
  // Whether it was computed from what a recording that lives may take gradients of.
  bool followed(const Array& array) const;

  // The variable's present value; gradients go on to it while it is watched.
  Array read(const VariableRef& variable);
  // The same values under a name of their own, with respect to which gradients can be taken.
  Array watch(const Array& array);
  // The same values, which gradients do not pass.
  static Array stop(const Array& array) { return {array.value, nullptr, 0, array.mask}; }
  // Results that were computed from inputs in some other way, with their gradients.
  Arrays join(std::vector<Tensor> results, const Arrays& inputs, OwnGradient pullback);

  // The gradients of Σᵢ ⟨cotangentᵢ, outputᵢ⟩ with respect to `targets`, which watch() or leaf() gave; absent where
  // no output depends on one. Absent cotangents mean ones. They are remembered in turn where somebody records.
  std::vector<std::optional<Array>> gradients(std::span<const Array> outputs, std::span<const Array> cotangents,
                                              std::span<const Array> targets);

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<Program> program;
    std::weak_ptr<const void> owner;
    bool owned = false;
    std::size_t bytes = 0;  // of variables, which it keeps alive
    bool stale() const { return owned && owner.expired(); }
  };
  using Entries = std::list<Entry>;
  std::shared_ptr<Program> find(std::string_view key);
  std::shared_ptr<Program> remember(std::string_view key, std::unique_ptr<Graph> graph,
                                    const std::shared_ptr<const void>& owner);
  Entries::iterator forget(Entries::iterator entry);
  Array add(const Array& a, const Array& b);
  std::shared_ptr<Record> leaf_of(const VariableRef& variable);  // null: nobody watches it

  const Backend& backend_;
  std::shared_ptr<Workspace> workspace_, reference_workspace_;
  Entries entries_;  // most recent first
  std::unordered_map<std::string_view, Entries::iterator> by_key_;
  std::size_t made_ = 0, bytes_ = 0;
  int recordings_ = 0;
  std::uint64_t begin_ = 0;  // the last record before the outermost recording
  Recording* watching_all_ = nullptr;
  std::unordered_map<const Variable*, Leaf> leaves_;  // of those that are watched
};

}  // namespace nacre::eager
