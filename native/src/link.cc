// SPDX-License-Identifier: Apache-2.0
#include "link.h"

#include <cstdint>
#include <string>
#include <utility>

#include "addon_data.h"
#include "arguments.h"
#include "datapath.h"
#include "errors.h"
#include "javascript.h"

namespace lb {

Direction DirectionArgument(const Napi::Value& value) {
  const std::string name = StringArgument(value, "direction");
  if (name == "ingress") return Direction::kIngress;
  if (name == "egress") return Direction::kEgress;
  throw ArgumentError("direction must be 'ingress' or 'egress'");
}

FilterPlace FilterPlaceArgument(const Napi::Value& value) {
  const Napi::Object filter = ObjectArgument(value, "filter");
  const auto number = [&](const char* name, uint32_t maximum) {
    return static_cast<uint32_t>(IntegerArgument(filter.Get(name), name, maximum));
  };
  return {number("priority", UINT16_MAX), number("handle", UINT32_MAX)};
}

Napi::Value DetachLink(const Napi::CallbackInfo& info) {
  DetachPinned(StringArgument(info[0], "path"));
  return info.Env().Undefined();
}

Napi::Value DetachFilter(const Napi::CallbackInfo& info) {
  const std::string path = StringArgument(info[0], "path");
  const uint32_t ifindex = IfindexArgument(info[1]);
  const Direction direction = DirectionArgument(info[2]);
  ClsactAttachment::FromPin(path, ifindex, direction, FilterPlaceArgument(info[3]))->Detach();
  return info.Env().Undefined();
}

Napi::Value GetPinnedLink(const Napi::CallbackInfo& info) {
  const LinkPlace pinned = ReadPinnedLink(StringArgument(info[0], "path"));
  Napi::Object link = Napi::Object::New(info.Env());
  link.Set("cgroup", Napi::BigInt::New(info.Env(), pinned.cgroup));
  link.Set("ifindex", pinned.ifindex);
  return link;
}

Napi::Function Link::Define(Napi::Env env) {
  return DefineClass(env, "Link",
                     {InstanceAccessor<&Link::Id>("id"), InstanceAccessor<&Link::Filter>("filter"),
                      Method<&Link::Update>("update"), Method<&Link::Pin>("pin"),
                      Method<&Link::Attached>("attached"), Method<&Link::State>("state"),
                      Method<&Link::Cgroup>("cgroup"), Method<&Link::Detach>("detach")});
}

Napi::Object Link::Create(Napi::Env env, SharedAttachment attachment) {
  return env.GetInstanceData<AddonData>()->link.New({ToExternal(env, attachment)});
}

Link::Link(const Napi::CallbackInfo& info)
    : Wrapped(info), attachment_(FromExternal<SharedAttachment>(info)), id_((*attachment_)->id()) {
  if (const FilterPlace* place = (*attachment_)->place()) place_ = *place;
}

Attachment& Link::Open() const {
  if (!*attachment_) throw ClosedError("link");
  return **attachment_;
}

Napi::Value Link::Id(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), id_); }

Napi::Value Link::Filter(const Napi::CallbackInfo& info) {
  if (!place_) return info.Env().Undefined();
  Napi::Object filter = Napi::Object::New(info.Env());
  filter.Set("priority", place_->priority);
  filter.Set("handle", place_->handle);
  return filter;
}

Napi::Value Link::Update(const Napi::CallbackInfo& info) {
  Datapath& datapath = Datapath::Argument(info[0], "datapath");
  Open();
  datapath.TakeOver(attachment_, StringArgument(info[1], "program"));
  return info.Env().Undefined();
}

Napi::Value Link::Pin(const Napi::CallbackInfo& info) {
  Open().Pin(StringArgument(info[0], "path"));
  return info.Env().Undefined();
}

Napi::Value Link::Attached(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), Open().Attached());
}

Napi::Value Link::State(const Napi::CallbackInfo& info) {
  switch (Open().State()) {
    case HookState::kAttached:
      return Napi::String::New(info.Env(), "attached");
    case HookState::kReplaced:
      return Napi::String::New(info.Env(), "replaced");
    case HookState::kDetached:
      break;
  }
  return Napi::String::New(info.Env(), "detached");
}

Napi::Value Link::Cgroup(const Napi::CallbackInfo& info) {
  return Napi::BigInt::New(info.Env(), Open().CgroupId());
}

Napi::Value Link::Detach(const Napi::CallbackInfo& info) {
  if (*attachment_) (*attachment_)->Detach();
  return info.Env().Undefined();
}

}  // namespace lb
