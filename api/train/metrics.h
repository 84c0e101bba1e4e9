// All metrics.
#pragma once

#include "api/train/confusion_metrics.h"
#include "api/train/mean_metrics.h"
#include "api/train/score_metrics.h"
