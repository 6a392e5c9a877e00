// SPDX-License-Identifier: Apache-2.0
// Values from JavaScript, checked. All of these throw ArgumentError or RangeError with the name
// given.
#pragma once

#include <napi.h>

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace lb {

// The bytes of a Uint8Array, in place.
struct Bytes {
  uint8_t* data;
  size_t size;
};

// No NUL bytes: what it names (a path, a program) would be cut short silently.
std::string StringArgument(const Napi::Value& value, const std::string& name);

bool BooleanArgument(const Napi::Value& value, const std::string& name);

// A safe integer from 0.
uint64_t IntegerArgument(const Napi::Value& value, const std::string& name,
                         uint64_t maximum = std::numeric_limits<uint32_t>::max());

uint32_t IfindexArgument(const Napi::Value& value);

Bytes BytesArgument(const Napi::Value& value, const std::string& name);

Napi::Object ObjectArgument(const Napi::Value& value, const std::string& name);

Napi::Array ArrayArgument(const Napi::Value& value, const std::string& name);

Napi::Function FunctionArgument(const Napi::Value& value, const std::string& name);

// Reads every element, by a function of the element and its name.
template <typename Read>
auto ListArgument(const Napi::Value& value, const std::string& name, Read read) {
  const Napi::Array array = ArrayArgument(value, name);
  std::vector<decltype(read(value, name))> list;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    list.push_back(read(array.Get(i), name + "[" + std::to_string(i) + "]"));
  }
  return list;
}

// The object's own enumerable properties.
std::vector<std::pair<std::string, Napi::Value>> EntriesArgument(const Napi::Value& value,
                                                                 const std::string& name);

}  // namespace lb
