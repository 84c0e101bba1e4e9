-- What one operation on scalars costs, in microseconds: the dearest of some.
local count = tonumber(arg[1]) or 200000
local a, b, vector = nacre.tensor(1.5), nacre.tensor(2.5), nacre.ones{4}
local operations = {
  function(n) for _ = 1, n do local c = a + b end end,
  function(n) for _ = 1, n do local c = a * 2 end end,
  function(n) for _ = 1, n do local c = a:exp() end end,
  function(n) for _ = 1, n do local c = vector:sum(0) end end,
}
local dearest = 0
for _, operation in ipairs(operations) do
  operation(1000)
  local begin = os.clock()
  operation(count)
  dearest = math.max(dearest, (os.clock() - begin) / count * 1e6)
end
print(dearest)
