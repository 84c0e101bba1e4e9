// Operations of Keras's that are not here are refused by what they are.
#include <gtest/gtest.h>

#include "api/model.h"
#include "formats/json.h"
#include "layers/operations.h"

namespace nacre {
namespace {

// What reading a model of one operation says.
std::string refusal(std::string_view class_name, std::string_view module = R"("keras.src.ops.core")", std::string_view config = R"("name": "step")") {
  const std::string text = fmt::format(
      R"({{"class_name": "Functional", "module": "keras.src.models.functional", "config": {{"name": "net", "layers": [
        {{"class_name": "InputLayer", "name": "x", "config": {{"name": "x", "batch_shape": [null, 3], "dtype": "float32"}}, "inbound_nodes": []}},
        {{"class_name": "{}", "module": {}, "name": "step", "config": {{{}}}, "inbound_nodes": [{{"args": [{{"class_name": "__keras_tensor__",
          "config": {{"shape": [null, 3], "dtype": "float32", "keras_history": ["x", 0, 0]}}}}], "kwargs": {{}}}}]}}],
        "input_layers": [["x", 0, 0]], "output_layers": [["step", 0, 0]]}}}})",
      class_name, module, config);
  try {
    register_models();
    read_object<Layer>(parse_json(text));
    return "no refusal";
  } catch (const Error& error) {
    return error.what();
  }
}

void expect_refused(std::string_view class_name, std::string_view reason, std::string_view module = R"("keras.src.ops.core")") {
  const std::string text = refusal(class_name, module);
  EXPECT_NE(text.find(fmt::format("operation keras.ops.{} of layer 'step' {}", class_name, reason)), std::string::npos) << text;
  EXPECT_NE(text.find("hint: "), std::string::npos) << text;
  EXPECT_EQ(text.find("did you mean"), std::string::npos) << text;
  EXPECT_EQ(text.find("unknown"), std::string::npos) << text;
}

TEST(AbsentOperations, PythonCodeIsSaid) {
  for (const char* name : {"Map", "Scan", "AssociativeScan", "Switch", "WhileLoop", "ForiLoop", "Cond", "VectorizedMap", "JVP"})
    expect_refused(name, "holds Python code");
}

TEST(AbsentOperations, SizesThatDependOnValuesAreSaid) {
  for (const char* name : {"Nonzero", "Unique"}) expect_refused(name, "has results whose size depends on the values", R"("keras.src.ops.numpy")");
}

TEST(AbsentOperations, ComplexNumbersAreSaid) {
  for (const char* name : {"Eig", "Polar", "ViewAsComplex", "ViewAsReal"}) expect_refused(name, "computes complex numbers");
  EXPECT_NE(refusal("Eig").find("ops.eigh"), std::string::npos);
}

TEST(AbsentOperations, OthersAreNotSupported) {
  expect_refused("ElasticTransform", "is not supported", R"("keras.src.ops.image")");
  EXPECT_NE(refusal("ElasticTransform").find("RandomElasticTransform"), std::string::npos);
  expect_refused("OfTheFuture", "is not supported", R"("keras.src.ops.numpy")");
  expect_refused("Arange", "has constants alone as arguments", R"("keras.src.ops.numpy")");
}

// .h5 files leave modules out.
TEST(AbsentOperations, AreKnownWithoutAModule) { expect_refused("Nonzero", "has results", "null"); }

TEST(AbsentOperations, LayersOfTheirNameAreNone) {
  for (const std::string& text : {refusal("Scan", R"("my.package")"), refusal("Scan", "null", R"("name": "step", "trainable": true)")}) {
    EXPECT_NE(text.find("unknown layer 'Scan'"), std::string::npos) << text;
    EXPECT_EQ(text.find("keras.ops"), std::string::npos) << text;
  }
}

// What is refused is not there, and the other way round.
TEST(AbsentOperations, ThoseThatAreHereAreNotAbsent) {
  for (const auto& info : registry<Layer>().classes())
    if (info.qualified) { EXPECT_FALSE(refused_operation(info.class_name, "", "step").has_value()) << info.class_name; }
}

}  // namespace
}  // namespace nacre
