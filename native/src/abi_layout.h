// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

namespace lb {

struct FieldLayout {
  const char* name;
  size_t offset;
  size_t size;
};

struct StructLayout {
  const char* name;
  size_t size;
  std::vector<FieldLayout> fields;
};

// Every struct of bpf/abi.h as this compiler lays it out.
std::vector<StructLayout> AbiLayout();

}  // namespace lb
