/* floor - a proxy that costs as little as a proxy can: the lower bound of the benchmark, not a
 * usable proxy.  It passes bytes on unchanged and only finds where messages end.  It does not
 * route, adds no header, and has no limits and no statistics.  It closes the connection where a
 * head does not come in one read, and where the origin closes.
 *
 *   floor PORT ORIGIN_PORT
 *
 * One epoll registration for each descriptor, edge-triggered, for its life; one buffer for
 * all reads; a last-in-first-out pool of connections to the origin. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER ((size_t)128 << 10)
#define EVENTS 512

struct side {
	int fd;
	bool is_origin, can_read, is_hup, is_dead, is_connecting;
	uint64_t left;	   /* bytes of the message that are still to come; 0: a head is next */
	struct side *peer; /* the other side of the exchange, or NULL */
	struct side *next; /* in the pool, or in the list of the dead */
	char *out;	   /* bytes that did not fit into the socket */
	size_t out_at, out_n;
};

static struct side *pool, *dead;
static char buffer[BUFFER];
static int epoll_fd, listen_fd;
static struct sockaddr_in origin;

static struct sockaddr_in
loopback(const char *port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static struct side *
side_new(int fd, bool is_origin)
{
	struct side *s = calloc(1, sizeof *s);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				 .data.ptr = s};
	int one = 1;

	if (s == NULL)
		abort();
	s->fd = fd;
	s->is_origin = is_origin;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev);
	return s;
}

static void
side_close(struct side *s)
{
	struct side *peer = s->peer, **at;

	if (s->is_dead)
		return;
	for (at = &pool; *at != NULL; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			break;
		}
	s->is_dead = true;
	close(s->fd);
	s->next = dead;
	dead = s;
	s->peer = NULL;
	if (peer != NULL) {
		peer->peer = NULL;
		side_close(peer);
	}
}

static struct side *
origin_side(void)
{
	struct side *s = pool;
	int fd;

	if (s != NULL) {
		pool = s->next;
		return s;
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	if (connect(fd, (struct sockaddr *)&origin, sizeof origin) < 0 && errno != EINPROGRESS) {
		close(fd);
		return NULL;
	}
	s = side_new(fd, true);
	s->is_connecting = true;
	return s;
}

static void
side_write(struct side *s, const char *data, size_t n)
{
	ssize_t sent = s->is_connecting || s->out_n > 0 ? 0 : send(s->fd, data, n, MSG_NOSIGNAL);

	sent = sent < 0 && errno == EAGAIN ? 0 : sent;
	if (sent < 0) {
		side_close(s);
	} else if ((size_t)sent < n) {
		s->out = realloc(s->out, s->out_at + s->out_n + n);
		if (s->out == NULL)
			abort();
		memcpy(s->out + s->out_at + s->out_n, data + sent, n - (size_t)sent);
		s->out_n += n - (size_t)sent;
	}
}

static void
side_flush(struct side *s)
{
	ssize_t sent;

	if (s->is_connecting || s->out_n == 0)
		return;
	sent = send(s->fd, s->out + s->out_at, s->out_n, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN) {
		side_close(s);
		return;
	}
	s->out_at += (size_t)(sent < 0 ? 0 : sent);
	s->out_n -= (size_t)(sent < 0 ? 0 : sent);
	if (s->out_n == 0) {
		free(s->out);
		s->out = NULL;
		s->out_at = 0;
	}
}

/* The size of the message at the beginning of data; 0: its head is not complete. */
static uint64_t
message_size(const char *data, size_t n)
{
	static const char field[] = "content-length:";
	const char *end = memmem(data, n, "\r\n\r\n", 4), *line = data;

	if (end == NULL)
		return 0;
	while ((line = memchr(line, '\n', (size_t)(end - line))) != NULL) {
		line++;
		if ((*line | 32) == 'c' && strncasecmp(line, field, sizeof field - 1) == 0)
			return (uint64_t)(end + 4 - data) +
			       strtoull(line + sizeof field - 1, NULL, 10);
	}
	return (uint64_t)(end + 4 - data);
}

static bool
find_peer(struct side *s)
{
	if (s->peer == NULL && !s->is_origin && (s->peer = origin_side()) != NULL)
		s->peer->peer = s;
	return s->peer != NULL;
}

/* Pass a piece of a message to the other side.  The last piece of a response releases the origin's
 * connection. */
static void
pass(struct side *s, const char *data, size_t n)
{
	struct side *peer = s->peer;

	s->left -= n;
	if (s->left == 0 && s->is_origin) {
		s->peer = peer->peer = NULL;
		s->next = pool;
		pool = s;
	}
	side_write(peer, data, n);
}

static void
pump(struct side *s)
{
	while (!s->is_dead && s->can_read && (s->peer == NULL || s->peer->out_n == 0)) {
		ssize_t n = recv(s->fd, buffer, BUFFER, 0);

		if (n <= 0 && (n == 0 || errno != EAGAIN)) {
			side_close(s);
			return;
		}
		s->can_read = n == (ssize_t)BUFFER || (s->is_hup && n > 0);
		if (n < 0)
			return;
		if (s->left == 0)
			s->left = message_size(buffer, (size_t)n);
		if ((uint64_t)n > s->left ||
		    !find_peer(
			    s)) { /* no complete head, or an origin that sends without a request */
			side_close(s);
			return;
		}
		pass(s, buffer, (size_t)n);
	}
}

static void
on_side(struct side *s, uint32_t events)
{
	if (s->is_dead)
		return;
	s->is_hup |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	s->can_read |= (events & EPOLLIN) != 0 || s->is_hup;
	if ((events & EPOLLOUT) != 0) {
		s->is_connecting = false;
		side_flush(s);
		if (!s->is_dead && s->peer != NULL && s->out_n == 0)
			pump(s->peer);
	}
	if (!s->is_dead)
		pump(s);
}

static void
on_clients(void)
{
	int fd;

	while ((fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		(void)side_new(fd, false);
}

static void
free_dead(void)
{
	while (dead != NULL) {
		struct side *s = dead;

		dead = s->next;
		free(s->out);
		free(s);
	}
}

int
main(int argc, char **argv)
{
	static struct epoll_event events[EVENTS];
	struct epoll_event ev = {.events = EPOLLIN};
	struct sockaddr_in at;
	int one = 1, i, n;

	if (argc != 3) {
		fprintf(stderr, "usage: floor PORT ORIGIN_PORT\n");
		return 2;
	}
	at = loopback(argv[1]);
	origin = loopback(argv[2]);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(listen_fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(listen_fd, 4096) < 0) {
		fprintf(stderr, "floor: cannot listen at port %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &ev);
	for (;;) {
		n = epoll_wait(epoll_fd, events, EVENTS, -1);
		for (i = 0; i < n; i++)
			if (events[i].data.ptr == NULL)
				on_clients();
			else
				on_side(events[i].data.ptr, events[i].events);
		free_dead();
	}
}
