/* SPDX-License-Identifier: Apache-2.0
 * A server on the loopback that does nothing but what any must: it reads questions, keeps its processor busy for a
 * fixed time each, and answers. What `load` measures of it is the machine's and the client's own part of a latency.
 *
 *   floor MICROSECONDS BYTES      prints its port; answers have so many bytes of body
 *
 * A question is a head, and a body of less than what one recv() brings; a connection sends one at a time.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_EVENTS = 256, ROOM = 1 << 16, MAX_BODY = 1 << 14 };

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int listen_on_any(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr*)&address, size) || listen(listener, 1024)) fail("listen");
  if (getsockname(listener, (struct sockaddr*)&address, &size)) fail("getsockname");
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  return listener;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const double work = atof(argv[1]) * 1e-6;
  const size_t body = strtoul(argv[2], NULL, 10);
  if (body > MAX_BODY) return 2;
  static char answer[MAX_BODY + 256];
  const int head = snprintf(answer, 256, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", body);
  memset(answer + head, ' ', body);

  const int listener = listen_on_any();
  const int poll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
  if (epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event)) fail("epoll_ctl");
  for (;;) {
    struct epoll_event events[MAX_EVENTS];
    const int ready = epoll_wait(poll, events, MAX_EVENTS, -1);
    for (int place = 0; place < ready; ++place) {
      int client = events[place].data.fd;
      if (client == listener) {
        const int yes = 1;
        client = accept(listener, NULL, NULL);
        if (client < 0) fail("accept");
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        event.data.fd = client;
        if (epoll_ctl(poll, EPOLL_CTL_ADD, client, &event)) fail("epoll_ctl");
        continue;
      }
      static char question[ROOM];
      if (recv(client, question, sizeof question, 0) <= 0) {
        close(client);
        continue;
      }
      for (const double end = now() + work; now() < end;) continue;
      const size_t whole = (size_t)head + body;
      if (send(client, answer, whole, MSG_NOSIGNAL) != (ssize_t)whole) close(client);
    }
  }
}
