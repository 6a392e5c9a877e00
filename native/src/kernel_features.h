// SPDX-License-Identifier: Apache-2.0
// What this kernel has. Asking loads programs and makes maps that are gone when the answer is
// there; nothing is attached or pinned.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lb {

struct HelperQuestion {
  uint32_t program_type;
  uint32_t helper;
};

struct FeatureQuestions {
  std::vector<uint32_t> program_types;
  std::vector<uint32_t> map_types;
  std::vector<HelperQuestion> helpers;
  std::vector<std::string> functions;  // kfuncs
};

// In the order of the questions.
struct FeatureAnswers {
  int map_error;  // errno of making a plain map, or 0
  std::vector<bool> program_types;
  std::vector<bool> map_types;
  std::vector<bool> helpers;
  std::vector<bool> functions;
  int tcx_error;  // errno of asking for the tcx programs of the loopback device, or 0
  bool grace_period;
};

FeatureAnswers AskKernel(const FeatureQuestions& questions);

}  // namespace lb
