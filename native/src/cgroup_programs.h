// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lb {

struct Program;

struct ProgramName {
  uint32_t id;
  std::string name;  // '' where the process may not ask for it
};

struct CgroupPrograms {
  // What others may attach, too (BPF_F_ALLOW_MULTI). Not known of the effective programs.
  bool multi;
  std::vector<ProgramName> programs;  // in the order in which they run
};

// What is on the hook of `program` at the cgroup `path`: attached there, or, if `effective`, run
// for its sockets.
CgroupPrograms ProgramsAtCgroup(const Program& program, const std::string& path, bool effective);

}  // namespace lb
