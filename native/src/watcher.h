// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>
#include <uv.h>

#include <memory>
#include <optional>

#include "event_source.h"

namespace lb {

// Calls a JavaScript function for the events of a source, on the event loop of one environment and
// without keeping it alive, until Close() or the end of the environment.
class Watcher : public std::enable_shared_from_this<Watcher> {
 public:
  // Does not keep `callback` from being collected: who owns the watch does (see Watch).
  Watcher(Napi::Env env, std::unique_ptr<EventSource> source, Napi::Function callback);

  void Start();
  // Also from inside the callback, and without Start() before. Idempotent.
  void Close();

 private:
  static void OnReadable(uv_poll_t* poll, int status, int events);
  static void OnClosed(uv_handle_t* poll);
  static void OnCleanup(napi_async_cleanup_hook_handle hook, void* self);

  void Read();
  // Whether to go on. Called from C.
  bool Deliver(Event event) noexcept;
  // False when the callback has thrown, and when there is nobody to call any more.
  bool Call(Event event);
  // As an uncaught exception, like one from a timer's callback. False if there was none, or if the
  // thread is being terminated.
  bool ReportException();

  const Napi::Env env_;
  std::unique_ptr<EventSource> source_;
  Napi::FunctionReference callback_;
  std::optional<Napi::AsyncContext> context_;
  napi_async_cleanup_hook_handle cleanup_ = nullptr;
  uv_poll_t poll_{};
  std::shared_ptr<Watcher> self_;  // as long as the event loop knows poll_
  bool reading_ = false;
  bool closed_ = false;
};

}  // namespace lb
