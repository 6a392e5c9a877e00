// SPDX-License-Identifier: Apache-2.0
/*
 * traffic [options] PATH...: how much passes over several paths, in short slices.
 *
 *   -m MODE     connections (short ones, as many as go: connect, request, response, reset) or bulk
 *               (one connection)
 *   -r ROUNDS   rounds to measure; some more warm up
 *   -s MS       length of a slice
 *   -n COUNT    connections at a time
 *
 * A PATH is a list of client=,to=ADDRESS:PORT,server=,listen=: client and server are files of
 * network namespaces. Clients run on one CPU, servers on another where there is one.
 *
 * A round takes every path for one slice, in random order, and writes one line of JSON per path:
 * connections or bytes, and the time in ns; CPU time in ns that client and server took. The
 * kernel's work on packets is done where they are sent and charged to who sends, so it is in there,
 * except for what it leaves to its own threads when it has too much.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PATHS = 16, MAX_CONNECTIONS = 512, WARM_UP_ROUNDS = 2, EVENTS = 256 };
enum { REQUEST = 32, RESPONSE = 64, CHUNK = 1 << 17 };

enum mode { CONNECTIONS, BULK };

/* What a client has done in one slice. */
struct slice {
  uint64_t units, failures, time, cpu;
};

struct path {
  const char *client, *server;
  struct sockaddr_in to;
  uint16_t listen;
  pid_t client_pid, server_pid;
  int orders, answers; /* to and from the client */
};

static struct path paths[MAX_PATHS];
static int path_count;
static enum mode mode = CONNECTIONS;
static int rounds = 60, slice_ms = 100, at_a_time = 32;
static char buffer[CHUNK];

static int index_of(const struct path *path) { return (int)(path - paths); }

static void fail(const char *what) { error(1, errno, "%s", what); }

static uint64_t now(clockid_t clock)
{
  struct timespec t;

  if (clock_gettime(clock, &t) != 0)
    fail("clock_gettime");
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* ---- children ---------------------------------------------------------------------------------
 */

/* `turn` counts CPUs from the last one down. */
static void settle(const char *namespace, int turn)
{
  const int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
  int fd = open(namespace, O_RDONLY | O_CLOEXEC);
  cpu_set_t set;

  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
    fail(namespace);
  close(fd);
  CPU_ZERO(&set);
  CPU_SET(((cpus - 1 - turn) % cpus + cpus) % cpus, &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0)
    fail("sched_setaffinity");
}

static void watch(int poll, int command, int fd, uint32_t events, uint32_t connection)
{
  struct epoll_event event = {.events = events, .data.u32 = connection};

  if (epoll_ctl(poll, command, fd, &event) != 0)
    fail("epoll_ctl");
}

static void accept_all(int poll, int listener)
{
  for (int peer; (peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;)
    watch(poll, EPOLL_CTL_ADD, peer, EPOLLIN, peer);
}

/* A request is answered, a stream swallowed. */
static void serve(int peer)
{
  ssize_t length = read(peer, buffer, sizeof(buffer));

  if (length < 0 && errno == EAGAIN)
    return;
  if (length > 0 && mode == BULK)
    return;
  if (length > 0 && send(peer, buffer, RESPONSE, MSG_NOSIGNAL) < 0) {
    /* The slice was over, and the client has gone. */
  }
  close(peer);
}

static void run_server(const struct path *path, int ready)
{
  const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(path->listen)};
  struct epoll_event events[EVENTS];
  int poll = epoll_create1(0), listener;

  settle(path->server, 1);
  listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (bind(listener, (const struct sockaddr *)&any, sizeof(any)) != 0 ||
      listen(listener, 4096) != 0)
    fail("listen");
  watch(poll, EPOLL_CTL_ADD, listener, EPOLLIN, listener);
  if (write(ready, "", 1) != 1)
    fail("write");
  for (;;) {
    int count = epoll_wait(poll, events, EVENTS, -1);

    for (int i = 0; i < count; i++) {
      if ((int)events[i].data.u32 == listener)
        accept_all(poll, listener);
      else
        serve((int)events[i].data.u32);
    }
  }
}

struct connection {
  int fd;
  bool asked;
};

static bool
open_connection(const struct path *path, int poll, struct connection *connection, uint32_t number)
{
  const struct sockaddr *to = (const struct sockaddr *)&path->to;

  connection->asked = false;
  connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (connection->fd < 0)
    fail("socket");
  if (connect(connection->fd, to, sizeof(path->to)) != 0 && errno != EINPROGRESS) {
    close(connection->fd);
    connection->fd = -1;
    return false;
  }
  watch(poll, EPOLL_CTL_ADD, connection->fd, EPOLLOUT, number);
  return true;
}

/* A reset leaves nothing behind that would be in the way of others. */
static void close_connection(struct connection *connection)
{
  const struct linger reset = {.l_onoff = 1};

  if (connection->fd < 0)
    return;
  setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  close(connection->fd);
  connection->fd = -1;
}

enum progress { GOES_ON, DONE, FAILED };

static enum progress advance(int poll, struct connection *connection, uint32_t number)
{
  ssize_t length;

  if (!connection->asked) {
    if (send(connection->fd, buffer, REQUEST, MSG_NOSIGNAL) != REQUEST)
      return FAILED;
    connection->asked = true;
    watch(poll, EPOLL_CTL_MOD, connection->fd, EPOLLIN, number);
    return GOES_ON;
  }
  length = read(connection->fd, buffer, RESPONSE);
  if (length < 0 && errno == EAGAIN)
    return GOES_ON;
  return length == RESPONSE ? DONE : FAILED;
}

static struct slice make_connections(const struct path *path, uint64_t duration)
{
  static struct connection connections[MAX_CONNECTIONS];
  struct epoll_event events[EVENTS];
  struct slice slice = {};
  int poll = epoll_create1(0);
  const uint64_t cpu = now(CLOCK_PROCESS_CPUTIME_ID), begin = now(CLOCK_MONOTONIC);

  for (int i = 0; i < at_a_time; i++)
    slice.failures += !open_connection(path, poll, &connections[i], i);
  while (now(CLOCK_MONOTONIC) - begin < duration) {
    int count = epoll_wait(poll, events, EVENTS, 10);

    for (int i = 0; i < count; i++) {
      uint32_t number = events[i].data.u32;
      enum progress progress = advance(poll, &connections[number], number);

      if (progress == GOES_ON)
        continue;
      if (progress == DONE)
        slice.units++;
      else
        slice.failures++;
      close_connection(&connections[number]);
      slice.failures += !open_connection(path, poll, &connections[number], number);
    }
  }
  slice.time = now(CLOCK_MONOTONIC) - begin;
  slice.cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  for (int i = 0; i < at_a_time; i++)
    close_connection(&connections[i]);
  close(poll);
  return slice;
}

static int unacknowledged(int fd)
{
  int bytes;

  if (ioctl(fd, SIOCOUTQ, &bytes) != 0)
    fail("SIOCOUTQ");
  return bytes;
}

static struct slice send_bulk(int fd, uint64_t duration)
{
  struct slice slice = {};
  const uint64_t cpu = now(CLOCK_PROCESS_CPUTIME_ID), begin = now(CLOCK_MONOTONIC);

  while (now(CLOCK_MONOTONIC) - begin < duration && slice.failures == 0) {
    ssize_t length = send(fd, buffer, sizeof(buffer), MSG_NOSIGNAL);

    if (length > 0)
      slice.units += length;
    else
      slice.failures++;
  }
  slice.units -= unacknowledged(fd);
  slice.time = now(CLOCK_MONOTONIC) - begin;
  slice.cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  /* The next slice is another path's, and begins with this one's packets gone. */
  for (int i = 0; i < 1000 && unacknowledged(fd) > 0; i++)
    usleep(100);
  return slice;
}

static void run_client(const struct path *path, int orders, int answers)
{
  uint64_t duration;
  int fd = -1;

  settle(path->client, 0);
  while (read(orders, &duration, sizeof(duration)) == sizeof(duration)) {
    struct slice slice;

    if (mode == BULK && fd < 0) {
      fd = socket(AF_INET, SOCK_STREAM, 0);
      if (connect(fd, (const struct sockaddr *)&path->to, sizeof(path->to)) != 0)
        error(1, errno, "path %d", index_of(path));
    }
    slice = mode == BULK ? send_bulk(fd, duration) : make_connections(path, duration);
    if (write(answers, &slice, sizeof(slice)) != sizeof(slice))
      exit(1);
  }
}

static pid_t start_server(const struct path *path)
{
  int ready[2];
  char byte;
  pid_t pid;

  if (pipe(ready) != 0)
    fail("pipe");
  pid = fork();
  if (pid < 0)
    fail("fork");
  if (pid == 0) {
    run_server(path, ready[1]);
    exit(0);
  }
  close(ready[1]);
  if (read(ready[0], &byte, 1) != 1)
    error(1, 0, "path %d has no server", index_of(path));
  close(ready[0]);
  return pid;
}

static void start_client(struct path *path)
{
  int orders[2], answers[2];

  if (pipe(orders) != 0 || pipe(answers) != 0)
    fail("pipe");
  path->client_pid = fork();
  if (path->client_pid < 0)
    fail("fork");
  if (path->client_pid == 0) {
    close(orders[1]);
    close(answers[0]);
    run_client(path, orders[0], answers[1]);
    exit(0);
  }
  close(orders[0]);
  close(answers[1]);
  path->orders = orders[1];
  path->answers = answers[0];
}

static void stop(pid_t pid)
{
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
}

/* ---- coordinator ------------------------------------------------------------------------------
 */

static void measure(const struct path *path, int round)
{
  const uint64_t duration = slice_ms * 1000000ull;
  struct slice slice;
  clockid_t server;
  uint64_t cpu;

  if (clock_getcpuclockid(path->server_pid, &server) != 0)
    error(1, 0, "path %d: the server has gone", index_of(path));
  cpu = now(server);
  if (write(path->orders, &duration, sizeof(duration)) != sizeof(duration))
    fail("write");
  if (read(path->answers, &slice, sizeof(slice)) != sizeof(slice))
    error(1, 0, "path %d: the client has gone", index_of(path));
  cpu = now(server) - cpu + slice.cpu;
  usleep(2000); /* what is still under way */
  if (round >= 0)
    printf(
        "{\"round\":%d,\"path\":%d,\"units\":%llu,\"failures\":%llu,\"time\":%llu,\"cpu\":%llu}\n",
        round, index_of(path), (unsigned long long)slice.units, (unsigned long long)slice.failures,
        (unsigned long long)slice.time, (unsigned long long)cpu);
}

static void measure_round(int round)
{
  int turn[MAX_PATHS] = {};

  for (int i = 0; i < path_count; i++) {
    int j = rand() % (i + 1);

    turn[i] = turn[j];
    turn[j] = i;
  }
  for (int i = 0; i < path_count; i++)
    measure(&paths[turn[i]], round);
}

/* ---- arguments --------------------------------------------------------------------------------
 */

static int number(const char *text)
{
  char *end;
  long value = strtol(text, &end, 10);

  if (end == text || *end != '\0' || value < 1 || value > INT32_MAX)
    error(2, 0, "%s is not a number", text);
  return (int)value;
}

static enum mode parse_mode(const char *text)
{
  if (strcmp(text, "connections") == 0)
    return CONNECTIONS;
  if (strcmp(text, "bulk") != 0)
    error(2, 0, "%s is not a mode", text);
  return BULK;
}

static void parse_destination(struct path *path, char *text)
{
  char *colon = strchr(text, ':');

  if (colon == NULL)
    error(2, 0, "%s is not ADDRESS:PORT", text);
  *colon = '\0';
  path->to.sin_family = AF_INET;
  path->to.sin_port = htons(number(colon + 1));
  if (inet_pton(AF_INET, text, &path->to.sin_addr) != 1)
    error(2, 0, "%s is not an address", text);
}

static void parse_path(char *text)
{
  enum { CLIENT, TO, SERVER, LISTEN };
  static char *const keys[] = {
      [CLIENT] = "client", [TO] = "to", [SERVER] = "server", [LISTEN] = "listen", NULL};
  struct path *path = &paths[path_count++];
  char *value;

  if (path_count > MAX_PATHS)
    error(2, 0, "more than %d paths", MAX_PATHS);
  while (*text != '\0') {
    int key = getsubopt(&text, keys, &value);

    if (key < 0 || value == NULL)
      error(2, 0, "cannot read %s", value ? value : keys[key]);
    if (key == CLIENT)
      path->client = value;
    if (key == TO)
      parse_destination(path, value);
    if (key == SERVER)
      path->server = value;
    if (key == LISTEN)
      path->listen = number(value);
  }
  if (!path->client || !path->server || !path->listen || !path->to.sin_port)
    error(2, 0, "a path needs client, to, server and listen");
}

int main(int argc, char **argv)
{
  for (int option; (option = getopt(argc, argv, "m:r:s:n:")) != -1;) {
    if (option == 'm')
      mode = parse_mode(optarg);
    if (option == 'r')
      rounds = number(optarg);
    if (option == 's')
      slice_ms = number(optarg);
    if (option == 'n')
      at_a_time = number(optarg);
    if (option == '?')
      return 2;
  }
  if (at_a_time > MAX_CONNECTIONS)
    error(2, 0, "-n takes 1 to %d", MAX_CONNECTIONS);
  for (int i = optind; i < argc; i++)
    parse_path(argv[i]);
  if (path_count == 0)
    error(2, 0, "no path");
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int i = 0; i < path_count; i++) {
    paths[i].server_pid = start_server(&paths[i]);
    start_client(&paths[i]);
  }
  for (int round = -WARM_UP_ROUNDS; round < rounds; round++)
    measure_round(round);
  for (int i = 0; i < path_count; i++) {
    stop(paths[i].client_pid);
    stop(paths[i].server_pid);
  }
  return 0;
}
