// Everything a program needs to build, train, save and use models.
#pragma once

#include "api/adapt.h"
#include "api/data/augment.h"
#include "api/data/cache.h"
#include "api/data/digits.h"
#include "api/data/images.h"
#include "api/data/source.h"
#include "api/data/text.h"
#include "api/data/workers.h"
#include "api/dtype_policy.h"
#include "api/inspect/summary.h"
#include "api/model.h"
#include "api/save.h"
#include "api/train/checkpoint.h"
#include "layers/layers.h"
