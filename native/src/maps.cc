// SPDX-License-Identifier: Apache-2.0
#include "maps.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "errors.h"

namespace lb {
namespace {

// Elements per system call: enough to make its cost vanish, few enough to be preempted in time.
constexpr size_t kBatch = 16384;

// The kernel lays out values of arrays and of per-CPU maps in steps of eight bytes.
size_t RoundUp8(size_t size) { return (size + 7) / 8 * 8; }

bool IsPerCpu(uint32_t type) {
  return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
         type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

}  // namespace

Map::Map(const bpf_map* map) : name_(bpf_map__name(map)), fd_(bpf_map__fd(map)) {
  bpf_map_info info{};
  uint32_t length = sizeof(info);
  if (bpf_map_get_info_by_fd(fd_, &info, &length) != 0) {
    throw SystemError(errno, "bpf_map_get_info_by_fd", name_);
  }
  info_ = {info.id, info.type, info.key_size, info.value_size, info.max_entries};
  value_size_ = info.value_size;
  if (IsPerCpu(info.type)) value_size_ = RoundUp8(info.value_size) * libbpf_num_possible_cpus();
  // libbpf maps the sections of global data itself, and read-only ones refuse what is asked for
  // here.
  if ((info.map_flags & BPF_F_MMAPABLE) && !bpf_map__is_internal(map)) MapMemory();
}

Map::~Map() {
  if (memory_ != nullptr) munmap(memory_, memory_size_);
}

void Map::MapMemory() {
  const size_t size = RoundUp8(info_.value_size) * info_.max_entries;
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (memory == MAP_FAILED) throw SystemError(errno, "mmap", name_);
  memory_ = static_cast<uint8_t*>(memory);
  memory_size_ = size;
}

void Map::Update(const uint8_t* keys, const uint8_t* values, size_t count, size_t& done) const {
  // In one call, so that no end of the process comes between the entries of a service. The kernel
  // lets itself be preempted between two of them.
  uint32_t batch = count;
  const int rc = bpf_map_update_batch(fd_, keys, values, &batch, nullptr);
  const int error = errno;
  done += batch;
  if (rc != 0) throw SystemError(error, "bpf_map_update_batch", name_);
}

void Map::Delete(const uint8_t* keys, size_t count, size_t& done) const {
  for (size_t first = 0; first < count;) {
    uint32_t batch = std::min(kBatch, count - first);
    int rc = bpf_map_delete_batch(fd_, keys + first * key_size(), &batch, nullptr);
    const int error = errno;
    // The kernel stops at a key that is absent. That one is done, too.
    if (rc != 0 && error == ENOENT) ++batch;
    first += batch;
    done += batch;
    if (rc != 0 && error != ENOENT) throw SystemError(error, "bpf_map_delete_batch", name_);
  }
}

std::optional<std::vector<uint8_t>> Map::Lookup(const uint8_t* key) const {
  std::vector<uint8_t> value(value_size());
  if (bpf_map_lookup_elem(fd_, key, value.data()) == 0) return value;
  if (errno == ENOENT) return std::nullopt;
  throw SystemError(errno, "bpf_map_lookup_elem", name_);
}

MapElements Map::Dump() const {
  MapElements elements;
  // Where the next batch begins: a bucket number for hash maps, a key for all others.
  std::vector<uint8_t> position(std::max<size_t>(key_size(), sizeof(uint64_t)));
  size_t room = std::min<size_t>(kBatch, info_.max_entries);
  for (bool first = true;; first = false) {
    elements.keys.resize((elements.count + room) * key_size());
    elements.values.resize((elements.count + room) * value_size());
    uint32_t batch = room;
    int rc = bpf_map_lookup_batch(fd_, first ? nullptr : position.data(), position.data(),
                                  elements.keys.data() + elements.count * key_size(),
                                  elements.values.data() + elements.count * value_size(), &batch,
                                  nullptr);
    const int error = errno;
    if (rc != 0 && error == ENOSPC) {  // one hash bucket holds more than that
      room *= 2;
      continue;
    }
    if (rc != 0 && error != ENOENT) throw SystemError(error, "bpf_map_lookup_batch", name_);
    elements.count += batch;
    if (rc != 0) break;  // ENOENT: that was the last batch
  }
  elements.keys.resize(elements.count * key_size());
  elements.values.resize(elements.count * value_size());
  return elements;
}

void Map::RequireInside(uint64_t offset, uint64_t size) const {
  if (memory_ == nullptr) throw ArgumentError("map '" + name_ + "' is not memory-mapped");
  if (offset > memory_size_ || size > memory_size_ - offset) {
    throw RangeError("offset and length must lie inside the " + std::to_string(memory_size_) +
                     " bytes of map '" + name_ + "'");
  }
}

void Map::Store(size_t offset, const uint8_t* bytes, size_t size) const {
  if (size > 0) std::memcpy(memory_ + offset, bytes, size);
}

void Map::Pin(const std::string& path) const {
  if (bpf_obj_pin(fd_, path.c_str()) != 0) throw SystemError(errno, "bpf_obj_pin", path);
}

}  // namespace lb
