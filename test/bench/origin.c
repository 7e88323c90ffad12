/* origin - the server behind the proxies of the benchmark.  It does next to nothing, so that the
 * figures are the proxy's.  HTTP/1.1, GET only, keep-alive, pipelining; whole responses are ready
 * in memory.
 *
 *   origin PORT
 *
 * Paths: /1m, /64k: bodies of that size; /park: never answered; all else: 13 bytes. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_MAX 16384
#define EVENTS 256

struct answer {
	char *data;
	size_t n;
};

struct conn {
	int fd;
	size_t in_n;
	const struct answer *answer; /* the answer being sent, or NULL */
	size_t sent;
	bool is_parked, is_writing; /* is_writing: EPOLLOUT is watched */
	char in[IN_MAX];
};

static struct answer small, medium, large;
static int epoll_fd, listen_fd;

static struct answer
make_answer(const char *body, size_t n)
{
	struct answer a = {.data = malloc(n + 256)};
	int head;

	if (a.data == NULL)
		abort();
	head = sprintf(a.data,
		       "HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 01:00:00 GMT\r\n"
		       "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
		       n);
	if (body != NULL)
		memcpy(a.data + head, body, n);
	else
		memset(a.data + head, 'x', n);
	a.n = (size_t)head + n;
	return a;
}

static void
drop(struct conn *c)
{
	close(c->fd);
	free(c);
}

static void
watch(struct conn *c, int op, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = c};

	epoll_ctl(epoll_fd, op, c->fd, &ev);
}

/* 1: all is sent, 0: the socket is full, -1: the connection is broken. */
static int
send_answer(struct conn *c)
{
	while (c->sent < c->answer->n) {
		ssize_t n = send(c->fd, c->answer->data + c->sent, c->answer->n - c->sent,
				 MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			if (!c->is_writing)
				watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
			c->is_writing = true;
			return 0;
		}
		if (n < 0)
			return -1;
		c->sent += (size_t)n;
	}
	if (c->is_writing)
		watch(c, EPOLL_CTL_MOD, EPOLLIN);
	c->is_writing = false;
	c->answer = NULL;
	return 1;
}

static bool
begins(const char *head, const char *path)
{
	return strncmp(head, "GET ", 4) == 0 && strncmp(head + 4, path, strlen(path)) == 0;
}

/* Answer each whole head in the buffer. */
static int
step(struct conn *c)
{
	char *head = c->in, *end;
	int rc = 1;

	while (rc == 1 && !c->is_parked &&
	       (end = memmem(head, (size_t)(c->in + c->in_n - head), "\r\n\r\n", 4)) != NULL) {
		c->is_parked = begins(head, "/park");
		c->answer = begins(head, "/64k") ? &medium : begins(head, "/1m") ? &large : &small;
		c->sent = 0;
		head = end + 4;
		if (!c->is_parked)
			rc = send_answer(c);
	}
	c->in_n -= (size_t)(head - c->in);
	memmove(c->in, head, c->in_n);
	return rc;
}

static void
on_conn(struct conn *c, uint32_t events)
{
	int rc = 1;

	if (c->answer != NULL && !c->is_parked && (events & EPOLLOUT) != 0) {
		rc = send_answer(c);
		if (rc == 1)
			rc = step(c);
	} else if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
		ssize_t n = recv(c->fd, c->in + c->in_n, IN_MAX - c->in_n, 0);

		if (n <= 0 && !(n < 0 && errno == EAGAIN))
			rc = -1;
		else if (n > 0) {
			c->in_n += (size_t)n;
			if (c->answer == NULL || c->is_parked)
				rc = step(c);
		}
	}
	if (rc < 0)
		drop(c);
}

static void
on_client(void)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), one = 1;
	struct conn *c;

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	c = calloc(1, sizeof *c);
	if (c == NULL)
		abort();
	c->fd = fd;
	watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static void
listen_at(const char *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event ev = {.events = EPOLLIN};
	int one = 1;

	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(listen_fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(listen_fd, 4096) < 0) {
		fprintf(stderr, "origin: cannot listen at port %s: %s\n", port, strerror(errno));
		exit(1);
	}
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &ev);
}

int
main(int argc, char **argv)
{
	struct epoll_event events[EVENTS];
	int i, n;

	if (argc != 2) {
		fprintf(stderr, "usage: origin PORT\n");
		return 2;
	}
	small = make_answer("Hello, World!", 13);
	medium = make_answer(NULL, (size_t)64 << 10);
	large = make_answer(NULL, (size_t)1 << 20);
	listen_at(argv[1]);
	for (;;) {
		n = epoll_wait(epoll_fd, events, EVENTS, -1);
		for (i = 0; i < n; i++)
			if (events[i].data.ptr == NULL)
				on_client();
			else
				on_conn(events[i].data.ptr, events[i].events);
	}
}
