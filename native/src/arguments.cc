// SPDX-License-Identifier: Apache-2.0
#include "arguments.h"

#include <algorithm>
#include <cmath>

#include "errors.h"

namespace lb {

std::string StringArgument(const Napi::Value& value, const std::string& name) {
  if (!value.IsString()) throw ArgumentError(name + " must be a string");
  std::string text = value.As<Napi::String>();
  if (text.find('\0') != std::string::npos) throw ArgumentError(name + " must not contain NUL");
  return text;
}

bool BooleanArgument(const Napi::Value& value, const std::string& name) {
  if (!value.IsBoolean()) throw ArgumentError(name + " must be true or false");
  return value.As<Napi::Boolean>();
}

uint64_t IntegerArgument(const Napi::Value& value, const std::string& name, uint64_t maximum) {
  constexpr uint64_t kMaxSafeInteger = (uint64_t{1} << 53) - 1;
  if (!value.IsNumber()) throw ArgumentError(name + " must be a number");
  const double number = value.As<Napi::Number>();
  const uint64_t limit = std::min(maximum, kMaxSafeInteger);
  // The negated form also catches NaN.
  if (!(number >= 0 && number <= static_cast<double>(limit)) || number != std::floor(number)) {
    throw RangeError(name + " must be an integer from 0 to " + std::to_string(limit));
  }
  return static_cast<uint64_t>(number);
}

uint32_t IfindexArgument(const Napi::Value& value) {
  return static_cast<uint32_t>(IntegerArgument(value, "ifindex", INT32_MAX));
}

Bytes BytesArgument(const Napi::Value& value, const std::string& name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw ArgumentError(name + " must be a Uint8Array");
  }
  Napi::Uint8Array array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

Napi::Object ObjectArgument(const Napi::Value& value, const std::string& name) {
  if (!value.IsObject()) throw ArgumentError(name + " must be an object");
  return value.As<Napi::Object>();
}

Napi::Array ArrayArgument(const Napi::Value& value, const std::string& name) {
  if (!value.IsArray()) throw ArgumentError(name + " must be an array");
  return value.As<Napi::Array>();
}

Napi::Function FunctionArgument(const Napi::Value& value, const std::string& name) {
  if (!value.IsFunction()) throw ArgumentError(name + " must be a function");
  return value.As<Napi::Function>();
}

std::vector<std::pair<std::string, Napi::Value>> EntriesArgument(const Napi::Value& value,
                                                                 const std::string& name) {
  const Napi::Object object = ObjectArgument(value, name);
  napi_value keys;
  if (napi_get_all_property_names(
          object.Env(), object, napi_key_own_only,
          static_cast<napi_key_filter>(napi_key_enumerable | napi_key_skip_symbols),
          napi_key_numbers_to_strings, &keys) != napi_ok) {
    throw Napi::Error::New(object.Env());
  }
  const Napi::Array names(object.Env(), keys);
  std::vector<std::pair<std::string, Napi::Value>> entries;
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const Napi::Value key = names.Get(i);
    entries.emplace_back(key.As<Napi::String>(), object.Get(key));
  }
  return entries;
}

}  // namespace lb
