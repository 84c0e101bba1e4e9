-- A generative adversarial network: a generator draws digits out of noise, and a discriminator tells them from real
-- ones. Each learns from the other, with an optimizer of its own.
--   nacre lua tutorials/lua/07_gan.lua [EPOCHS [SAMPLES]]      (40 10000 for good digits)
-- Source: A. Radford, L. Metz, S. Chintala, Unsupervised representation learning with DCGAN, 2015.

local epochs = tonumber(arg[1]) or 10
local samples = tonumber(arg[2]) or 4000
local noise_size = 32
local layers, ops = nacre.layers, nacre.ops
nacre.set_seed(1)

-- White on black, as 1 and -1: what tanh can draw.
local function white_on_black(pictures) return pictures:greater(127):cast("float32") * 2 - 1 end
local data = nacre.data.digits{count = samples}:map(white_on_black, {batched = true})

local generator = nacre.Sequential{
  nacre.Input{noise_size},
  layers.Dense{units = 7 * 7 * 32, use_bias = false},
  layers.BatchNormalization{momentum = 0.9},
  layers.ReLU(),
  layers.Reshape{target_shape = {7, 7, 32}},
  layers.Conv2DTranspose{filters = 16, kernel_size = 4, strides = 2, padding = "same", use_bias = false},
  layers.BatchNormalization{momentum = 0.9},
  layers.ReLU(),
  layers.Conv2DTranspose{filters = 1, kernel_size = 4, strides = 2, padding = "same", activation = "tanh"},
  name = "generator",
}
local discriminator = nacre.Sequential{
  nacre.Input{28, 28, 1},
  layers.Conv2D{filters = 16, kernel_size = 4, strides = 2, padding = "same"},
  layers.LeakyReLU{negative_slope = 0.2},
  layers.Conv2D{filters = 32, kernel_size = 4, strides = 2, padding = "same"},
  layers.LeakyReLU{negative_slope = 0.2},
  layers.Flatten(),
  layers.Dropout{rate = 0.3},
  layers.Dense{units = 1},
  name = "discriminator",
}

-- Whether a picture is real: a logit, and what it should be. "Real" is 0.9, lest the discriminator becomes too sure.
local cross_entropy = nacre.losses.BinaryCrossentropy{from_logits = true}
local function loss_of(logits, answer) return cross_entropy(ops.full_like(logits, answer), logits) end

local generator_optimizer = nacre.optimizers.Adam{learning_rate = 1e-3, beta_1 = 0.5}
local discriminator_optimizer = nacre.optimizers.Adam{learning_rate = 1e-3, beta_1 = 0.5}

-- Both learn in one step, one after the other. The step is compiled, and draws new noise whenever it runs.
local step = nacre.compile(function(real)
  local fake = generator(nacre.randn{#real, noise_size}, {training = true})
  local discriminator_loss, gradients = nacre.value_and_grad(function()
    return loss_of(discriminator(real, {training = true}), 0.9) + loss_of(discriminator(fake, {training = true}), 0)
  end, discriminator)()
  discriminator_optimizer:apply(gradients, discriminator)

  -- The generator learns through the discriminator, whose weights are left alone: gradients are of the generator only.
  local noise = nacre.randn{#real, noise_size}
  local generator_loss, gradients = nacre.value_and_grad(function()
    return loss_of(discriminator(generator(noise, {training = true}), {training = true}), 1)
  end, generator)()
  generator_optimizer:apply(gradients, generator)
  return discriminator_loss, generator_loss
end)

-- Pictures side by side. A character is twice as high as wide, so a line shows two rows of pixels.
local function show(title, pictures)
  local shades = " .:-=+*#%@"
  print(title)
  local rows = pictures:reshape{-1, 14, 2, 28}:mean(2):totable()
  for y = 1, 14 do
    local line = {}
    for i = 1, #rows do
      for x = 1, 28 do
        local shade = math.floor((rows[i][y][x] + 1) * 4.99) + 1
        line[#line + 1] = shades:sub(shade, shade)
      end
    end
    print(table.concat(line))
  end
end

local noise = nacre.randn{4, noise_size}  -- the same each time, to see how its pictures change
show("real", data:read(1, 4)[1])
for epoch = 1, epochs do
  local of_discriminator, of_generator = nacre.metrics.Mean(), nacre.metrics.Mean()
  for real in data:batches{batch_size = 64, shuffle = true, epoch = epoch, drop_remainder = true} do
    local d, g = step(real)
    of_discriminator:update_state(d)
    of_generator:update_state(g)
  end
  print(("epoch %d  loss of the discriminator %.3f, of the generator %.3f"):format(
    epoch, of_discriminator:result(), of_generator:result()))
  if epoch == epochs // 4 or epoch == epochs then show("drawn", generator(noise)) end
end

-- A generator that fails draws nothing, or the same thing always. Measured: how bright pictures are, and how different.
local function look(pictures) return pictures:mean():item(), ops.std(pictures, 0):mean():item() end
local real_brightness, real_variety = look(data:read(1, 200)[1])
local brightness, variety = look(generator(nacre.randn{200, noise_size}))
print(("brightness %.2f (real %.2f)  variety %.2f (real %.2f)"):format(
  brightness, real_brightness, variety, real_variety))
assert(math.abs(brightness - real_brightness) < 0.15 and variety > real_variety / 2, "the generator has not learnt")
