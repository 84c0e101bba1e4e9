// All layers, by family.
#pragma once

#include "layers/activation_layers.h"
#include "layers/augmentation.h"
#include "layers/conv.h"
#include "layers/core.h"
#include "layers/merge.h"
#include "layers/normalization.h"
#include "layers/operations.h"
#include "layers/pool.h"
#include "layers/preprocessing.h"
#include "layers/recurrent.h"
#include "layers/regularization.h"
#include "layers/reshape.h"
#include "layers/wrappers.h"
