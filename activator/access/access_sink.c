#include "activator/access/access_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "activator/access/access_otlp.h"
#include "common/append_file.h"
#include "common/clk.h"

#define PIECE_MOST ((size_t)1 << 20)	/* bytes of one write, so that a rotation is not far off */
#define MESSAGE_MOST ((size_t)60 << 10) /* bytes of a message to syslog */
#define MESSAGES_MOST 64		/* in one system call */
#define PRIORITY (23 * 8 + 6)		/* local7.info, as nginx has it */
#define ATOMIC 4096			/* PIPE_BUF: bytes that fit where poll(2) says so */

enum kind { KIND_FILE, KIND_STDOUT, KIND_SYSLOG, KIND_COLLECTOR };

struct access_sink {
	enum kind kind;
	char *spec;
	const char *path;	 /* in spec */
	struct append_file file; /* KIND_FILE */
	int fd;			 /* that of file, too; -1: not open */
	bool is_shared;		 /* standard output itself: fd is not to be closed */
	bool is_socket;
	bool must_poll;		  /* O_NONBLOCK could not be set: poll(2) before each write */
	bool is_in_line;	  /* the last write ended within a line … */
	bool must_skip;		  /* … of which the rest is of no use: another file is open now */
	struct access_otlp *otlp; /* KIND_COLLECTOR */
	struct err why;
	char header[64]; /* KIND_SYSLOG: what precedes the text */
	size_t header_n;
	int64_t header_second;
};

/* --- opening --- */

/* O_NONBLOCK belongs to the open file, which standard output shares with other programs: see
 * common/log_fd.c.  So a pipe or a terminal is opened once more. */
static int
open_stdout(struct access_sink *s, struct err *e)
{
	struct stat st;

	if (fstat(STDOUT_FILENO, &st) < 0)
		return err_errno(e, "cannot use standard output");
	s->fd = STDOUT_FILENO;
	s->is_shared = true;
	s->is_socket = S_ISSOCK(st.st_mode);
	if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
		int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

		s->must_poll = fd < 0;
		s->is_shared = fd < 0;
		s->fd = fd < 0 ? STDOUT_FILENO : fd;
	}
	return 0;
}

static int
open_file(struct access_sink *s, struct err *e)
{
	int rc = append_file_open(&s->file, e);

	s->fd = s->file.fd;
	return rc;
}

static int
open_syslog(struct access_sink *s, struct err *e)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(s->path) >= sizeof to.sun_path)
		return err_set(e, 0, "the path of the socket is too long: %s", s->path);
	memcpy(to.sun_path, s->path, strlen(s->path) + 1);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(e, "cannot open a socket");
	if (connect(fd, (const struct sockaddr *)&to, sizeof to) < 0) {
		int code = errno;

		close(fd);
		if (code == ENOENT || code == ECONNREFUSED) /* syslog is not up yet */
			return 0;
		return err_set(e, code, "cannot connect to %s: %s", s->path,
			       code == EPROTOTYPE ? "it is no datagram socket" : strerror(code));
	}
	s->fd = fd;
	s->is_socket = true;
	return 0;
}

static int
open_any(struct access_sink *s, struct err *e)
{
	switch (s->kind) {
	case KIND_STDOUT:
		return open_stdout(s, e);
	case KIND_SYSLOG:
		return open_syslog(s, e);
	case KIND_COLLECTOR:
		return 0;
	case KIND_FILE:
		break;
	}
	return open_file(s, e);
}

static void
close_fd(struct access_sink *s)
{
	if (s->kind == KIND_FILE)
		append_file_close(&s->file);
	else if (s->fd >= 0 && !s->is_shared)
		close(s->fd);
	s->fd = -1;
}

struct access_sink *
access_sink_open(const char *spec, uint64_t max_bytes, struct err *e)
{
	struct access_sink *s = xcalloc(1, sizeof *s);

	s->spec = xstrdup(spec);
	s->path = s->spec;
	s->fd = -1;
	if (strcmp(spec, "stdout") == 0) {
		s->kind = KIND_STDOUT;
	} else if (strncmp(spec, "unix:", 5) == 0) {
		s->kind = KIND_SYSLOG;
		s->path = s->spec + 5;
	}
	append_file_init(&s->file, "access_log", s->path, max_bytes);
	if (open_any(s, e) < 0)
		access_sink_free(&s);
	return s;
}

struct access_sink *
access_sink_open_collector(const char *url, const char *ca)
{
	struct access_sink *s = xcalloc(1, sizeof *s);

	s->kind = KIND_COLLECTOR;
	s->spec = xstrdup(url);
	s->path = s->spec;
	s->fd = -1;
	s->otlp = access_otlp_new(url, ca);
	return s;
}

int
access_sink_gather_ms(const struct access_sink *s)
{
	return s->kind == KIND_COLLECTOR ? 1000 : 50;
}

int
access_sink_gather_most_ms(const struct access_sink *s)
{
	return s->kind == KIND_COLLECTOR ? 1000 : 500;
}

int
access_sink_retry_most_ms(const struct access_sink *s)
{
	return s->kind == KIND_COLLECTOR ? 30000 : 1000;
}

const char *
access_sink_why(const struct access_sink *s)
{
	return s->kind == KIND_COLLECTOR ? s->why.text : strerror(errno);
}

void
access_sink_free(struct access_sink **sp)
{
	struct access_sink *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	close_fd(s);
	access_otlp_free(&s->otlp);
	free(s->spec);
	free(s);
}

/* What is written next goes elsewhere than the beginning of the line. */
static void
end_line(struct access_sink *s)
{
	s->must_skip |= s->is_in_line;
	s->is_in_line = false;
}

int
access_sink_reopen(struct access_sink *s, struct err *e)
{
	struct access_sink new = *s;

	if (s->kind == KIND_STDOUT || s->kind == KIND_COLLECTOR)
		return 0;
	if (s->kind == KIND_FILE) {
		if (open_file(s, e) < 0)
			return -1;
	} else {
		new.fd = -1;
		if (open_any(&new, e) < 0)
			return -1;
		close_fd(s);
		*s = new;
	}
	end_line(s);
	return 0;
}

void
access_sink_follow(struct access_sink *s, const struct access_sink *before)
{
	s->must_skip = before->is_in_line || before->must_skip;
}

int
access_sink_fd(const struct access_sink *s)
{
	return s->fd;
}

const char *
access_sink_name(const struct access_sink *s)
{
	return s->spec;
}

/* --- writing --- */

static ssize_t
write_stream(struct access_sink *s, const struct iovec *iov, int n)
{
	struct pollfd p = {.fd = s->fd, .events = POLLOUT};
	struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n};

	if (s->is_socket)
		return sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (!s->must_poll)
		return writev(s->fd, iov, n);
	if (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0) {
		/* A full pipe without a reader.  poll(2) would not wait for it. */
		bool is_broken = (p.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;

		errno = is_broken ? EPIPE : EAGAIN;
		return -1;
	}
	return write(s->fd, iov[0].iov_base, MIN(iov[0].iov_len, (size_t)ATOMIC));
}

/* Does the last of the first `taken` bytes end a line? */
static bool
ends_line(const struct iovec *iov, int n, size_t taken)
{
	int i;

	for (i = 0; i < n && taken > iov[i].iov_len; i++)
		taken -= iov[i].iov_len;
	return i == n || taken == 0 || ((const char *)iov[i].iov_base)[taken - 1] == '\n';
}

static ssize_t
write_lines(struct access_sink *s, const struct iovec *iov, int n)
{
	ssize_t taken;

	if (s->kind == KIND_FILE && !s->is_in_line && append_file_turn(&s->file))
		s->fd = s->file.fd;
	taken = write_stream(s, iov, n);
	if (taken <= 0)
		return taken;
	append_file_wrote(&s->file, (uint64_t)taken);
	s->is_in_line = !ends_line(iov, n, (size_t)taken);
	return taken;
}

/* As syslog(3) begins a message to a local socket. */
static void
set_header(struct access_sink *s)
{
	int64_t second = clk_wall() / CLK_S;
	time_t t = (time_t)second;
	char stamp[32];
	struct tm tm;

	if (second == s->header_second)
		return;
	s->header_second = second;
	localtime_r(&t, &tm);
	strftime(stamp, sizeof stamp, "%b %e %H:%M:%S", &tm);
	s->header_n = (size_t)snprintf(s->header, sizeof s->header,
				       "<%d>%s activator[%d]: ", PRIORITY, stamp, (int)getpid());
}

/* Each line is a message of its own.  All lines are in iov[0]. */
static ssize_t
write_messages(struct access_sink *s, const struct iovec *iov, uint64_t *dropped)
{
	struct mmsghdr messages[MESSAGES_MOST] = {0};
	struct iovec parts[MESSAGES_MOST][2];
	char *at = iov->iov_base, *end = at + iov->iov_len, *eol;
	int n = 0, sent;

	set_header(s);
	for (; at < end && n < MESSAGES_MOST; n++, at = eol + 1) {
		eol = memchr(at, '\n', (size_t)(end - at));
		CHECK(eol != NULL);
		if ((size_t)(eol - at) > MESSAGE_MOST) {
			if (n > 0)
				break;
			++*dropped;
			return eol + 1 - at;
		}
		parts[n][0] = (struct iovec){s->header, s->header_n};
		parts[n][1] = (struct iovec){at, (size_t)(eol - at)};
		messages[n].msg_hdr.msg_iov = parts[n];
		messages[n].msg_hdr.msg_iovlen = 2;
	}
	sent = sendmmsg(s->fd, messages, (unsigned)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0 && errno == EMSGSIZE) {
		++*dropped;
		sent = 1;
	}
	if (sent <= 0)
		return sent;
	return (char *)parts[sent - 1][1].iov_base + parts[sent - 1][1].iov_len + 1 -
	       (char *)iov->iov_base;
}

/* The rest of a line whose beginning was written elsewhere. */
static ssize_t
skip_line(struct access_sink *s, const struct iovec *iov, uint64_t *dropped)
{
	const char *eol = memchr(iov->iov_base, '\n', iov->iov_len);

	CHECK(eol != NULL);
	s->must_skip = false;
	*dropped = 1;
	return eol + 1 - (const char *)iov->iov_base;
}

/* Of several pieces, as many bytes as one call is to write. */
static int
limit_pieces(struct iovec out[2], const struct iovec *iov, int n)
{
	int i;

	for (i = 0; i < n; i++)
		out[i] = iov[i];
	if (out[0].iov_len <= PIECE_MOST)
		return n;
	out[0].iov_len = PIECE_MOST;
	return 1;
}

ssize_t
access_sink_write(struct access_sink *s, const struct iovec *iov, int n, uint64_t *dropped)
{
	struct iovec pieces[2];
	struct err e = {0};
	ssize_t taken;

	*dropped = 0;
	CHECK(n >= 1 && n <= 2);
	if (s->kind == KIND_COLLECTOR)
		return access_otlp_write(s->otlp, iov, dropped, &s->why);
	if (s->must_skip)
		return skip_line(s, iov, dropped);
	if (s->fd < 0 && open_any(s, &e) < 0) {
		errno = e.code != 0 ? e.code : EIO;
		return -1;
	}
	if (s->fd < 0) {
		errno = s->kind == KIND_SYSLOG ? ECONNREFUSED : ENXIO;
		return -1;
	}
	n = limit_pieces(pieces, iov, n);
	do
		taken = s->kind == KIND_SYSLOG ? write_messages(s, pieces, dropped)
					       : write_lines(s, pieces, n);
	while (taken < 0 && errno == EINTR);
	/* The reader is gone: another one may come. */
	if (taken < 0 && errno != EAGAIN && errno != ENOSPC && errno != ENOBUFS &&
	    (s->is_socket || errno == EPIPE) && s->kind != KIND_STDOUT) {
		int code = errno;

		close_fd(s);
		end_line(s);
		errno = code;
	}
	return taken;
}
