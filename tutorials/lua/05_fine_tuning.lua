-- Fine-tuning: a saved model that knows the digits 0 to 4 learns 5 to 9 from few pictures. First with its old layers
-- frozen, so that a new head that knows nothing does not spoil them, then all of it, gently.
--   nacre lua tutorials/lua/05_fine_tuning.lua [EPOCHS [PICTURES]]

local epochs = tonumber(arg[1]) or 8
local few = tonumber(arg[2]) or 300
local layers, ops = nacre.layers, nacre.ops

-- Data sets are filtered and mapped by functions of single samples: a picture and its label, both tensors.
local function low(_, digit) return digit:item() < 5 end
local function high(_, digit) return digit:item() >= 5 end
local function less_five(picture, digit) return picture, digit - 5 end

-- The model that somebody has left to us.
local base = nacre.Sequential{
  nacre.Input{28, 28, 1},
  layers.Rescaling{scale = 1 / 255},
  layers.Conv2D{filters = 16, kernel_size = 3, activation = "relu", name = "conv1"},
  layers.BatchNormalization{momentum = 0.9, name = "norm1"},
  layers.MaxPooling2D(),
  layers.Conv2D{filters = 32, kernel_size = 3, activation = "relu", name = "conv2"},
  layers.MaxPooling2D(),
  layers.Flatten(),
  layers.Dense{units = 64, activation = "relu", name = "features"},
  layers.Dense{units = 5, activation = "softmax", name = "low_digit"},
  name = "low-digits",
}
base:compile{optimizer = "adam", loss = "sparse_categorical_crossentropy", metrics = {"accuracy"}}
base:fit{data = nacre.data.digits{count = 6000}:filter(low), epochs = epochs // 2, batch_size = 64}
base:save("low_digits.keras")

-- Few pictures of digits that it has never seen, and more to test with.
local train = nacre.data.digits{count = 10000, seed = 2}:filter(high):take(few):map(less_five)
local test = nacre.data.digits{count = 2000, seed = 3}:filter(high):map(less_five)

-- A new head on the old features. A frozen batch normalisation also keeps its statistics.
local loaded = nacre.load("low_digits.keras")
local head = layers.Dense{units = 5, activation = "softmax", name = "high_digit"}
local model = nacre.Model{inputs = loaded.inputs, outputs = head(loaded:layer("features").output), name = "high-digits"}
for _, layer in ipairs(model.layers) do layer.trainable = layer.name == "high_digit" end
model:summary()

-- How far the weights of a layer have gone from what the file says.
local untouched = nacre.load("low_digits.keras")
local function moved(name)
  local sum = 0
  for i, weight in ipairs(model:layer(name).weights) do
    sum = sum + ops.abs(weight.value - untouched:layer(name).weights[i].value):sum():item()
  end
  return sum
end

local function train_with(rate, count)
  model:compile{
    optimizer = nacre.optimizers.Adam{learning_rate = rate},
    loss = "sparse_categorical_crossentropy",
    metrics = {"accuracy"},
  }
  model:fit{data = train, epochs = count, verbose = false}
  local accuracy = model:evaluate{data = test}.accuracy
  print(("accuracy %.3f  moved: conv1 %.3f  norm1 %.3f  conv2 %.3f  features %.3f"):format(
    accuracy, moved("conv1"), moved("norm1"), moved("conv2"), moved("features")))
  return accuracy
end

print("the head alone")
local frozen = train_with(1e-2, epochs)
for _, name in ipairs{"conv1", "norm1", "conv2", "features"} do assert(moved(name) == 0, name .. " was frozen") end

-- compile takes up what is frozen and what is not, as in Keras.
print("all of it, at a hundredth of the rate")
for _, layer in ipairs(model.layers) do layer.trainable = not layer.name:find("norm") end
local tuned = train_with(1e-4, 2 * epochs)
assert(moved("norm1") == 0 and moved("conv1") > 0 and moved("features") > 0)
assert(tuned > 0.5 and tuned > frozen, "fine-tuning has brought nothing")
model:save("high_digits.keras")
