/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a process: counts its bpf(2) and membarrier(2) calls, and lets one of them fail or kills the process in
 * its place. What to do is read from the file that BPF_LB_FAULTS names, which whoever started the process writes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum action { NOTHING, COUNT, FAIL, KILL };

struct plan {
  uint32_t action;
  uint32_t at; /* from 1 */
  uint32_t error;
  uint32_t count;
};

static struct plan *plan;

__attribute__((constructor)) static void read_plan(void)
{
  const char *path = getenv("BPF_LB_FAULTS");
  int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  void *memory;

  if (fd < 0)
    return;
  memory = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory != MAP_FAILED)
    plan = memory;
  close(fd);
}

/* libbpf and the addon make these calls through this function of the C library. */
long syscall(long number, ...)
{
  static long (*real)(long, ...);
  long argument[6];
  va_list list;

  va_start(list, number);
  for (int i = 0; i < 6; i++)
    argument[i] = va_arg(list, long);
  va_end(list);
  if (!real)
    real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  if (plan && plan->action != NOTHING && (number == SYS_bpf || number == SYS_membarrier)) {
    uint32_t count = __sync_add_and_fetch(&plan->count, 1);

    if (plan->action == KILL && count == plan->at)
      kill(getpid(), SIGKILL);
    if (plan->action == FAIL && count == plan->at) {
      errno = (int)plan->error;
      return -1;
    }
  }
  return real(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
}
