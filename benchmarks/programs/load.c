/* SPDX-License-Identifier: Apache-2.0
 * Asks an HTTP server on the loopback, over connections that stay open, and tells how long each answer took.
 *
 *   load PORT CONNECTIONS SECONDS RATE even|random < QUESTIONS > TIMES
 *
 * QUESTIONS: whole requests, each behind its length (uint32); they are asked in turn, again and again.
 * TIMES: a double for each answer, in seconds.
 * RATE 0: each connection asks again when it is answered. Else so many questions come a second, evenly, as from a
 * client that paces itself, or at random times, as those of many users do who do not know of each other; an answer's
 * time begins when its question was due, whether or not a connection was free for it. Any answer but 200 is an error.
 * Each connection has asked once before the time begins. It never sleeps: to be woken up takes tens of microseconds on
 * a virtual machine, which would count as the server's.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_QUESTIONS = 1024, MAX_CONNECTIONS = 1024, ROOM = 1 << 16 };

struct connection {
  int socket;
  double asked;
  size_t received;
  char answer[ROOM];
};

static char* questions[MAX_QUESTIONS];
static uint32_t lengths[MAX_QUESTIONS];
static struct connection connections[MAX_CONNECTIONS];

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Seconds to the next of so many questions a second. */
static double pause_of(double rate, int is_even) { return (is_even ? 1.0 : -log(1.0 - drand48())) / rate; }

static size_t read_questions(void) {
  size_t count = 0;
  uint32_t length = 0;
  while (count < MAX_QUESTIONS && fread(&length, sizeof length, 1, stdin) == 1) {
    questions[count] = malloc(length);
    if (!questions[count] || fread(questions[count], 1, length, stdin) != length) fail("questions");
    lengths[count++] = length;
  }
  if (count == 0) fail("no questions");
  return count;
}

static void join(struct connection* connection, uint16_t port, int poll, uint32_t index) {
  const struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int yes = 1;
  connection->socket = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(connection->socket, (const struct sockaddr*)&address, sizeof address)) fail("connect");
  setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
  if (epoll_ctl(poll, EPOLL_CTL_ADD, connection->socket, &event)) fail("epoll_ctl");
}

/* Whether the answer is whole. */
static int receive(struct connection* connection) {
  const ssize_t size =
      recv(connection->socket, connection->answer + connection->received, ROOM - 1 - connection->received, 0);
  if (size <= 0) fail("the connection ended");
  connection->received += (size_t)size;
  connection->answer[connection->received] = '\0';
  const char* end = strstr(connection->answer, "\r\n\r\n");
  if (!end) return 0;
  const char* length = strcasestr(connection->answer, "\r\ncontent-length: ");
  if (strncmp(connection->answer, "HTTP/1.1 200", 12) != 0 || !length || length > end) {
    fprintf(stderr, "%s\n", connection->answer);
    exit(1);
  }
  return connection->received >= (size_t)(end + 4 - connection->answer) + strtoul(length + 18, NULL, 10);
}

static void ask(struct connection* connection, size_t which, double since) {
  connection->asked = since;
  connection->received = 0;
  if (send(connection->socket, questions[which], lengths[which], 0) != (ssize_t)lengths[which]) fail("send");
}

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  const uint32_t many = (uint32_t)atoi(argv[2]);
  const double seconds = atof(argv[3]);
  const double rate = atof(argv[4]);
  const int is_even = strcmp(argv[5], "even") == 0;
  if (many == 0 || many > MAX_CONNECTIONS) return 2;
  const size_t known = read_questions();
  const int poll = epoll_create1(0);
  uint32_t free_ones[MAX_CONNECTIONS];
  uint32_t num_free = 0;
  for (uint32_t index = 0; index < many; ++index) {
    join(&connections[index], (uint16_t)atoi(argv[1]), poll, index);
    ask(&connections[index], index % known, now());
    while (!receive(&connections[index])) continue;
    free_ones[num_free++] = index;
  }

  size_t asked = 0;
  const double begin = now();
  double due = begin;
  double time = begin;
  while (time < begin + seconds) {
    while (num_free > 0 && due <= time) {
      ask(&connections[free_ones[--num_free]], asked++ % known, rate > 0 ? due : now());
      if (rate > 0) due += pause_of(rate, is_even);
    }
    struct epoll_event events[MAX_CONNECTIONS];
    const int ready = epoll_wait(poll, events, MAX_CONNECTIONS, 0);
    for (int place = 0; place < ready; ++place) {
      const uint32_t index = events[place].data.u32;
      if (!receive(&connections[index])) continue;
      const double taken = now() - connections[index].asked;
      fwrite(&taken, sizeof taken, 1, stdout);
      free_ones[num_free++] = index;
    }
    time = now();
  }
  return fflush(stdout) == 0 ? 0 : 1;
}
