-- The first pictures of each digit of MNIST, as few_digits.npz in the working folder.
--   nacre lua tutorials/finetune/few_digits.lua FOLDER_OF_MNIST [PICTURES_PER_CLASS]
local folder = assert(arg[1], "wanted the folder of MNIST's four files")
local count = tonumber(arg[2] or 200)

local seen = {}
local function among_the_first(_, digit)
  local label = digit:item()
  seen[label] = (seen[label] or 0) + 1
  return seen[label] <= count
end

local all = nacre.data.idx{images = folder .. "/train-images-idx3-ubyte.gz", labels = folder .. "/train-labels-idx1-ubyte.gz"}
local few = all:take(math.min(#all, 15 * count + 100)):filter(among_the_first)
local pictures, digits = few:read()
nacre.save_npz("few_digits.npz", {x = pictures[1], y = digits[1]})
print(("few_digits.npz: %d pictures"):format(#few))
