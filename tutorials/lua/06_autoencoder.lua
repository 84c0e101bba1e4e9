-- A variational autoencoder: pictures become points of a small space near its origin, and points become pictures again.
--   nacre lua tutorials/lua/06_autoencoder.lua [EPOCHS [SAMPLES]]      (50 20000 for clear pictures)
-- Source: D. Kingma, M. Welling, Auto-encoding variational Bayes, 2013.

local epochs = tonumber(arg[1]) or 20
local samples = tonumber(arg[2]) or 4000
local code_size = 8
local layers, ops = nacre.layers, nacre.ops
nacre.set_seed(1)

-- Black and white pictures; of labels there is no need. The function is given whole batches.
local function black_and_white(pictures) return pictures:greater(127):cast("float32") end
local data = nacre.data.digits{count = samples}:map(black_and_white, {batched = true})

-- The encoder gives two things for a picture: the middle of a cloud of codes, and the logarithm of its variance.
local picture = nacre.Input{28, 28, 1}
local hidden = layers.Dense{units = 256, activation = "relu"}(layers.Flatten()(picture))
local encoder = nacre.Model{
  inputs = picture,
  outputs = {
    layers.Dense{units = code_size, name = "mean"}(hidden),
    layers.Dense{units = code_size, name = "log_variance"}(hidden),
  },
  name = "encoder",
}

-- The decoder gives a logit for each pixel.
local decoder = nacre.Sequential{
  nacre.Input{code_size},
  layers.Dense{units = 256, activation = "relu"},
  layers.Dense{units = 28 * 28},
  layers.Reshape{target_shape = {28, 28, 1}},
  name = "decoder",
}

local cross_entropy = nacre.losses.BinaryCrossentropy{from_logits = true}
local optimizer = nacre.optimizers.Adam{learning_rate = 2e-3}
local both = {encoder, decoder}

-- Two losses, both in nats a picture: what is still to be said of the pixels when the code is known, and the code's own
-- cost, which is the Kullback-Leibler divergence of its cloud from the standard normal distribution.
local function losses(pictures)
  local mean, log_variance = encoder(pictures)
  -- A point of the cloud. Written like this it has a gradient with respect to mean and variance.
  local code = mean + ops.exp(log_variance / 2) * nacre.randn(mean.shape)
  local reconstruction = cross_entropy(pictures, decoder(code)) * (28 * 28)
  local divergence = -0.5 * (1 + log_variance - mean ^ 2 - ops.exp(log_variance)):sum(1):mean()
  return reconstruction + divergence, reconstruction, divergence
end

local step = nacre.compile(function(pictures)
  local loss, gradients, reconstruction, divergence = nacre.value_and_grad(losses, both)(pictures)
  optimizer:apply(gradients, both)
  return reconstruction, divergence
end)

local last
for epoch = 1, epochs do
  local reconstruction, divergence = nacre.metrics.Mean(), nacre.metrics.Mean()
  for pictures in data:batches{batch_size = 100, shuffle = true, epoch = epoch} do
    local r, d = step(pictures)
    reconstruction:update_state(r)
    divergence:update_state(d)
  end
  last = reconstruction:result() + divergence:result()
  print(("epoch %2d  loss %.1f = reconstruction %.1f + divergence %.1f"):format(
    epoch, last, reconstruction:result(), divergence:result()))
end
assert(last < 0.6 * 28 * 28 * math.log(2), "not much better than two answers for each pixel, each as likely")

-- Pictures side by side. A character is twice as high as wide, so a line shows two rows of pixels.
local function show(title, pictures)
  local shades = " .:-=+*#%@"
  print(title)
  local rows = pictures:reshape{-1, 14, 2, 28}:mean(2):totable()
  for y = 1, 14 do
    local line = {}
    for i = 1, #rows do
      for x = 1, 28 do
        local shade = math.floor(rows[i][y][x] * 9.99) + 1
        line[#line + 1] = shades:sub(shade, shade)
      end
    end
    print(table.concat(line))
  end
end

local pictures = black_and_white(nacre.data.digits{count = 4, seed = 4}:read()[1])  -- none that it has seen
local mean = encoder(pictures)
show("pictures", pictures)
show("through the autoencoder", ops.sigmoid(decoder(mean)))
show("out of nothing", ops.sigmoid(decoder(nacre.randn{4, code_size})))
