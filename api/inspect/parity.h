// Whether two devices compute the same: one training step of a model on both, compared layer by layer.
//
//   const ParityReport report = parity(model);
//   std::fputs(report.text().c_str(), stdout);
//   if (!report.agrees()) …
//
// The step is that of training without its update: batch normalisation takes the statistics of the batch, dropout draws
// (the same numbers on every device), and the loss is differentiated. Weights, states and the optimizer stay as they
// are.
//
// Passes join what stands one behind the other, also ops of several layers: a normalisation and the activation after
// it, a chain of element-wise ops. A value that is asked for cannot vanish in that way. So the device that is checked
// runs the step twice. The first time every layer's result and the gradient of it are outputs of the graph: ops are
// joined within layers only, and that tells which layer is wrong. The second time nothing but the loss, the gradients
// of the weights and their new values (moving statistics) are, so that ops are joined as in training; those numbers are
// the ones that are reported. Where only the second run differs, the report says so: a pass that joins layers is wrong,
// not a kernel. The trusted device runs the first form alone. What updates are joined with (fuse_scatter, join_updates)
// is in neither.
//
// How far rounding takes two right devices apart depends on the network: a unit whose input is nearly zero is on for
// one and off for the other, and its gradient all or nothing. So the trusted device runs the step once more with
// weights that differ by 2⁻¹⁸ of their size (2⁻⁹ for float16, 2⁻⁷ for bfloat16), and what that changes counts four
// times: so far may a tensor's elements differ beside the tolerance, and as many of them further as are changed beyond
// the tolerance. Both grow and shrink with the tolerance. Results mostly change smoothly, so that one wrong element is
// found; gradients less so.
#pragma once

#include "api/model.h"

namespace nacre {

struct ParityOptions {
  const Backend* trusted = nullptr;  // null: the reference
  const Backend* checked = nullptr;  // null: that of the model
  std::int64_t batch_size = 4;       // more than the data has: all of it
  std::uint64_t seed = 0;            // of weights that have no value yet, of random layers, of data that is made up
  std::optional<double> tolerance;   // of relative differences; none: default_tolerance of the model
};

// How far apart two devices are in one tensor.
struct Difference {
  double absolute = 0;   // the largest of an element; infinite where only one of both is a finite number
  double magnitude = 0;  // the largest of a finite number of the trusted device
  double relative = 0;   // absolute / magnitude; see ParityReport::Variable
  double changed = 0;    // how much an element changes on the trusted device with the changed weights
  std::int64_t elements = 0;
  std::int64_t exceeding = 0;  // elements whose difference exceeds what is allowed
  std::int64_t expected = 0;   // as many may: elements that the changed weights change beyond the tolerance
  bool exceeds() const { return exceeding > expected; }
};

struct ParityReport {
  // A floating result of a layer, and the gradient of the loss with respect to it; none where it depends on no weight
  // that learns, or the loss not on it (on what a softmax gives: a cross-entropy takes what came into that).
  struct Result {
    Shape shape;
    Difference value;
    std::optional<Difference> gradient;
  };
  // A weight or state of a layer: its gradient, where it learns, and its new value, where the step changes it by itself
  // (moving statistics). Both are relative to the largest one of the layer: those of a bias before a normalisation are
  // nothing but rounding.
  struct Variable {
    std::string name;  // below the layer: "kernel", "lstm_cell/bias"
    std::optional<Difference> value, gradient;
  };
  // A call of a layer that computes floats. Layers inside another have rows of their own before it, where they are
  // called in the graph itself; the variables of others stand with the layer around them.
  struct Row {
    std::string name;  // "encoder/dense", "dense #2" for the second call
    std::string class_name;
    std::vector<Result> results;
    std::vector<Variable> variables;  // with the first call
    double worst() const;             // the largest relative difference
  };
  // Where a difference exceeds the tolerance.
  struct Excess {
    std::string where;  // "the output of 'conv1'"
    Difference difference;
  };

  std::string model, trusted, checked;  // names of devices
  std::string dtypes;                   // see dtype_policies
  std::int64_t batch_size = 0;
  std::uint64_t seed = 0;
  std::string data;       // its description; "" where it was made up
  bool own_loss = false;  // else the sum of the outputs, each element with a random factor
  double tolerance = 0;
  double trusted_loss = 0, checked_loss = 0;
  Difference loss;
  std::vector<Row> rows;                 // in the order in which they are computed
  std::optional<Excess> first_forward;   // in the order of the rows, the loss last
  std::optional<Excess> first_backward;  // in the opposite order: the first on the way back from the loss
  bool only_joined = false;              // where ops of several layers are not joined, all agrees

  bool agrees() const { return !first_forward && !first_backward; }
  // A table of at most `width` columns, and what exceeds the tolerance first; with the `most` rows that differ most
  // alone.
  std::string text(int width = 80, std::optional<std::size_t> most = {}) const;
  Tree tree() const;  // the same for programs, with all rows
};

// The tolerance for the coarsest dtype that a model and the layers in it compute in: rounding stays below it in
// networks of the zoo, what a wrong kernel does mostly not.
double default_tolerance(const Layer& model);

// On the first samples of `data`; null: on samples that are made up (see example_batch). The loss is that of a compiled
// model. Layers that have not learned from data yet do so first, as in fit. Throws a usage Error where data is missing
// or does not fit, or where no output of a model without a loss is a floating one. Not synchronised with other uses of
// the model.
ParityReport parity(const Model& model, const DatasetRef& data = nullptr, const ParityOptions& options = {});

}  // namespace nacre
