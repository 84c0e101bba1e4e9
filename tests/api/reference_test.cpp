// The generated reference, and the classes that must be there.
#include "api/inspect/reference.h"

#include <gtest/gtest.h>

#include "api/experiment/kinds.h"
#include "api/inspect/samples.h"
#include "api/model.h"
#include "formats/file.h"
#include "formats/yaml.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

const std::filesystem::path source = NACRE_SOURCE_DIR;

TEST(Reference, CommittedPagesAreWhatTheProgramSays) {
  const auto pages = reference_pages();
  const std::filesystem::path folder = source / "tutorials/reference";
  if (std::filesystem::exists(folder))
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const std::string name = entry.path().filename().string();
      EXPECT_TRUE(name == "status.md" || name == "lua.md" || pages.contains(name)) << entry.path() << " is no page any more";
    }
  for (const auto& [file, text] : pages) {
    const std::filesystem::path page = folder / file;
    ASSERT_TRUE(std::filesystem::exists(page)) << page << " is missing; run: nacre reference tutorials/reference";
    EXPECT_TRUE(read_file(page) == text) << page << " is out of date; run: nacre reference tutorials/reference";
  }
}

TEST(Reference, KerasClassesAreThere) {
  register_models();
  const Tree wanted = load_yaml(source / "tests/api/keras_classes.yaml");
  std::size_t kinds = 0;
  each_kind([&]<class Base>() {
    const Tree* names = wanted.find(registry<Base>().kind());
    if (!names) return;
    ++kinds;
    for (const Tree& name : names->items())
      EXPECT_TRUE(registry<Base>().find(name.as_string())) << "no " << registry<Base>().kind() << " '" << name.as_string() << "'";
  });
  EXPECT_EQ(kinds, wanted.entries().size());
}

TEST(Reference, EveryClassAndFieldIsExplained) {
  register_models();
  each_kind([&]<class Base>() {
    for (const ClassInfo<Base>& info : registry<Base>().classes()) {
      SCOPED_TRACE(fmt::format("{} {}", registry<Base>().kind(), info.spelling()));
      EXPECT_FALSE(info.doc.empty());
      for (const FieldTable* table : info.fields)
        for (const Field& field : *table) EXPECT_FALSE(field.help.empty()) << field.key;
      const bool holds_code = info.class_name == "LambdaCallback";
      EXPECT_EQ(example_of(info).has_value(), !holds_code) << "api/inspect/samples.cpp needs values for its required fields";
    }
  });
}

}  // namespace
}  // namespace nacre
