-- Finds a learning rate: within one epoch it grows from far too small to far too large, and the loss tells which.
--   nacre lua tutorials/lua/02_learning_rate.lua [OPTIMIZER [SAMPLES]]      (Adam, SGD, RMSprop, Lion, …)
-- Source: L. Smith, Cyclical learning rates for training neural networks, 2017.

local optimizer_name = arg[1] or "Adam"
local samples = tonumber(arg[2]) or 4000
local smallest, largest = 1e-6, 10
local layers = nacre.layers
nacre.set_seed(1)

local model = nacre.Sequential{
  nacre.Input{28, 28, 1},
  layers.Rescaling{scale = 1 / 255},
  layers.Conv2D{filters = 16, kernel_size = 3, strides = 2, activation = "relu"},
  layers.Flatten(),
  layers.Dense{units = 64, activation = "relu"},
  layers.Dense{units = 10},
}
local data = nacre.data.digits{count = samples}
local loss_of = nacre.losses.SparseCategoricalCrossentropy{from_logits = true}

-- Every class of a registry is found by its name. Returns the optimizer too, whose rate may change at any time: it is a
-- variable of the compiled step, so nothing is compiled again.
local function new_step(learning_rate)
  local optimizer = nacre.optimizers[optimizer_name]{learning_rate = learning_rate}
  local step = nacre.compile(function(x, y)
    local loss, gradients = nacre.value_and_grad(function() return loss_of(y, model(x, {training = true})) end, model)()
    optimizer:apply(gradients, model)
    return loss
  end)
  return step, optimizer
end

-- The range test. Losses of single batches differ much; what is kept is their average, of which the old ones fade.
local untrained = model:get_weights()
local step, optimizer = new_step(smallest)
local batches = data:batches{batch_size = 32, shuffle = true}
local growth = (largest / smallest) ^ (1 / (#batches - 1))
local rates, losses, average, lowest = {}, {}, 0, 1
for x, y in batches do
  local count = #losses + 1
  average = 0.9 * average + 0.1 * step(x, y):item()
  rates[count], losses[count] = optimizer.learning_rate, average / (1 - 0.9 ^ count)
  if losses[count] < losses[lowest] then lowest = count end
  if not (losses[count] < 3 * losses[lowest]) then break end  -- it has gone, and is not coming back
  optimizer.learning_rate = optimizer.learning_rate * growth
end

-- A tenth of the rate with the lowest loss: there it still falls fast, and is far from the edge.
local suggested = math.floor(lowest - math.log(10) / math.log(growth) + 0.5)
assert(suggested >= 1 and losses[lowest] < losses[1], "the loss never falls")

print("    rate     loss")
local apart = math.max(#batches // 24, 1)
for i = 1 + (suggested - 1) % apart, #losses, apart do
  local bar = ("="):rep(math.floor(math.min(losses[i] / losses[1], 1.5) * 50))
  print(("%8.1e %8.3f  %s%s"):format(rates[i], losses[i], bar, i == suggested and "  < suggested" or ""))
end

-- The proof: from the same weights an epoch with this rate, with a far smaller one and with a far larger one.
local function train_with(rate)
  model:set_weights(untrained)
  local step, mean = new_step(rate), nacre.metrics.Mean()
  for x, y in data:batches{batch_size = 32, shuffle = true, epoch = 1} do mean:update_state(step(x, y)) end
  print(("an epoch at %.1e: loss %.3f"):format(rate, mean:result()))
  return mean:result()
end
local rate = rates[suggested]
local smaller, found, larger = train_with(rate / 30), train_with(rate), train_with(rate * 30)
assert(found < smaller and not (found > larger), "the rate is no good: more samples would help")
print(("learning_rate = %.1e"):format(rate))
