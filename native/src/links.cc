// SPDX-License-Identifier: Apache-2.0
#include "links.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "errors.h"
#include "loader.h"

namespace lb {
namespace {

bpf_link_info LinkInfo(int fd) {
  bpf_link_info info{};
  uint32_t length = sizeof(info);
  if (bpf_link_get_info_by_fd(fd, &info, &length) != 0) {
    throw SystemError(errno, "bpf_link_get_info_by_fd");
  }
  return info;
}

FileDescriptor OpenPinned(const std::string& path) {
  FileDescriptor fd(bpf_obj_get(path.c_str()));
  if (!fd) throw SystemError(errno, "bpf_obj_get", path);
  return fd;
}

// What a link hangs on. A cgroup or a device that is removed leaves its links behind, attached to
// nothing.
LinkPlace PlaceOf(const bpf_link_info& info) {
  LinkPlace place;
  if (info.type == BPF_LINK_TYPE_TCX) place.ifindex = info.tcx.ifindex;
  if (info.type == BPF_LINK_TYPE_CGROUP) place.cgroup = info.cgroup.cgroup_id;
  return place;
}

void PinAt(int fd, const std::string& path, std::vector<std::string>& pins) {
  if (bpf_obj_pin(fd, path.c_str()) != 0) throw SystemError(errno, "bpf_obj_pin", path);
  pins.push_back(path);
}

void RemovePins(std::vector<std::string>& pins) {
  for (const std::string& path : pins) unlink(path.c_str());
  pins.clear();
}

// A device is named by its index, a cgroup by a file descriptor: one number taken for the other
// would attach the program to something nobody asked for.
void RequireForDevice(const Program& program, bool device) {
  if (program.hook == (device ? Hook::kDevice : Hook::kCgroup)) return;
  throw ArgumentError("program '" + program.name + "' is not for a " +
                      (device ? "device" : "cgroup"));
}

FileDescriptor CreateLink(const Program& program, int target, const std::string& name) {
  FileDescriptor link(bpf_link_create(program.fd, target,
                                      static_cast<bpf_attach_type>(program.attach_type), nullptr));
  if (!link) throw SystemError(errno, "bpf_link_create", name);
  return link;
}

}  // namespace

LinkPlace ReadPinnedLink(const std::string& path) {
  return PlaceOf(LinkInfo(OpenPinned(path).get()));
}

void DetachPinned(const std::string& path) {
  const FileDescriptor link = OpenPinned(path);
  if (bpf_link_detach(link.get()) != 0) throw SystemError(errno, "bpf_link_detach", path);
}

std::unique_ptr<Attachment> LinkAttachment::ToCgroup(const Program& program,
                                                     const std::string& path) {
  RequireForDevice(program, false);
  FileDescriptor cgroup(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!cgroup) throw SystemError(errno, "open", path);
  return std::unique_ptr<Attachment>(new LinkAttachment(CreateLink(program, cgroup.get(), path)));
}

std::unique_ptr<Attachment> LinkAttachment::ToDevice(const Program& program, uint32_t ifindex) {
  RequireForDevice(program, true);
  return std::unique_ptr<Attachment>(
      new LinkAttachment(CreateLink(program, static_cast<int>(ifindex), std::to_string(ifindex))));
}

std::unique_ptr<Attachment> LinkAttachment::FromPin(const std::string& path) {
  return std::unique_ptr<Attachment>(new LinkAttachment(OpenPinned(path)));
}

LinkAttachment::LinkAttachment(FileDescriptor link) : link_(std::move(link)) {
  const bpf_link_info info = LinkInfo(link_.get());
  id_ = info.id;
  program_id_ = info.prog_id;
}

void LinkAttachment::Update(const Program& program) {
  if (!link_) throw ClosedError("link");
  if (bpf_link_update(link_.get(), program.fd, nullptr) != 0) {
    throw SystemError(errno, "bpf_link_update", program.name);
  }
  program_id_ = InfoOf(program.fd).id;
}

void LinkAttachment::Pin(const std::string& path) {
  if (!link_) throw ClosedError("link");
  PinAt(link_.get(), path, pins_);
}

HookState LinkAttachment::State() const {
  if (!link_) return HookState::kDetached;
  const bpf_link_info info = LinkInfo(link_.get());
  const LinkPlace place = PlaceOf(info);
  if (place.ifindex == 0 && place.cgroup == 0) return HookState::kDetached;
  return info.prog_id == program_id_ ? HookState::kAttached : HookState::kReplaced;
}

uint64_t LinkAttachment::CgroupId() const {
  return link_ ? PlaceOf(LinkInfo(link_.get())).cgroup : 0;
}

void LinkAttachment::Detach() {
  if (!link_) return;
  // Where the kernel cannot do this (before 5.9), losing the last reference has the same effect.
  bpf_link_detach(link_.get());
  RemovePins(pins_);
  link_.Close();
}

std::unique_ptr<Attachment> ClsactAttachment::ToDevice(const Program& program, uint32_t ifindex,
                                                       Direction direction) {
  RequireForDevice(program, true);
  FileDescriptor copy(fcntl(program.fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) throw SystemError(errno, "fcntl", program.name);
  std::unique_ptr<ClsactAttachment> attachment(
      new ClsactAttachment(std::move(copy), ifindex, direction));
  attachment->Attach();
  return attachment;
}

std::unique_ptr<Attachment> ClsactAttachment::FromPin(const std::string& path, uint32_t ifindex,
                                                      Direction direction, FilterPlace place) {
  std::unique_ptr<ClsactAttachment> attachment(
      new ClsactAttachment(OpenPinned(path), ifindex, direction));
  attachment->place_ = place;
  attachment->pins_.push_back(path);
  return attachment;
}

ClsactAttachment::ClsactAttachment(FileDescriptor program, uint32_t ifindex, Direction direction)
    : program_(std::move(program)),
      ifindex_(static_cast<int>(ifindex)),
      direction_(direction),
      program_id_(InfoOf(program_.get()).id) {}

void ClsactAttachment::Attach() {
  bpf_tc_hook hook = Hook();
  int rc = bpf_tc_hook_create(&hook);
  if (rc != 0 && rc != -EEXIST) {
    throw SystemError(-rc, "bpf_tc_hook_create", std::to_string(ifindex_));
  }
  LIBBPF_OPTS(bpf_tc_opts, filter, .prog_fd = program_.get());
  rc = bpf_tc_attach(&hook, &filter);
  if (rc != 0) throw SystemError(-rc, "bpf_tc_attach", std::to_string(ifindex_));
  place_ = {filter.priority, filter.handle};
}

void ClsactAttachment::Update(const Program& program) {
  if (!program_) throw ClosedError("link");
  RequireForDevice(program, true);
  // Else the place may be another program's by now.
  if (!Attached()) throw SystemError(ENOENT, "bpf_tc_query", std::to_string(ifindex_));
  FileDescriptor copy(fcntl(program.fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) throw SystemError(errno, "fcntl", program.name);
  const bpf_tc_hook hook = Hook();
  LIBBPF_OPTS(bpf_tc_opts, filter, .prog_fd = copy.get(), .flags = BPF_TC_F_REPLACE,
              .handle = place_.handle, .priority = place_.priority);
  const int rc = bpf_tc_attach(&hook, &filter);
  if (rc != 0) throw SystemError(-rc, "bpf_tc_attach", std::to_string(ifindex_));
  program_id_ = InfoOf(copy.get()).id;
  program_ = std::move(copy);
}

ClsactAttachment::~ClsactAttachment() {
  if (!pins_.empty()) return;
  try {
    Detach();
  } catch (const SystemError&) {
    // Nobody is left to be told, and the filter may be gone with its device.
  }
}

bpf_tc_hook ClsactAttachment::Hook() const {
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex_,
              .attach_point = direction_ == Direction::kIngress ? BPF_TC_INGRESS : BPF_TC_EGRESS);
  return hook;
}

void ClsactAttachment::Pin(const std::string& path) {
  if (!program_) throw ClosedError("link");
  PinAt(program_.get(), path, pins_);
}

HookState ClsactAttachment::State() const {
  if (!program_) return HookState::kDetached;
  const bpf_tc_hook hook = Hook();
  LIBBPF_OPTS(bpf_tc_opts, filter, .handle = place_.handle, .priority = place_.priority);
  const int rc = bpf_tc_query(&hook, &filter);
  // No such filter, device, or qdisc.
  if (rc == -ENOENT || rc == -ENODEV || rc == -EINVAL) return HookState::kDetached;
  if (rc != 0) throw SystemError(-rc, "bpf_tc_query", std::to_string(ifindex_));
  return filter.prog_id == program_id_ ? HookState::kAttached : HookState::kReplaced;
}

void ClsactAttachment::Detach() {
  if (!program_) return;
  if (Attached()) {  // else the place may be another program's by now
    const bpf_tc_hook hook = Hook();
    LIBBPF_OPTS(bpf_tc_opts, filter, .handle = place_.handle, .priority = place_.priority);
    const int rc = bpf_tc_detach(&hook, &filter);
    if (rc != 0) throw SystemError(-rc, "bpf_tc_detach", std::to_string(ifindex_));
  }
  RemovePins(pins_);
  program_.Close();
}

}  // namespace lb
