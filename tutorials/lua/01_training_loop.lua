-- The training loop that `fit` hides, written out: batches, gradients, optimizer, metrics. Then the same step compiled.
--   nacre lua tutorials/lua/01_training_loop.lua [EPOCHS [SAMPLES]]
--   nacre lua tutorials/lua/01_training_loop.lua 3 train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz    (MNIST)

local epochs = tonumber(arg[1]) or 4
local layers = nacre.layers

-- A data set knows its samples and reads them when they are asked for. The built-in digits need no download.
local data = arg[3] and nacre.data.idx{images = arg[2], labels = arg[3]}
  or nacre.data.digits{count = tonumber(arg[2]) or 5000}
local train, validation = data:split(0.2)
print(data)

local function new_model()
  return nacre.Sequential{
    nacre.Input{28, 28, 1},
    layers.Rescaling{scale = 1 / 255},
    layers.Conv2D{filters = 16, kernel_size = 3, activation = "relu"},
    layers.MaxPooling2D(),
    layers.Flatten(),
    layers.Dropout{rate = 0.2},
    layers.Dense{units = 10},
  }
end

-- The last layer gives logits. The loss is told so, and computes more exactly than from probabilities.
local loss_of = nacre.losses.SparseCategoricalCrossentropy{from_logits = true}

local function train_with(wrap)
  nacre.set_seed(1)  -- weights, dropout: everything random begins anew
  local model = new_model()
  local optimizer = nacre.optimizers.Adam{learning_rate = 2e-3}
  local loss, accuracy = nacre.metrics.Mean(), nacre.metrics.SparseCategoricalAccuracy()

  -- One step. nacre.value_and_grad(f, model) is a function that calls f, and gives f's result and its gradients with
  -- respect to the model's trainable weights; what else f returns comes after them.
  local step = wrap(function(x, y)
    local value, gradients, logits = nacre.value_and_grad(function()
      local logits = model(x, {training = true})
      return loss_of(y, logits), logits
    end, model)()
    optimizer:apply(gradients, model)
    loss:update_state(value)
    accuracy:update_state(y, logits)
  end)
  local check = wrap(function(x, y) accuracy:update_state(y, model(x)) end)

  local last
  for epoch = 1, epochs do
    loss:reset_state()
    accuracy:reset_state()
    local start = nacre.clock()
    for x, y in train:batches{batch_size = 64, shuffle = true, epoch = epoch} do step(x, y) end
    local speed = #train / (nacre.clock() - start)
    local line = ("epoch %d  loss %.3f  accuracy %.3f"):format(epoch, loss:result(), accuracy:result())

    accuracy:reset_state()
    for x, y in validation:batches{batch_size = 64} do check(x, y) end
    last = accuracy:result()
    print(("%s  validation accuracy %.3f  %.0f samples/s"):format(line, last, speed))
  end
  return last
end

print("\neager: each operation runs when its line is reached")
local eager = train_with(function(f) return f end)
print("\ncompiled: the step runs once to be recorded, and from then on as one graph")
local compiled = train_with(nacre.compile)

assert(eager > 0.5, "the network has not learnt")
assert(math.abs(eager - compiled) < 0.05, "the compiled step computes something else")
