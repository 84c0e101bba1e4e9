-- A million temporary tensors of 1 KB, then some of 1 MB: the largest resident memory, in MB.
local small, large = nacre.ones{250}, nacre.ones{250000}
for i = 1, 1000000 do local t = small + i end
for i = 1, 3000 do local t = large + i end
for line in io.lines("/proc/self/status") do
  local peak = line:match("VmHWM:%s+(%d+)")
  if peak then print(tonumber(peak) / 1024) end
end
