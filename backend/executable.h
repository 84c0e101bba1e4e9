// A compiled graph: prepared kernels, resolved memory.
#pragma once

#include <algorithm>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace nacre {

// What compilation decided, for `summary`, `bench --verbose` and tests.
struct ExecutableStatistics {
  std::size_t arena_bytes = 0;       // intermediates and scratch
  std::size_t variable_bytes = 0;    // residences that this executable laid out
  std::size_t persistent_bytes = 0;  // constants and what the prologue computes
  int kernels = 0, borrowed = 0;
  int activation_reorders = 0;  // at each run
  int weight_reorders = 0;      // likewise, of variables and of their gradients
  int prologue_kernels = 0;     // run once per version of the variables
  int recorded_kernels = 0;     // that are replayed together with others: see recording.h
};

// What the kernels of an executable took, summed over the runs since profiling began, without those of the prologue.
struct Profile {
  struct Kernel {
    std::string op;             // or "reorder", "copy"
    std::string label;          // of the layer that emitted it, or ""
    std::string result;         // type and layout of its first output
    bool borrowed = false;
    std::int64_t flops = 0;     // of one run; see graph/flops.h
    std::size_t bytes = 0;      // of its operands and results
    double seconds = 0;         // of all runs
    double cold = 0, warm = 0;  // of one run by itself; see measure_alone
  };
  struct Event {
    std::size_t kernel;
    double begin, end;          // see core/clock.h
  };
  std::vector<Kernel> kernels;  // in the order in which they run
  std::int64_t runs = 0;
  std::size_t max_events = 0;   // that are kept
  std::vector<Event> events{};  // the first ones
};

// Memory for the intermediate values of executables that never run at the same time: those of one model. It grows to
// what the largest of them needs. Not synchronised.
class Workspace {
 public:
  explicit Workspace(const Backend& backend) : backend_(backend) {}
  void reserve(std::size_t bytes);
  void* raw() const { return memory_.get(); }  // changes when it grows
  std::size_t bytes() const { return bytes_; }
  // Until a run uses it, the system has only promised it.
  void use() { used_ = true; }
  bool used() const { return used_; }

 private:
  const Backend& backend_;
  std::shared_ptr<std::byte[]> memory_;
  std::size_t bytes_ = 0;
  bool used_ = false;
};

// The results of a run, which may come late: from a device that works beside the host.
class Results {
 public:
  explicit Results(const Backend& backend) : fence_(backend.fence()) {}
  bool late() const { return fence_ != nullptr; }
  // In the order of graph.outputs(); until the next run into them.
  const std::vector<Tensor>& wait() const {
    if (fence_) fence_->wait();
    return tensors_;
  }

 private:
  friend class Executable;
  friend class HostedExecutable;
  std::unique_ptr<Fence> fence_;
  std::vector<Tensor> tensors_;
};

// A graph compiled by a backend for fixed shapes. Running it reads the inputs and variables, computes, and gives
// updated variables their new values; variables live in the layout that the executable wants and are shared with
// other executables of the same backend. Not synchronised: one run at a time among executables that share variables.
class Executable {
 public:
  // Runs the backend's passes on the graph first. All shapes must be known. Throws Error when an op has no kernel.
  // Without a workspace the executable has one of its own.
  Executable(const Graph& graph, const Backend& backend, std::shared_ptr<Workspace> workspace = nullptr,
             Numerics numerics = {}, Borders borders = Borders::plain);
  ~Executable();
  Executable(const Executable&) = delete;
  Executable& operator=(const Executable&) = delete;

  // Inputs in the order of graph.inputs(), with their types exactly; outputs in the order of graph.outputs().
  // `outputs` holds tensors to be filled: their memory is used again when they have the right type.
  void run(std::span<const Tensor> inputs, std::vector<Tensor>& outputs);
  std::vector<Tensor> run(std::span<const Tensor> inputs = {});
  // Begins a run, which goes on while the host does other things where its results come late. The inputs may be changed
  // then, and other runs may begin, here and elsewhere.
  void start(std::span<const Tensor> inputs, Results& results);
  // The same on raw memory, for kernels that hold graphs (scan).
  void run_raw(std::span<const void* const> inputs, std::span<void* const> outputs);

  // Of a run after the first, as those of kernels are counted: see Kernel::launches.
  std::int64_t launches() const;

  // Brings the variables to where the first run would: into the layouts that the kernels want.
  void prepare();
  // What the next run takes beyond what the process holds already, when it follows prepare(): the arena, what the
  // prologue computes, the results. 0 where there was a run.
  std::size_t bytes_to_come() const;

  const Types& input_types() const;
  const Types& output_types() const;
  const ExecutableStatistics& statistics() const;
  std::string text() const;  // one line per kernel with its layouts and memory, for debugging
  // Fills in the kernels and adds what later runs take, until it is called again; null ends it.
  void profile(Profile* profile);
  // In the next run every kernel also runs by itself, several times over the operands that it has there, and `profile`,
  // which this executable has filled, gets the medians: with all operands in memory, and with those that the caches keep
  // from one time to the next. What it overwrites is put back in between, so the run has the results of any other.
  void measure_alone(Profile& profile);

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

// Executables by key, the least recently used dropped beyond `capacity`.
template <class Program = Executable, class Key = std::string>
class ExecutableCache {
 public:
  explicit ExecutableCache(std::size_t capacity = 8) : capacity_(capacity) {}

  // The executable for `key`, made by `compile()` (→ std::unique_ptr<Program>) when it is not there. A key may be given as
  // anything that keys can be compared with and made of.
  template <class Given, class Compile>
  Program& get(const Given& key, Compile&& compile) {
    const auto found = std::ranges::find_if(entries_, [&](const auto& entry) { return entry.first == key; });
    if (found != entries_.end()) {
      entries_.splice(entries_.begin(), entries_, found);
      return *found->second;
    }
    ++misses_;
    entries_.emplace_front(Key(key), compile());
    if (entries_.size() > capacity_) entries_.pop_back();
    return *entries_.front().second;
  }
  std::size_t misses() const { return misses_; }
  void clear() { entries_.clear(); }

 private:
  std::size_t capacity_, misses_ = 0;
  std::list<std::pair<Key, std::unique_ptr<Program>>> entries_;  // most recent first
};

}  // namespace nacre
