// The interface between graphs and what computes them. A backend is a table op → kernel builder plus what it can do;
// executable.h turns a graph into a flat list of its kernels.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/core/tensor.h"
#include "backend/fence.h"
#include "backend/graph/graph.h"
#include "backend/recording.h"

namespace nacre {

// How the elements of a value lie in memory. Plain is dense and row-major; an opaque layout is known to its backend
// alone; `any` leaves the choice to the first kernel that reads the value.
class LayoutDetail {
 public:
  virtual ~LayoutDetail() = default;
  virtual bool equals(const LayoutDetail& other) const = 0;
  virtual std::size_t bytes() const = 0;
  virtual std::string text() const = 0;
};

class Layout {
 public:
  static Layout any() { return Layout(true, nullptr); }
  static Layout plain() { return Layout(false, nullptr); }
  static Layout opaque(std::shared_ptr<const LayoutDetail> detail) { return Layout(false, std::move(detail)); }

  bool is_any() const { return any_; }
  bool is_plain() const { return !any_ && !detail_; }
  const LayoutDetail* detail() const { return detail_.get(); }
  std::size_t bytes(const Type& type) const { return detail_ ? detail_->bytes() : type.bytes(); }
  std::string text() const { return any_ ? "any" : detail_ ? detail_->text() : "plain"; }
  bool operator==(const Layout& other) const {
    return any_ == other.any_ && (detail_ == other.detail_ || (detail_ && other.detail_ && detail_->equals(*other.detail_)));
  }

 private:
  Layout(bool any, std::shared_ptr<const LayoutDetail> detail) : any_(any), detail_(std::move(detail)) {}
  bool any_;
  std::shared_ptr<const LayoutDetail> detail_;
};

// How the inputs and outputs of a compiled graph lie: as tensors do, or as Backend::row_major says, which is for graphs
// that kernels hold.
enum class Borders : std::uint8_t { plain, row_major };

struct KernelArguments {
  std::span<const void* const> inputs;
  std::span<void* const> outputs;
  void* scratch;  // of the size that the plan asked for, contents undefined; shared with other kernels
};

// Prepared work with fixed shapes. run() allocates nothing and infers nothing; it is called by one thread at a time.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual void run(const KernelArguments& arguments) = 0;
  // How many things run() asks its device for, where they may be recorded (recording.h): it waits for none of them, and
  // none is about the host's memory. 0: they may not.
  virtual std::int64_t launches() const { return 0; }
};

// How exactly matrix products and convolutions multiply float32 numbers; their sums and everything else are float32 in any
// case. `high` allows factors to be rounded to TensorFloat-32 (10 bits of mantissa), `medium` to bfloat16 (7 bits), where a
// backend is faster for it; otherwise they are the same as `highest`.
enum class MatmulPrecision : std::uint8_t { highest, high, medium };
template <>
struct EnumNames<MatmulPrecision> {
  static constexpr std::string_view names[] = {"highest", "high", "medium"};
};

// How kernels compute where there is a choice between exact and fast.
struct Numerics {
  MatmulPrecision matmul_precision = MatmulPrecision::highest;
  // The same operands give the same bits each time. Otherwise kernels may add in the order in which threads come, where a
  // backend is faster for it; those of this machine's processor never do.
  bool deterministic = true;
  bool operator==(const Numerics&) const = default;
};

class Backend;

struct KernelRequest {
  const Node& node;                 // all shapes known
  std::span<const Layout> inputs;   // as the operands come; `any` for weights that nobody has laid out yet
  const Backend& backend;           // for kernels that hold graphs of their own
  Layout wanted = Layout::any();    // as output 0 is read, where that is known; the kernel may give another
  Numerics numerics{};
  std::span<const char> fixed{};    // by operand; empty: not known

  // Whether the graph leaves the operand as it is: a reorder of it runs once per version of the variables.
  bool is_fixed(std::size_t operand) const { return operand < fixed.size() && fixed[operand]; }
};

struct KernelPlan {
  std::unique_ptr<Kernel> kernel;   // null: output 0 is input 0 under another type (a view)
  std::vector<Layout> inputs;       // as the kernel wants them: reorders are inserted where they come otherwise
  std::vector<Layout> at_rest{};    // of variables that nobody has laid out yet, as inputs or as what these are casts of;
                                    // none, or `any`: as in `inputs`
  std::vector<Layout> outputs;      // as the kernel gives them
  std::size_t scratch_bytes = 0;
  struct InPlace {
    int output, input;
  };
  std::vector<InPlace> in_place;    // the output may be written over that input, when nobody needs it afterwards
  bool borrowed = false;            // a reference kernel used by another backend
};

// A kernel builder: one row of a backend's table.
using KernelBuilder = KernelPlan (*)(const KernelRequest& request);
struct KernelRow {
  const Op* op;
  KernelBuilder build;
  // Null: every node of this op. Shapes may be unknown here.
  bool (*fits)(const Node& node, const Backend& backend) = nullptr;
  bool (*fuses)(const Node& node) = nullptr;  // may be part of a `fused` group (ops/fused.h); null: never
};

struct Pass {
  std::string_view name;
  std::unique_ptr<Graph> (*run)(const Graph& graph, const Backend& backend);
};

// One instance per backend, immutable, usable from several threads.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;           // "cpu", "gpu", "reference": the word for --device
  virtual std::string_view description() const = 0;    // one line for `nacre doctor`
  virtual std::span<const KernelRow> table() const = 0;
  virtual std::span<const Pass> passes() const = 0;    // in order; see graph/passes/pipeline.h
  // Copies a value from one layout to another, which may be the same; neither is `any`. As copy() does: what comes from
  // another memory may be changed then, and what goes to the host's is there after wait().
  virtual std::unique_ptr<Kernel> reorder(const Type& type, const Layout& from, const Layout& to) const = 0;
  // Whether training in this dtype is not slower than in float32 here: whether there are instructions for it. A backend
  // that is not made to be fast says yes.
  virtual bool has_instructions(DType) const { return true; }
  // Whether it multiplies numbers of eight bits (ops/float8.h) as such.
  virtual bool multiplies_float8() const { return false; }
  // Memory that kernels can use; aligned to buffer_alignment.
  virtual std::shared_ptr<std::byte[]> allocate(std::size_t bytes) const = 0;
  // Whether that is the memory of tensors, so that kernels can use those of variables in plain layout as they are.
  virtual bool shares_host_memory() const { return true; }

  // For kernels that hold graphs. Row-major in that memory: how their operands and those of the graphs lie.
  virtual Layout row_major(const Type&) const { return Layout::plain(); }
  // Bytes of that memory and of the host's, in the order of kernels: after what was asked for before, not necessarily
  // when this returns. What is read from the host may be changed then; what is written there is there after wait().
  virtual void copy(void* to, const void* from, std::size_t bytes) const;
  virtual void clear(void* memory, std::size_t bytes) const;  // to zeros; never the host's
  virtual void wait() const {}                                // until all that was asked for is done

  // For graphs that are run again and again, by a device that works beside the host.
  // Copies values of these types from the host, plain there, to row_major(), beside the kernels that were asked for before.
  // Null: reorder() does as well.
  virtual std::unique_ptr<Kernel> arrivals(std::span<const Type>) const { return nullptr; }
  // Null where work is done as it is asked for.
  virtual std::unique_ptr<Fence> fence() const { return nullptr; }
  // Memory of the host, to which a device copies without anybody waiting for it.
  virtual std::shared_ptr<std::byte[]> result_memory(std::size_t bytes) const { return allocate_bytes(bytes); }
  // Null where work is done as it is asked for.
  virtual Recorder* recorder() const { return nullptr; }

  const KernelRow* row(const Node& node) const;        // null when it has no kernel for this node
  bool supports(const Node& node) const { return row(node) != nullptr; }
};

// The backends that this machine can use, the default one first.
std::span<const Backend* const> backends();
// The backend for a device word: "cpu", "gpu", "reference". Throws a usage Error that says in one line why it cannot
// be had ("no GPU backend in this build").
const Backend& backend_for(std::string_view device);
const Backend& reference_backend();

}  // namespace nacre
