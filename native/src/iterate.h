// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "loader.h"
#include "namespaces.h"

namespace lb {

// What iterator programs wrote, end to end.
struct Iteration {
  std::vector<uint8_t> records;
  Visits visits;
};

// Runs each program over all that it iterates over, in every network namespace.
Iteration Iterate(const std::vector<const Program*>& programs);

}  // namespace lb
