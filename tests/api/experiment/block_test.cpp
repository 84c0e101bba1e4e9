#include "api/experiment/block.h"

#include <gtest/gtest.h>

#include "formats/yaml.h"

namespace nacre {
namespace {

// One line per layer: "name = Class{fields} <- inputs".
std::string expanded(const std::string& yaml, const std::vector<std::string>& inputs = {"image"}, const Variables& variables = {}) {
  const Tree tree = parse_yaml(yaml, "m.yaml");
  const Tree* blocks = tree.find("blocks");
  const ExpandedModel model = expand_blocks(tree["layers"], blocks ? *blocks : Tree(), inputs, variables);
  std::string text;
  for (const LayerLine& line : model.lines) {
    text += line.name + " = " + (line.shares.empty() ? line.class_name : "share " + line.shares);
    if (!line.config.entries().empty()) text += line.config.text();
    text += " <-";
    for (const std::string& from : line.from) text += " " + from;
    for (const auto& [argument, names] : line.named_inputs) text += " " + argument + "=" + names.front();
    text += "\n";
  }
  return text;
}

std::string error_of(const std::string& yaml, const std::vector<std::string>& inputs = {"image"}) {
  try {
    expanded(yaml, inputs);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::Kind::usage);
    return error.what();
  }
  return "no error";
}

TEST(Block, LinesFollowEachOther) {
  EXPECT_EQ(expanded("layers:\n- Conv2D: {filters: 8}\n- BatchNormalization\n- Conv2D: {filters: 4, name: last}\n"),
            "conv2d = Conv2D{filters: 8} <- image\n"
            "batch_normalization = BatchNormalization <- conv2d\n"
            "last = Conv2D{filters: 4} <- batch_normalization\n");
}

TEST(Block, ArgumentsDefaultsAndNames) {
  EXPECT_EQ(expanded(R"(
blocks:
  unit(filters, strides=1):
    - Conv2D: {filters: "${2 * filters}", strides: "${strides}", name: a}
    - ReLU
layers:
  - unit: {filters: 8, name: stem}
  - unit: {filters: 4, strides: 2}
)"),
            "stem_a = Conv2D{filters: 16, strides: 1} <- image\n"
            "re_lu = ReLU <- stem_a\n"
            "unit_a = Conv2D{filters: 8, strides: 2} <- re_lu\n"
            "re_lu_1 = ReLU <- unit_a\n");
}

TEST(Block, RepetitionCountsWithIndex) {
  EXPECT_EQ(expanded(R"(
blocks:
  unit(strides):
    - Conv2D: {strides: "${strides}", name: c}
layers:
  - unit: {strides: "${index == 0 and 2 or 1}", repeat: 2, name: stage}
  - Dense: {units: "${index}", repeat: 2, name: d}
  - Add: {from: [d_0, d]}
)"),
            "stage_0_c = Conv2D{strides: 2} <- image\n"
            "stage_1_c = Conv2D{strides: 1} <- stage_0_c\n"
            "d_0 = Dense{units: 0} <- stage_1_c\n"
            "d_1 = Dense{units: 1} <- d_0\n"
            "add = Add <- d_0 d_1\n");
}

TEST(Block, NamesThatMentionIndexNumberThemselves) {
  EXPECT_EQ(expanded(R"(
layers:
  - Dense: {units: 4, repeat: 2, name: "block${index + 1}_fc"}
  - Dense: {units: 5, repeat: 2, name: "${string.format('my_indexes')}"}
  - Add: {from: [block1_fc, block2_fc]}
)"),
            "block1_fc = Dense{units: 4} <- image\n"
            "block2_fc = Dense{units: 4} <- block1_fc\n"
            "my_indexes_0 = Dense{units: 5} <- block2_fc\n"
            "my_indexes_1 = Dense{units: 5} <- my_indexes_0\n"
            "add = Add <- block1_fc block2_fc\n");
}

TEST(Block, RepetitionsMayComeFromSeveralBefore) {
  EXPECT_EQ(expanded(R"(
blocks:
  cell: [Add: {from: [input1, input2]}]
layers:
  - Dense: {from: a, name: cell_0}
  - cell: {from: ["cell_${index}", "${index == 0 and 'a' or 'cell_' .. index - 1}"], name: "cell_${index + 1}", repeat: 3}
  - Dense: {from: [a], repeat: 2}
)",
                     {"a"}),
            "cell_0 = Dense <- a\n"
            "add = Add <- cell_0 a\n"
            "add_1 = Add <- add cell_0\n"
            "add_2 = Add <- add_1 add\n"
            "dense = Dense <- a\n"
            "dense_1 = Dense <- dense\n");
}

TEST(Block, BlocksCalledLikeLayersTakeNoneOfTheirNumbers) {
  EXPECT_EQ(expanded("blocks:\n  dense: [Dense, ReLU: {name: act}]\nlayers: [dense, dense, Dense]\n"),
            "dense = Dense <- image\n"
            "dense_act = ReLU <- dense\n"
            "dense_1 = Dense <- dense_act\n"
            "dense_1_act = ReLU <- dense_1\n"
            "dense_2 = Dense <- dense_1_act\n");
}

TEST(Block, NamesFromTheRootHaveNoPrefix) {
  const std::string yaml = R"(
blocks:
  inner: [Dense: {name: d}]
  outer(number):
    - Dense: {name: "/dense_${number}_of_all"}
    - inner: {name: /free, from: dense_1_of_all}
    - inner
    - ReLU: {from: free, name: last}
layers:
  - outer: {number: 1, name: o}
)";
  EXPECT_EQ(expanded(yaml),
            "dense_1_of_all = Dense <- image\n"
            "free_d = Dense <- dense_1_of_all\n"
            "o_inner_d = Dense <- free_d\n"
            "o_last = ReLU <- free_d\n");
  EXPECT_EQ(error_of("layers:\n- Dense: {name: /}\n"), "m.yaml:2:3: '/' cannot be a name\n  hint: names hold no '/', ':' or '.'");
}

TEST(Block, BranchesAndConditions) {
  const std::string blocks = R"(
blocks:
  residual(project):
    - Conv2D: {name: main}
    - Conv2D: {from: input, when: "${project}", name: skip}
    - Add: {from: [main, skip]}
layers:
  - residual: {project: PROJECT, name: r}
  - Flatten: {from: r}
)";
  std::string with = blocks, without = blocks;
  with.replace(with.find("PROJECT"), 7, "true");
  without.replace(without.find("PROJECT"), 7, "false");
  EXPECT_EQ(expanded(with),
            "r_main = Conv2D <- image\nr_skip = Conv2D <- image\nadd = Add <- r_main r_skip\nflatten = Flatten <- add\n");
  EXPECT_EQ(expanded(without), "r_main = Conv2D <- image\nadd = Add <- r_main image\nflatten = Flatten <- add\n");
}

TEST(Block, SumsThatAreLeftOutStandForTheLineBefore) {
  const std::string model = R"(
blocks:
  residual(sum):
    - Conv2D: {name: main}
    - Add: {from: [input, main], when: "${sum}", name: sum}
layers:
  - residual: {sum: false, name: r}
  - residual: {sum: true, name: s}
  - Add: {from: [r, s]}
)";
  EXPECT_EQ(expanded(model),
            "r_main = Conv2D <- image\ns_main = Conv2D <- r_main\ns_sum = Add <- r_main s_main\nadd = Add <- r_main s_sum\n");
  EXPECT_EQ(error_of("layers:\n- Dense: {name: a}\n- Dense: {from: image, name: b}\n- Add: {from: [image, a], when: false}\n"),
            "m.yaml:4:3: 'Add' is left out by `when`, but has 2 inputs to stand for");
}

TEST(Block, NestedBlocksSeveralInputsSharedLayersAndCallArguments) {
  EXPECT_EQ(expanded(R"(
blocks:
  inner(n): [Dense: {units: "${n}", name: d}]
  pair(n):
    - inner: {n: "${n + 1}", from: input1, name: x}
    - Concatenate: {from: [x, input2]}
layers:
  - pair: {n: 3, from: [a, b]}
  - share: {layer: tower, from: b, name: again}
  - LSTM: {units: 2, initial_state: [again], mask: "m:1"}
)",
                     {"a", "b", "tower", "m"}),
            "pair_x_d = Dense{units: 4} <- a\n"
            "concatenate = Concatenate <- pair_x_d b\n"
            "again = share tower <- b\n"
            "lstm = LSTM{units: 2} <- again initial_state=again mask=m:1\n");
}

TEST(Block, MistakesAreNamedWithTheirPlace) {
  EXPECT_EQ(error_of("layers:\n- Add: {from: [imag, image]}\n"),
            "m.yaml:2:16: there is no layer 'imag' before this line\n  hint: did you mean 'image'?");
  EXPECT_EQ(error_of("blocks:\n  unit(filters): [ReLU]\nlayers:\n- unit: {filter: 3}\n"),
            "m.yaml:4:10: unknown argument 'filter' of block 'unit'\n  hint: did you mean 'filters'?");
  EXPECT_EQ(error_of("blocks:\n  unit(filters): [ReLU]\nlayers:\n- unit\n"),
            "m.yaml:4:3: argument 'filters' of block 'unit(filters)' is missing");
  EXPECT_EQ(error_of("layers:\n- Dense: {name: a}\n- Dense: {name: a}\n"),
            "m.yaml:3:3: two layers are called 'a'\n  hint: the other is at m.yaml:2:3");
  EXPECT_EQ(error_of("blocks:\n  a(): [a]\nlayers:\n- a\n").substr(0, 50), "m.yaml:2:8: blocks are nested more than 32 deep\n  ");
  EXPECT_EQ(error_of("layers:\n- ReLU: {repeat: 100000000}\n"),
            "m.yaml:2:18: 'ReLU': got 100000000 repetitions, wanted 0 to 10000");
  EXPECT_EQ(error_of("blocks:\n  (x): [ReLU]\nlayers: []\n"),
            "m.yaml:2:3: cannot read the block's head '(x)'\n  hint: write it like residual(filters, strides=1)");
  EXPECT_EQ(error_of("layers:\n- Dense: {name: a/b}\n"), "m.yaml:2:3: 'a/b' cannot be a name\n  hint: names hold no '/', ':' or '.'");
}

TEST(Block, SignaturesKeepBracketsTogether) {
  const BlockSignature signature = parse_signature("f(a, b=[1, 2], c=${a + 1})", {});
  ASSERT_EQ(signature.arguments.size(), 3u);
  EXPECT_TRUE(signature.arguments[0].required);
  EXPECT_EQ(signature.arguments[1].standard, "[1, 2]");
  EXPECT_EQ(signature.text(), "f(a, b=[1, 2], c=${a + 1})");
}

}  // namespace
}  // namespace nacre
