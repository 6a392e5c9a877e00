// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace lb {

struct Program;

struct TestPacket {
  const uint8_t* data;  // from the Ethernet header
  size_t size;
  uint32_t ifindex;  // device it seems to have come from; 0: loopback
  uint32_t mark;
  uint32_t repeat;
  uint32_t flags;  // BPF_F_TEST_*
};

struct TestResult {
  uint32_t retval;
  std::vector<uint8_t> data;
  uint32_t mark;
  uint32_t duration;  // ns, average over the repeats
};

// BPF_PROG_TEST_RUN of a tc program.
TestResult TestRun(const Program& program, const TestPacket& packet);

}  // namespace lb
