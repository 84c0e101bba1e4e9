#include "backend/core/error.h"

#include <gtest/gtest.h>

namespace nacre {

namespace {

TEST(Error, SaysWhatWhereAndWhatToDo) {
  try {
    within([] { return "while building model 'mnist-cnn'"; }, [] {
      throw Error("got input {}, wanted rank {}", "(None, 26, 26, 32)", 2)
          .about("layer 'fc1' (Dense)")
          .at({"mnist.yaml", 14, 7})
          .hint("put a Flatten layer before it");
    });
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "mnist.yaml:14:7: layer 'fc1' (Dense): got input (None, 26, 26, 32), wanted rank 2\n"
                 "  while building model 'mnist-cnn'\n"
                 "  hint: put a Flatten layer before it");
    EXPECT_EQ(error.kind(), Error::Kind::failure);
  }
}

TEST(Error, KeepsTheInnermostMarkSubjectAndHintAndAllScopes) {
  const Error error = Error("wrong")
                          .at({"inner.yaml", 2, 1})
                          .about("inner")
                          .hint("inner hint")
                          .within("in b")
                          .at({"outer.yaml", 9, 9})
                          .about("outer")
                          .hint("outer hint")
                          .within("in a");
  EXPECT_STREQ(error.what(), "inner.yaml:2:1: inner: wrong\n  in b\n  in a\n  hint: inner hint");
}

TEST(Error, FromUserTextIsNotAFormat) { EXPECT_STREQ(Error(std::string("100 {} %s")).what(), "100 {} %s"); }

TEST(Error, UsageIsAKind) { EXPECT_EQ(Error("wrong").usage().kind(), Error::Kind::usage); }

TEST(Error, WithinLeavesResultsAndOtherExceptionsAlone) {
  EXPECT_EQ(within([] { return "never made"; }, [] { return 3; }), 3);
  EXPECT_THROW(within([] { return "scope"; }, []() -> int { throw InternalError("broken"); }), InternalError);
}

TEST(Mark, TextLeavesOutWhatIsNotKnown) {
  EXPECT_EQ((Mark{"a.yaml", 3, 5}).text(), "a.yaml:3:5");
  EXPECT_EQ((Mark{"a.yaml", 3, 0}).text(), "a.yaml:3");
  EXPECT_EQ((Mark{"a.yaml", 0, 0}).text(), "a.yaml");
  EXPECT_EQ((Mark{"", 3, 5}).text(), "<text>:3:5");
  EXPECT_FALSE(Mark{});
}

TEST(InternalError, AsksForAReport) {
  EXPECT_STREQ(InternalError("no node {}", 3).what(), "internal error: no node 3\n  hint: this is a defect of nacre, please report it");
  EXPECT_THROW(ensure(false, "broken"), InternalError);
  EXPECT_THROW(need(false, "wrong"), Error);
  EXPECT_NO_THROW(ensure(true, "broken"));
}

TEST(Nearest, IgnoresCaseAndSmallSlips) {
  const std::vector<std::string_view> words = {"filters", "kernel_size", "strides", "padding"};
  EXPECT_EQ(nearest("filter", words), "filters");
  EXPECT_EQ(nearest("Kernel_Size", words), "kernel_size");
  EXPECT_EQ(nearest("kernelsize", words), "kernel_size");
  EXPECT_EQ(nearest("paddign", words), "padding");
  EXPECT_EQ(nearest("activation", words), "");
  EXPECT_EQ(nearest(std::string(100000, 'x'), words), "");
  EXPECT_EQ(nearest("x", {}), "");
}

TEST(Nearest, FindsNamesOfWhichPartsWereLeftOut) {
  EXPECT_EQ(nearest("sparse_crossentropy", {"binary_crossentropy", "sparse_categorical_crossentropy"}),
            "sparse_categorical_crossentropy");
  EXPECT_EQ(nearest("binary_crosentropy", {"sparse_binary_crosentropy", "binary_crossentropy"}), "binary_crossentropy");
}

TEST(Suggestion, NamesTheNearestOrTheKnown) {
  EXPECT_EQ(suggestion("filter", {"filters", "strides"}), "did you mean 'filters'?");
  EXPECT_EQ(suggestion("activation", {"filters", "strides"}), "known: filters, strides");
  EXPECT_EQ(suggestion("?????", std::vector<std::string_view>(13, "abcdefgh")).substr(0, 17), "known: abcdefgh, ");
  EXPECT_TRUE(suggestion("?????", std::vector<std::string_view>(13, "abcdefgh")).ends_with(", …"));
}

}  // namespace

}  // namespace nacre
