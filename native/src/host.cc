// SPDX-License-Identifier: Apache-2.0
#include "host.h"

#include "arguments.h"
#include "async.h"
#include "canary.h"
#include "errors.h"
#include "javascript.h"
#include "kernel_features.h"
#include "namespaces.h"
#include "rtnetlink.h"
#include "sock_diag.h"
#include "system.h"

namespace lb {
namespace {

Napi::Object ToObject(Napi::Env env, const NetworkNamespace& netns) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("cookie", Napi::BigInt::New(env, netns.cookie));
  object.Set("inode", Napi::Number::New(env, static_cast<double>(netns.inode)));
  return object;
}

Napi::Object ToObject(Napi::Env env, const NetworkLink& link) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("ifindex", link.ifindex);
  object.Set("name", link.name);
  object.Set("flags", link.flags);
  object.Set("kind", link.kind);
  object.Set("master", link.master);
  object.Set("mtu", link.mtu);
  object.Set("leadsToAnotherNamespace", link.leads_to_another_namespace);
  object.Set("type", link.type);
  return object;
}

Napi::Object ToObject(Napi::Env env, const NetworkAddress& address) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("ifindex", address.ifindex);
  object.Set("address", ToUint8Array(env, address.address.data(), address.address.size()));
  object.Set("prefixLength", address.prefix_length);
  object.Set("scope", address.scope);
  object.Set("flags", address.flags);
  return object;
}

Napi::Object ToObject(Napi::Env env, const NetworkRoute& route) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("family", route.family);
  object.Set("ifindex", route.ifindex);
  object.Set("destination", ToUint8Array(env, route.destination.data(), route.destination.size()));
  object.Set("prefixLength", route.prefix_length);
  object.Set("metric", route.metric);
  object.Set("gateway", route.gateway);
  object.Set("table", route.table);
  return object;
}

template <typename Item>
Napi::Array ToArray(Napi::Env env, const std::vector<Item>& items) {
  Napi::Array array = Napi::Array::New(env, items.size());
  for (uint32_t i = 0; i < items.size(); ++i) {
    const Napi::HandleScope scope(env);
    array.Set(i, ToObject(env, items[i]));
  }
  return array;
}

Napi::Object ToObject(Napi::Env env, const Network& network) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("links", ToArray(env, network.links));
  object.Set("addresses", ToArray(env, network.addresses));
  object.Set("routes", ToArray(env, network.routes));
  return object;
}

uint32_t NumberArgument(const Napi::Value& value, const std::string& name) {
  return static_cast<uint32_t>(IntegerArgument(value, name, INT32_MAX));
}

FeatureQuestions FeatureQuestionsArgument(const Napi::Value& value) {
  const Napi::Object given = ObjectArgument(value, "questions");
  return {ListArgument(given.Get("programTypes"), "programTypes", NumberArgument),
          ListArgument(given.Get("mapTypes"), "mapTypes", NumberArgument),
          ListArgument(given.Get("helpers"), "helpers",
                       [](const Napi::Value& value, const std::string& name) {
                         const Napi::Object helper = ObjectArgument(value, name);
                         return HelperQuestion{
                             NumberArgument(helper.Get("programType"), name + ".programType"),
                             NumberArgument(helper.Get("helper"), name + ".helper")};
                       }),
          ListArgument(given.Get("functions"), "functions", StringArgument)};
}

Napi::Array ToArray(Napi::Env env, const std::vector<bool>& answers) {
  Napi::Array array = Napi::Array::New(env, answers.size());
  for (uint32_t i = 0; i < answers.size(); ++i) array.Set(i, Napi::Boolean::New(env, answers[i]));
  return array;
}

Napi::Value ErrorName(Napi::Env env, int error) {
  return error == 0 ? env.Undefined() : Napi::String::New(env, ErrorCode(error));
}

Napi::Object ToObject(Napi::Env env, const FeatureAnswers& answers) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("mapError", ErrorName(env, answers.map_error));
  object.Set("programTypes", ToArray(env, answers.program_types));
  object.Set("mapTypes", ToArray(env, answers.map_types));
  object.Set("helpers", ToArray(env, answers.helpers));
  object.Set("functions", ToArray(env, answers.functions));
  object.Set("tcxError", ErrorName(env, answers.tcx_error));
  object.Set("gracePeriod", answers.grace_period);
  return object;
}

// '' for undefined.
std::string OptionalPath(const Napi::Value& value) {
  return value.IsUndefined() ? std::string() : StringArgument(value, "path");
}

}  // namespace

Napi::Value GetNetworkNamespace(const Napi::CallbackInfo& info) {
  return ToObject(info.Env(), CurrentNetworkNamespace());
}

Napi::Value GetNetworkNamespaceOf(const Napi::CallbackInfo& info) {
  return PromiseWorker<NetworkNamespace>::Start(
      info.Env(), "bpf-lb netns", Napi::Object::New(info.Env()),
      [path = StringArgument(info[0], "path")] { return NetworkNamespaceOf(path); },
      [](Napi::Env env, const NetworkNamespace& netns) { return ToObject(env, netns); });
}

Napi::Value GetNetwork(const Napi::CallbackInfo& info) {
  return PromiseWorker<Network>::Start(
      info.Env(), "bpf-lb network", Napi::Object::New(info.Env()),
      [path = OptionalPath(info[0])] {
        Network network;
        if (path.empty()) return ReadNetwork();
        InNetworkNamespace(path, [&network] { network = ReadNetwork(); });
        return network;
      },
      [](Napi::Env env, const Network& network) { return ToObject(env, network); });
}

Napi::Value ParseNetworkMessages(const Napi::CallbackInfo& info) {
  const Bytes messages = BytesArgument(info[0], "messages");
  return ToObject(info.Env(), ParseNetwork(messages.data, messages.size));
}

Napi::Value RunCanary(const Napi::CallbackInfo& info) {
  const std::string cgroup = StringArgument(info[0], "cgroup");
  const std::string address = StringArgument(info[1], "address");
  const auto port = static_cast<uint16_t>(IntegerArgument(info[2], "port", UINT16_MAX));
  if (!IsAddress(address)) throw ArgumentError("address must be an IPv4 or IPv6 address");
  const std::string netns = OptionalPath(info[3]);
  return PromiseWorker<CanaryResult>::Start(
      info.Env(), "bpf-lb canary", Napi::Object::New(info.Env()),
      [cgroup, address, port, netns] { return ConnectInCgroup(cgroup, address, port, netns); },
      [](Napi::Env env, const CanaryResult& canary) {
        Napi::Object result = Napi::Object::New(env);
        result.Set("connectErrno", canary.connect_errno);
        result.Set("local", canary.local);
        result.Set("peer", canary.peer);
        return result;
      });
}

Napi::Value DestroySocketsByNetlink(const Napi::CallbackInfo& info) {
  const Bytes records = BytesArgument(info[0], "records");
  return PromiseWorker<std::vector<uint8_t>>::Start(
      info.Env(), "bpf-lb destroy", Napi::Object::New(info.Env()),
      [records = std::vector<uint8_t>(records.data, records.data + records.size)] {
        return DestroySockets(records);
      },
      [](Napi::Env env, const std::vector<uint8_t>& destroyed) {
        return ToUint8Array(env, destroyed.data(), destroyed.size());
      });
}

Napi::Value AwaitGracePeriod(const Napi::CallbackInfo& info) {
  return PromiseWorker<bool>::Start(
      info.Env(), "bpf-lb grace period", Napi::Object::New(info.Env()),
      [] {
        WaitForGracePeriod();
        return true;
      },
      [](Napi::Env env, bool) { return env.Undefined(); });
}

Napi::Value MountBpffsAt(const Napi::CallbackInfo& info) {
  MountBpffs(StringArgument(info[0], "path"));
  return info.Env().Undefined();
}

Napi::Value GetFilesystemType(const Napi::CallbackInfo& info) {
  const uint64_t type = FilesystemType(StringArgument(info[0], "path"));
  return Napi::Number::New(info.Env(), static_cast<double>(type));
}

Napi::Value GetFeatures(const Napi::CallbackInfo& info) {
  return PromiseWorker<FeatureAnswers>::Start(
      info.Env(), "bpf-lb features", Napi::Object::New(info.Env()),
      [questions = FeatureQuestionsArgument(info[0])] { return AskKernel(questions); },
      [](Napi::Env env, const FeatureAnswers& answers) { return ToObject(env, answers); });
}

}  // namespace lb
