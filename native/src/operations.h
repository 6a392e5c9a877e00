// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "maps.h"

namespace lb {

class LoadedObject;

// One step of a commit. Points into buffers of JavaScript.
struct MapOperation {
  enum class Kind { kUpdate, kDelete, kStore };

  Kind kind;
  const Map* map;
  const uint8_t* keys;   // of an update or a delete
  const uint8_t* bytes;  // the values of an update, or what to store
  size_t count;          // elements; bytes of a store
  size_t offset;         // of a store
};

// Checks names, types and sizes; throws ArgumentError or RangeError. Every buffer that the
// operations point into is appended to `keep`.
std::vector<MapOperation> OperationsArgument(const Napi::Value& value, const LoadedObject& object,
                                             Napi::Array keep);

// In order; throws CommitError at the first that fails.
void RunOperations(const std::vector<MapOperation>& operations);

}  // namespace lb
