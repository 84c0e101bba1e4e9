-- A search for good settings is a loop: draw some, train a little, note the result, keep the best model.
--   nacre lua tutorials/lua/03_search.lua [TRIALS [EPOCHS [SAMPLES]]]

local trials = tonumber(arg[1]) or 8
local epochs = tonumber(arg[2]) or 4
local samples = tonumber(arg[3]) or 3000
local layers = nacre.layers
math.randomseed(3)  -- Lua's own random numbers choose the settings

-- What is searched: each setting knows how to draw a value. Rates are drawn evenly in their logarithms.
local function one_of(...)
  local values = {...}
  return function() return values[math.random(#values)] end
end
local function between(low, high) return function() return low * (high / low) ^ math.random() end end
local space = {
  {"optimizer", one_of("Adam", "RMSprop", "SGD")},
  {"learning_rate", between(1e-3, 1e-1)},
  {"filters", one_of(8, 16, 32)},
  {"dropout", one_of(0, 0.2, 0.4)},
  {"normalise", one_of(true, false)},
}

-- Settings decide the architecture as well: a table of layers is made by ordinary Lua.
local function new_model(settings)
  local stack = {
    nacre.Input{28, 28, 1},
    layers.Rescaling{scale = 1 / 255},
    layers.Conv2D{filters = settings.filters, kernel_size = 3, strides = 2},
  }
  if settings.normalise then table.insert(stack, layers.BatchNormalization()) end
  table.insert(stack, layers.ReLU())
  table.insert(stack, layers.Flatten())
  if settings.dropout > 0 then table.insert(stack, layers.Dropout{rate = settings.dropout}) end
  table.insert(stack, layers.Dense{units = 10, activation = "softmax"})
  return nacre.Sequential(stack)
end

local train, validation = nacre.data.digits{count = samples}:split(0.25)
local results, best = {}, nil
for trial = 1, trials do
  local settings = {}
  for _, setting in ipairs(space) do settings[setting[1]] = setting[2]() end

  local model = new_model(settings)
  model:compile{
    optimizer = nacre.optimizers[settings.optimizer]{learning_rate = settings.learning_rate},
    loss = "sparse_categorical_crossentropy",
    metrics = {"accuracy"},
  }
  local history = model:fit(train, {validation_data = validation, epochs = epochs, batch_size = 64, verbose = false})
  local accuracy = math.max(table.unpack(history.val_accuracy))
  table.insert(results, {settings = settings, accuracy = accuracy, parameters = model:count_params()})
  print(("trial %2d of %d  validation accuracy %.3f"):format(trial, trials, accuracy))

  if not best or accuracy > best.accuracy then
    best = results[#results]
    model:save("best.keras")
  end
end

table.sort(results, function(a, b) return a.accuracy > b.accuracy end)
print("\naccuracy  parameters  optimizer  learning rate  filters  dropout  normalise")
for _, result in ipairs(results) do
  local s = result.settings
  print(("   %.3f  %10d  %-9s  %13.2g  %7d  %7.1f  %s"):format(result.accuracy, result.parameters, s.optimizer,
    s.learning_rate, s.filters, s.dropout, s.normalise))
end

-- The file holds the model and how it was compiled.
local numbers = nacre.load("best.keras"):evaluate{data = nacre.data.digits{count = 1000, seed = 2}}
print(("\nbest.keras, on pictures that no trial has seen: accuracy %.3f"):format(numbers.accuracy))
assert(numbers.accuracy > 0.3, "the search has found nothing")
