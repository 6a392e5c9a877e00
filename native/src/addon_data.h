// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

namespace lb {

// What one environment (the main thread, a worker) has of this addon.
struct AddonData {
  Napi::FunctionReference datapath;
  Napi::FunctionReference link;
  Napi::FunctionReference watch;
  Napi::FunctionReference directory_lock;
};

}  // namespace lb
