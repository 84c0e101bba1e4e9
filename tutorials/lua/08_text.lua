-- A network that writes: it reads a text character by character, learns what comes next, and goes on by itself.
--   nacre lua tutorials/lua/08_text.lua [EPOCHS [FILE]]      (10 shakespeare.txt: a megabyte of plain text is plenty)

local epochs = tonumber(arg[1]) or 40
local length = 32  -- characters a sample
local layers = nacre.layers
nacre.set_seed(1)

local text = [[
The harbour wakes before the town. The first boat leaves the harbour while the lamps are burning still, and the gulls
leave the roofs and follow it. An old man mends a net on the wall. He has mended nets on this wall for forty years, and
he says that a net is a number of holes which are held together by string. A girl who waits for the second boat counts
the holes, and when the second boat comes she has counted to three hundred and has missed one.

The town wakes after the harbour. The baker opens the door, and the smell of bread goes down the hill to the water and
meets the smell of tar. The man on the wall knows by the one that it is six, and by the other that the wind is from the
west. When the wind is from the west the boats come home early, and when it is from the north they do not leave. Then
the town is quiet, the nets hang on the wall, and the girl counts the holes again until there are no more to count.

In the evening the last boat comes home to the harbour. The lamps are burning, the gulls are on the roofs, and the old
man on the wall goes down the steps with the string in his pocket. The harbour sleeps after the town.
]]
if arg[2] then
  local file <close> = assert(io.open(arg[2], "rb"))
  text = file:read("a")
end

-- Characters, of one byte or more, as numbers from 0 on.
local characters, number_of = {}, {}
local function numbers(text)
  local list = {}
  for character in text:gmatch(".[\128-\191]*") do
    if not number_of[character] then
      number_of[character] = #characters
      characters[#characters + 1] = character
    end
    list[#list + 1] = number_of[character]
  end
  return list
end

-- Samples: a piece of the text, and the same piece one character later. Pieces of a short text overlap.
local all, inputs, targets = numbers(text), {}, {}
for start = 1, #all - length, #all < 100000 and length // 4 or length do
  inputs[#inputs + 1] = table.move(all, start, start + length - 1, 1, {})
  targets[#targets + 1] = table.move(all, start + 1, start + length, 1, {})
end
local data = nacre.dataset{x = nacre.tensor(inputs), y = nacre.tensor(targets)}
print(("%d characters, %d of them different, %d samples"):format(#all, #characters, #data))

-- Layers in a function are a model too. What the GRU remembers comes in and goes out; none is nothing yet.
local embedding = layers.Embedding{input_dim = #characters, output_dim = 32}
local gru = layers.GRU{units = 128, return_sequences = true, return_state = true}
local head = layers.Dense{units = #characters}
local network = {embedding, gru, head}
local function read(x, state)
  local outputs, state = gru(embedding(x), {initial_state = state})
  return head(outputs), state
end

local loss_of = nacre.losses.SparseCategoricalCrossentropy{from_logits = true}
local optimizer = nacre.optimizers.Adam{learning_rate = 4e-3, global_clipnorm = 1}
local step = nacre.compile(function(x, y)
  local loss, gradients = nacre.value_and_grad(function() return loss_of(y, (read(x))) end, network)()
  optimizer:apply(gradients, network)
  return loss
end)

-- Goes on from `beginning`, one character after the other, each drawn as likely as the network finds it. A temperature
-- below 1 prefers the likely ones, one above 1 is bold.
local next_character = nacre.compile(function(x, state, temperature)
  local logits, state = read(x, state)
  return nacre.random.categorical(logits[{{}, -1}] / temperature, 1), state
end)
local function write(beginning, count, temperature)
  local x, state, written = nacre.tensor{numbers(beginning)}, nil, {beginning}
  for i = 1, count do
    x, state = next_character(x, state, temperature)
    written[i + 1] = characters[x:item() + 1]
  end
  return table.concat(written)
end

local mean
for epoch = 1, epochs do
  mean = nacre.metrics.Mean()
  for x, y in data:batches{batch_size = 16, shuffle = true, epoch = epoch, drop_remainder = true} do
    mean:update_state(step(x, y))
  end
  if epoch % 5 == 0 or #data > 1000 then
    local sample = write(text:sub(1, 4), 60, 0.7):gsub("\n", " ")
    print(("epoch %2d  loss %.3f  %s …"):format(epoch, mean:result(), sample))
  end
end
for _, temperature in ipairs{0.2, 0.7, 1.2} do
  print(("\nat temperature %.1f:\n%s"):format(temperature, write(text:sub(1, 4), 400, temperature)))
end
assert(mean:result() < 0.7 * math.log(#characters), "the network is hardly better than chance")
