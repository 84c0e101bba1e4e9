-- Learning from reward alone: REINFORCE balances a pole on a cart. The world is ordinary Lua, the policy is a network.
--   nacre lua tutorials/lua/09_cart_pole.lua [UPDATES [SEED]]

local updates = tonumber(arg[1]) or 40
local seed = tonumber(arg[2]) or 1
local episodes, horizon, discount = 16, 200, 0.99
nacre.set_seed(seed)
math.randomseed(seed)

-- The world: a cart on a track, a pole hinged on it, a push to the left or right every 0.02 s.
-- (A. Barto, R. Sutton, C. Anderson: Neuronlike adaptive elements that can solve difficult learning control problems,
-- 1983.) A state is the cart's place and speed, the pole's angle and angular speed.
local gravity, cart_mass, pole_mass, half_length, push, interval = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02

local function start()
  local state = {}
  for i = 1, 4 do state[i] = (math.random() - 0.5) / 10 end
  return state
end

local function move(state, right)
  local x, speed, angle, spin = table.unpack(state)
  local sine, cosine = math.sin(angle), math.cos(angle)
  local mass = cart_mass + pole_mass
  local force = ((right and push or -push) + pole_mass * half_length * spin ^ 2 * sine) / mass
  local turn = (gravity * sine - cosine * force) / (half_length * (4 / 3 - pole_mass * cosine ^ 2 / mass))
  local acceleration = force - pole_mass * half_length * turn * cosine / mass
  return {x + interval * speed, speed + interval * acceleration, angle + interval * spin, spin + interval * turn}
end

local function fallen(state) return math.abs(state[1]) > 2.4 or math.abs(state[3]) > math.rad(12) end

-- The policy: the logit of pushing to the right.
local policy = nacre.Sequential{
  nacre.Input{4},
  nacre.layers.Dense{units = 32, activation = "tanh"},
  nacre.layers.Dense{units = 1},
  name = "policy",
}

-- Plays some episodes at once, so that the network is asked once for all of them in each moment. choose(states) gives
-- the probabilities of pushing to the right. Returns for each episode the list of its moments, one a reward.
local function play(choose)
  local states, played, going = {}, {}, episodes
  for e = 1, episodes do states[e], played[e] = start(), {} end
  for _ = 1, horizon do
    local chances = choose(states)
    for e = 1, episodes do
      if not fallen(states[e]) then
        local right = math.random() < chances[e][1]
        table.insert(played[e], {state = states[e], action = right and 1 or 0})
        states[e] = move(states[e], right)
        if fallen(states[e]) then going = going - 1 end
      end
    end
    if going == 0 then break end
  end
  return played
end

local function mean_length(played)
  local sum = 0
  for _, moments in ipairs(played) do sum = sum + #moments end
  return sum / #played
end

-- What was done counts by what came after it: the discounted rewards, less their mean, in standard deviations. Rows
-- after an episode's end have the weight 0, so that the shapes are the same each time and one compiled step does.
local function experience(played)
  local states, actions, returns, sum, squares, count = {}, {}, {}, 0, 0, 0
  for e, moments in ipairs(played) do
    local after = 0
    for t = horizon, 1, -1 do
      local moment, row = moments[t], (e - 1) * horizon + t
      if moment then
        after = 1 + discount * after
        sum, squares, count = sum + after, squares + after ^ 2, count + 1
      end
      states[row] = moment and moment.state or {0, 0, 0, 0}
      actions[row] = {moment and moment.action or 0}
      returns[row] = moment and after or false
    end
  end
  local mean = sum / count
  local deviation = math.sqrt(squares / count - mean ^ 2) + 1e-6
  for row, value in ipairs(returns) do returns[row] = value and (value - mean) / deviation or 0 end
  return nacre.tensor(states), nacre.tensor(actions), nacre.tensor(returns)
end

-- The policy's gradient is that of a classifier of its own actions, weighted by what they have led to.
local loss_of = nacre.losses.BinaryCrossentropy{from_logits = true}
local optimizer = nacre.optimizers.Adam{learning_rate = 0.02}
local learn = nacre.compile(function(states, actions, returns)
  local loss, slopes = nacre.value_and_grad(function() return loss_of(actions, policy(states), returns) end, policy)()
  optimizer:apply(slopes, policy)
  return loss
end)
local function choose(states) return nacre.ops.sigmoid(policy(nacre.tensor(states))):totable() end

local by_chance = mean_length(play(function(states)
  local even = {}
  for e = 1, #states do even[e] = {0.5} end
  return even
end))
print(("by chance the pole stands for %.1f moments"):format(by_chance))
for update = 1, updates do
  local played = play(choose)
  learn(experience(played))
  if update % 5 == 0 then print(("after %3d updates %5.1f of %d"):format(update, mean_length(played), horizon)) end
end

local learnt = mean_length(play(choose))
print(("in the end %.1f"):format(learnt))
assert(learnt > 3 * by_chance, "the policy is no better than chance")
