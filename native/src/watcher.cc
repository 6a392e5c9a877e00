// SPDX-License-Identifier: Apache-2.0
#include "watcher.h"

#include <utility>
#include <vector>

#include "errors.h"
#include "javascript.h"

namespace lb {
namespace {

constexpr const char* kName = "bpf-lb watch";

}  // namespace

Watcher::Watcher(Napi::Env env, std::unique_ptr<EventSource> source, Napi::Function callback)
    : env_(env), source_(std::move(source)), callback_(Napi::Weak(callback)) {}

void Watcher::Start() {
  uv_loop_t* loop = nullptr;
  // The hook is asynchronous because libuv closes poll_ only in the next turn of the loop.
  if (napi_get_uv_event_loop(env_, &loop) != napi_ok ||
      napi_add_async_cleanup_hook(env_, OnCleanup, this, &cleanup_) != napi_ok) {
    throw Napi::Error::New(env_);
  }
  const int rc = uv_poll_init(loop, &poll_, source_->fd());
  if (rc != 0) {
    napi_remove_async_cleanup_hook(std::exchange(cleanup_, nullptr));
    throw SystemError(-rc, "uv_poll_init");
  }
  self_ = shared_from_this();
  poll_.data = this;
  context_.emplace(env_, kName);
  uv_unref(reinterpret_cast<uv_handle_t*>(&poll_));
  uv_poll_start(&poll_, UV_READABLE, OnReadable);
}

void Watcher::Close() {
  if (std::exchange(closed_, true)) return;
  if (self_) uv_close(reinterpret_cast<uv_handle_t*>(&poll_), OnClosed);
  if (!reading_) source_.reset();
}

void Watcher::OnReadable(uv_poll_t* poll, int status, int) {
  const auto self = static_cast<Watcher*>(poll->data)->shared_from_this();
  self->Read();
  // libuv stops at an error of the file descriptor. Reading has cleared it.
  if (status < 0 && !self->closed_) uv_poll_start(poll, UV_READABLE, OnReadable);
}

// Nothing of Node-API may be left after the hook is removed: the environment may end then.
void Watcher::OnClosed(uv_handle_t* poll) {
  const auto self = std::exchange(static_cast<Watcher*>(poll->data)->self_, nullptr);
  self->callback_.Reset();
  self->context_.reset();
  napi_remove_async_cleanup_hook(self->cleanup_);
}

void Watcher::OnCleanup(napi_async_cleanup_hook_handle, void* self) {
  static_cast<Watcher*>(self)->Close();
}

void Watcher::Read() {
  reading_ = true;
  source_->Read([this](Event event) { return Deliver(event); });
  reading_ = false;
  if (closed_) source_.reset();
}

bool Watcher::Deliver(Event event) noexcept {
  const Napi::HandleScope scope(env_);
  return (Call(event) || ReportException()) && !closed_;
}

bool Watcher::Call(Event event) {
  try {
    const Napi::Function callback = callback_.Value();
    if (callback.IsEmpty()) return false;  // collected, and so is the watch: about to be closed
    std::vector<napi_value> arguments;
    if (event.data != nullptr) arguments.push_back(ToUint8Array(env_, event.data, event.size));
    // Not through Napi::Error: what was thrown can be of any type.
    return napi_make_callback(env_, *context_, env_.Global(), callback, arguments.size(),
                              arguments.data(), nullptr) == napi_ok;
  } catch (const Napi::Error&) {
    return false;  // the environment ends
  }
}

bool Watcher::ReportException() {
  bool pending = false;
  napi_value exception = nullptr;
  return napi_is_exception_pending(env_, &pending) == napi_ok && pending &&
         napi_get_and_clear_last_exception(env_, &exception) == napi_ok &&
         napi_fatal_exception(env_, exception) == napi_ok;
}

}  // namespace lb
