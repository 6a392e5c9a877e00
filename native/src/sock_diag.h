// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace lb {

// Destroys the sockets of `records` (struct lb_translated, end to end) by netlink, each in its
// network namespace, and returns the records of those that were there.
std::vector<uint8_t> DestroySockets(const std::vector<uint8_t>& records);

}  // namespace lb
