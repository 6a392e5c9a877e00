// SPDX-License-Identifier: Apache-2.0
#include "operations.h"

#include <string>

#include "arguments.h"
#include "errors.h"
#include "loader.h"

namespace lb {
namespace {

// The properties of an operation as JavaScript gave them.
struct Properties {
  std::string name;  // of the operation, for messages
  std::string kind;
  const Map* map;
  Napi::Value keys;
  Napi::Value bytes;
  uint64_t offset;
};

Properties Read(const Napi::Value& value, const std::string& name, const LoadedObject& object) {
  const Napi::Object operation = ObjectArgument(value, name);
  Properties properties{};
  properties.name = name;
  properties.kind = StringArgument(operation.Get("kind"), name + ".kind");
  properties.map = &object.map(StringArgument(operation.Get("map"), name + ".map"));
  if (properties.kind == "update") {
    properties.keys = operation.Get("keys");
    properties.bytes = operation.Get("values");
  } else if (properties.kind == "delete") {
    properties.keys = operation.Get("keys");
  } else if (properties.kind == "store") {
    properties.bytes = operation.Get("bytes");
    properties.offset = IntegerArgument(operation.Get("offset"), name + ".offset", UINT64_MAX);
  } else {
    throw ArgumentError(name + ".kind must be 'update', 'delete' or 'store'");
  }
  return properties;
}

size_t CountKeys(const Map& map, size_t size, const std::string& name) {
  if (map.key_size() == 0 || size % map.key_size() != 0) {
    throw RangeError(name + " must hold keys of " + std::to_string(map.key_size()) + " bytes");
  }
  return size / map.key_size();
}

MapOperation Check(const Properties& given) {
  const Map& map = *given.map;
  if (given.kind == "store") {
    const Bytes bytes = BytesArgument(given.bytes, given.name + ".bytes");
    map.RequireInside(given.offset, bytes.size);
    return {MapOperation::Kind::kStore, &map, nullptr, bytes.data, bytes.size, given.offset};
  }
  const Bytes keys = BytesArgument(given.keys, given.name + ".keys");
  const size_t count = CountKeys(map, keys.size, given.name + ".keys");
  if (given.kind == "delete") {
    return {MapOperation::Kind::kDelete, &map, keys.data, nullptr, count, 0};
  }
  const Bytes values = BytesArgument(given.bytes, given.name + ".values");
  if (values.size != count * map.value_size()) {
    throw RangeError(given.name + ".values must hold " + std::to_string(count) + " values of " +
                     std::to_string(map.value_size()) + " bytes");
  }
  return {MapOperation::Kind::kUpdate, &map, keys.data, values.data, count, 0};
}

void Run(const MapOperation& operation, size_t& done) {
  switch (operation.kind) {
    case MapOperation::Kind::kUpdate:
      operation.map->Update(operation.keys, operation.bytes, operation.count, done);
      break;
    case MapOperation::Kind::kDelete:
      operation.map->Delete(operation.keys, operation.count, done);
      break;
    case MapOperation::Kind::kStore:
      operation.map->Store(operation.offset, operation.bytes, operation.count);
      break;
  }
}

}  // namespace

std::vector<MapOperation> OperationsArgument(const Napi::Value& value, const LoadedObject& object,
                                             Napi::Array keep) {
  const Napi::Array array = ArrayArgument(value, "operations");
  std::vector<Properties> given;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    given.push_back(Read(array.Get(i), "operations[" + std::to_string(i) + "]", object));
  }
  // Not in the loop above: reading a property may run code that takes the memory of an earlier
  // buffer away.
  std::vector<MapOperation> operations;
  for (const Properties& properties : given) {
    operations.push_back(Check(properties));
    if (!properties.keys.IsEmpty()) keep.Set(keep.Length(), properties.keys);
    if (!properties.bytes.IsEmpty()) keep.Set(keep.Length(), properties.bytes);
  }
  return operations;
}

void RunOperations(const std::vector<MapOperation>& operations) {
  for (size_t i = 0; i < operations.size(); ++i) {
    size_t done = 0;
    try {
      Run(operations[i], done);
    } catch (const SystemError& error) {
      throw CommitError(error, i, done);
    }
  }
}

}  // namespace lb
