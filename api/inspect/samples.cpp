#include "api/inspect/samples.h"

#include "formats/yaml.h"

namespace nacre {

namespace {

// Values that make sense together, by the names of fields.
const Tree& usual_values() {
  static const Tree values = parse_yaml(R"(
units: 64
filters: 32
kernel_size: 3
pool_size: 2
size: 2
rate: 0.5
stddev: 0.1
factor: 0.2
input_dim: 1000
output_dim: 64
num_heads: 8
key_dim: 64
head_dim: 64
num_query_heads: 8
num_key_value_heads: 2
intermediate_dim: 256
sequence_length: 128
vocabulary_size: 1000
embedding_dim: 64
equation: "ab,bc->ac"
output_shape: [4]
target_shape: [4, 4]
dims: [2, 1]
n: 3
axes: -1
activation: relu
layer: {Dense: {units: 8}}
cell: {LSTMCell: {units: 8}}
cells: [{LSTMCell: {units: 8}}, {LSTMCell: {units: 8}}]
height: 32
width: 32
scale: 0.5
value_range: [0, 255]
bin_boundaries: [0.0, 1.0]
num_bins: 16
num_tokens: 10
crop_height: 24
filepath: "model-{epoch:02d}.h5"
filename: log.csv
backup_dir: backup
schedule: lr * 0.9
initial_learning_rate: 0.1
decay_steps: 1000
decay_rate: 0.9
first_decay_steps: 1000
boundaries: [1000, 2000]
values: [0.1, 0.01, 0.001]
inner_optimizer: sgd
optimizer_map: {default_optimizer: sgd, optimizer_map: {"embedding/.*": adam}}
num_classes: 3
target_class_ids: [0]
recall: 0.5
precision: 0.5
sensitivity: 0.5
specificity: 0.5
threshold: 1.0
default_value: 0.0
images: train-images.gz
labels: train-labels.gz
file: data
inputs: x
target: y
x: x.npy
y: y.npy
folder: pictures
path: pictures
batch_input_shape: [null, 4]
shape: [4]
)");
  return values;
}

// What classes want that they do not say: {class: {field: value}}.
const Tree& own_values() {
  static const Tree values = parse_yaml(R"(
InputLayer: {shape: [28, 28, 1]}
Bidirectional: {layer: {LSTM: {units: 8}}}
Discretization: {bin_boundaries: [0.0, 1.0]}
RandomPosterization: {factor: 4}
Lambda: {function: "function(x) return x * 2 + nacre.ops.relu(x) end"}
FreezeScheduler: {schedule: {0: until head, 3: false}}
Cast: {dtype: float16}
SaturateCast: {dtype: float16}
Resize: {size: [4, 4]}
Sequential: {layers: [{Dense: {units: 8}}]}
Functional:
  layers:
    - {class_name: InputLayer, name: x, config: {batch_shape: [null, 4], name: x}, inbound_nodes: []}
    - {class_name: Dense, name: y, config: {units: 2, name: y}, inbound_nodes: [[[x, 0, 0, {}]]]}
  input_layers: [[x, 0, 0]]
  output_layers: [[y, 0, 0]]
)");
  return values;
}

// A value that the schema of a field allows.
Tree any_value(const Field& field) {
  if (const Tree* usual = usual_values().find(field.key)) return *usual;
  Tree schema = field.schema();
  annotate_schema(schema, "", field.constraint, Tree());
  if (const Tree* choices = schema.find("enum")) return choices->items().front();
  if (const Tree* low = schema.find("minimum")) return *low;
  if (const Tree* low = schema.find("exclusiveMinimum")) return low->as_number() + 0.5;
  const Tree* type = schema.find("type");
  if (type && *type == Tree("array")) return Tree::sequence();
  if (type && *type == Tree("string")) return "x";
  return 1;
}

}  // namespace

Tree sample_fields(std::string_view class_name, std::span<const FieldTable* const> tables) {
  if (const Tree* own = own_values().find(class_name)) return *own;
  Tree sample;
  for (const FieldTable* table : tables)
    for (const Field& field : *table)
      if (field.constraint.required) sample.set(field.key, any_value(field));
  return sample;
}

}  // namespace nacre
