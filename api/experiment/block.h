// Blocks: named pieces of a model with arguments, used like layers.
//
//   blocks:
//     residual(filters, strides=1):
//       - Conv2D: {filters: "${filters}", kernel_size: 3, strides: "${strides}", padding: same, name: a}
//       - BatchNormalization: {name: main}
//       - Conv2D: {filters: "${filters}", kernel_size: 1, strides: "${strides}", from: input, when: "${strides > 1}", name: skip}
//       - Add: {from: [main, skip]}
//   sequential:
//     - residual: {filters: 16, repeat: 3}
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "formats/expression.h"
#include "formats/tree.h"

namespace nacre {

// Arguments of a layer's call that are written beside `from`: values, by the names of layers, and constants.
inline constexpr std::array<std::string_view, 12> value_arguments{
    "mask",         "initial_state",        "attention_mask",         "query_mask",           "value_mask",            "key_mask",
    "padding_mask", "decoder_padding_mask", "decoder_attention_mask", "encoder_padding_mask", "encoder_attention_mask", "positions"};
struct OptionArgument {
  std::string_view name, type, doc;  // `type` as in JSON Schema
};
inline constexpr std::array<OptionArgument, 5> option_arguments{{
    {"training", "boolean", "false: in inference mode while the model trains"},
    {"use_causal_mask", "boolean", "argument of the call"},
    {"return_attention_scores", "boolean", "argument of the call"},
    {"reverse", "boolean", "argument of the call"},
    {"start_index", "integer", "argument of the call"},
}};

// The head of a block: "residual(filters, strides=1)".
struct BlockSignature {
  struct Argument {
    std::string name;
    std::string standard;      // its default, as YAML text
    bool required = true;
  };
  std::string name;
  std::vector<Argument> arguments;

  std::string text() const;
};
BlockSignature parse_signature(std::string_view text, const Mark& mark);

// One layer of an expanded model.
struct LayerLine {
  std::string class_name;                       // a layer's class, "model" for a nested one; "" when `shares` is set
  std::string shares;                           // calls the layer of that line once more
  Tree config;                                  // its fields, expressions evaluated
  std::string name;                             // unique within the model; what other lines and outputs refer to
  bool named = false;                           // by the user (the layer is called so), not by numbering
  std::vector<std::string> from;                // "name" or "name:output"; empty only for Input lines
  std::map<std::string, std::vector<std::string>> named_inputs;  // mask, initial_state, …: call arguments that are values
  Tree options;                                 // call arguments that are none: use_causal_mask, training
  Variables variables;                          // of a nested model ("model"): what its expressions see
  Mark mark;
};

struct ExpandedModel {
  std::vector<LayerLine> lines;
  std::map<std::string, std::string> aliases;   // names of lines left out by `when` and of blocks → what they stand for
  std::string last;                             // the name of the last line
  bool branches = false;                        // some line has an explicit `from` that is not the line before it
};

// Expands the lines of a model (`sequential` or `layers`) with the blocks that `blocks` defines (null: none). `inputs`
// are the names that exist before the first line; the first line without `from` takes the first of them.
//
// A line is a bare class name or {Class: {fields…}}; beside the fields stand
//   from: name | [names]    where its inputs come from; default: the line before. Repetitions after the first continue
//                           where the one before ended, unless an expression in it mentions `index`
//   name: text              within a block it is prefixed with the block's own name, but not "/text"
//   when: condition         false leaves the line out: its name then stands for its input, of several for the line before
//   repeat: n               that many times in a row; `index` counts from 0 in its expressions, and numbers the names
//                           (res_0, res_1, …) unless the name's own expression does ("block${index + 1}")
//   mask, initial_state, query_mask, … , use_causal_mask, training: arguments of the call
// An operation of Keras's (ops.NAME) has the constants among the arguments of its call beside `from`, whose tensors take
// the other arguments in order: {ops.Multiply: {x2: 2}}, {ops.Subtract: {x1: 3, from: y}}, {ops.GetItem: {key: [":", "1:3"]}}.
// {share: {layer: NAME, from: …, name: …}} calls an earlier layer again; {model: {…}} nests a whole model, also one that
// was saved, and of that as far as a layer inside: {model: {file: base.h5, outputs: conv5, trainable: false}}. Inside a block `input` is the block's input
// (`input1`, … when it is used with several), and the block's result is its last line.
ExpandedModel expand_blocks(const Tree& lines, const Tree& blocks, const std::vector<std::string>& inputs,
                            const Variables& variables);

}  // namespace nacre
