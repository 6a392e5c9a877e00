// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

struct bpf_map;

namespace lb {

struct MapInfo {
  uint32_t id;
  uint32_t type;
  uint32_t key_size;
  uint32_t value_size;
  uint32_t max_entries;
};

struct MapElements {
  std::vector<uint8_t> keys;
  std::vector<uint8_t> values;
  size_t count = 0;
};

// A map of a loaded object. Borrows the file descriptor from libbpf, owns the memory mapping.
// Methods may run on any thread; sizes of buffers are the caller's to check.
class Map {
 public:
  // Maps the elements into memory if the map was declared with BPF_F_MMAPABLE.
  explicit Map(const bpf_map* map);
  ~Map();
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;

  const std::string& name() const { return name_; }
  int fd() const { return fd_; }
  size_t key_size() const { return info_.key_size; }
  // Size of a value in user space: of a per-CPU map, those of all possible CPUs end to end.
  size_t value_size() const { return value_size_; }
  const MapInfo& info() const { return info_; }

  // Both advance `done` by the elements that were carried out, also when they throw.
  void Update(const uint8_t* keys, const uint8_t* values, size_t count, size_t& done) const;
  void Delete(const uint8_t* keys, size_t count, size_t& done) const;

  std::optional<std::vector<uint8_t>> Lookup(const uint8_t* key) const;
  MapElements Dump() const;

  // Of a memory-mapped map: throws ArgumentError if this is none, RangeError unless the bytes lie
  // inside.
  void RequireInside(uint64_t offset, uint64_t size) const;
  void Store(size_t offset, const uint8_t* bytes, size_t size) const;
  const uint8_t* At(size_t offset) const { return memory_ + offset; }

  void Pin(const std::string& path) const;

 private:
  void MapMemory();

  std::string name_;
  int fd_;
  MapInfo info_{};
  size_t value_size_ = 0;
  uint8_t* memory_ = nullptr;
  size_t memory_size_ = 0;
};

}  // namespace lb
