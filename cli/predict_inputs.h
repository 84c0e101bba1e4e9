// The inputs of `nacre predict`: files of many kinds, or standard input.
#pragma once

#include <string>
#include <vector>

#include "api/inspect/summary.h"
#include "api/model_card.h"

namespace nacre::cli {

// What an input of the model takes: its name and type with the batch axis.
using Port = ModelSummary::Port;

// One tensor per input of the model, all with the same first axis. Words are files (.npy .npz .csv .h5 .idx .txt,
// pictures), NAME=FILE, TEXT or NAME=TEXT for an input that takes texts, or "-" for CSV or JSON lines on standard
// input. Several pictures or texts are one batch; several arrays are the inputs in order. A single sample without the
// batch axis is given one. As `card` says, lines of a .txt file are a text each, or it is one as a whole, and pictures
// come to the size of their input, or to that of its preprocessing where the input takes any; no number of theirs is
// changed.
std::vector<Tensor> read_inputs(const std::vector<std::string>& words, const std::vector<Port>& ports,
                                const ModelCard& card = {});

// Lines of CSV, or of JSON: a list is a sample of the only input, an object holds a list per input by name. For a model
// whose only input takes texts, other lines are texts.
std::vector<Tensor> parse_lines(std::string_view text, const std::vector<Port>& ports);

}  // namespace nacre::cli
