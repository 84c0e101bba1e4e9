// Golden vectors: what Keras computed, in HDF5 files of cases. The folder is $NACRE_GOLDENS when that is set (then
// every case found there runs), else tests/golden.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "formats/config.h"
#include "formats/hdf5.h"

namespace nacre::golden {

// One case: a group with an attribute `config` (Keras's JSON, or a bare name), at /Class/k or /Class.
struct Case {
  std::string class_name;
  hdf5::Group data;

  Tree config() const;  // as a tree; a bare name is a text
  Tensor tensor(std::string_view name) const { return data.tensor(name); }
  bool has(std::string_view name) const { return data.has(name); }
};

// Thrown by a check for a class that nacre has not.
struct NotImplemented {};

template <class Base>
std::shared_ptr<Base> make(const Case& golden) {
  const Tree config = golden.config();
  if (!registry<Base>().find(object_spelling(config, registry<Base>().kind()).name)) throw NotImplemented();
  return read_object<Base>(config);
}

// |got - want| <= absolute + relative · |want|.
struct Tolerance {
  double absolute, relative;
};
inline constexpr Tolerance for_outputs{1e-5, 1e-4}, for_gradients{1e-4, 1e-3};

// Throws an Error that says what differs most, unless shapes are equal and all elements agree; NaN agrees with NaN.
void expect_close(std::string_view what, const Tensor& got, const Tensor& want, Tolerance tolerance);

// The outputs of a graph, compiled and run once.
std::vector<Tensor> run(const Graph& graph, const Backend& backend, const std::vector<Tensor>& inputs);

// Runs every case of FILE.h5 on these backends; a check fails by throwing. Prints a line for each class,
// "Conv2D: 12 passed, 0 failed, 0 not implemented", and makes a test failure of each failed case. A file that is absent
// from $NACRE_GOLDENS has no cases.
void check_all(const std::string& file, const std::function<void(const Case&, const Backend&)>& check,
               std::span<const Backend* const> on = backends());

}  // namespace nacre::golden
