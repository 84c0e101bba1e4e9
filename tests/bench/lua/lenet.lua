-- Training steps of lenet by fit, by a loop of Lua that is compiled, and by eager ones: the whole model in one call, and
-- layer by layer. usage: lenet.lua MODE [STEPS [ROUNDS]]; prints milliseconds a step, the best of the rounds.
local mode, steps, rounds = arg[1], tonumber(arg[2]) or 40, tonumber(arg[3]) or 3
local batch = 128
local L = nacre.layers

local function lenet()
  return nacre.Sequential{
    nacre.Input{28, 28, 1},
    L.Conv2D{filters = 32, kernel_size = 3, activation = "relu"},
    L.Conv2D{filters = 64, kernel_size = 3, activation = "relu"},
    L.MaxPooling2D{pool_size = 2},
    L.Dropout{rate = 0.25},
    L.Flatten(),
    L.Dense{units = 128, activation = "relu"},
    L.Dropout{rate = 0.5},
    L.Dense{units = 10}}
end
local function sgd() return nacre.optimizers.SGD{learning_rate = 0.01, momentum = 0.9} end
local loss = nacre.losses.SparseCategoricalCrossentropy{from_logits = true}

local picture = nacre.ops.cumsum(nacre.ones{batch, 784}, 1) * 0.001
local x = nacre.ops.reshape(nacre.ops.tile(picture, {steps, 1}), {batch * steps, 28, 28, 1})
local data = nacre.dataset{x = x, y = nacre.zeros({batch * steps}, "int32")}

local function step_of(model, forward)
  local optimizer = sgd()
  return function(x, y)
    local value, gradients = nacre.value_and_grad(function() return loss(y, forward(x)) end, model)()
    optimizer:apply(gradients, model)
    return value
  end
end

local function loop(step)
  return function(set)
    for x, y in set:batches{batch_size = batch} do step(x, y) end
  end
end

local modes = {}
function modes.fit()
  local model = lenet()
  model:compile{optimizer = sgd(), loss = loss}
  return function(set) model:fit{data = set, batch_size = batch, shuffle = false, verbose = false} end
end
function modes.compiled()
  local model = lenet()
  return loop(nacre.compile(step_of(model, function(x) return model(x, {training = true}) end)))
end
function modes.eager()
  local model = lenet()
  return loop(step_of(model, function(x) return model(x, {training = true}) end))
end
function modes.layers()
  local model = lenet()
  return loop(step_of(model, function(x)
    for _, layer in ipairs(model.layers) do x = layer(x, {training = true}) end
    return x
  end))
end

local function seconds()
  local file = io.open("/proc/uptime")
  local now = file:read("n")
  file:close()
  return now
end

local run, best = modes[mode](), math.huge
run(data:take(3 * batch))
for _ = 1, rounds do
  local begin = seconds()
  run(data)
  best = math.min(best, (seconds() - begin) / steps)
end
print(best * 1000)
