-- Reads what a layer inside of a trained model sees, and lets a new model learn from it.
--   nacre lua tutorials/lua/04_submodel.lua

-- A model that somebody has trained and saved.
local model = nacre.Sequential{
  nacre.Input{28, 28, 1},
  nacre.layers.Rescaling{scale = 1 / 255},
  nacre.layers.Conv2D{filters = 8, kernel_size = 3, strides = 2, activation = "relu", name = "edges"},
  nacre.layers.Flatten(),
  nacre.layers.Dense{units = 32, activation = "relu", name = "features"},
  nacre.layers.Dense{units = 10, activation = "softmax", name = "digit"},
  name = "digits",
}
model:compile{optimizer = "adam", loss = "sparse_categorical_crossentropy", metrics = {"accuracy"}}
model:fit{data = {digits = {count = 2000}}, epochs = 2, validation_split = 0.1}
model:save("digits.keras")

-- Its inner outputs are where other models end. Weights are shared, not copied.
local base = nacre.load("digits.keras")
local inner = nacre.Model{inputs = base.inputs, outputs = {base:layer("edges").output, base:layer("features").output}}
local pictures = nacre.data.digits{count = 5, seed = 7}
local edges, features = inner:predict(pictures)
print("edges", edges.dtype, table.concat(edges.shape, "×"))
print("features", features.dtype, table.concat(features.shape, "×"))

-- A new head on the frozen part: is the digit even?
base.trainable = false
local even = nacre.layers.Dense{units = 1, activation = "sigmoid", name = "even"}(base:layer("features").output)
local transfer = nacre.Model{inputs = base.inputs, outputs = even, name = "even-or-odd"}

local inputs, targets = nacre.data.digits{count = 1000, seed = 2}:read()
local labels = {}
for i, digit in ipairs(targets[1]:totable()) do labels[i] = {1 - digit % 2} end
transfer:compile{optimizer = {Adam = {learning_rate = 0.01}}, loss = "binary_crossentropy", metrics = {"accuracy"}}
local history = transfer:fit(inputs[1], nacre.tensor(labels, "float32"), {epochs = 4, validation_split = 0.2})
assert(history.loss[#history.loss] < history.loss[1])
transfer:summary()
